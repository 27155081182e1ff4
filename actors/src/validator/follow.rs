//! From a tip that ingest has seen to one that is verified: headers first, then the block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::{BlockReport, HeaderWindow, Verdict};
use node::Node;
use supervise::{BoxError, Incarnation};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::ValidatorSettings;
use super::bodies::Bodies;
use super::body::{self, NoReport};
use super::headers::{Headers, SharedWindow};
use super::hitch::Hitch;
use crate::board::Board;
use crate::messages::{BodyState, TipDoubt, TipSeen, TipValidated};
use crate::publish::Publish as _;

/// How long the headers of one tip may take before a newer tip takes over; twice as long after each
/// that did not make it. Without it, tips that come faster than they can be verified would keep each
/// other from ever being verified.
const PATIENCE: Duration = Duration::from_millis(100);
/// Longer than this, no tip keeps a newer one waiting.
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// Does the work on one tip at a time.
pub(super) struct Follower {
    settings: ValidatorSettings,
    board: Board,
    incarnation: Incarnation,
    headers: Headers,
    bodies: Bodies,
    /// When the window last reached a tip.
    verified_at: Option<Instant>,
    /// The kind of the hitch last said aloud; forgotten at the next verified tip.
    said: Option<&'static str>,
}

impl Follower {
    pub fn new(
        settings: ValidatorSettings,
        board: Board,
        incarnation: Incarnation,
        window: SharedWindow,
    ) -> Self {
        let ValidatorSettings {
            network,
            level,
            ref clock,
            ..
        } = settings;
        let registry = Arc::clone(&board.registry);
        let headers = Headers::new(network, level, clock.clone(), registry, window);
        // What an earlier incarnation rejected stays so.
        let mut bodies = Bodies::default();
        if let Some(tip) = &*board.tip_validated.borrow()
            && let BodyState::Checked(report) = &tip.body
            && let Some(hash) = report.hash.filter(|_| is_rejected(&tip.body))
        {
            bodies.failed(hash, Arc::clone(report));
        }
        Self {
            settings,
            board,
            incarnation,
            headers,
            bodies,
            verified_at: None,
            said: None,
        }
    }

    /// Works on the newest tip there is, for ever.
    pub async fn run(mut self) -> Result<(), BoxError> {
        let mut tips = self.board.tip_seen.subscribe();
        let mut patience = PATIENCE;
        loop {
            let seen = tips.borrow_and_update().clone();
            if let Some(seen) = seen {
                let node = self.node_of(&seen);
                let verified = tokio::select! {
                    biased;
                    () = self.verify_at_last(&seen, &node) => true,
                    newer = async { sleep(patience).await; tips.changed().await } => { newer?; false }
                };
                if !verified {
                    patience = (patience * 2).min(MOST_PATIENCE);
                    continue;
                }
                patience = PATIENCE;
                tokio::select! {
                    biased;
                    newer = tips.changed() => { newer?; continue }
                    () = self.check_blocks(&seen, &node) => {}
                }
            }
            tips.changed().await?;
        }
    }

    /// Verifies the header chain, however many tries it takes.
    async fn verify_at_last(&mut self, seen: &TipSeen, node: &Node) {
        let mut attempt = 0;
        while let Err(hitch) = self.verify(seen, node).await {
            attempt += 1;
            let wait = hitch.retry_after(attempt);
            self.report(seen, &hitch);
            if let Some(doubt) = hitch.doubt(seen.hash) {
                self.doubt(Some(doubt));
            }
            sleep(wait).await;
        }
        self.said = None;
    }

    /// The tip's block, then those that were missed.
    async fn check_blocks(&mut self, seen: &TipSeen, node: &Node) {
        if self.check_tip(seen, node).await {
            self.check_missed(seen, node).await;
        }
    }

    fn node_of(&self, seen: &TipSeen) -> Node {
        let nodes = &self.settings.nodes;
        nodes
            .iter()
            .find(|node| node.name() == &*seen.node)
            .unwrap_or(&nodes[0])
            .clone()
    }

    /// Brings the window to the tip and publishes it.
    async fn verify(&mut self, seen: &TipSeen, node: &Node) -> Result<(), Hitch> {
        if !self.headers.rewind(seen.hash) {
            let tip = node.get_block_header_info(seen.hash).await?;
            if !tip.is_active() {
                // News of its successor is on the way; make sure of it.
                self.board.look.notify_one();
                return Err(Hitch::Moved);
            }
            self.headers.reach(&tip, node).await?;
        }
        self.note_missed();
        let body = self
            .inherited()
            .map_or(BodyState::Pending, BodyState::Checked);
        self.publish(seen, body);
        if let Some(window) = self.headers.window() {
            let after_ms = seen.seen_at.elapsed().as_millis();
            let height = window.tip().height;
            info!(height, hash = %seen.hash, source = %seen.source, after_ms, "tip verified");
        }
        Ok(())
    }

    /// Remembers the blocks that joined the chain since the tip before, to check them too. What a
    /// first window brings was not missed.
    fn note_missed(&mut self) {
        let changed_from = self.headers.take_changed_from();
        let first = self.verified_at.replace(Instant::now()).is_none();
        let (Some(window), Some(from)) = (self.headers.window(), changed_from) else {
            return;
        };
        if !first {
            let hashes = (from..=window.tip().height).filter_map(|height| window.hash_at(height));
            hashes.for_each(|hash| self.bodies.joined(hash));
        }
    }

    /// The report on a block of the chain that failed its check: no tip on it is any better.
    fn inherited(&self) -> Option<Arc<BlockReport>> {
        let rejected = self.bodies.rejected(|hash| self.headers.contains(hash));
        rejected.map(Arc::clone)
    }

    /// Fetches and checks the tip's block and publishes the tip again with what came of it; `true`
    /// if nothing is known against it. Tries again where the node was only busy.
    async fn check_tip(&mut self, seen: &TipSeen, node: &Node) -> bool {
        if self.inherited().is_some() {
            error!(tip = %seen.hash, "tip rejected: it builds on a block that broke a consensus rule");
            return false;
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.check(seen.hash, node).await {
                Ok(body) => {
                    let sound = !is_rejected(&body);
                    self.publish(seen, body);
                    return sound;
                }
                Err(error) => error,
            };
            self.publish(seen, BodyState::Unavailable(error.to_string()));
            let NoReport::Fetch(why) = error else {
                return true;
            };
            let lasting = !why.is_transient();
            let hitch = Hitch::Node(why);
            self.report(seen, &hitch);
            if lasting {
                return true;
            }
            sleep(hitch.retry_after(attempt)).await;
        }
    }

    /// Checks blocks that came so fast after one another that their turn never came.
    async fn check_missed(&mut self, seen: &TipSeen, node: &Node) {
        while let Some(hash) = self.bodies.next(|hash| self.headers.contains(hash)) {
            match self.check(hash, node).await {
                Ok(body) if is_rejected(&body) => self.publish(seen, body),
                Ok(_) => {}
                Err(why) => {
                    debug!(%hash, "a missed block was not checked: {why}");
                    self.bodies.settled(hash);
                }
            }
        }
    }

    /// Fetches and checks one block of the verified chain.
    async fn check(&mut self, hash: BlockHash, node: &Node) -> Result<BodyState, NoReport> {
        let coverage_min = self.settings.coverage_min;
        let context = self.headers.window().and_then(|window| {
            let height = window.height_of(&hash)?;
            Some(body::context(&window, height, coverage_min))
        });
        let context = context.ok_or(NoReport::Gone)?;
        let report = Arc::new(body::check(node, hash, &context, &self.incarnation).await?);
        body::record(&report, hash, &context, &self.board.registry);
        if report.verdict() == Verdict::Rejected {
            self.bodies.failed(hash, Arc::clone(&report));
        } else {
            self.bodies.settled(hash);
        }
        Ok(BodyState::Checked(report))
    }

    /// Says what stands in the way: once, until it is something else or over.
    fn report(&mut self, seen: &TipSeen, hitch: &Hitch) {
        if matches!(hitch, Hitch::Node(_)) {
            self.board.registry.rpc_errors.increment();
        }
        let first = self.said.replace(hitch.kind()) != Some(hitch.kind());
        let (node, tip) = (&seen.node, seen.hash);
        match hitch {
            Hitch::Refused(_) if first => error!(%node, %tip, "tip refused: {hitch}"),
            Hitch::TooNew { .. } if first => warn!(%node, %tip, "tip undecided: {hitch}"),
            // A node that does not answer at all is spoken of by ingest.
            Hitch::Node(error) if first && error.node_answered() => {
                warn!(%node, %tip, "tip not verified to the end: {hitch}");
            }
            _ => debug!(%node, %tip, "tip not verified to the end: {hitch}"),
        }
    }

    /// Publishes what is wrong with the node's tip, or that nothing is.
    fn doubt(&self, doubt: Option<TipDoubt>) {
        let guard = self.incarnation.guard();
        self.board.tip_doubt.publish_with(&guard, |known| {
            let changed = *known != doubt;
            *known = doubt;
            changed
        });
    }

    /// Publishes the window's tip, which is the one seen.
    fn publish(&self, seen: &TipSeen, body: BodyState) {
        let (Some(window), Some(validated_at)) = (self.headers.window(), self.verified_at) else {
            return;
        };
        debug_assert_eq!(
            window.tip().hash,
            seen.hash,
            "only the window's tip is published"
        );
        let coverage_min = self.settings.coverage_min;
        let validated = describe(&window, coverage_min, body, seen.seen_at, validated_at);
        self.board
            .tip_validated
            .publish(&self.incarnation.guard(), Some(validated));
        self.doubt(None);
    }
}

/// Whether the tip's block, or one below it, broke a rule.
pub(super) fn is_rejected(body: &BodyState) -> bool {
    matches!(body, BodyState::Checked(report) if report.verdict() == Verdict::Rejected)
}

fn describe(
    window: &HeaderWindow,
    coverage_min: f64,
    body: BodyState,
    seen_at: Instant,
    validated_at: Instant,
) -> TipValidated {
    let tip = window.tip();
    // Both are absent only with less than eleven headers of context, which a window never has.
    let median = window.median_time_past().unwrap_or(tip.header.time);
    TipValidated {
        hash: tip.hash,
        height: tip.height,
        header: tip.header,
        median_time_past: median,
        min_time: window.min_time().unwrap_or(median + 1),
        next_bits: window.next_bits(tip.header.time),
        times: times(window),
        report: Arc::new(window.report(coverage_min)),
        body,
        seen_at,
        validated_at,
    }
}

/// Times of the newest headers, newest first: those of a day on most networks.
fn times(window: &HeaderWindow) -> Arc<[u32]> {
    const MOST: u32 = 145;
    let tip = window.tip().height;
    let heights = (window.base_height()..=tip).rev().take(MOST as usize);
    heights
        .map_while(|height| Some(window.header_at(height)?.time))
        .collect()
}
