//! The nodes: the one in use decides, and what is wrong with the others is worth a word.

use std::time::Duration;

use super::chain;
use super::look::Look;
use super::report::{Component, Condition};
use crate::messages::{NodeState, NodeView};

/// A block reaches every node in this time.
const PROPAGATION: Duration = Duration::from_secs(10);

/// The node in use, and where it is as it should be, the others.
pub(super) fn nodes(look: &Look) -> Component {
    let used = chain::node(look);
    if look.nodes.len() < 2 || used.status > Condition::Ok {
        return used;
    }
    let troubles: Vec<String> = look
        .nodes
        .iter()
        .filter_map(|node| trouble(node, look))
        .collect();
    let name = look
        .nodes
        .iter()
        .find(|node| node.active)
        .map_or("", |node| &*node.name);
    let message = format!("{name} is {}", used.message);
    if troubles.is_empty() {
        Component::ok(message)
    } else {
        Component::warning(format!("{message}, but {}", troubles.join("; ")))
    }
}

/// What is wrong with a node.
fn trouble(node: &NodeView, look: &Look) -> Option<String> {
    let name = &node.name;
    if node.state == NodeState::Unknown {
        return None;
    }
    if !node.state.is_up() {
        return Some(format!("{name} is {}", node.state));
    }
    if let Some(since) = node.apart_since {
        let apart = look.now.saturating_duration_since(since);
        if apart >= PROPAGATION {
            return Some(format!(
                "{name} names another tip for {} s: the nodes disagree",
                apart.as_secs()
            ));
        }
    }
    // To be behind for a moment is how every block arrives.
    let fault = node.fault.as_ref().filter(|_| node.apart_since.is_none())?;
    Some(format!("{name} {fault}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixtures::Case;
    use super::*;
    use advisor::breaker::BreakerState;

    fn view(name: &str, active: bool) -> NodeView {
        NodeView {
            name: Arc::from(name),
            state: NodeState::Ready,
            active,
            tip: None,
            height: None,
            lag: Some(0),
            apart_since: None,
            latency: None,
            peers: None,
            breaker: BreakerState::Closed,
            answers_since: None,
            fault: None,
        }
    }

    #[test]
    fn nodes_that_agree_are_well_and_the_one_in_use_is_named() {
        let mut case = Case::well();
        case.look.nodes = vec![view("home", false), view("away", true)];
        let component = nodes(&case.look);
        assert_eq!(component.status, Condition::Ok);
        assert!(
            component.message.starts_with("away is "),
            "{}",
            component.message
        );
    }

    #[test]
    fn a_node_in_reserve_that_is_down_is_a_warning_that_names_it() {
        let mut case = Case::well();
        let mut home = view("home", false);
        home.state = NodeState::Absent {
            reason: "connection refused".into(),
        };
        case.look.nodes = vec![home, view("away", true)];
        let component = nodes(&case.look);
        assert_eq!(component.status, Condition::Warning);
        assert!(
            component
                .message
                .contains("home is absent: connection refused")
        );
    }

    #[test]
    fn nodes_that_disagree_are_a_warning_after_the_time_that_a_block_takes() {
        let mut case = Case::well();
        let mut away = view("away", false);
        away.apart_since = Some(case.look.now);
        away.fault = Some(Arc::from("is behind"));
        case.look.nodes = vec![view("home", true), away];
        assert_eq!(nodes(&case.look).status, Condition::Ok);
        case.look.now += PROPAGATION;
        let component = nodes(&case.look);
        assert_eq!(component.status, Condition::Warning);
        assert!(
            component.message.contains("disagree"),
            "{}",
            component.message
        );
    }

    #[test]
    fn what_is_wrong_with_the_node_in_use_comes_first() {
        let mut case = Case::well();
        case.look.node = NodeState::Refused {
            reason: "another network".into(),
        };
        case.look.nodes = vec![view("home", true), view("away", false)];
        let component = nodes(&case.look);
        assert_eq!(component.status, Condition::Critical);
        assert!(component.message.contains("another network"));
    }
}
