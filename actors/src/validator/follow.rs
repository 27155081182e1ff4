//! From a tip that ingest has seen to one whose header chain is verified.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use chain::{HeaderFailure, HeaderReject, HeaderWindow};
use node::{HeaderInfo, MAX_BATCH, Node};
use supervise::{BoxError, Incarnation};
use tracing::{debug, error, info, warn};

use super::ValidatorSettings;
use super::body::{self, NoReport};
use super::hitch::Hitch;
use super::reach::{Reach, Step};
use crate::board::Board;
use crate::messages::{BodyState, TipSeen, TipValidated};

/// Headers to a request.
const BATCH: u32 = MAX_BATCH as u32;

/// Keeps the window, and does the work on one tip at a time.
///
/// Every change of the window is made between two waits, so that a newer tip can interrupt anywhere
/// and finds what was verified so far.
pub(super) struct Follower {
    settings: ValidatorSettings,
    board: Board,
    incarnation: Incarnation,
    window: Option<HeaderWindow>,
    /// When the window reached its tip.
    verified_at: Instant,
    /// The kind of the hitch last said aloud; forgotten at the next verified tip.
    said: Option<&'static str>,
}

impl Follower {
    pub fn new(settings: ValidatorSettings, board: Board, incarnation: Incarnation) -> Self {
        Self {
            settings,
            board,
            incarnation,
            window: None,
            verified_at: Instant::now(),
            said: None,
        }
    }

    /// Works on the newest tip there is, for ever.
    pub async fn run(mut self) -> Result<(), BoxError> {
        let mut tips = self.board.tip_seen.subscribe();
        loop {
            let seen = tips.borrow_and_update().clone();
            tokio::select! {
                biased;
                changed = tips.changed() => changed?,
                () = self.pursue(seen) => {}
            }
        }
    }

    /// Header chain, block, and then nothing until a newer tip ends this.
    async fn pursue(&mut self, seen: Option<TipSeen>) {
        if let Some(seen) = seen {
            let node = self.node_of(&seen);
            let mut attempt = 0;
            while let Err(hitch) = self.verify(&seen, &node).await {
                attempt += 1;
                let wait = hitch.retry_after(attempt);
                self.report(&seen, &hitch);
                tokio::time::sleep(wait).await;
            }
            self.said = None;
            self.check_body(&seen, &node).await;
        }
        pending().await
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
        if !self.rewind(seen) {
            let tip = node.get_block_header_info(seen.hash).await?;
            if !tip.is_active() {
                // News of its successor is on the way; make sure of it.
                self.board.look.notify_one();
                return Err(Hitch::Moved);
            }
            self.reach(&tip, node).await?;
        }
        self.verified_at = Instant::now();
        self.publish(seen, BodyState::Pending);
        Ok(())
    }

    /// Connects everything from the window to `tip`.
    async fn reach(&mut self, tip: &HeaderInfo, node: &Node) -> Result<(), Hitch> {
        let started = Instant::now();
        let cold = self.window.is_none();
        let mut reach = Reach::default();
        loop {
            let Some(window) = &self.window else {
                self.begin(tip, node).await?;
                continue;
            };
            let (base, top) = (window.base_height(), window.tip());
            if top.hash == tip.hash {
                break;
            }
            if window.contains(&tip.header.prev_blockhash) {
                self.connect(&[tip.header])?;
                continue;
            }
            match reach.step(base, top.height, tip.height, BATCH) {
                Step::Fetch { start, count } => {
                    let headers = node.get_headers(start, count as usize).await?;
                    let Some(first) = headers.first() else {
                        return Err(Hitch::Moved);
                    };
                    if self.knows(&first.prev_blockhash) {
                        self.connect(&headers)?;
                        reach.connected();
                    } else {
                        reach.fell_short();
                    }
                }
                // A window from the genesis block on has a place for every chain of its network.
                Step::Anew if base == 0 => {
                    let reject = HeaderReject::BadPrevblk;
                    return Err(self.refused(HeaderFailure { height: 0, reject }));
                }
                Step::Anew => {
                    warn!(
                        base,
                        tip = top.height,
                        "the node's chain forks off below the verified window; the window is built anew"
                    );
                    self.window = None;
                    return Err(Hitch::Moved);
                }
            }
        }
        if cold && let Some(window) = &self.window {
            info!(
                height = tip.height,
                verified = window.verified(),
                level = window.level(),
                from = window.first_verified(),
                seconds = started.elapsed().as_secs_f64(),
                "header window verified"
            );
        }
        Ok(())
    }

    /// A first window: the lowest headers that the level and the rules ask for.
    async fn begin(&mut self, tip: &HeaderInfo, node: &Node) -> Result<(), Hitch> {
        let ValidatorSettings { network, level, .. } = self.settings;
        let start = HeaderWindow::fetch_start(network, tip.height, level);
        info!(from = start, to = tip.height, "verifying headers");
        if start == 0 {
            self.window = Some(HeaderWindow::from_genesis(network, level));
            return Ok(());
        }
        let count = (tip.height - start + 1).min(BATCH);
        let headers = node.get_headers(start, count as usize).await?;
        if headers.is_empty() {
            return Err(Hitch::Moved);
        }
        let now = self.settings.clock.now();
        let count = headers.len() as u64;
        let window = HeaderWindow::anchored(network, level, start, headers, Some(now))
            .map_err(|failure| self.refused(failure))?;
        self.board.registry.verifications_passed.add(count);
        self.window = Some(window);
        Ok(())
    }

    /// Where the tip is on the verified chain already, makes it the window's tip; else `false`.
    fn rewind(&mut self, seen: &TipSeen) -> bool {
        let Some(window) = &mut self.window else {
            return false;
        };
        let Ok(gone) = window.rewind_to(&seen.hash) else {
            return false;
        };
        if let Some(highest) = gone.first() {
            self.board.registry.reorgs.increment();
            warn!(
                depth = gone.len(), from = %highest, to = %seen.hash, height = window.tip().height,
                "the node went back: blocks left its active chain and none took their place"
            );
        }
        true
    }

    fn connect(&mut self, headers: &[Header]) -> Result<(), Hitch> {
        let Some(window) = &mut self.window else {
            return Ok(());
        };
        let before = window.tip();
        match window.connect(headers, Some(self.settings.clock.now())) {
            Ok(connected) => {
                self.board
                    .registry
                    .verifications_passed
                    .add(connected.connected.into());
                let depth = connected.disconnected.len();
                if depth > 0 {
                    let after = window.tip();
                    self.board.registry.reorgs.increment();
                    warn!(
                        depth, fork = connected.fork_height,
                        from = %before.hash, from_height = before.height,
                        to = %after.hash, to_height = after.height,
                        "reorganisation followed"
                    );
                }
                Ok(())
            }
            Err(failure) => Err(self.refused(failure)),
        }
    }

    fn refused(&self, failure: HeaderFailure) -> Hitch {
        let hitch = Hitch::of_refusal(failure, self.settings.clock.now());
        if hitch.is_refusal() {
            self.board.registry.verifications_failed.increment();
        }
        hitch
    }

    fn knows(&self, hash: &BlockHash) -> bool {
        self.window
            .as_ref()
            .is_some_and(|window| window.contains(hash))
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
            Hitch::Node(_) if first => {
                warn!(%node, %tip, "tip not verified yet, trying again: {hitch}");
            }
            _ => debug!(%node, %tip, "tip not verified yet, trying again: {hitch}"),
        }
    }

    /// Fetches and checks the tip's block, and publishes the tip again with what came of it.
    async fn check_body(&mut self, seen: &TipSeen, node: &Node) {
        let Some(window) = &self.window else { return };
        let context = body::context(window, self.settings.coverage_min);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match body::check(node, seen.hash, &context, &self.incarnation).await {
                Ok(report) => {
                    body::record(&report, seen.hash, &context, &self.board.registry);
                    self.publish(seen, BodyState::Checked(Arc::new(report)));
                    return;
                }
                Err(NoReport::Fetch(why)) => {
                    let lasting = !why.is_transient();
                    let hitch = Hitch::Node(why);
                    self.report(seen, &hitch);
                    self.publish(seen, BodyState::Unavailable(hitch.to_string()));
                    if lasting {
                        return;
                    }
                    tokio::time::sleep(hitch.retry_after(attempt)).await;
                }
                Err(why @ NoReport::Thread(_)) => {
                    warn!(tip = %seen.hash, "{why}");
                    self.publish(seen, BodyState::Unavailable(why.to_string()));
                    return;
                }
            }
        }
    }

    /// Publishes the window's tip, which is the one seen.
    fn publish(&self, seen: &TipSeen, body: BodyState) {
        let Some(window) = &self.window else { return };
        let tip = window.tip();
        debug_assert_eq!(tip.hash, seen.hash, "only the window's tip is published");
        // Both are absent only below eleven headers of context, which `fetch_start` rules out.
        let median = window.median_time_past().unwrap_or(tip.header.time);
        let validated = TipValidated {
            hash: tip.hash,
            height: tip.height,
            header: tip.header,
            median_time_past: median,
            min_time: window.min_time().unwrap_or(median + 1),
            next_bits: window.next_bits(tip.header.time),
            report: Arc::new(window.report(self.settings.coverage_min)),
            body,
            seen_at: seen.seen_at,
            validated_at: self.verified_at,
        };
        self.board.tip_validated.send_replace(Some(validated));
    }
}
