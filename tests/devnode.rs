//! The whole program beside the devnode, both in processes of their own.

mod common;

use common::node::Node;
use common::{outages, scenarios, tips};

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

#[test]
fn mines_on_after_a_reorganisation_of_a_hundred_blocks() {
    let node = Node::devnode();
    tips::mines_on_after_a_reorganisation_of_a_hundred_blocks(&node);
}

#[test]
fn stays_on_the_first_of_two_equal_tips() {
    let node = Node::devnode();
    tips::stays_on_the_first_of_two_equal_tips(&node);
}

#[test]
fn mines_on_a_node_that_goes_back_and_forth() {
    let node = Node::devnode();
    tips::mines_on_a_node_that_goes_back_and_forth(&node);
}

#[test]
fn mines_on_while_headers_are_ahead_of_their_blocks() {
    let node = Node::devnode();
    tips::mines_on_while_headers_are_ahead_of_their_blocks(&node);
}

#[test]
fn mines_although_nobody_publishes() {
    let node = Node::devnode();
    tips::mines_although_nobody_publishes(&node);
}

#[test]
fn catches_up_after_notifications_were_lost() {
    let node = Node::devnode();
    tips::catches_up_after_notifications_were_lost(&node);
}

#[test]
fn says_that_work_is_stale_until_it_is_not() {
    let node = Node::devnode();
    tips::says_that_work_is_stale_until_it_is_not(&node);
}

#[test]
fn counts_a_block_that_came_too_late_as_stale() {
    let mut node = Node::devnode();
    tips::counts_a_block_that_came_too_late_as_stale(&mut node);
}
