//! The header window, brought to a node's tip.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use chain::{HeaderFailure, HeaderReject, HeaderWindow, Network};
use node::{HeaderInfo, MAX_BATCH, Node};
use tracing::{info, warn};

use super::WallClock;
use super::hitch::Hitch;
use super::reach::{Reach, Step};
use crate::stats::Registry;

/// Headers to a request.
const BATCH: u32 = MAX_BATCH as u32;

/// The window, for all tasks of one validator; none before the first tip was reached for. It is never
/// borrowed across a wait.
pub(super) type SharedWindow = Rc<RefCell<Option<HeaderWindow>>>;

/// The window, and how it grows.
///
/// Each change of the window is made between two waits, so that work on it can be broken off
/// anywhere: what was verified so far stays, and the next tip goes on from there.
#[derive(Debug)]
pub(super) struct Headers {
    network: Network,
    level: u32,
    clock: WallClock,
    registry: Arc<Registry>,
    window: SharedWindow,
    /// Whether this is a copy to try another node's branch on, whose reorganisations are nobody's.
    scouts: bool,
    /// The lowest height that changed since somebody asked.
    changed_from: Option<u32>,
}

impl Headers {
    /// No window yet: it will be in `window`.
    pub fn new(
        network: Network,
        level: u32,
        clock: WallClock,
        registry: Arc<Registry>,
        window: SharedWindow,
    ) -> Self {
        Self {
            network,
            level,
            clock,
            registry,
            window,
            scouts: false,
            changed_from: None,
        }
    }

    /// A copy of a window, to try another node's branch on.
    pub fn scout(window: HeaderWindow, clock: WallClock, registry: Arc<Registry>) -> Self {
        let (network, level) = (window.network(), window.level());
        let window = SharedWindow::new(RefCell::new(Some(window)));
        Self {
            scouts: true,
            ..Self::new(network, level, clock, registry, window)
        }
    }

    /// The window; none before the first tip was reached for.
    pub fn window(&self) -> Option<Ref<'_, HeaderWindow>> {
        Ref::filter_map(self.window.borrow(), Option::as_ref).ok()
    }

    /// Whether a block is on the verified chain, as far as the window goes.
    pub fn contains(&self, hash: &BlockHash) -> bool {
        self.window().is_some_and(|window| window.contains(hash))
    }

    /// The lowest height at which a header joined the verified chain since this was last asked.
    pub fn take_changed_from(&mut self) -> Option<u32> {
        self.changed_from.take()
    }

    /// Where `hash` is on the verified chain already, makes it the window's tip; else `false`.
    pub fn rewind(&mut self, hash: BlockHash) -> bool {
        let mut window = self.window.borrow_mut();
        let Some(window) = window.as_mut() else {
            return false;
        };
        let Ok(gone) = window.rewind_to(&hash) else {
            return false;
        };
        if let Some(highest) = gone.first() {
            self.registry.reorgs.increment();
            warn!(
                depth = gone.len(), from = %highest, to = %hash, height = window.tip().height,
                "the node went back: blocks left its active chain and none took their place"
            );
        }
        true
    }

    /// Verifies everything from the window to `tip`, and makes it the window's tip.
    pub async fn reach(&mut self, tip: &HeaderInfo, node: &Node) -> Result<(), Hitch> {
        let started = Instant::now();
        let cold = self.window().is_none();
        let mut reach = Reach::default();
        loop {
            let bounds = self
                .window()
                .map(|window| (window.base_height(), window.tip()));
            let Some((base, top)) = bounds else {
                self.begin(tip, node).await?;
                continue;
            };
            if top.hash == tip.hash {
                break;
            }
            if self.contains(&tip.header.prev_blockhash) {
                self.connect(&[tip.header])?;
                continue;
            }
            match reach.step(base, top.height, tip.height, BATCH) {
                Step::Fetch { start, count } => {
                    let headers = node.get_headers(start, count as usize).await?;
                    let Some(first) = headers.first() else {
                        return Err(Hitch::Moved);
                    };
                    if self.contains(&first.prev_blockhash) {
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
                    if !self.scouts {
                        warn!(
                            from = base,
                            tip = top.height,
                            "the node's chain forks off below the verified window, which is built anew"
                        );
                        self.registry.reorgs.increment();
                    }
                    self.window.replace(None);
                    return Err(Hitch::Moved);
                }
            }
        }
        if cold && let Some(window) = self.window() {
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
        let start = HeaderWindow::fetch_start(self.network, tip.height, self.level);
        info!(from = start, to = tip.height, "verifying headers");
        if start == 0 {
            let window = HeaderWindow::from_genesis(self.network, self.level);
            self.window.replace(Some(window));
            return Ok(());
        }
        let count = (tip.height - start + 1).min(BATCH);
        let headers = node.get_headers(start, count as usize).await?;
        if headers.is_empty() {
            return Err(Hitch::Moved);
        }
        let count = headers.len() as u64;
        let now = Some(self.clock.now());
        let window = HeaderWindow::anchored(self.network, self.level, start, headers, now)
            .map_err(|failure| self.refused(failure))?;
        self.registry.verifications_passed.add(count);
        self.window.replace(Some(window));
        Ok(())
    }

    fn connect(&mut self, headers: &[Header]) -> Result<(), Hitch> {
        let mut window = self.window.borrow_mut();
        let Some(window) = window.as_mut() else {
            return Ok(());
        };
        let before = window.tip();
        let connected = match window.connect(headers, Some(self.clock.now())) {
            Ok(connected) => connected,
            Err(failure) => return Err(self.refused(failure)),
        };
        self.registry
            .verifications_passed
            .add(connected.connected.into());
        let lowest = connected.fork_height + 1;
        self.changed_from = Some(
            self.changed_from
                .map_or(lowest, |before| before.min(lowest)),
        );
        let depth = connected.disconnected.len();
        if depth > 0 && !self.scouts {
            let after = window.tip();
            self.registry.reorgs.increment();
            warn!(
                depth, fork = connected.fork_height,
                from = %before.hash, from_height = before.height,
                to = %after.hash, to_height = after.height,
                "reorganisation followed"
            );
        }
        Ok(())
    }

    fn refused(&self, failure: HeaderFailure) -> Hitch {
        let hitch = Hitch::of_refusal(failure, self.clock.now());
        if hitch.is_refusal() {
            self.registry.verifications_failed.increment();
        }
        hitch
    }
}
