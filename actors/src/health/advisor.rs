//! The advisor: whether it answers. Mining goes on without it, so nothing here is worse than a warning.

use supervise::ChildState;

use super::children::seconds;
use super::look::Look;
use super::report::Component;
use crate::advisor::Standing;

/// The child that supervises it.
pub(super) const CHILD: &str = "advisor";

/// Whether a child is the advisor's supervisor, or below it: what becomes of those is said here.
pub(super) fn is_part(id: &str) -> bool {
    id == CHILD || id.starts_with("advisor/")
}

/// Available, how long it takes, and its last good answer.
pub(super) fn advisor(look: &Look) -> Component {
    let view = &look.advisor;
    let policy = "the mathematical policy decides";
    let why = match (&view.standing, look.child(CHILD)) {
        (Standing::Off, _) => return Component::ok(policy),
        (Standing::LeftOut(why), _) => Some(format!("left out: {why}")),
        (Standing::Asked, Some(child)) if child.state != ChildState::Up => {
            Some(format!("its supervisor is {}", child.state.name()))
        }
        (Standing::Asked, _) => view.trouble.clone().map(|why| format!("no answer: {why}")),
    };
    if let Some(why) = why {
        let breaker = view.health.as_ref().map(|health| health.breaker);
        let breaker = breaker.map_or(String::new(), |state| format!(", breaker {state}"));
        return Component::warning(format!("{why}{breaker}; {policy}, and mining goes on"));
    }
    let Some(health) = view.health.as_ref() else {
        return Component::ok(format!("not asked yet; until then {policy}"));
    };
    let Some(last_good) = health.last_good else {
        return Component::ok(format!("no answer yet; until then {policy}"));
    };
    let ago = look.now.saturating_duration_since(last_good);
    let share = health.availability.unwrap_or(1.0) * 100.0;
    Component::ok(format!(
        "answered {share:.0} % of the latest questions, the last {} ago",
        seconds(ago)
    ))
    .measured(health.response)
}
