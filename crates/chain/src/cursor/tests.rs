//! The rules against their definition, on chains without proof of work.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::network::Network;
use proptest::prelude::*;

/// Headers without proof of work: time and nBits by height.
struct Chain(Vec<(u32, u32)>);

impl Facts for Chain {
    fn time_and_bits(&self, height: u32) -> Option<(u32, u32)> {
        self.0.get(height as usize).copied()
    }
}

impl Chain {
    fn median(&self) -> u32 {
        let mut times: Vec<u32> = self
            .0
            .iter()
            .rev()
            .take(11)
            .map(|(time, _)| *time)
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Core's `GetNextWorkRequired`, read off its source line by line.
    fn next_work(&self, params: &Params, ntime: u32) -> u32 {
        let height = self.0.len();
        let interval = params.retarget_interval as usize;
        let limit = params.pow_limit.to_nbits().0;
        let (last_time, last_bits) = *self.0.last().unwrap();
        if !height.is_multiple_of(interval) {
            if params.min_difficulty_blocks {
                if i64::from(ntime) > i64::from(last_time) + i64::from(params.target_spacing_s) * 2
                {
                    return limit;
                }
                let mut at = height - 1;
                while at > 0 && !at.is_multiple_of(interval) && self.0[at].1 == limit {
                    at -= 1;
                }
                return self.0[at].1;
            }
            return last_bits;
        }
        if params.no_retarget {
            return last_bits;
        }
        let (first_time, first_bits) = self.0[height - interval];
        let span = i64::from(params.target_timespan_s);
        let taken = (i64::from(last_time) - i64::from(first_time)).clamp(span / 4, span * 4);
        let old = if params.bip94 { first_bits } else { last_bits };
        let new = Target::from_nbits(NBits(old)).unwrap();
        let new = new.retarget(taken as u32, params.target_timespan_s);
        if new > params.pow_limit {
            limit
        } else {
            new.to_nbits().0
        }
    }
}

/// Parameters with a short period, so that many retargets fit into a test.
fn shortened(network: Network) -> Params {
    Params {
        retarget_interval: 9,
        target_timespan_s: 9 * 600,
        ..network.params().clone()
    }
}

fn view(prev: &[u8; 32], time: u32, bits: u32) -> HeaderView<'_> {
    HeaderView {
        version: 4,
        prev,
        time,
        bits,
    }
}

proptest! {
    #[test]
    fn stepping_and_starting_anew_agree_with_the_definition(
        network in proptest::sample::select(Network::ALL.to_vec()),
        gaps in proptest::collection::vec(prop_oneof![
            -900_i64..3_000, Just(600), Just(1_200), Just(1_201), 1_000_i64..40_000], 1..80),
        easing in 0_u32..3,
    ) {
        let params = shortened(network);
        // Regtest starts at its limit, and so stays there.
        let start_bits = if easing == 0 && !params.no_retarget { 0x1c00_ffff } else { params.pow_limit_bits.0 };
        let mut chain = Chain(vec![(1_000_000, start_bits)]);
        let mut stepped = Cursor::above(&params, 0, [0; 32], &chain);
        for gap in gaps {
            let height = chain.0.len() as u32;
            let (last, _) = *chain.0.last().unwrap();
            let time = (i64::from(last) + gap).max(i64::from(chain.median()) + 1) as u32;
            let bits = chain.next_work(&params, time);
            let anew = Cursor::above(&params, height - 1, [0; 32], &chain);
            for cursor in [&stepped, &anew] {
                prop_assert_eq!(cursor.height(), height);
                prop_assert_eq!(cursor.required_bits(time), Some(NBits(bits)));
                prop_assert_eq!(cursor.median_time_past(), Some(chain.median()));
                let timewarp = params.bip94 && height.is_multiple_of(9) && time + 600 < last;
                let expected = if timewarp {
                    Err(HeaderReject::TimeTimewarpAttack)
                } else {
                    Ok(Gaps::default())
                };
                prop_assert_eq!(cursor.check_context(&view(&[0; 32], time, bits), None), expected);
                let other = view(&[0; 32], time, bits ^ 1);
                let required = NBits(bits);
                prop_assert_eq!(
                    cursor.check_context(&other, None),
                    Err(HeaderReject::BadDiffbits { required })
                );
            }
            stepped.step(&view(&[0; 32], time, bits), &[0; 32]);
            chain.0.push((time, bits));
        }
    }

    #[test]
    fn a_walk_without_beginning_assumes_less_and_less(
        network in proptest::sample::select(Network::ALL.to_vec()),
        start in 1_usize..40,
    ) {
        let params = shortened(network);
        let mut chain = Chain(vec![(1_000_000, 0x1c00_ffff)]);
        while chain.0.len() < 80 {
            let time = chain.0.last().unwrap().0 + 500 + (chain.0.len() as u32 % 5) * 200;
            let bits = chain.next_work(&params, time);
            chain.0.push((time, bits));
        }
        let mut cursor = Cursor::unanchored(&params, start as u32);
        for (height, (time, bits)) in chain.0.iter().enumerate().skip(start) {
            let gaps = cursor.check_context(&view(&[0; 32], *time, *bits), None).unwrap();
            prop_assert_eq!(gaps.linkage, height == start);
            prop_assert_eq!(gaps.median, height < start + 11);
            if height >= start + 2 * 9 {
                prop_assert_eq!(gaps, Gaps::default(), "at {}", height);
            }
            cursor.step(&view(&[0; 32], *time, *bits), &[0; 32]);
        }
    }
}

fn flat_chain(length: usize, bits: u32) -> Chain {
    Chain(
        (0..length as u32)
            .map(|height| (1_000_000 + height * 600, bits))
            .collect(),
    )
}

fn above<'a>(params: &'a Params, chain: &Chain) -> Cursor<'a> {
    Cursor::above(params, chain.0.len() as u32 - 1, [0; 32], chain)
}

#[test]
fn the_order_of_reasons_is_cores() {
    let params = Network::Main.params();
    let chain = flat_chain(20, 0x1c00_ffff);
    let cursor = above(params, &chain);
    let (median, now) = (chain.median(), 900_000);
    let low = |prev, time, bits| {
        let header = HeaderView {
            version: 1,
            ..view(prev, time, bits)
        };
        let cursor = Cursor {
            height: 500_000,
            ..cursor.clone()
        };
        cursor.check_context(&header, Some(now)).unwrap_err()
    };
    // Each header breaks all the rules but those before; 500,000 is not the start of a period.
    let required = NBits(0x1c00_ffff);
    assert_eq!(low(&[1; 32], median, 1), HeaderReject::BadPrevblk);
    assert_eq!(
        low(&[0; 32], median, 1),
        HeaderReject::BadDiffbits { required }
    );
    let too_old = HeaderReject::TimeTooOld {
        median_time_past: median,
    };
    assert_eq!(low(&[0; 32], median, 0x1c00_ffff), too_old);
    let acceptable_at = median + 1 - 7_200;
    let too_new = HeaderReject::TimeTooNew { acceptable_at };
    assert_eq!(low(&[0; 32], median + 1, 0x1c00_ffff), too_new);
    let header = HeaderView {
        version: 1,
        ..view(&[0; 32], median + 1, 0x1c00_ffff)
    };
    let cursor = Cursor {
        height: 500_000,
        ..cursor
    };
    let late = cursor
        .check_context(&header, Some(now + 200_000))
        .unwrap_err();
    assert_eq!(late.to_string(), "bad-version(0x00000001)");
}

#[test]
fn a_period_may_start_ten_minutes_before_its_parent_on_testnet4_and_no_earlier() {
    for (network, bound) in [(Network::Testnet4, true), (Network::Testnet3, false)] {
        let params = shortened(network);
        let mut chain = flat_chain(26, 0x1c00_ffff);
        chain.0.push((chain.0[25].0 + 5_000, 0x1c00_ffff));
        let parent_time = chain.0[26].0;
        let cursor = above(&params, &chain);
        let at = |time| {
            let bits = chain.next_work(&params, time);
            cursor.check_context(&view(&[0; 32], time, bits), None)
        };
        assert!(at(parent_time - 600).is_ok());
        assert_eq!(at(parent_time - 601).is_err(), bound, "{network}");
    }
}

#[test]
fn twenty_minutes_make_the_easiest_target_and_the_next_header_forgets_it() {
    for network in [Network::Testnet3, Network::Testnet4] {
        let params = network.params();
        let limit = params.pow_limit_bits;
        let mut chain = flat_chain(5, 0x1c00_ffff);
        let last = chain.0[4].0;
        let cursor = above(params, &chain);
        assert_eq!(cursor.required_bits(last + 1_200), Some(NBits(0x1c00_ffff)));
        assert_eq!(cursor.required_bits(last + 1_201), Some(limit));
        chain.0.push((last + 1_201, limit.0));
        let cursor = above(params, &chain);
        assert_eq!(cursor.required_bits(last + 1_300), Some(NBits(0x1c00_ffff)));
    }
}

#[test]
fn a_retarget_out_of_an_unknown_period_stays_within_four_times() {
    let params = Network::Main.params();
    let mut cursor = Cursor::unanchored(params, 2_015);
    cursor.step(&view(&[0; 32], 1_000_000, 0x1b04_04cb), &[0; 32]);
    let at = |bits| cursor.check_context(&view(&[0; 32], 1_000_600, bits), None);
    let old = Target::from_nbits(NBits(0x1b04_04cb)).unwrap();
    let easiest = old.retarget(4, 1).to_nbits().0;
    let hardest = old.retarget(1, 4).to_nbits().0;
    assert!(at(easiest).unwrap().bits && at(hardest).unwrap().bits);
    assert!(at(easiest + 1).is_err() && at(hardest - 1).is_err());
}
