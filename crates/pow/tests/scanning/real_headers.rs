//! Real headers: each has one nonce that counts, and all bits that a kernel computes must be right to see it.

use pow::{Kernel, NBits, Target};

use crate::common;
use crate::oracle::{Found, Search, hits, range, sha256d, supported, width};

/// A mined header.
struct Mined {
    header: [u8; 80],
    found: Found,
    target: Target,
}

impl Mined {
    fn new(header: &[u8; 80]) -> Self {
        let word =
            |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        Self {
            header: *header,
            found: (word(0).cast_signed(), word(76), sha256d(header)),
            target: Target::from_nbits(NBits(word(72))).expect("a mined header's nBits"),
        }
    }

    fn genesis() -> Self {
        const HEADER: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2\
                              7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
        let header = hex::decode(HEADER).expect("hexadecimal digits");
        let genesis = Self::new(&header.try_into().expect("80 bytes"));
        let hash = Target::from_le_bytes(genesis.found.2).to_string();
        assert_eq!(
            hash,
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
        );
        genesis
    }

    /// The real version at `place` of so many, the others its neighbours.
    fn search(&self, versions: i32, place: i32, start: u32, count: u32) -> Search {
        let version = self.found.0;
        Search {
            header: self.header,
            versions: (0..versions).map(|i| version ^ (i ^ place) << 13).collect(),
            target: self.target,
            range: range(start, u64::from(count)),
        }
    }

    /// Puts the nonce at `lane` of the first batch: it alone is found.
    fn is_found(&self, kernel: &dyn Kernel, versions: i32, place: i32, lane: u32) {
        let lane = lane.min(self.found.1);
        let start = self.found.1 - lane;
        let count = width(kernel)
            .max(lane + 1)
            .min((u32::MAX - start).saturating_add(1));
        self.search(versions, place, start, count)
            .check(kernel, &hits([self.found]));
    }
}

#[test]
fn the_genesis_nonce_is_found_in_each_lane_with_its_version_anywhere_in_the_list() {
    let genesis = Mined::genesis();
    for kernel in supported() {
        for lane in 0..width(kernel) {
            for place in 0..20 {
                genesis.is_found(kernel, 20, place, lane);
            }
        }
    }
}

#[test]
fn the_genesis_nonce_is_found_wherever_its_version_is_in_long_lists() {
    let genesis = Mined::genesis();
    for kernel in supported() {
        for versions in [2, 3, 16, 17, 33, 64, 70] {
            for place in 0..versions {
                genesis.is_found(kernel, versions, place, (place as u32 * 7) % width(kernel));
            }
        }
    }
}

#[test]
fn the_genesis_nonce_is_found_alone_in_whatever_lane_of_whatever_batch() {
    let genesis = Mined::genesis();
    for kernel in supported() {
        for lane in 0..5 * width(kernel) {
            genesis.is_found(kernel, 1, 0, lane);
        }
    }
}

#[test]
fn a_range_has_its_first_and_its_last_nonce_and_none_beyond() {
    let genesis = Mined::genesis();
    let nonce = genesis.found.1;
    for kernel in supported() {
        for count in 1..=2 * width(kernel) + 1 {
            for versions in [1, 17] {
                let search = |start| genesis.search(versions, versions - 1, start, count);
                let found = hits([genesis.found]);
                search(nonce).check(kernel, &found);
                search(nonce - (count - 1)).check(kernel, &found);
                search(nonce + 1).check(kernel, &hits([]));
                search(nonce - count).check(kernel, &hits([]));
            }
        }
    }
}

#[test]
fn the_nonces_of_mainnets_first_headers_are_found() {
    let Some(bytes) = common::testdata("headers/mainnet_0_32259.headers") else {
        return;
    };
    let (headers, rest) = bytes.as_chunks::<80>();
    assert!(rest.is_empty() && headers.len() == 32_260);
    for (i, header) in headers.iter().enumerate().step_by(97) {
        let mined = Mined::new(header);
        // Two bytes of the digest that have nothing to do with the proof of work.
        let [random, other, ..] = mined.found.2;
        let versions = 2 + i32::from(random) % 40;
        for kernel in supported() {
            let lane = i as u32 % width(kernel);
            mined.is_found(kernel, 1, 0, lane);
            mined.is_found(kernel, versions, i32::from(other) % versions, lane);
        }
    }
}

#[test]
fn the_nonces_of_recent_headers_are_found_in_each_lane_with_their_version_anywhere() {
    // Versions 1, 2 and 4, one with rolled bits, one of testnet3.
    for name in [
        "mainnet_13b8a",
        "mainnet_227836",
        "mainnet_413567",
        "mainnet_866342",
        "testnet3_924634",
    ] {
        let Some(block) = common::testdata(&format!("blocks/{name}.block")) else {
            return;
        };
        let mined = Mined::new(block.first_chunk().expect("a block begins with its header"));
        for kernel in supported() {
            for lane in 0..width(kernel) {
                mined.is_found(kernel, 1, 0, lane);
            }
            for place in 0..36 {
                mined.is_found(kernel, 36, place, (place as u32 * 5) % width(kernel));
            }
        }
    }
}
