//! What a template must be before it is mined on.

use bitcoin::hashes::Hash as _;
use pow::Target;

use crate::block::decode::{Layout, bytes};
use crate::block::script::legacy_sigops;
use crate::block::txid::{txids, wtxids};
use crate::job::JobError;
use crate::params::Params;
use crate::template::{Template, TemplateTransaction};

/// Rules with `!` that this program knows how to keep.
const KNOWN_RULES: [&str; 4] = ["csv", "segwit", "taproot", "signet"];

/// A template's transactions, checked against what the template says of them.
pub(crate) struct Admitted {
    pub target: Target,
    pub segwit: bool,
    pub signet: bool,
    pub transactions: Vec<AdmittedTransaction>,
}

#[derive(Clone, Copy)]
pub(crate) struct AdmittedTransaction {
    pub txid: [u8; 32],
    pub wtxid: [u8; 32],
    pub weight: u64,
    pub size: u64,
    pub sigops: u64,
    pub has_witness: bool,
}

/// Checks everything about a template that does not depend on who mines it.
pub(crate) fn admit(template: &Template, params: &Params) -> Result<Admitted, JobError> {
    for rule in &template.rules {
        if let Some(name) = rule.strip_prefix('!')
            && !KNOWN_RULES.contains(&name)
        {
            return Err(JobError::UnknownRule(rule.clone()));
        }
    }
    let signet = template.has_rule("signet") || template.signet_challenge.is_some();
    if signet && !template.has_trivial_challenge() {
        let challenge = template.signet_challenge.as_deref();
        let challenge = challenge.unwrap_or("(not told)").to_owned();
        return Err(JobError::SignetChallenge(challenge));
    }
    let target = admit_target(template, params)?;
    if template.version < params.min_version(template.height) {
        return Err(JobError::Version(template.version));
    }
    let missing = template.vbrequired & !template.version.cast_unsigned();
    if missing != 0 {
        return Err(JobError::RequiredBits(missing));
    }
    let segwit = template.has_rule("segwit");
    let transactions = admit_transactions(template, segwit)?;
    let mut ids: Vec<&[u8; 32]> = transactions.iter().map(|known| &known.txid).collect();
    ids.sort_unstable();
    if let Some([twice, _]) = ids.array_windows().find(|[a, b]| a == b) {
        let index = transactions
            .iter()
            .position(|known| known.txid == **twice)
            .unwrap_or(0);
        let cause = TransactionFault::Twice;
        return Err(JobError::Transaction { index, cause });
    }
    Ok(Admitted {
        target,
        segwit,
        signet,
        transactions,
    })
}

fn admit_target(template: &Template, params: &Params) -> Result<Target, JobError> {
    let bits = template.bits;
    let target = Target::from_nbits(bits)
        .ok()
        .filter(|target| *target <= params.pow_limit)
        .ok_or(JobError::Bits(bits))?;
    match template.target {
        Some(given) if given != target => Err(JobError::Target { given, bits }),
        _ => Ok(target),
    }
}

/// What is wrong with one transaction of a template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransactionFault {
    /// Its data cannot be read.
    #[error("its data is no transaction ({0})")]
    Undecodable(#[from] crate::block::decode::DecodeError),
    /// Its id is not the hash of its data.
    #[error("its txid is {computed}, not {given} as the template says")]
    Txid {
        /// As the template says.
        given: bitcoin::Txid,
        /// As the data says.
        computed: bitcoin::Txid,
    },
    /// Its witness hash is not the hash of its data.
    #[error("its witness hash is {computed}, not {given} as the template says")]
    Wtxid {
        /// As the template says.
        given: bitcoin::Wtxid,
        /// As the data says.
        computed: bitcoin::Wtxid,
    },
    /// It depends on itself, on a later transaction or on none.
    #[error("it depends on transaction {0}, which does not come before it")]
    Depends(u32),
    /// It has a witness where segwit is not active.
    #[error("it has a witness, but segwit is not active")]
    Witness,
    /// It is in the template twice.
    #[error("it is in the template twice")]
    Twice,
}

/// Admits each transaction, in order; their hashes are made all at once.
fn admit_transactions(
    template: &Template,
    segwit: bool,
) -> Result<Vec<AdmittedTransaction>, JobError> {
    let transactions = &template.transactions;
    let mut layouts = Vec::with_capacity(transactions.len());
    let mut undecodable = None;
    for transaction in transactions {
        match Layout::of_transaction(&transaction.data) {
            Ok(layout) => layouts.push(layout),
            Err(cause) => {
                undecodable = Some(cause);
                break;
            }
        }
    }
    let decoded = || {
        let pairs = transactions.iter().zip(&layouts);
        pairs.map(|(transaction, layout)| (transaction.data.as_slice(), &layout.txs[0]))
    };
    let ids = txids(decoded());
    let ids_with_witness = wtxids(decoded(), &ids);
    let fault = |index, cause| JobError::Transaction { index, cause };
    let mut admitted = Vec::with_capacity(layouts.len());
    for (index, layout) in layouts.iter().enumerate() {
        let ids = (ids[index], ids_with_witness[index]);
        let transaction = admit_transaction(&transactions[index], index, layout, ids, segwit);
        admitted.push(transaction.map_err(|cause| fault(index, cause))?);
    }
    match undecodable {
        Some(cause) => Err(fault(layouts.len(), cause.into())),
        None => Ok(admitted),
    }
}

fn admit_transaction(
    transaction: &TemplateTransaction,
    index: usize,
    layout: &Layout,
    (id, with_witness): ([u8; 32], [u8; 32]),
    segwit: bool,
) -> Result<AdmittedTransaction, TransactionFault> {
    let (raw, tx) = (&transaction.data, &layout.txs[0]);
    if id != *transaction.txid.as_byte_array() {
        return Err(TransactionFault::Txid {
            given: transaction.txid,
            computed: bitcoin::Txid::from_byte_array(id),
        });
    }
    if with_witness != *transaction.hash.as_byte_array() {
        return Err(TransactionFault::Wtxid {
            given: transaction.hash,
            computed: bitcoin::Wtxid::from_byte_array(with_witness),
        });
    }
    let behind = |place: &&u32| **place == 0 || **place as usize > index;
    if let Some(place) = transaction.depends.iter().find(behind) {
        return Err(TransactionFault::Depends(*place));
    }
    if tx.witness.is_some() && !segwit {
        return Err(TransactionFault::Witness);
    }
    Ok(AdmittedTransaction {
        txid: id,
        wtxid: with_witness,
        weight: tx.weight() as u64,
        size: tx.size() as u64,
        sigops: transaction
            .sigops
            .unwrap_or_else(|| sigops_of(raw, layout, segwit)),
        has_witness: tx.witness.is_some(),
    })
}

/// The signature operations of a transaction that can be counted without the outputs it spends; in
/// BIP141's cost where segwit is active.
pub(super) fn sigops_of(raw: &[u8], layout: &Layout, segwit: bool) -> u64 {
    let scripts = layout.inputs.iter().map(|input| &input.script);
    let scripts = scripts.chain(layout.outputs.iter().map(|output| &output.script));
    let scale = if segwit { 4 } else { 1 };
    scripts
        .map(|span| u64::from(legacy_sigops(bytes(raw, span))) * scale)
        .sum()
}
