//! The supervisor, its children, and whether what was restarted recovered.

use std::collections::BTreeMap;
use std::time::Duration;

use supervise::ChildState;

use super::advisor;
use super::look::{Answer, ChildLook, Look};
use super::memory::{Memory, RESTARTS_REMEMBERED};
use super::report::Component;

/// A child that has been down for longer does not come back by itself.
const DOWN_LIMIT: Duration = Duration::from_secs(30);
/// More restarts than these in [`RESTARTS_REMEMBERED`] are worth a look.
const MANY_RESTARTS: usize = 3;

/// The supervisor's own task.
pub(super) fn supervisor(look: &Look) -> Component {
    let children = look.children.len();
    let up = look
        .children
        .iter()
        .filter(|child| child.state == ChildState::Up)
        .count();
    let words = format!("{up} of {children} children up");
    match &look.roll_call {
        None => Component::ok(words),
        Some(call) => match call.supervisor {
            Some(latency) => Component::ok(words).measured(Some(latency)),
            None => Component::critical("does not supervise: it hangs, stops or has given up"),
        },
    }
}

/// One child: up, and answering.
pub(super) fn child(look: &Look, child: &ChildLook) -> Component {
    let since = look.now.saturating_duration_since(child.since);
    let last_exit = || {
        child
            .last_exit
            .as_ref()
            .map(|exit| format!("; it ended: {exit}"))
            .unwrap_or_default()
    };
    match child.state {
        ChildState::Up => {}
        ChildState::Ended => {
            return Component::critical(format!("ended for good{}", last_exit()));
        }
        state => {
            let message = format!("{} for {}{}", state.name(), seconds(since), last_exit());
            return if since > DOWN_LIMIT {
                Component::critical(message)
            } else {
                Component::warning(message)
            };
        }
    }
    match look.answer_of(&child.id) {
        Some(Answer::Came(latency)) => Component::ok(up(child, since)).measured(Some(latency)),
        Some(Answer::Missing(after)) => {
            Component::critical(format!("hangs: no answer within {}", seconds(after)))
        }
        Some(Answer::Down) => Component::warning(format!("went down a moment ago{}", last_exit())),
        None => Component::ok(up(child, since)),
    }
}

fn up(child: &ChildLook, since: Duration) -> String {
    match child.restarts {
        0 => format!("up for {}", seconds(since)),
        1 => format!("up for {}, restarted once", seconds(since)),
        n => format!("up for {}, restarted {n} times", seconds(since)),
    }
}

/// Whether what was restarted is up again, answers, and left nothing behind.
pub(super) fn recovery(look: &Look, memory: &Memory) -> Component {
    let hanging: Vec<String> = look
        .children
        .iter()
        .filter(|child| child.abandoned > 0)
        .map(|child| format!("{} of {}", child.abandoned, child.id))
        .collect();
    if !hanging.is_empty() {
        return Component::warning(format!(
            "abandoned incarnations still hang: {}; the program restarts itself if they become too many",
            hanging.join(", ")
        ));
    }
    let down: Vec<&str> = look
        .children
        .iter()
        .filter(|child| !advisor::is_part(&child.id))
        .filter(|child| child.restarts > 0 || child.last_exit.is_some())
        .filter(|child| {
            child.state != ChildState::Up
                || matches!(
                    look.answer_of(&child.id),
                    Some(Answer::Missing(_) | Answer::Down)
                )
        })
        .map(|child| &*child.id)
        .collect();
    if !down.is_empty() {
        return Component::warning(format!("not recovered yet: {}", down.join(", ")));
    }
    let restarted = memory.restarted();
    let Some((at, last)) = restarted.back() else {
        return Component::ok("nothing to recover from lately");
    };
    if restarted.len() > MANY_RESTARTS {
        let mut counts = BTreeMap::<&str, usize>::new();
        for (_, child) in restarted {
            *counts.entry(child).or_default() += 1;
        }
        let who: Vec<String> = counts
            .iter()
            .map(|(child, count)| format!("{count} of {child}"))
            .collect();
        return Component::warning(format!(
            "{} restarts in {}: {}; the log says why",
            restarted.len(),
            seconds(RESTARTS_REMEMBERED),
            who.join(", ")
        ));
    }
    let ago = look.now.saturating_duration_since(*at);
    Component::ok(format!(
        "{last} was restarted {} ago and is up again",
        seconds(ago)
    ))
}

/// A time as people say it.
pub(super) fn seconds(time: Duration) -> String {
    let s = time.as_secs_f64();
    match s {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
