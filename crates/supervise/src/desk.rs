//! The channels between a tree and its handles.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::health::Reach;
use crate::status::{ChildStatus, Outcome, StopReport, SupervisionEvent};

/// A request from a handle.
pub(crate) enum Command {
    Stop {
        deadline: Duration,
    },
    /// Answered with whether the supervisor supervises.
    Live {
        answer: oneshot::Sender<bool>,
    },
}

/// What a handle holds.
#[derive(Clone)]
pub(crate) struct Views {
    pub(crate) status: watch::Receiver<Arc<[ChildStatus]>>,
    pub(crate) events: broadcast::Sender<SupervisionEvent>,
    pub(crate) finish: watch::Receiver<Option<(Outcome, StopReport)>>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Every child, in start order; from the start on.
    pub(crate) reach: Arc<OnceLock<Vec<Arc<dyn Reach>>>>,
}

/// What the tree holds. When it is dropped, the handles know that nobody supervises any more.
pub(crate) struct Desk {
    pub(crate) status: watch::Sender<Arc<[ChildStatus]>>,
    pub(crate) events: broadcast::Sender<SupervisionEvent>,
    pub(crate) finish: watch::Sender<Option<(Outcome, StopReport)>>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

pub(crate) fn open() -> (Views, Desk) {
    let (commands_tx, commands) = mpsc::channel(8);
    let (status, status_rx) = watch::channel(Arc::default());
    let (finish, finish_rx) = watch::channel(None);
    let events = broadcast::Sender::new(256);
    let views = Views {
        status: status_rx,
        events: events.clone(),
        finish: finish_rx,
        commands: commands_tx,
        reach: Arc::default(),
    };
    let desk = Desk {
        status,
        events,
        finish,
        commands,
    };
    (views, desk)
}
