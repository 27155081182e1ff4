//! What the tips of several nodes are worth, where they differ: each branch's headers are verified here,
//! on a copy of the window, before their work counts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use chain::{HeaderWindow, Verdict};
use pow::Work;
use supervise::{BoxError, Incarnation};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info};

use super::ValidatorSettings;
use super::headers::{Headers, SharedWindow};
use super::hitch::Hitch;
use crate::board::Board;
use crate::messages::{BodyState, TipSeen, TipValidated, TipVerdict, TipWeight};
use crate::publish::Publish as _;

/// How long the headers of one branch may take to come.
const LIMIT: Duration = Duration::from_secs(10);
/// Why a tip above such a block is refused.
const BAD_BODY: &str = "it builds on a block that broke a rule";
/// Time between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// Blocks that failed their check and are remembered at most.
const MOST: usize = 16;

/// What is known of a tip outside of the window.
#[derive(Debug)]
enum Known {
    /// Its headers pass.
    Branch(Branch),
    /// They do not, or cannot be held against the window; why.
    Refused(Arc<str>),
}

/// Verified headers above a block of the window.
#[derive(Debug)]
struct Branch {
    fork: BlockHash,
    above: Vec<BlockHash>,
    work: Work,
}

/// Weighs tips.
pub(super) struct Weigher {
    settings: ValidatorSettings,
    board: Board,
    incarnation: Incarnation,
    window: SharedWindow,
    known: HashMap<BlockHash, Known>,
    /// Blocks that failed their check: nothing above them is worth anything.
    rejected: VecDeque<BlockHash>,
}

impl Weigher {
    pub fn new(
        settings: ValidatorSettings,
        board: Board,
        incarnation: Incarnation,
        window: SharedWindow,
    ) -> Self {
        Self {
            settings,
            board,
            incarnation,
            window,
            known: HashMap::new(),
            rejected: VecDeque::new(),
        }
    }

    /// Weighs whatever tips the nodes name against what the follower has verified, for ever.
    pub async fn run(mut self) -> Result<(), BoxError> {
        let mut tips = self.board.tips_apart.subscribe();
        let mut validated = self.board.tip_validated.subscribe();
        loop {
            let apart = tips.borrow_and_update().clone();
            self.note_rejected(validated.borrow_and_update().as_ref());
            self.known
                .retain(|hash, _| apart.iter().any(|tip| tip.hash == *hash));
            // What is known counts while the rest is fetched.
            self.publish(&apart);
            let complete = tokio::select! {
                biased;
                complete = self.verify_all(&apart) => complete,
                changed = tips.changed() => { changed?; tips.mark_changed(); continue }
            };
            self.publish(&apart);
            tokio::select! {
                changed = tips.changed() => changed?,
                changed = validated.changed() => changed?,
                () = sleep(AGAIN), if !complete => {}
            }
        }
    }

    fn note_rejected(&mut self, tip: Option<&TipValidated>) {
        let Some(BodyState::Checked(report)) = tip.map(|tip| &tip.body) else {
            return;
        };
        let bad = report
            .hash
            .filter(|_| report.verdict() == Verdict::Rejected);
        if let Some(bad) = bad.filter(|bad| !self.rejected.contains(bad)) {
            if self.rejected.len() == MOST {
                self.rejected.pop_front();
            }
            self.rejected.push_back(bad);
        }
    }

    /// Verifies what is not known yet; `false` if something could not be fetched.
    async fn verify_all(&mut self, apart: &[TipSeen]) -> bool {
        let mut complete = true;
        for tip in apart {
            let base = self.window.borrow().clone();
            let Some(base) = base.filter(|base| self.verdict(base, tip.hash).is_none()) else {
                continue;
            };
            let known = timeout(LIMIT, self.verify(base, tip)).await;
            match known.unwrap_or(Err(Hitch::Moved)) {
                Ok(known) => _ = self.known.insert(tip.hash, known),
                Err(hitch) => {
                    debug!(node = %tip.node, tip = %tip.hash, "the tip cannot be weighed yet: {hitch}");
                    complete = false;
                }
            }
        }
        complete
    }

    async fn verify(&self, base: HeaderWindow, tip: &TipSeen) -> Result<Known, Hitch> {
        let mut nodes = self.settings.nodes.iter();
        let Some(node) = nodes.find(|node| node.name() == &*tip.node) else {
            return Err(Hitch::Moved);
        };
        let info = node.get_block_header_info(tip.hash).await?;
        let (clock, registry) = (
            self.settings.clock.clone(),
            Arc::clone(&self.board.registry),
        );
        let mut scout = Headers::scout(base.clone(), clock, registry);
        let reached = scout.reach(&info, node).await;
        let Some(window) = scout.window() else {
            return Ok(refuse(tip, "it forks off below the verified window"));
        };
        match reached {
            Ok(()) => {}
            Err(Hitch::Refused(failure)) => {
                let why = format!(
                    "the header at height {} breaks a rule ({})",
                    failure.height, failure.reject
                );
                return Ok(refuse(tip, &why));
            }
            Err(hitch) => return Err(hitch),
        }
        let top = window.tip().height;
        let fork_height = highest_common(&base, &window);
        let Some((fork, work)) = window
            .hash_at(fork_height)
            .and_then(|fork| Some((fork, window.work_above(&fork)?)))
        else {
            return Err(Hitch::Moved);
        };
        let above = (fork_height + 1..=top)
            .filter_map(|height| window.hash_at(height))
            .collect();
        info!(
            node = %tip.node, tip = %tip.hash, height = top, fork = fork_height,
            "headers of another node's tip verified"
        );
        Ok(Known::Branch(Branch { fork, above, work }))
    }

    /// What a tip is worth, as far as it is known.
    fn verdict(&self, base: &HeaderWindow, tip: BlockHash) -> Option<TipVerdict> {
        let (in_window, branch) = match self.known.get(&tip) {
            _ if base.contains(&tip) => (tip, None),
            None => return None,
            Some(Known::Refused(why)) => return Some(TipVerdict::Refused(Arc::clone(why))),
            Some(Known::Branch(branch)) => (branch.fork, Some(branch)),
        };
        let (height, work) = weight(base, &in_window)?;
        let is_below = |bad: &BlockHash| {
            base.height_of(bad).is_some_and(|bad| bad <= height)
                || branch.is_some_and(|branch| branch.above.contains(bad))
        };
        if self.rejected.iter().any(is_below) {
            return Some(TipVerdict::Refused(Arc::from(BAD_BODY)));
        }
        let (above, more) =
            branch.map_or((0, Work::ZERO), |branch| (branch.above.len(), branch.work));
        Some(TipVerdict::Verified {
            height: height + u32::try_from(above).ok()?,
            work: work + more,
        })
    }

    fn publish(&self, apart: &[TipSeen]) {
        let base = self.window.borrow();
        let Some(base) = &*base else { return };
        let mut hashes: Vec<BlockHash> = apart.iter().map(|tip| tip.hash).collect();
        hashes.push(base.tip().hash);
        hashes.sort_unstable();
        hashes.dedup();
        let weigh = |hash: BlockHash| {
            let verdict = self.verdict(base, hash)?;
            Some(TipWeight { hash, verdict })
        };
        let weights: Vec<TipWeight> = hashes.into_iter().filter_map(weigh).collect();
        let guard = self.incarnation.guard();
        self.board.tip_weights.publish_with(&guard, |before| {
            let changed = *before != weights;
            *before = weights;
            changed
        });
    }
}

fn refuse(tip: &TipSeen, why: &str) -> Known {
    error!(
        node = %tip.node, tip = %tip.hash,
        "the tip of node {} counts for nothing, whatever work it claims: {why}", tip.node
    );
    Known::Refused(Arc::from(why))
}

/// Height and work of a block of the window.
fn weight(window: &HeaderWindow, hash: &BlockHash) -> Option<(u32, Work)> {
    let above = window.work_above(hash)?;
    Some((
        window.height_of(hash)?,
        window.chainwork_from_anchor() - above,
    ))
}

/// The height of the highest block that both have.
fn highest_common(one: &HeaderWindow, other: &HeaderWindow) -> u32 {
    let mut height = one.tip().height.min(other.tip().height);
    while height > one.base_height() && one.hash_at(height) != other.hash_at(height) {
        height -= 1;
    }
    height
}
