//! Consensus parameters per network, as in Bitcoin Core's `chainparams`.

use std::sync::OnceLock;

use bitcoin::Amount;
use pow::{NBits, Target};

use crate::network::Network;

/// The consensus parameters of one network.
///
/// Heights are those of the first block that a rule binds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params {
    /// Which network this is.
    pub network: Network,
    /// The easiest target allowed.
    pub pow_limit: Target,
    /// The same in compact form: the nBits of a minimum-difficulty block.
    pub pow_limit_bits: NBits,
    /// The target never changes (regtest).
    pub no_retarget: bool,
    /// A block more than two spacings after its parent may have the easiest target
    /// (testnet3, testnet4, regtest).
    pub min_difficulty_blocks: bool,
    /// BIP94: retargets start from the first block of the period, and a period's first block may
    /// not be more than ten minutes older than its parent (testnet4).
    pub bip94: bool,
    /// Seconds meant to pass between blocks.
    pub target_spacing_s: u32,
    /// Seconds meant to pass in a retarget period.
    pub target_timespan_s: u32,
    /// Blocks in a retarget period.
    pub retarget_interval: u32,
    /// Blocks between halvings of the subsidy.
    pub halving_interval: u32,
    /// From here on the coinbase starts with the height, and versions below 2 are refused.
    pub bip34_height: u32,
    /// From here on versions below 4 are refused (OP_CHECKLOCKTIMEVERIFY).
    pub bip65_height: u32,
    /// From here on versions below 3 are refused (strict DER signatures).
    pub bip66_height: u32,
    /// From here on BIP68, 112 and 113: lock times are compared with the median time past.
    pub csv_height: u32,
    /// From here on BIP141, 143 and 147: witnesses and their commitment.
    pub segwit_height: u32,
}

/// How much older than its parent the first block of a period may be under BIP94, in seconds.
pub const MAX_TIMEWARP_S: u32 = 600;
/// How far ahead of the clock a header may be, in seconds.
pub const MAX_FUTURE_S: u32 = 7_200;
/// How many blocks the median time past is taken over.
pub const MEDIAN_TIME_SPAN: u32 = 11;

impl Params {
    /// The parameters of `network`.
    pub fn of(network: Network) -> &'static Self {
        static ALL: OnceLock<[Params; 5]> = OnceLock::new();
        let all = ALL.get_or_init(|| Network::ALL.map(Self::build));
        // `ALL` is in the order of `Network::ALL`, which has every network.
        match network {
            Network::Main => &all[0],
            Network::Testnet4 => &all[1],
            Network::Testnet3 => &all[2],
            Network::Signet => &all[3],
            Network::Regtest => &all[4],
        }
    }

    fn build(network: Network) -> Self {
        let mainnet_limit = limit([0, 0, 0, 0], 0xff);
        let main = Self {
            network,
            pow_limit: mainnet_limit,
            pow_limit_bits: mainnet_limit.to_nbits(),
            no_retarget: false,
            min_difficulty_blocks: false,
            bip94: false,
            target_spacing_s: 600,
            target_timespan_s: 14 * 24 * 3_600,
            retarget_interval: 2_016,
            halving_interval: 210_000,
            bip34_height: 227_931,
            bip65_height: 388_381,
            bip66_height: 363_725,
            csv_height: 419_328,
            segwit_height: 481_824,
        };
        let from_the_start = Self {
            bip34_height: 1,
            bip65_height: 1,
            bip66_height: 1,
            csv_height: 1,
            segwit_height: 1,
            ..main.clone()
        };
        let params = match network {
            Network::Main => main,
            Network::Testnet4 => Self {
                min_difficulty_blocks: true,
                bip94: true,
                ..from_the_start
            },
            Network::Testnet3 => Self {
                min_difficulty_blocks: true,
                bip34_height: 21_111,
                bip65_height: 581_885,
                bip66_height: 330_776,
                csv_height: 770_112,
                segwit_height: 834_624,
                ..main
            },
            Network::Signet => Self {
                pow_limit: limit([0, 0, 0x03, 0x77], 0).or_byte(4, 0xae),
                ..from_the_start
            },
            Network::Regtest => Self {
                pow_limit: limit([0x7f, 0xff, 0xff, 0xff], 0xff),
                no_retarget: true,
                min_difficulty_blocks: true,
                target_timespan_s: 24 * 3_600,
                retarget_interval: 144,
                halving_interval: 150,
                segwit_height: 0,
                ..from_the_start
            },
        };
        Self {
            pow_limit_bits: params.pow_limit.to_nbits(),
            ..params
        }
    }

    /// The new coins that a block of this height may create.
    pub fn block_subsidy(&self, height: u32) -> Amount {
        let halvings = height / self.halving_interval;
        let sat = 50 * Amount::ONE_BTC.to_sat();
        // A shift by the width of the integer or more is no shift at all: Core says zero there.
        Amount::from_sat(if halvings >= 64 { 0 } else { sat >> halvings })
    }

    /// Whether witnesses and their commitment are consensus at this height.
    pub fn segwit_active(&self, height: u32) -> bool {
        height >= self.segwit_height
    }

    /// The lowest block version allowed at this height (BIP34, BIP66, BIP65).
    pub fn min_version(&self, height: u32) -> i32 {
        if height >= self.bip65_height {
            4
        } else if height >= self.bip66_height {
            3
        } else if height >= self.bip34_height {
            2
        } else {
            i32::MIN
        }
    }

    /// The first height of the retarget period that `height` lies in.
    pub fn period_start(&self, height: u32) -> u32 {
        height - height % self.retarget_interval
    }
}

/// Sets one byte of a target that is still being built.
trait OrByte {
    fn or_byte(self, index: usize, byte: u8) -> Self;
}

impl OrByte for Target {
    fn or_byte(self, index: usize, byte: u8) -> Self {
        let mut bytes = self.to_be_bytes();
        bytes[index] |= byte;
        Self::from_be_bytes(bytes)
    }
}

/// A target with these leading bytes and `fill` in all the others.
fn limit(head: [u8; 4], fill: u8) -> Target {
    let mut bytes = [fill; 32];
    bytes[..4].copy_from_slice(&head);
    Target::from_be_bytes(bytes)
}

/// The new coins that a block of this height may create.
pub fn block_subsidy(params: &Params, height: u32) -> Amount {
    params.block_subsidy(height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_bitcoin_core() {
        let bits = |network: Network| network.params().pow_limit_bits.to_string();
        assert_eq!(bits(Network::Main), "1d00ffff");
        assert_eq!(bits(Network::Testnet4), "1d00ffff");
        assert_eq!(bits(Network::Testnet3), "1d00ffff");
        assert_eq!(bits(Network::Signet), "1e0377ae");
        assert_eq!(bits(Network::Regtest), "207fffff");
        let signet = Network::Signet.params().pow_limit.to_string();
        assert_eq!(signet, format!("00000377ae{}", "0".repeat(54)));
    }

    #[test]
    fn the_subsidy_halves_until_nothing_is_left() {
        let main = Network::Main.params();
        let sat = |height| main.block_subsidy(height).to_sat();
        assert_eq!(sat(0), 5_000_000_000);
        assert_eq!(sat(209_999), 5_000_000_000);
        assert_eq!(sat(210_000), 2_500_000_000);
        assert_eq!(sat(840_000), 312_500_000);
        assert_eq!(sat(64 * 210_000), 0);
        assert_eq!(sat(u32::MAX), 0);
        let total: u64 = (0..64).map(|era| sat(era * 210_000) * 210_000).sum();
        assert_eq!(total, 2_099_999_997_690_000);
        assert_eq!(
            Network::Regtest.params().block_subsidy(150).to_sat(),
            2_500_000_000
        );
    }

    #[test]
    fn versions_are_raised_where_the_soft_forks_were_buried() {
        let main = Network::Main.params();
        assert!(main.min_version(227_930) < 1);
        assert_eq!(main.min_version(227_931), 2);
        assert_eq!(main.min_version(363_725), 3);
        assert_eq!(main.min_version(388_381), 4);
        assert_eq!(Network::Regtest.params().min_version(1), 4);
    }
}
