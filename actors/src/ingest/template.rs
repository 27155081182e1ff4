//! Task `template`: fetches a template plainly where the long poll does not bring it: at the start,
//! for a new tip that has none, on request, and when the one in hand has grown old.

use std::rc::Rc;
use std::time::{Duration, Instant};

use supervise::BoxError;
use tokio::time::{Instant as Timer, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::link::Link;
use super::pacing::{Pacing, Trouble, in_words};
use crate::messages::TipSource;

/// How long a pending long poll may take to bring a new tip's template before it is fetched
/// plainly. The node makes one template after another: asking at once would delay both.
const LONG_POLL_HEAD_START: Duration = Duration::from_millis(100);

/// The least time between two plain fetches that were asked for, however often they are.
const LEAST_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn run(link: Rc<Link>) -> Result<(), BoxError> {
    let mut pacing = Pacing::default();
    let mut said: Option<&'static str> = None;
    loop {
        link.wanted().await;
        match link.node.get_block_template(link.settings.network).await {
            Ok(template) => {
                pacing.succeeded();
                if said.take().is_some() {
                    info!(node = %link.name(), height = template.height, "the node gives templates again");
                }
                link.template_arrived(template, TipSource::Poll);
                wait_for_need(&link, Instant::now()).await;
            }
            Err(error) => {
                link.count(&error);
                link.template_failed();
                let wait = pacing.after(Trouble::of(&error));
                let words = in_words(&error);
                let known = said.replace(error.kind()) == Some(error.kind());
                // A node that does not answer is spoken of by the poll.
                if known || !error.node_answered() {
                    debug!(node = %link.name(), ?wait, "still no template: {words}");
                } else {
                    warn!(node = %link.name(), "no template, trying again until there is one: {words}");
                }
                link.pause(wait).await;
            }
        }
    }
}

/// Resolves when a template should be fetched; the last plain fetch ended at `fetched`.
async fn wait_for_need(link: &Link, fetched: Instant) {
    loop {
        let received = newest(link);
        let old_at = received.map_or(fetched, |received| received.max(fetched))
            + link.settings.template_max_age;
        tokio::select! {
            () = link.unwanted() => return,
            () = link.board.want_template.notified() => {
                sleep_until(Timer::from_std(fetched + LEAST_INTERVAL)).await;
                return;
            }
            () = link.template_missing.notified() => {
                if link.long_polling.get() {
                    sleep(LONG_POLL_HEAD_START).await;
                }
                if link.lacks_template() {
                    return;
                }
            }
            () = sleep_until(Timer::from_std(old_at)) => {
                // The long poll may have brought another meanwhile.
                if newest(link) == received {
                    return;
                }
            }
        }
    }
}

/// When the template in use arrived.
fn newest(link: &Link) -> Option<Instant> {
    link.board
        .template
        .borrow()
        .as_ref()
        .map(|seen| seen.received_at)
}
