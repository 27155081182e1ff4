//! What of a block is the same from one to the next, and may be right or wrong for all of them at once.

use std::fmt;

use bitcoin::Script;

use crate::block::script::height_push;
use crate::network::Network;
use crate::template::Template;

/// The form of a job's block: what a node is asked about once, and not for every block.
///
/// Two jobs of one shape differ in what is of the moment only: parent, time, target, transactions, amounts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    network: Network,
    /// In force, sorted; `!` included.
    rules: Vec<String>,
    /// Bytes of the height in the coinbase script; a height up to 16 is a number of its own there.
    height_len: usize,
    /// How often the subsidy was halved.
    halvings: u32,
    /// The kind of the payout script.
    payout: &'static str,
    /// What the template wants in the coinbase script.
    aux: Vec<u8>,
    tag_len: usize,
    /// Whether the coinbase commits to the witnesses.
    commits: bool,
    /// Whether there is anything besides the coinbase.
    has_transactions: bool,
    /// Whether transactions were left out for room.
    is_cut: bool,
    /// The template's own version.
    version: i32,
    /// The bits that are rolled in it.
    rolled: u32,
}

/// What a shape is made of besides the template.
pub(super) struct Parts<'a> {
    pub network: Network,
    pub payout: &'a Script,
    pub aux: &'a [u8],
    pub tag_len: usize,
    pub commits: bool,
    pub count: usize,
    pub dropped: usize,
    pub versions: &'a [i32],
}

impl Shape {
    pub(super) fn new(template: &Template, parts: &Parts<'_>) -> Self {
        let mut rules = template.rules.clone();
        rules.sort_unstable();
        rules.dedup();
        let base = template.version.cast_unsigned();
        let rolled = parts.versions.iter().map(|v| v.cast_unsigned() ^ base);
        Self {
            network: parts.network,
            rules,
            height_len: height_push(template.height).len(),
            halvings: template.height / parts.network.params().halving_interval,
            payout: kind(parts.payout),
            aux: parts.aux.to_vec(),
            tag_len: parts.tag_len,
            commits: parts.commits,
            has_transactions: parts.count > 0,
            is_cut: parts.dropped > 0,
            version: template.version,
            rolled: rolled.fold(0, |mask, bits| mask | bits),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.has_transactions, self.is_cut) {
            (false, _) => "coinbase only",
            (true, false) => "with transactions",
            (true, true) => "with transactions, some left out for room",
        };
        let commitment = if self.commits { "a" } else { "no" };
        write!(
            f,
            "{what}, rules {}, {commitment} witness commitment, payout {}, version {:#010x} rolling in {:#010x}, \
             a height of {} bytes, after {} halvings",
            self.rules.join(" "),
            self.payout,
            self.version,
            self.rolled,
            self.height_len,
            self.halvings
        )?;
        if !self.aux.is_empty() {
            write!(f, ", coinbaseaux {}", hex::encode(&self.aux))?;
        }
        Ok(())
    }
}

fn kind(script: &Script) -> &'static str {
    if script.is_p2pkh() {
        "p2pkh"
    } else if script.is_p2sh() {
        "p2sh"
    } else if script.is_p2wpkh() {
        "p2wpkh"
    } else if script.is_p2wsh() {
        "p2wsh"
    } else if script.is_p2tr() {
        "p2tr"
    } else {
        "of another kind"
    }
}
