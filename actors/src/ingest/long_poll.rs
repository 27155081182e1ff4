//! Task `long poll`: has a `getblocktemplate` pending at the node at all times, which returns on a
//! new tip and, now and then, on a changed mempool (BIP 22).

use std::rc::Rc;
use std::time::{Duration, Instant};

use node::NodeError;
use supervise::BoxError;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::link::Link;
use super::pacing::{Pacing, Trouble, in_words};
use crate::messages::TipSource;

/// A long poll that returns sooner, with the id it was given, has not waited: so a node answers
/// that is about to stop.
const SOONEST: Duration = Duration::from_millis(250);

/// Stands for that trouble among those that have been said.
const NO_THREAD: &str = "no_thread";

pub(super) async fn run(link: Rc<Link>) -> Result<(), BoxError> {
    let mut pacing = Pacing::default();
    let mut said: Option<&'static str> = None;
    // Whether this node, since it was last in trouble, has shown that a long poll leaves it threads.
    let mut safe = false;
    loop {
        link.wanted().await;
        if !safe {
            safe = has_thread_to_spare(&link, &mut pacing, &mut said).await;
            continue;
        }
        let Some(id) = link.long_poll_id() else {
            tokio::select! {
                () = link.unwanted() => {}
                () = link.long_poll_ready.notified() => {}
            }
            continue;
        };
        let asked = Instant::now();
        link.long_polling.set(true);
        let answer = link
            .node
            .wait_for_block_template(link.settings.network, id.clone())
            .await;
        link.long_polling.set(false);
        match answer {
            Ok(template) => {
                said = None;
                let unchanged = template.longpollid == id && asked.elapsed() < SOONEST;
                link.template_arrived(template, TipSource::LongPoll);
                if unchanged {
                    sleep(pacing.after(Trouble::Brief)).await;
                } else {
                    pacing.succeeded();
                }
            }
            // Nothing happened for as long as we care to wait: the next one may be told more.
            Err(NodeError::Unanswered { waited, .. })
                if waited >= link.node.config().timeouts.long_poll => {}
            Err(error) => {
                safe = false;
                link.count(&error);
                let trouble = Trouble::of(&error);
                let words = in_words(&error);
                let known = said.replace(error.kind()) == Some(error.kind());
                // A node that does not answer is spoken of by the poll.
                if known || !error.node_answered() {
                    debug!(node = %link.name(), "long poll failed: {words}");
                } else {
                    warn!(
                        node = %link.name(),
                        "long poll failed; new tips come by ZMQ and poll until it works again: {words}"
                    );
                }
                if trouble == Trouble::LongPollId {
                    link.forget_long_poll_id();
                    link.board.want_template.notify_one();
                }
                link.pause(pacing.after(trouble)).await;
            }
        }
    }
}

/// Asks the node whether a long poll would leave it a thread for others; waits a while if not.
async fn has_thread_to_spare(
    link: &Link,
    pacing: &mut Pacing,
    said: &mut Option<&'static str>,
) -> bool {
    let answer = link.node.has_thread_to_spare().await;
    if matches!(answer, Ok(true)) {
        return true;
    }
    let trouble = match &answer {
        Ok(_) => Trouble::Lasting,
        Err(error) => {
            link.count(error);
            debug!(node = %link.name(), "whether it can hold a long poll is unknown: {error}");
            Trouble::of(error)
        }
    };
    if answer.is_ok() && said.replace(NO_THREAD) != Some(NO_THREAD) {
        warn!(
            node = %link.name(),
            "the node has no thread to spare for a long poll, which would shut out every other call; new \
             tips come by ZMQ and poll until it has (raise rpcthreads in bitcoin.conf)"
        );
    }
    sleep(pacing.after(trouble)).await;
    false
}
