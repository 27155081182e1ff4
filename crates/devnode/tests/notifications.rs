//! ZMQ: which messages, in which order, with which numbers.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use serde_json::{Value, json};
use support::zmtp::{Message, Subscriber};
use support::{blocks, start, start_with};

const ALL: [&str; 3] = ["sequence", "hashblock", "rawblock"];

/// Numbers of one topic, without gaps.
fn assert_consecutive(messages: &[Message], topic: &str) {
    let numbers: Vec<u32> = messages
        .iter()
        .filter(|message| message.topic == topic)
        .map(|message| message.sequence)
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{topic}: {numbers:?}"
    );
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::text).collect()
}

#[test]
fn a_block_is_announced_as_sequence_then_hash_then_raw() {
    let node = start();
    let mut subscriber = Subscriber::connect(&node, &ALL);
    let hashes = node.devnode.generate(2).unwrap();
    let messages = subscriber.take(6);
    let expected: Vec<String> = hashes
        .iter()
        .flat_map(|hash| {
            [
                format!("C {hash}"),
                format!("hashblock {hash}"),
                format!("rawblock {hash}"),
            ]
        })
        .collect();
    assert_eq!(texts(&messages), expected);
    assert_eq!(
        messages[2].body,
        node.devnode.raw_block(&hashes[0]).unwrap()
    );
    for topic in ALL {
        assert_consecutive(&messages, topic);
    }
    // Each block has had one message of each topic since the start, numbered from 0.
    assert_eq!(messages[5].sequence, node.devnode.tip().height - 1);
}

#[test]
fn a_tip_that_goes_back_is_told_by_sequence_alone() {
    let node = start();
    let mut subscriber = Subscriber::connect(&node, &ALL);
    let tip = node.devnode.tip();
    node.devnode.invalidate(&tip.hash).unwrap();
    let next = node.devnode.generate(1).unwrap()[0];
    let messages = subscriber.take(4);
    assert_eq!(
        texts(&messages),
        [
            format!("D {}", tip.hash),
            format!("C {next}"),
            format!("hashblock {next}"),
            format!("rawblock {next}")
        ]
    );
}

#[test]
fn a_reorganisation_of_six_is_six_d_seven_c_and_one_hash() {
    let node = start();
    let mut subscriber = Subscriber::connect(&node, &ALL);
    let fork = node.devnode.tip().hash;
    let old = node.devnode.generate(6).unwrap();
    subscriber.take(18);
    let branch = blocks::branch(&node, fork, 7, "other");
    for block in &branch[..6] {
        assert_eq!(node.submit(block), json!("inconclusive"));
    }
    assert_eq!(node.submit(&branch[6]), Value::Null);
    let new: Vec<_> = branch.iter().map(bitcoin::Block::block_hash).collect();
    let messages = subscriber.take(6 + 7 + 2);
    let expected: Vec<String> = old
        .iter()
        .rev()
        .map(|hash| format!("D {hash}"))
        .chain(new.iter().map(|hash| format!("C {hash}")))
        .chain([
            format!("hashblock {}", new[6]),
            format!("rawblock {}", new[6]),
        ])
        .collect();
    assert_eq!(
        texts(&messages),
        expected,
        "and nothing for the six that were not the best"
    );
    assert_consecutive(&messages, "sequence");
}

#[test]
fn blocks_connected_at_once_are_announced_when_the_work_is_more_and_at_the_end() {
    let node = start();
    let mut subscriber = Subscriber::connect(&node, &ALL);
    let fork = node.devnode.tip().hash;
    node.devnode.generate(7).unwrap();
    subscriber.take(21);
    let branch = blocks::branch(&node, fork, 9, "other");
    for block in &branch {
        node.ok("submitheader", &json!([serialize_hex(&block.header)]));
    }
    for block in &branch[1..] {
        assert_eq!(node.submit(block), json!("inconclusive"));
    }
    assert_eq!(node.submit(&branch[0]), Value::Null);
    let new: Vec<_> = branch.iter().map(bitcoin::Block::block_hash).collect();
    let messages = subscriber.take(7 + 9 + 4);
    let tail = &texts(&messages)[7 + 8..];
    assert_eq!(
        tail,
        [
            format!("hashblock {}", new[7]),
            format!("rawblock {}", new[7]),
            format!("C {}", new[8]),
            format!("hashblock {}", new[8]),
            format!("rawblock {}", new[8]),
        ]
    );
}

#[test]
fn transactions_are_announced_when_they_come_and_when_they_go_but_not_when_they_are_mined() {
    let node = start();
    node.devnode.fund(2).unwrap();
    let mut subscriber = Subscriber::connect(&node, &["sequence"]);
    let ids = node.devnode.fill_mempool(2).unwrap();
    let messages = subscriber.take(2);
    let labelled: Vec<String> = ids.iter().map(|id| format!("A {id}")).collect();
    assert_eq!(texts(&messages), labelled);
    let number = |message: &Message| u64::from_le_bytes(message.body[33..].try_into().unwrap());
    assert_eq!(number(&messages[1]), number(&messages[0]) + 1);

    let block = node.devnode.generate(1).unwrap()[0];
    assert_eq!(
        texts(&subscriber.take(1)),
        [format!("C {block}")],
        "no R for what is mined"
    );
    node.devnode.invalidate(&block).unwrap();
    let back = subscriber.take(3);
    assert_eq!(
        texts(&back),
        [vec![format!("D {block}")], labelled].concat()
    );
    assert_eq!(
        number(&back[1]),
        number(&messages[1]) + 3,
        "the block took two numbers"
    );
}

#[test]
fn during_initial_block_download_only_sequence_is_published() {
    let clock = std::sync::Arc::new(signalcore_devnode::ManualClock::new(1_800_000_000));
    let node = start_with(|config| config.clock = clock.clone());
    let info = node.ok("getblockchaininfo", &json!([]));
    assert_eq!(info["initialblockdownload"], json!(true));
    // A subscriber needs blocks to make sure that it is heard: old ones, which keep IBD.
    let genesis = node.devnode.tip();
    let old = blocks::empty_block(genesis.hash, 1, 1_400_000_000, "old");
    assert_eq!(node.submit(&old), Value::Null);
    assert_eq!(
        node.ok("getblockchaininfo", &json!([]))["initialblockdownload"],
        json!(true)
    );
    node.devnode.generate(1).unwrap();
    assert_eq!(
        node.ok("getblockchaininfo", &json!([]))["initialblockdownload"],
        json!(false)
    );

    // The numbers tell: two blocks so far, of which one was announced as a new tip.
    let mut subscriber = Subscriber::connect(&node, &ALL);
    node.devnode.generate(1).unwrap();
    let messages = subscriber.take(3);
    assert_eq!(messages[1].topic, "hashblock");
    assert_eq!(messages[0].sequence, messages[1].sequence + 1);
}

#[test]
fn a_subscriber_that_does_not_read_holds_nobody_up() {
    let node = start();
    let _silent = Subscriber::connect(&node, &ALL);
    let mut other = Subscriber::connect(&node, &["hashblock"]);
    let hashes = node.devnode.generate(300).unwrap();
    let seen = texts(&other.take(300));
    let expected: Vec<String> = hashes
        .iter()
        .map(|hash| format!("hashblock {hash}"))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(other.receive(Duration::from_millis(50)), None);
}
