//! The whole program beside the devnode, both in processes of their own.

mod common;

use common::node::Node;
use common::{outages, scenarios};

#[test]
fn mines_blocks_that_the_node_accepts() {
    let node = Node::devnode();
    scenarios::mines_blocks_that_the_node_accepts(&node);
}

#[test]
fn pays_every_kind_of_address() {
    let node = Node::devnode();
    scenarios::pays_every_kind_of_address(&node);
}

#[test]
fn mines_a_filled_mempool() {
    let node = Node::devnode();
    scenarios::mines_a_filled_mempool(&node);
}

#[test]
fn follows_reorganisations() {
    let node = Node::devnode();
    scenarios::follows_reorganisations(&node);
}

#[test]
fn mines_on_after_a_reorganisation() {
    let node = Node::devnode();
    scenarios::mines_on_after_a_reorganisation(&node);
}

#[test]
fn works_by_polling_alone() {
    let node = Node::devnode();
    scenarios::works_by_polling_alone(&node);
}

#[test]
fn hears_zmq() {
    let node = Node::devnode();
    scenarios::hears_zmq(&node);
}

#[test]
fn refuses_a_node_of_another_network() {
    let node = Node::devnode();
    scenarios::refuses_a_node_of_another_network(&node);
}

#[test]
fn survives_a_restart_of_the_node() {
    let mut node = Node::devnode();
    outages::survives_a_restart_of_the_node(&mut node);
}

#[test]
fn a_block_found_while_the_node_is_down_is_delivered() {
    let mut node = Node::devnode();
    outages::a_block_found_while_the_node_is_down_is_delivered(&mut node);
}

#[test]
fn mines_a_crowded_mempool() {
    let node = Node::devnode();
    scenarios::mines_a_crowded_mempool(&node);
}

#[test]
fn keeps_the_timestamp_rules_at_full_speed() {
    let node = Node::devnode();
    scenarios::keeps_the_timestamp_rules_at_full_speed(&node);
}

#[test]
fn logs_in_with_a_password_file() {
    let node = Node::devnode();
    scenarios::logs_in_with_a_password_file(&node);
}

#[test]
fn mines_on_after_a_deep_reorganisation() {
    let node = Node::devnode();
    scenarios::mines_on_after_a_deep_reorganisation(&node);
}

#[test]
fn mines_by_polling_alone() {
    let node = Node::devnode();
    scenarios::mines_by_polling_alone(&node);
}

#[test]
fn survives_a_killed_node() {
    let mut node = Node::devnode();
    outages::survives_a_killed_node(&mut node);
}

#[test]
fn waits_for_a_node_that_starts_later() {
    let mut node = Node::devnode();
    outages::waits_for_a_node_that_starts_later(&mut node);
}

#[test]
fn survives_a_node_that_stands_still() {
    let node = Node::devnode();
    outages::survives_a_node_that_stands_still(&node);
}

#[test]
fn mines_beside_other_clients() {
    let node = Node::devnode();
    outages::mines_beside_other_clients(&node);
}

#[test]
fn gives_every_block_to_every_node() {
    let node = Node::devnode();
    scenarios::gives_every_block_to_every_node(&node);
}
