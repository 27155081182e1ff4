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

#[test]
fn fails_over_and_back() {
    let mut node = Node::devnode();
    several::fails_over_and_back(&mut node);
}

#[test]
fn fails_over_from_a_bitcoin_core_and_back() {
    if let Some(mut node) = Node::bitcoin_core() {
        several::fails_over_and_back(&mut node);
    }
}

#[test]
fn follows_the_node_with_more_work() {
    let node = Node::devnode();
    several::follows_the_node_with_more_work(&node);
}

#[test]
fn follows_the_bitcoin_core_with_more_work() {
    if let Some(node) = Node::bitcoin_core() {
        several::follows_the_node_with_more_work(&node);
    }
}
