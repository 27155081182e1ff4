//! The queue between the connections and their listener, bounded by events and by the bytes of the blocks in it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::notification::{MAX_BLOCK, Payload};
use super::{Settings, ZmqEvent};

/// Blocks are weighed in units of so many bytes.
const UNIT: usize = 1024;

/// What a subscriber tells its listener. While the queue is full the connections are not read, and the publisher
/// has to keep or drop what it publishes.
pub struct Events(mpsc::Receiver<Queued>);

/// The connections' end.
#[derive(Clone)]
pub(super) struct Sender {
    queue: mpsc::Sender<Queued>,
    /// Room for blocks, in units.
    room: Arc<Semaphore>,
    /// All of the room.
    units: usize,
}

struct Queued {
    event: ZmqEvent,
    /// Its room, given back when it is taken out of the queue.
    _room: OwnedSemaphorePermit,
}

/// Nobody listens any more.
pub(super) struct Unheard;

/// The two ends of a queue with these bounds.
pub(super) fn queue(settings: &Settings) -> (Sender, Events) {
    let (queue, events) = mpsc::channel(settings.capacity.max(1));
    // One block always fits.
    let units = settings
        .max_queued
        .max(MAX_BLOCK)
        .div_ceil(UNIT)
        .min(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(units));
    (Sender { queue, room, units }, Events(events))
}

impl Events {
    /// The next event; `None` once the subscriber has been stopped and all was taken.
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<ZmqEvent> {
        self.0.recv().await.map(|queued| queued.event)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} waiting)", self.0.len())
    }
}

impl Sender {
    /// Queues the event where there is room for it at once; true where there was.
    pub(super) fn offer(&self, event: ZmqEvent) -> bool {
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(self.units(&event)) else {
            return false;
        };
        let queued = Queued { event, _room: room };
        self.queue.try_send(queued).is_ok()
    }

    /// Waits for room, and queues the event.
    pub(super) async fn send(&self, event: ZmqEvent) -> Result<(), Unheard> {
        let units = self.units(&event);
        let room = Arc::clone(&self.room).acquire_many_owned(units).await;
        let queued = Queued {
            event,
            _room: room.map_err(|_| Unheard)?,
        };
        self.queue.send(queued).await.map_err(|_| Unheard)
    }

    fn units(&self, event: &ZmqEvent) -> u32 {
        let units = weight(event).div_ceil(UNIT).min(self.units);
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// Whether it is the listener who is waited for.
    pub(super) fn is_full(&self) -> bool {
        self.queue.capacity() == 0 || self.room.available_permits() < MAX_BLOCK.div_ceil(UNIT)
    }
}

/// Bytes that an event holds beside itself.
fn weight(event: &ZmqEvent) -> usize {
    match event {
        ZmqEvent::Notification(notification) => match &notification.payload {
            Payload::RawBlock(block) => block.bytes.len(),
            _ => 0,
        },
        _ => 0,
    }
}
