//! Submitter, store, resources, HTTP: what the work needs.

use std::time::Duration;

use super::children::seconds;
use super::look::Look;
use super::memory::Memory;
use super::report::Component;
use crate::resources::Degradation;

/// A found block is taken over by the submitter within milliseconds.
const BACKLOG: Duration = Duration::from_secs(5);

/// A node that is restarted takes it within a minute.
const UNDELIVERED: Duration = Duration::from_mins(1);

/// Whether found blocks are taken over, and by a node.
pub(super) fn submitter(look: &Look, memory: &Memory) -> Component {
    let waiting = memory.backlog(look.now);
    if look.outbox > 0 && waiting > BACKLOG {
        return Component::critical(format!(
            "{} found blocks wait to be journalled and sent, for {}",
            look.outbox,
            seconds(waiting)
        ));
    }
    let Some(undelivered) = &look.undelivered else {
        // Nothing to add to whether it is up.
        return Component::default();
    };
    let for_so_long = look.now.saturating_duration_since(undelivered.since);
    let message = format!(
        "no node has taken {} found blocks (the lowest at height {}) for {}: {}; they are sent again until one does",
        undelivered.blocks,
        undelivered.height,
        seconds(for_so_long),
        undelivered.reason
    );
    match for_so_long {
        time if time > UNDELIVERED => Component::critical(message),
        time if time > BACKLOG => Component::warning(message),
        _ => Component::default(),
    }
}

/// Whether the journal of found blocks gets to disk.
pub(super) fn store(look: &Look) -> Component {
    match &look.journal_trouble {
        None => Component::ok("the journal of found blocks is on disk"),
        Some(trouble) => Component::critical(format!(
            "the journal of found blocks does not get to disk: {trouble}; found blocks are sent all the same \
             and kept in memory, do not stop the program before this is mended"
        )),
    }
}

/// Whether the machine has what is needed.
pub(super) fn resources(look: &Look) -> Component {
    let words: Vec<&str> = look
        .alerts
        .iter()
        .map(|alert| alert.message.as_str())
        .collect();
    let mut message = words.join("; ");
    if look.degradation > Degradation::None {
        if message.is_empty() {
            "nothing is scarce any more".clone_into(&mut message);
        }
        message = format!("{message} ({})", look.degradation);
    }
    if look.alerts.iter().any(|alert| alert.critical) {
        Component::critical(message)
    } else if message.is_empty() {
        Component::ok("nothing is scarce")
    } else {
        Component::warning(message)
    }
}

/// Whether there is an HTTP server where one is wanted.
pub(super) fn http(look: &Look) -> Component {
    match &look.http_trouble {
        None => Component::default(),
        Some(trouble) => Component::warning(format!("no HTTP server: {trouble}")),
    }
}
