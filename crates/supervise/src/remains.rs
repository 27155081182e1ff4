//! What is left of a tree that lived on a child's thread, until it is gone.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// Held by whoever waits for something below to be gone. Nothing is ever sent: dropping it is the message.
pub(crate) struct Tether {
    _held: Sender<Infallible>,
}

/// Waits for all tethers to be dropped.
pub(crate) struct Remains {
    ends: Mutex<Option<(Sender<Infallible>, Receiver<Infallible>)>>,
}

impl Remains {
    pub(crate) fn new() -> Self {
        #[allow(clippy::disallowed_methods, reason = "nothing can be sent")]
        let ends = channel();
        Self {
            ends: Mutex::new(Some(ends)),
        }
    }

    pub(crate) fn tether(&self) -> Option<Tether> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, _) = ends.as_ref()?;
        Some(Tether {
            _held: sender.clone(),
        })
    }

    /// Blocks until no tether is left. None can be had afterwards.
    pub(crate) fn wait(&self) {
        let ends = self
            .ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((own, all)) = ends {
            drop(own);
            // Ends when the last sender is gone.
            let _ = all.recv();
        }
    }
}
