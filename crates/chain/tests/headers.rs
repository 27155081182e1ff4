//! Real headers pass, and tampered ones are refused where and as Bitcoin Core refuses them.
#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::block::Header;
use chain::{
    Check, HeaderReject, HeaderWindow, Network, Report, Status, Verdict, check_header,
    header_bytes, header_from_bytes, verify_headers,
};
use pow::{NBits, Target, Work};

const LEVEL: u32 = 16_000;
const COVERAGE: f64 = 0.7;

fn verify(network: Network, start: u32, data: &[u8]) -> Report {
    verify_headers(network, start, data, LEVEL, COVERAGE, None)
}

const FILES: [(&str, Network, u32); 5] = [
    ("headers/mainnet_0_32259.headers", Network::Main, 32_260),
    ("headers/testnet3_0_9999.headers", Network::Testnet3, 10_000),
    ("headers/signet_0_2015.headers", Network::Signet, 2_016),
    ("headers/testnet4_0_100.headers", Network::Testnet4, 101),
    ("headers/regtest_0_100.headers", Network::Regtest, 101),
];

#[test]
fn every_file_of_real_headers_is_authentic() {
    for (path, network, count) in FILES {
        let Some(data) = support::read(path) else {
            return;
        };
        let report = verify(network, 0, &data);
        assert_eq!(report.verdict, Verdict::Authentic, "{path}: {report:?}");
        assert_eq!(report.verified, count, "{path}");
        assert_eq!(report.first_failure, None, "{path}");
        assert!((report.coverage - 1.0).abs() < 1e-9, "{path}");
    }
}

#[test]
fn headers_are_of_no_other_network() {
    for (path, network, _) in FILES {
        let Some(data) = support::read(path) else {
            return;
        };
        for other in Network::ALL.into_iter().filter(|other| *other != network) {
            let report = verify(other, 0, &data);
            assert_eq!(report.verdict, Verdict::Rejected, "{path} as {other}");
            assert_eq!(report.first_failure.unwrap().height, Some(0));
        }
    }
}

#[test]
fn a_window_follows_every_file_in_pieces_of_any_size() {
    for (path, network, count) in FILES {
        let Some(data) = support::read(path) else {
            return;
        };
        let all = support::headers(&data);
        for piece in [1, 7, 2_000, 40_000] {
            if piece == 1 && count > 11_000 {
                continue;
            }
            let mut window = HeaderWindow::from_genesis(network, LEVEL);
            for headers in all[1..].chunks(piece) {
                window.connect(headers, None).unwrap();
            }
            assert_eq!(window.tip().height, count - 1, "{path}");
            assert_eq!(window.tip().header, *all.last().unwrap());
            assert_eq!(window.verified(), count.min(LEVEL));
        }
    }
}

#[test]
fn one_header_at_a_time_agrees_with_the_whole() {
    for (path, network, _) in FILES {
        let Some(data) = support::read(path) else {
            return;
        };
        let all = support::headers(&data);
        let params = network.params();
        let last = all.len().min(10_000);
        for height in (1..last).rev().take(300).chain([1, 2, 10, 11, 12]) {
            let below: &[Header] = &all[..height];
            let checked = check_header(params, &all[height], height as u32, below, None);
            assert_eq!(checked, Ok(()), "{path} at {height}");
        }
    }
}

#[test]
fn chainwork_and_retargets_are_those_of_the_real_chain() {
    let Some(csv) = support::read("headers/mainnet_retarget_boundaries.csv") else {
        return;
    };
    let rows: Vec<Vec<String>> = String::from_utf8(csv)
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect();
    let bits_of = |row: &[String]| -> NBits { row[2].parse().unwrap() };
    let limit = Network::Main.params().pow_limit;
    let mut retargets = 0;
    let mut clamped = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let height: u32 = row[0].parse().unwrap();
        if height == 0 || !height.is_multiple_of(2_016) {
            continue;
        }
        // The rows before are the last of the period and its first.
        let (last, first) = (&rows[index - 1], &rows[index - 2]);
        let time = |row: &[String]| -> i64 { row[3].parse().unwrap() };
        let taken = time(last) - time(first);
        let within = taken.clamp(302_400, 4_838_400);
        if taken != within {
            clamped.push(height);
        }
        let old = Target::from_nbits(bits_of(last)).unwrap();
        let new = old.retarget(within as u32, 1_209_600).min(limit).to_nbits();
        assert_eq!(new, bits_of(row), "at {height}");
        let work: Work = row[5].parse().unwrap();
        let before: Work = last[5].parse().unwrap();
        assert_eq!(
            work - before,
            Target::from_nbits(new).unwrap().work(),
            "at {height}"
        );
        retargets += 1;
    }
    assert_eq!(retargets, 413);
    assert_eq!(clamped, [68_544]);

    let Some(data) = support::read("headers/mainnet_0_32259.headers") else {
        return;
    };
    let mut window = HeaderWindow::from_genesis(Network::Main, LEVEL);
    window
        .connect(&support::headers(&data)[1..=32_256], None)
        .unwrap();
    let row = rows.iter().find(|row| row[0] == "32256").unwrap();
    assert_eq!(window.tip().hash.to_string(), row[1]);
    assert_eq!(window.chainwork_from_anchor().to_string(), row[5]);
}

/// The last header of a period, by its height, and the first: all that a retarget looks at.
struct Ends(u32, Header, Header);

impl chain::Ancestors for Ends {
    fn header_at(&self, height: u32) -> Option<&Header> {
        if height == self.0 {
            Some(&self.2)
        } else {
            Some(&self.1)
        }
    }
}

#[test]
fn next_work_known_answers_of_bitcoin_core() {
    let Some(cases) = support::json("cases/core_pow_kats.json") else {
        return;
    };
    let params = Network::Main.params();
    for case in cases.as_array().unwrap() {
        let number = |name: &str| case[name].as_u64().unwrap() as u32;
        let bits: NBits = case["last_bits"].as_str().unwrap().parse().unwrap();
        let last_height = number("last_height");
        let mut blank = *Network::Main.genesis_header();
        blank.bits = bitcoin::CompactTarget::from_consensus(bits.0);
        let first = Header {
            time: number("first_time"),
            ..blank
        };
        let last = Header {
            time: number("last_time"),
            ..blank
        };
        let ends = Ends(last_height, first, last);
        let next = chain::next_bits(params, last_height + 1, &ends, 0).unwrap();
        assert_eq!(next.to_string(), case["expected"].as_str().unwrap());
    }
}

#[test]
fn tampered_and_replayed_headers_are_refused_with_cores_words() {
    let Some(cases) = support::json("cases/header_cases.json") else {
        return;
    };
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let count = case["prefix_count"].as_u64().unwrap() as usize;
        let network = case["net"].as_str().unwrap().parse().unwrap();
        let prefix = support::read(case["prefix_file"].as_str().unwrap()).unwrap();
        let header = hex::decode(case["header"].as_str().unwrap()).unwrap();
        let expected = case["expect"].as_str().unwrap();
        let mut data = prefix[..count * 80].to_vec();
        data.extend_from_slice(&header);

        let report = verify(network, 0, &data);
        assert_eq!(report.verdict, Verdict::Rejected, "{name}");
        assert_eq!(report.verified, count as u32, "{name}");
        let failure = report.first_failure.unwrap();
        assert_eq!(failure.height, Some(count as u32), "{name}");
        assert_eq!(failure.reason, expected, "{name}");

        let all = support::headers(&data);
        let refused = check_header(
            network.params(),
            &all[count],
            count as u32,
            &all[..count],
            None,
        );
        assert_eq!(refused.unwrap_err().to_string(), expected, "{name}");
    }
}

#[test]
fn a_file_that_starts_higher_names_what_it_assumes() {
    let Some(data) = support::read("headers/mainnet_0_32259.headers") else {
        return;
    };
    for start in [1, 5, 2_015, 2_016, 2_017, 20_000, 30_240, 32_255] {
        let report = verify(Network::Main, start, &data[start as usize * 80..]);
        assert_eq!(
            report.verdict,
            Verdict::Authentic,
            "from {start}: {report:?}"
        );
        assert_eq!(report.verified, 32_260 - start);
        let context = report.check(Check::Context).unwrap();
        assert_eq!(context.status, Status::Assumed);
        assert!(
            context
                .reason
                .as_ref()
                .unwrap()
                .contains(&format!("parent of height {start}"))
        );
        assert_eq!(
            report.check(Check::Genesis).unwrap().status,
            Status::NotApplicable
        );
        assert!(report.coverage < 1.0);
    }
    let Some(data) = support::read("headers/testnet3_0_9999.headers") else {
        return;
    };
    for start in [1, 1_000, 4_032, 5_000] {
        let report = verify(Network::Testnet3, start, &data[start as usize * 80..]);
        assert_eq!(
            report.verdict,
            Verdict::Authentic,
            "from {start}: {report:?}"
        );
    }
}

#[test]
fn a_wrong_start_height_is_found_at_a_retarget() {
    let Some(data) = support::read("headers/mainnet_0_32259.headers") else {
        return;
    };
    let report = verify(Network::Main, 20_001, &data[20_000 * 80..]);
    assert_eq!(report.verdict, Verdict::Rejected);
    assert_eq!(report.first_failure.unwrap().reason, "bad-diffbits");
}

#[test]
fn what_is_no_list_of_headers_is_refused_in_words() {
    let genesis = header_bytes(Network::Main.genesis_header());
    for (data, words) in [(&genesis[..79], "multiple of 80"), (&[][..], "no headers")] {
        let report = verify(Network::Main, 0, data);
        assert_eq!(report.verdict, Verdict::Rejected);
        let failure = report.first_failure.unwrap();
        assert_eq!((failure.height, failure.check), (None, Check::Encoding));
        assert!(failure.reason.contains(words), "{}", failure.reason);
    }
    assert_eq!(
        verify(Network::Main, 0, &genesis).verdict,
        Verdict::Authentic
    );
    let report = verify(Network::Main, u32::MAX, &genesis);
    assert_eq!(report.first_failure.unwrap().check, Check::Encoding);
}

#[test]
fn too_new_a_header_is_undecided_until_the_clock_reaches_it() {
    let Some(data) = support::read("headers/mainnet_0_32259.headers") else {
        return;
    };
    let data = &data[..50 * 80];
    let times = support::headers(data)
        .iter()
        .map(|header| header.time)
        .collect::<Vec<_>>();
    let newest = *times.iter().max().unwrap();
    let at = |now| verify_headers(Network::Main, 0, data, LEVEL, COVERAGE, Some(now));
    assert_eq!(at(newest - 7_200).verdict, Verdict::Authentic);
    let report = at(newest - 7_201);
    assert_eq!(report.verdict, Verdict::Undecided);
    let failure = report.first_failure.unwrap();
    assert_eq!(failure.reason, "time-too-new");
    let expected = times.iter().position(|time| *time == newest).unwrap();
    assert_eq!(failure.height, Some(expected as u32));

    let all = support::headers(data);
    let now = Some(times[expected] - 7_201);
    let refused = check_header(
        Network::Main.params(),
        &all[expected],
        expected as u32,
        &all[..],
        now,
    );
    let acceptable_at = times[expected] - 7_200;
    assert_eq!(refused, Err(HeaderReject::TimeTooNew { acceptable_at }));
    assert!(refused.unwrap_err().is_passing());
}

#[test]
fn header_bytes_read_back() {
    for network in Network::ALL {
        let header = network.genesis_header();
        assert_eq!(header_from_bytes(&header_bytes(header)), *header);
        assert_eq!(bitcoin::consensus::serialize(header), header_bytes(header));
    }
}
