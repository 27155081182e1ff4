//! What the node said of the blocks this program makes, before any of them is found.
//!
//! Every [`Shape`] of block is proposed to the node once (`getblocktemplate`, mode `proposal`): the node checks it by
//! all its rules but proof of work. What it says is kept here, by node and shape. Pure: the miner offers a
//! [`Candidate`], ingest asks and notes, the miner and the status document read.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bitcoin::BlockHash;
use chain::{Job, Shape, Solved};
use node::ProposalAnswer;
use serde::{Deserialize, Serialize};

use crate::messages::NodeName;

/// So many shapes are remembered, those in use at least.
const REMEMBERED: usize = 32;

/// A job whose shape may have to be proposed.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The job.
    pub job: Arc<Job>,
    /// The node it is for: that of its template, or of the newest one where it has none of its own.
    pub node: NodeName,
    /// One of the versions that are searched, with as many bits set as any.
    pub version: i32,
}

impl Candidate {
    /// The block to propose: any that a search might find, but for its proof of work.
    pub fn block(&self) -> Vec<u8> {
        self.job.assemble(&self.solved())
    }

    fn hash(&self) -> BlockHash {
        self.job.hash_of(&self.solved())
    }

    fn solved(&self) -> Solved {
        Solved {
            extranonce: 0,
            ntime: self.job.start_time(),
            version: self.version,
            nonce: 0,
        }
    }
}

/// What a node makes of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It would accept such blocks.
    Sound,
    /// It would refuse them, for Bitcoin Core's reason.
    Refused(String),
}

impl Finding {
    /// What an answer says of the shape, if anything.
    pub fn of(answer: &ProposalAnswer) -> Option<Self> {
        match answer {
            ProposalAnswer::Valid | ProposalAnswer::Duplicate => Some(Self::Sound),
            ProposalAnswer::Rejected(reason) => Some(Self::Refused(reason.clone())),
            // Its tip is another one by now, and nothing was checked.
            _ => None,
        }
    }

    /// The reason, if such blocks are not to be mined.
    ///
    /// Those that are about what is made here - coinbase, commitment, merkle root, version, size - hold for every
    /// block of the shape. Others, of transactions and of times, may be of the moment: mining goes on.
    pub fn bar(&self) -> Option<&str> {
        const OURS: [&str; 6] = [
            "bad-cb-",
            "bad-txnmrklroot",
            "bad-witness-",
            "unexpected-witness",
            "bad-version",
            "bad-blk-",
        ];
        match self {
            Self::Refused(reason) if OURS.iter().any(|ours| reason.starts_with(ours)) => {
                Some(reason)
            }
            _ => None,
        }
    }
}

/// What is remembered of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    node: NodeName,
    shape: Shape,
    finding: Finding,
    /// The block that it was said of.
    block: BlockHash,
}

/// What the nodes said, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposals {
    known: VecDeque<Known>,
}

impl Proposals {
    /// What is known of a shape at a node.
    pub fn finding(&self, node: &str, shape: &Shape) -> Option<&Finding> {
        self.known(node, shape).map(|known| &known.finding)
    }

    fn known(&self, node: &str, shape: &Shape) -> Option<&Known> {
        let known = self.known.iter();
        known
            .rev()
            .find(|known| &*known.node == node && known.shape == *shape)
    }

    /// Whether the node should be asked about this one: it was not, or it refused its like, and this may be better.
    pub fn wants(&self, candidate: &Candidate) -> bool {
        self.finding(&candidate.node, candidate.job.shape()) != Some(&Finding::Sound)
    }

    /// Why the node refused blocks like this one, if it did.
    pub fn refusal(&self, candidate: &Candidate) -> Option<&str> {
        match self.finding(&candidate.node, candidate.job.shape())? {
            Finding::Sound => None,
            Finding::Refused(reason) => Some(reason),
        }
    }

    /// Why the node refused this very block, if it did, and not for its time, which passes.
    pub fn refused_itself(&self, candidate: &Candidate) -> Option<&str> {
        let known = self.known(&candidate.node, candidate.job.shape())?;
        match &known.finding {
            Finding::Refused(reason) if !reason.starts_with("time-") => {
                (known.block == candidate.hash()).then_some(reason)
            }
            _ => None,
        }
    }

    /// Notes a finding; true where it is news, for its shape or for this block.
    pub fn note(&mut self, candidate: &Candidate, finding: Finding) -> bool {
        let (node, shape) = (&candidate.node, candidate.job.shape());
        let block = candidate.hash();
        let before = self.known(node, shape).cloned();
        self.known
            .retain(|known| known.node != *node || known.shape != *shape);
        while self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        let is_news = before.is_none_or(|before| {
            let is_refused = finding != Finding::Sound;
            before.finding != finding || (is_refused && before.block != block)
        });
        self.known.push_back(Known {
            node: Arc::clone(node),
            shape: shape.clone(),
            finding,
            block,
        });
        is_news
    }

    /// For people, the newest last.
    pub fn views(&self) -> Vec<ProposalView> {
        let view = |known: &Known| ProposalView {
            node: known.node.to_string(),
            shape: known.shape.to_string(),
            verdict: match &known.finding {
                Finding::Sound => ProposalVerdict::Sound,
                finding if finding.bar().is_some() => ProposalVerdict::Barred,
                Finding::Refused(_) => ProposalVerdict::Refused,
            },
            reason: match &known.finding {
                Finding::Sound => None,
                Finding::Refused(reason) => Some(reason.clone()),
            },
        };
        self.known.iter().map(view).collect()
    }
}

/// What a node said of one shape, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalView {
    /// The node.
    pub node: String,
    /// The shape, in words.
    pub shape: String,
    /// What came of it.
    pub verdict: ProposalVerdict,
    /// The node's reason, where it refused.
    pub reason: Option<String>,
}

/// What came of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalVerdict {
    /// The node would accept such blocks.
    Sound,
    /// It refused one, for a reason that may pass: mined on.
    Refused,
    /// It refused one, for a reason that every such block has: not mined.
    Barred,
}

impl fmt::Display for ProposalVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sound => "sound",
            Self::Refused => "refused",
            Self::Barred => "barred",
        })
    }
}

#[cfg(test)]
mod tests {
    use chain::{CoinbaseTag, HeaderWindow, Network, PayoutScript, Template};

    use super::*;

    const P2WPKH: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    const P2PKH: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";

    fn candidate(node: &str, payout: &str) -> Candidate {
        changed(node, payout, |_| {})
    }

    fn changed(node: &str, payout: &str, change: impl FnOnce(&mut Template)) -> Candidate {
        let window = HeaderWindow::from_genesis(Network::Regtest, 100);
        let mut template = Template::coinbase_only_on(&window, 1_700_000_000).expect("a template");
        change(&mut template);
        let payout = PayoutScript::parse(payout, Network::Regtest).expect("an address");
        let job = Job::new(&template, &payout, &CoinbaseTag::default(), 0).expect("a job");
        Candidate {
            version: job.versions()[0],
            job: Arc::new(job),
            node: node.into(),
        }
    }

    fn refused(reason: &str) -> Finding {
        Finding::of(&ProposalAnswer::Rejected(reason.to_owned())).expect("a finding")
    }

    #[test]
    fn a_shape_is_asked_about_until_it_is_sound_at_each_node_by_itself() {
        let mut proposals = Proposals::default();
        let (here, there) = (candidate("a", P2WPKH), candidate("b", P2WPKH));
        assert!(proposals.wants(&here));
        assert!(proposals.note(&here, refused("bad-cb-height")));
        assert!(proposals.wants(&here), "the next one may be better");
        assert!(proposals.note(&here, Finding::Sound));
        assert!(!proposals.note(&here, Finding::Sound));
        assert!(!proposals.wants(&here) && proposals.wants(&there));
        assert!(proposals.wants(&candidate("a", P2PKH)), "another payout");
    }

    #[test]
    fn what_is_of_the_moment_is_no_new_shape_and_everything_else_is() {
        let shape = |change: &dyn Fn(&mut Template)| {
            let candidate = changed("a", P2WPKH, change);
            candidate.job.shape().clone()
        };
        let first = shape(&|_| {});
        assert_eq!(
            first,
            shape(&|t| {
                t.curtime += 60;
                t.height += 1;
                t.coinbasevalue = Some(1);
                t.rules.reverse();
            })
        );
        let different: [&dyn Fn(&mut Template); 7] = [
            &|t| t.rules.push("new".to_owned()),
            &|t| t.rules.clear(),
            &|t| _ = t.coinbaseaux.insert("flags".to_owned(), "51".to_owned()),
            &|t| t.version |= 1,
            &|t| _ = t.vbavailable.insert("new".to_owned(), 13),
            &|t| t.height = 17,
            &|t| {
                t.height = 150;
                t.coinbasevalue = Some(0);
            },
        ];
        let mut seen = vec![first];
        for change in different {
            let shape = shape(change);
            assert!(!seen.contains(&shape), "{shape}");
            seen.push(shape);
        }
    }

    #[test]
    fn only_what_is_made_here_is_a_reason_to_stop() {
        for reason in [
            "bad-cb-amount",
            "bad-cb-height",
            "bad-cb-length",
            "bad-txnmrklroot",
            "bad-witness-merkle-match",
            "bad-witness-nonce-size",
            "unexpected-witness",
            "bad-version(0x00000001)",
            "bad-blk-weight",
        ] {
            assert_eq!(refused(reason).bar(), Some(reason));
        }
        for reason in [
            "bad-txns-inputs-missingorspent",
            "time-too-new",
            "time-too-old",
            "bad-diffbits",
            "duplicate-invalid",
            "a reason of a later version",
        ] {
            assert_eq!(refused(reason).bar(), None, "{reason}");
        }
        assert_eq!(Finding::Sound.bar(), None);
        assert_eq!(Finding::of(&ProposalAnswer::NotBestParent), None);
        assert_eq!(Finding::of(&ProposalAnswer::Valid), Some(Finding::Sound));
    }

    #[test]
    fn a_block_that_was_refused_itself_is_told_from_others_of_its_shape() {
        let mut proposals = Proposals::default();
        let one = candidate("a", P2WPKH);
        let other = changed("a", P2WPKH, |template| template.curtime += 1);
        assert_eq!(one.job.shape(), other.job.shape());
        let reason = "bad-txns-inputs-missingorspent";
        assert!(proposals.note(&one, refused(reason)));
        assert!(!proposals.note(&one, refused(reason)));
        assert_eq!(proposals.refused_itself(&one), Some(reason));
        assert_eq!(proposals.refused_itself(&other), None);
        assert!(proposals.note(&other, refused(reason)), "so is this one");
        assert_eq!(proposals.refused_itself(&other), Some(reason));
        proposals.note(&other, refused("time-too-old"));
        assert_eq!(proposals.refused_itself(&other), None);
        proposals.note(&other, Finding::Sound);
        assert_eq!(proposals.refused_itself(&other), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_goes_first() {
        let mut proposals = Proposals::default();
        let one = candidate("0", P2WPKH);
        for node in 0..=REMEMBERED {
            let node = node.to_string().into();
            proposals.note(
                &Candidate {
                    node,
                    ..one.clone()
                },
                Finding::Sound,
            );
        }
        assert_eq!(proposals.views().len(), REMEMBERED);
        assert!(proposals.wants(&one));
        assert!(!proposals.wants(&candidate("1", P2WPKH)));
    }
}
