//! The whole program beside several nodes, each in a process of its own.

mod common;

use common::node::Node;
use common::several;

#[test]
fn mines_on_when_the_preferred_node_freezes() {
    let node = Node::devnode();
    several::mines_on_when_the_preferred_node_freezes(&node, &node.another());
}

#[test]
fn mines_on_when_a_preferred_bitcoin_core_freezes() {
    if let Some(node) = Node::bitcoin_core() {
        several::mines_on_when_the_preferred_node_freezes(&node, &node.another());
    }
}
