//! Which transactions of a template leave room for our own coinbase.
//!
//! Bitcoin Core keeps 8,000 weight units and 400 signature operations free for it, which ours never
//! needs; another program, or another setting of Core, may keep less.

use crate::block::decode::{Layout, compact_size_len};
use crate::job::admit::{AdmittedTransaction, sigops_of};
use crate::job::coinbase::Coinbase;
use crate::template::Template;

/// What part of a block takes of the limits.
#[derive(Clone, Copy, Default)]
struct Load {
    weight: u64,
    size: u64,
    sigops: u64,
}

impl Load {
    fn of(transaction: &AdmittedTransaction) -> Self {
        Self {
            weight: transaction.weight,
            size: transaction.size,
            sigops: transaction.sigops,
        }
    }

    fn of_coinbase(coinbase: &Coinbase, segwit: bool) -> Self {
        let raw = coinbase.stripped(0);
        // What was put together here can be read; nothing is counted where it cannot.
        let sigops =
            Layout::of_transaction(&raw).map_or(0, |layout| sigops_of(&raw, &layout, segwit));
        Self {
            weight: coinbase.weight(),
            size: coinbase.size(),
            sigops,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            weight: self.weight.saturating_add(other.weight),
            size: self.size.saturating_add(other.size),
            sigops: self.sigops.saturating_add(other.sigops),
        }
    }

    fn fits(&self, template: &Template) -> bool {
        // Where segwit is not active there is no limit but that in bytes.
        template
            .weightlimit
            .is_none_or(|limit| self.weight <= limit)
            && self.size <= template.sizelimit
            && self.sigops <= template.sigoplimit
    }
}

/// How many transactions, from the first, leave room for this coinbase; `None` where not even it has
/// any. Those that depend on a dropped one come after it, and go with it.
pub(super) fn fitting(
    template: &Template,
    transactions: &[AdmittedTransaction],
    coinbase: &Coinbase,
    segwit: bool,
) -> Option<usize> {
    let mut load = Load::of_coinbase(coinbase, segwit);
    let mut count = None;
    for taken in 0..=transactions.len() {
        let head = 80 + compact_size_len(taken as u64 + 1) as u64;
        let frame = Load {
            weight: 4 * head,
            size: head,
            sigops: 0,
        };
        if !load.plus(frame).fits(template) {
            break;
        }
        count = Some(taken);
        if let Some(next) = transactions.get(taken) {
            load = load.plus(Load::of(next));
        }
    }
    count
}
