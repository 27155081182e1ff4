//! Task `tip`: reads the tip at every poll and after every announcement, one read at a time.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use node::{BlockchainInfo, NodeError};
use supervise::BoxError;
use tokio::time::{Instant as Timer, sleep_until};
use tracing::{info, warn};

use super::link::Link;
use super::silence::Death;
use super::state::{self, ChainFacts};

/// How much more often is polled while no notification can be hoped for.
const FASTER: u32 = 4;

/// Time between polls at most where there is another node to use: a node that fails in silence is noticed by the
/// next poll.
const WATCHED: Duration = Duration::from_secs(1);

/// The tip as the last poll found it.
#[derive(Clone, Copy)]
struct Polled {
    tip: BlockHash,
    height: u32,
    ibd: bool,
    asked: Instant,
}

pub(super) async fn run(link: Rc<Link>) -> Result<(), BoxError> {
    let mut last: Option<Polled> = None;
    loop {
        link.admitted().await;
        last = poll(&link, last).await;
        let next_poll = Instant::now() + poll_interval(&link);
        wait_and_answer(&link, next_poll).await;
    }
}

/// Between two polls: answers announcements, and looks after the notification socket.
async fn wait_and_answer(link: &Link, next_poll: Instant) {
    loop {
        let silence_due = link.silence().due().unwrap_or(next_poll);
        tokio::select! {
            () = sleep_until(Timer::from_std(next_poll)) => return,
            () = sleep_until(Timer::from_std(silence_due)), if silence_due < next_poll => check_silence(link),
            () = link.announced.notified() => {
                // What the network is must be known before a tip is.
                if !link.is_up() {
                    return;
                }
                if link.tips().wants_read() && !reread(link).await {
                    return;
                }
            }
        }
    }
}

/// One poll: the node's state, and its tip.
async fn poll(link: &Link, last: Option<Polled>) -> Option<Polled> {
    let asked = link.asks();
    link.tips().begin_read();
    match link.node.get_blockchain_info().await {
        Ok(info) => {
            let facts = ChainFacts {
                chain: &info.chain,
                blocks: info.blocks,
                headers: info.headers,
                ibd: info.initial_block_download,
            };
            link.set_state(state::of_answer(&facts, link.settings.network));
            if !link.is_up() {
                return None;
            }
            link.set_warnings(&info.warnings);
            suspect_silence(link, last, &info);
            link.tip_was_read(info.best_block, Some(info.blocks), asked);
            check_silence(link);
            Some(Polled {
                tip: info.best_block,
                height: info.blocks,
                ibd: info.initial_block_download,
                asked,
            })
        }
        Err(error) => {
            failed(link, &error);
            None
        }
    }
}

/// Reads the tip alone, because something announced another one; `false` if that failed.
async fn reread(link: &Link) -> bool {
    let asked = link.asks();
    link.tips().begin_read();
    match link.node.get_best_block_hash().await {
        Ok(tip) => {
            link.tip_was_read(tip, None, asked);
            true
        }
        Err(error) => {
            // What a whitelist leaves out is no failure of the node: the poll that follows reads the tip, too.
            if matches!(error, NodeError::Forbidden { .. }) {
                link.count(&error);
            } else {
                failed(link, &error);
            }
            false
        }
    }
}

fn failed(link: &Link, error: &NodeError) {
    link.count(error);
    link.set_state(state::of_error(error));
}

/// A tip that is higher than at the last poll should have been announced by now. One that is not
/// higher need not be, and in initial block download none is.
fn suspect_silence(link: &Link, last: Option<Polled>, info: &BlockchainInfo) {
    let Some(last) = last else { return };
    if link.has_zmq()
        && info.best_block != last.tip
        && info.blocks > last.height
        && !last.ibd
        && !info.initial_block_download
    {
        link.silence().tip_moved(last.asked, Instant::now());
    }
}

fn check_silence(link: &Link) {
    let death = link.silence().check(Instant::now());
    if let Some(Death { first }) = death {
        link.board.registry.zmq_resets.increment();
        if first {
            let node = link.name();
            warn!(
                %node,
                "ZMQ is silent: the tip moved and no notification came within a second; the sockets are made \
                 anew, and the node is polled more often until one speaks (check zmqpub... in bitcoin.conf)"
            );
        }
        link.zmq_dead.notify_one();
    }
}

/// A notification arrived.
pub(super) fn heard(link: &Link, at: Instant) {
    link.is_alive();
    if link.silence().heard(at) {
        info!(node = %link.name(), "ZMQ speaks again");
    }
}

fn poll_interval(link: &Link) -> Duration {
    let mut interval = link.settings.poll_interval;
    if link.has_company() {
        interval = interval.min(WATCHED);
    }
    if link.is_up() && (!link.has_zmq() || link.silence().is_dead()) {
        interval / FASTER
    } else {
        interval
    }
}
