//! What must hold whatever the bytes are. The tests feed these with mutated blocks and headers, the
//! fuzz targets with whatever they come up with; each panics where something does not hold.
//!
//! The `bitcoin` crate is the second opinion.

use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Block, CompactTarget};
use chain::{
    BlockContext, BlockReport, HeaderReject, HeaderWindow, Network, ParentContext, Verdict,
    check_block, check_header, header_bytes, header_from_bytes, min_time, next_bits,
    verify_headers, work_of,
};
use pow::{NBits, Target, Work};

use super::synthetic;

/// A block is read as the `bitcoin` crate reads it or not at all, in whatever context; so is the
/// same block with its commitments put right, which reaches the checks behind them.
pub fn block(raw: &[u8]) {
    check_one_block(raw);
    if let Ok(block) = deserialize::<Block>(raw) {
        check_one_block(&serialize(&synthetic::committed(block)));
    }
}

fn check_one_block(raw: &[u8]) {
    let bare = BlockContext {
        unmined: true,
        ..BlockContext::new(Network::Main)
    };
    compare_block(raw, &check_block(raw, &bare));
    let Some(header) = raw.first_chunk::<80>().map(header_from_bytes) else {
        return;
    };
    for network in Network::ALL {
        let full = BlockContext {
            height: Some(header.nonce % 1_000_000),
            parent: Some(ParentContext {
                hash: header.prev_blockhash,
                time: header.time,
                median_time_past: header.time.saturating_sub(1),
                required_bits: Some(NBits(header.bits.to_consensus())),
            }),
            fees: Some(Amount::from_sat(u64::from(header.nonce))),
            now: Some(header.time),
            trivial_signet: true,
            unmined: true,
            ..BlockContext::new(network)
        };
        compare_block(raw, &check_block(raw, &full));
    }
}

fn compare_block(raw: &[u8], report: &BlockReport) {
    let said = report.reject_reason();
    assert_eq!(report.hash.is_some(), raw.len() >= 80);
    assert_eq!(said.is_some(), report.verdict() == Verdict::Rejected);
    let read = deserialize::<Block>(raw);
    let refused = said.is_some_and(|reason| reason.starts_with("block-decode-failed"));
    match read {
        Err(error) if !refused => {
            // Core reads a transaction without inputs and outputs, the crate does not.
            let known = "unsupported segwit version: 0";
            assert!(error.to_string().contains(known), "{error}, but {said:?}");
        }
        Ok(block) if refused => {
            // Core refuses a witness flag on a transaction without inputs, the crate does not.
            let known = block.txdata.iter().any(|tx| tx.input.is_empty());
            assert!(known, "{said:?} of what the crate reads");
        }
        Ok(block) => {
            assert_eq!(serialize(&block), raw);
            assert_eq!(report.hash, Some(block.block_hash()));
            if report.verdict() == Verdict::Authentic {
                assert!(block.check_merkle_root());
                assert!(block.txdata[0].is_coinbase());
                assert!(
                    !block.txdata[1..]
                        .iter()
                        .any(bitcoin::Transaction::is_coinbase)
                );
                assert!(block.weight().to_wu() <= 4_000_000);
                let witness =
                    |tx: &bitcoin::Transaction| tx.input.iter().any(|i| !i.witness.is_empty());
                assert!(!block.txdata.iter().any(witness) || block.check_witness_commitment());
            } else if said == Some("bad-txnmrklroot") {
                assert!(!block.check_merkle_root());
            }
        }
        Err(_) => {}
    }
}

/// Headers are judged alike as a file and as a window, on every network, from the genesis block and
/// from above it.
pub fn headers(raw: &[u8]) {
    let (chunks, rest) = raw.as_chunks::<80>();
    let parsed: Vec<Header> = chunks.iter().map(header_from_bytes).collect();
    for (bytes, header) in chunks.iter().zip(&parsed) {
        assert_eq!(header_bytes(header), *bytes);
        assert_eq!(deserialize::<Header>(bytes).ok(), Some(*header));
    }
    for network in Network::ALL {
        for start in [0, 5, 4_031] {
            for now in [None, parsed.first().map(|header| header.time)] {
                let report = verify_headers(network, start, raw, 1, 0.7, now);
                if !rest.is_empty() || chunks.is_empty() {
                    assert_eq!((report.verdict, report.verified), (Verdict::Rejected, 0));
                    continue;
                }
                let window = HeaderWindow::anchored(network, 1, start, parsed.clone(), now);
                let all = report.verified as usize == parsed.len();
                assert_eq!(
                    window.is_ok(),
                    all,
                    "{network} {start}: {window:?}, {report:?}"
                );
                if let Ok(window) = window {
                    assert_eq!(window.tip().header, parsed[parsed.len() - 1]);
                    assert_eq!(window.chainwork_from_anchor(), work_of(&parsed));
                }
            }
        }
    }
}

/// One header after another on regtest, honest or not, as `script` says: the rules for a single
/// header, the window that follows a chain, and the file of all that were accepted agree.
pub fn regtest_chain(script: &[u8]) {
    const NOW: u32 = 1_700_000_000;
    let params = Network::Regtest.params();
    let mut chain = vec![*Network::Regtest.genesis_header()];
    let mut window = HeaderWindow::from_genesis(Network::Regtest, 8);
    for step in script.as_chunks::<6>().0.iter().take(300) {
        let &[what, back, value @ ..] = step;
        let value = u32::from_le_bytes(value);
        let parent = match what % 16 {
            0 => (chain.len() - 1).saturating_sub(usize::from(back % 16)),
            _ => chain.len() - 1,
        };
        let (below, height) = (&chain[..=parent], parent as u32 + 1);
        let earliest = min_time(params, height, below).expect("all is known down to the genesis");
        let mut header = Header {
            prev_blockhash: below[parent].block_hash(),
            time: earliest.saturating_add(value % 7_000),
            ..below[parent]
        };
        header.version = bitcoin::block::Version::from_consensus(0x2000_0000);
        header.bits = CompactTarget::from_consensus(
            next_bits(params, height, below, header.time)
                .expect("likewise")
                .0,
        );
        match what % 16 {
            1 => header.time = value,
            2 => header.time = NOW.wrapping_add(value % 20_000).wrapping_sub(5_000),
            3 => header.bits = CompactTarget::from_consensus(value),
            4 => header.version = bitcoin::block::Version::from_consensus(value.cast_signed()),
            5 => header.prev_blockhash = chain[value as usize % chain.len()].block_hash(),
            _ => {}
        }
        let mined = what % 16 != 6;
        let target = Target::from_nbits(NBits(0x207f_ffff)).expect("regtest's limit");
        header.nonce = (value..=u32::MAX)
            .chain(0..value)
            .find(|&nonce| {
                header.nonce = nonce;
                target.is_met_by(&header.block_hash().to_byte_array()) == mined
            })
            .expect("every second hash will do");

        let alone = check_header(params, &header, height, below, Some(NOW));
        let tip = window.tip();
        let in_window = window.connect(&[header], Some(NOW));
        if header.prev_blockhash == below[parent].block_hash() {
            assert_eq!(
                in_window
                    .clone()
                    .map(drop)
                    .map_err(|failure| failure.reject),
                alone
            );
        } else {
            assert_eq!(alone, Err(HeaderReject::BadPrevblk));
        }
        if let Ok(connected) = in_window {
            chain.truncate(connected.fork_height as usize + 1);
            chain.extend((connected.connected == 1).then_some(header));
        } else {
            assert_eq!(window.tip(), tip);
        }
        assert_eq!(window.chainwork_from_anchor(), work_of(&chain));
    }
    assert_eq!(window.tip().header, chain[chain.len() - 1]);
    let file: Vec<u8> = chain.iter().flat_map(header_bytes).collect();
    let report = verify_headers(Network::Regtest, 0, &file, 1, 0.7, Some(NOW));
    assert_eq!(
        (report.verdict, report.verified as usize),
        (Verdict::Authentic, chain.len())
    );
    headers(&file[80..]);
}

/// Compact and full targets, work and texts, against the `bitcoin` crate. Reads 40 bytes.
pub fn target(raw: &[u8]) {
    let Some((bits, raw)) = raw.split_first_chunk::<4>() else {
        return;
    };
    let Some((bytes, raw)) = raw.split_first_chunk::<32>() else {
        return;
    };
    let Some(seconds) = raw.first_chunk::<4>() else {
        return;
    };
    let (nbits, seconds) = (
        NBits(u32::from_le_bytes(*bits)),
        u32::from_le_bytes(*seconds),
    );
    assert_eq!(nbits.to_string().parse(), Ok(nbits));
    let theirs = bitcoin::Target::from_compact(CompactTarget::from_consensus(nbits.0));
    let decoded = Target::from_nbits(nbits);
    if let Ok(target) = decoded {
        assert_eq!(target.to_be_bytes(), theirs.to_be_bytes());
        // A re-encoding may be shorter; it means the same.
        assert_eq!(Target::from_nbits(target.to_nbits()), Ok(target));
    }
    for target in decoded.into_iter().chain([Target::from_be_bytes(*bytes)]) {
        check_target(target, bytes, seconds);
    }
    let hashes = f64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i: usize| bytes[i]));
    let _ = Target::from_expected_hashes(hashes).work();
}

fn check_target(target: Target, digest: &[u8; 32], seconds: u32) {
    let theirs = bitcoin::Target::from_be_bytes(target.to_be_bytes());
    assert_eq!(target.to_string().parse(), Ok(target));
    assert_eq!(Target::from_le_bytes(target.to_le_bytes()), target);
    assert_eq!(
        target.to_nbits().0,
        theirs.to_compact_lossy().to_consensus()
    );
    if let Ok(rounded) = Target::from_nbits(target.to_nbits()) {
        assert!(rounded <= target && rounded.to_nbits() == target.to_nbits());
    }
    let hash = bitcoin::BlockHash::from_byte_array(*digest);
    assert_eq!(target.is_met_by(digest), theirs.is_met_by(hash));
    let work = target.work();
    assert_eq!(work.to_string().parse(), Ok(work));
    // Sums stop at 2^256 - 1.
    if work.to_be_bytes()[0] < 0x80 {
        assert_eq!((work + work) - work, work);
    }
    let (number, work_number) = (target.to_be_bytes(), work.to_be_bytes());
    if number == [0; 32] {
        assert_eq!(work, Work::ZERO);
    } else if number[..31] == [0; 31] && number[31] == 1 {
        // 2^256 / 2; the crate says 2^256 - 1.
        assert_eq!((work_number[0], &work_number[1..]), (0x80, &[0; 31][..]));
    } else {
        assert_eq!(work_number, theirs.to_work().to_be_bytes());
    }
    if seconds > 0 {
        let _ = target.retarget(seconds, seconds ^ 1 | 2);
        if target.to_be_bytes()[..4] == [0; 4] {
            assert_eq!(target.retarget(seconds, seconds), target);
        }
    }
}
