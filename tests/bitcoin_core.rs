//! The whole program beside a real Bitcoin Core on regtest.
//!
//! Set `BITCOIND_EXE` to a `bitcoind` of version 27 or later; without it every test says `skipped`.
//! The same scenarios run against the devnode in `tests/devnode.rs`.

mod common;

use common::node::Node;
use common::{ReservedPort, outages, peers, scenarios, tips};

#[test]
fn mines_blocks_that_the_node_accepts() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::mines_blocks_that_the_node_accepts(&node);
    }
}

#[test]
fn pays_every_kind_of_address() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::pays_every_kind_of_address(&node);
    }
}

#[test]
fn mines_a_filled_mempool() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::mines_a_filled_mempool(&node);
    }
}

#[test]
fn follows_reorganisations() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::follows_reorganisations(&node);
    }
}

#[test]
fn mines_on_after_a_reorganisation() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::mines_on_after_a_reorganisation(&node);
    }
}

#[test]
fn works_by_polling_alone() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::works_by_polling_alone(&node);
    }
}

#[test]
fn hears_zmq() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::hears_zmq(&node);
    }
}

#[test]
fn refuses_a_node_of_another_network() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::refuses_a_node_of_another_network(&node);
    }
}

#[test]
fn survives_a_restart_of_the_node() {
    if let Some(mut node) = Node::bitcoin_core() {
        outages::survives_a_restart_of_the_node(&mut node);
    }
}

#[test]
fn a_block_found_while_the_node_is_down_is_delivered() {
    if let Some(mut node) = Node::bitcoin_core() {
        outages::a_block_found_while_the_node_is_down_is_delivered(&mut node);
    }
}

#[test]
fn mines_a_crowded_mempool() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::mines_a_crowded_mempool(&node);
    }
}

#[test]
fn keeps_the_timestamp_rules_at_full_speed() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::keeps_the_timestamp_rules_at_full_speed(&node);
    }
}

#[test]
fn logs_in_with_a_password_file() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::logs_in_with_a_password_file(&node);
    }
}

#[test]
fn mines_on_after_a_deep_reorganisation() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::mines_on_after_a_deep_reorganisation(&node);
    }
}

#[test]
fn mines_by_polling_alone() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::mines_by_polling_alone(&node);
    }
}

#[test]
fn survives_a_killed_node() {
    if let Some(mut node) = Node::bitcoin_core() {
        outages::survives_a_killed_node(&mut node);
    }
}

#[test]
fn waits_for_a_node_that_starts_later() {
    if let Some(mut node) = Node::bitcoin_core() {
        outages::waits_for_a_node_that_starts_later(&mut node);
    }
}

#[test]
fn survives_a_node_that_stands_still() {
    if let Some(node) = Node::bitcoin_core() {
        outages::survives_a_node_that_stands_still(&node);
    }
}

#[test]
fn mines_beside_other_clients() {
    if let Some(node) = Node::bitcoin_core() {
        outages::mines_beside_other_clients(&node);
    }
}

#[test]
fn mines_beside_other_clients_of_a_node_with_one_rpc_thread() {
    if let Some(node) = Node::bitcoin_core_with("regtest", &["-rpcthreads=1", "-rpcworkqueue=1"]) {
        outages::mines_beside_other_clients(&node);
    }
}

#[test]
fn gives_every_block_to_every_node() {
    if let Some(node) = Node::bitcoin_core() {
        scenarios::gives_every_block_to_every_node(&node);
    }
}

/// Real work and real timestamps: a signet of our own, whose challenge OP_TRUE asks for no signature.
#[test]
fn mines_on_a_signet() {
    if let Some(node) = Node::bitcoin_core_with("signet", &["-signetchallenge=51"]) {
        scenarios::mines_on_a_signet(&node);
    }
}

#[test]
fn mines_on_after_a_reorganisation_of_a_hundred_blocks() {
    if let Some(node) = Node::bitcoin_core() {
        tips::mines_on_after_a_reorganisation_of_a_hundred_blocks(&node);
    }
}

#[test]
fn stays_on_the_first_of_two_equal_tips() {
    if let Some(node) = Node::bitcoin_core() {
        tips::stays_on_the_first_of_two_equal_tips(&node);
    }
}

#[test]
fn mines_on_a_node_that_goes_back_and_forth() {
    if let Some(node) = Node::bitcoin_core() {
        tips::mines_on_a_node_that_goes_back_and_forth(&node);
    }
}

#[test]
fn mines_on_while_headers_are_ahead_of_their_blocks() {
    if let Some(node) = Node::bitcoin_core() {
        tips::mines_on_while_headers_are_ahead_of_their_blocks(&node);
    }
}

#[test]
fn mines_although_nobody_publishes() {
    if let Some(node) = Node::bitcoin_core() {
        tips::mines_although_nobody_publishes(&node);
    }
}

#[test]
fn catches_up_after_notifications_were_lost() {
    if let Some(node) = Node::bitcoin_core() {
        tips::catches_up_after_notifications_were_lost(&node);
    }
}

#[test]
fn says_that_work_is_stale_until_it_is_not() {
    if let Some(node) = Node::bitcoin_core() {
        tips::says_that_work_is_stale_until_it_is_not(&node);
    }
}

#[test]
fn counts_a_block_that_came_too_late_as_stale() {
    if let Some(mut node) = Node::bitcoin_core() {
        tips::counts_a_block_that_came_too_late_as_stale(&mut node);
    }
}

#[test]
fn races_a_peer_that_comes_and_goes() {
    let port = ReservedPort::new();
    let address = format!("127.0.0.1:{}", port.number);
    let options = ["-listen=1", &format!("-bind={address}")];
    if let Some(node) = Node::bitcoin_core_with("regtest", &options) {
        peers::races_a_peer_that_comes_and_goes(&node, &address);
    }
}

#[test]
fn mines_on_a_pruned_node() {
    if let Some(node) = Node::bitcoin_core_with("regtest", &["-prune=1", "-fastprune"]) {
        peers::mines_on_a_pruned_node(&node);
    }
}

#[test]
fn waits_for_the_end_of_initial_block_download() {
    if let Some(node) = Node::bitcoin_core_with("signet", &["-signetchallenge=51"]) {
        peers::waits_for_the_end_of_initial_block_download(&node);
    }
}
