//! Task `zmq`: turns notifications into announcements, and has dead sockets made anew.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::proves_work;
use node::zmq::{BlockStart, Gap, Notification, Payload, Settings, Subscriber, ZmqEvent};
use supervise::BoxError;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::link::Link;
use super::tip;
use crate::messages::{BlockSeen, TipSource};

/// How often the count of discarded messages is brought up to date.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(link: Rc<Link>) -> Result<(), BoxError> {
    let zmq = &link.node.config().zmq;
    let (subscriber, mut events) = Subscriber::start(link.name(), zmq, Settings::default());
    link.shows_publishers(subscriber.connections());
    let mut count = interval(COUNT_INTERVAL);
    count.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut discarded = 0;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => handle(&link, event),
                None => return Err("the connections to the ZMQ publishers ended by themselves".into()),
            },
            () = link.zmq_dead.notified() => subscriber.recreate(),
            _ = count.tick() => discarded = count_garbage(&link, &subscriber, discarded),
        }
    }
}

fn handle(link: &Link, event: ZmqEvent) {
    match event {
        // Whatever was published before was missed.
        ZmqEvent::Connected { .. } => link.announce(TipSource::Poll, Instant::now(), None),
        ZmqEvent::Lost { .. } => link.silence().lost(),
        ZmqEvent::BlockStarts(start) => hand_on(link, start),
        ZmqEvent::Notification(notification) => {
            link.board.registry.zmq_messages.increment();
            count_gap(link, &notification);
            announce(link, &notification);
        }
        // A kind of event of a newer node crate.
        _ => {}
    }
}

/// Hands a block that is being published on to be mined on before RPC has named it, if its header proves the work
/// that it claims. Only a node on its best tip publishes what is to be followed at once.
fn hand_on(link: &Link, start: BlockStart) {
    let network = link.settings.network;
    if !link.is_ready() || !proves_work(network, &start.header, &start.hash) {
        return;
    }
    link.publish_block(BlockSeen {
        hash: start.hash,
        header: start.header,
        start: start.bytes,
        node: Arc::clone(link.name()),
        seen_at: start.received,
    });
    // The node is to confirm it while the rest of it is on its way.
    link.announce(TipSource::ZmqRawblock, start.received, Some(start.hash));
}

/// Says what a notification means for the tip. After a gap it is not known what else happened, so
/// nothing is taken for a duplicate.
fn announce(link: &Link, notification: &Notification) {
    let at = notification.received;
    let lost = notification.gap.is_loss();
    let (source, tip) = match &notification.payload {
        Payload::HashBlock(hash) => (TipSource::ZmqHashblock, Some(*hash)),
        Payload::RawBlock(block) => (TipSource::ZmqRawblock, Some(block.hash)),
        Payload::BlockConnected(hash) => (TipSource::ZmqSequence, Some(*hash)),
        Payload::BlockDisconnected(_) => (TipSource::ZmqSequence, None),
        // The mempool says nothing of the tip, unless a block was among what is missing.
        _ if lost => (TipSource::ZmqSequence, None),
        _ => return,
    };
    tip::heard(link, at);
    link.announce(source, at, tip.filter(|_| !lost));
}

fn count_gap(link: &Link, notification: &Notification) {
    let (node, topic) = (link.name(), notification.topic);
    match notification.gap {
        Gap::First | Gap::None => {}
        Gap::Missed(missed) => {
            link.board.registry.zmq_lost.add(missed.into());
            debug!(%node, %topic, missed, "ZMQ messages were lost; the tip is read again");
        }
        Gap::Reset => {
            debug!(%node, %topic, "the ZMQ publisher counts from the beginning; the tip is read again");
        }
    }
}

/// Adds what was discarded since `before` messages; the new total.
fn count_garbage(link: &Link, subscriber: &Subscriber, before: u64) -> u64 {
    let total = subscriber
        .state()
        .iter()
        .flat_map(|state| state.garbage.values())
        .sum();
    if total > before {
        link.board.registry.zmq_garbage.add(total - before);
        if before == 0 {
            warn!(
                node = %link.name(), messages = total,
                "messages that no Bitcoin Core sends were discarded; does the ZMQ endpoint belong to this node?"
            );
        }
    }
    total
}
