//! Faults of notifications, over real sockets.

#![allow(clippy::unwrap_used)]

mod support;

use signalcore_devnode::FaultScript;
use support::zmtp::Subscriber;
use support::{Node, start};

const TOPICS: [&str; 3] = ["sequence", "hashblock", "rawblock"];

fn load(node: &Node, text: &str) {
    node.devnode.set_faults(FaultScript::parse(text).unwrap());
}

/// The next messages as topic and distance of the counter from what a faultless publisher would have.
fn seen(subscriber: &mut Subscriber, start: u32, count: usize) -> Vec<(String, i64)> {
    let messages = subscriber.take(count).into_iter();
    messages
        .map(|message| {
            (
                message.topic,
                i64::from(message.sequence) - i64::from(start),
            )
        })
        .collect()
}

/// A subscriber, and the counter of the first rawblock to come; the others have the same.
fn subscribe(node: &Node) -> (Subscriber, u32) {
    let mut subscriber = Subscriber::connect(node, &TOPICS);
    node.devnode.generate(1).unwrap();
    let last = subscriber.take(3).pop().unwrap();
    (subscriber, last.sequence + 1)
}

fn expect(messages: &[(&str, i64)]) -> Vec<(String, i64)> {
    let messages = messages.iter();
    messages
        .map(|(topic, distance)| ((*topic).to_owned(), *distance))
        .collect()
}

#[test]
fn one_topic_falls_silent_and_another_skips_numbers() {
    let node = start();
    let (mut subscriber, next) = subscribe(&node);
    load(
        &node,
        "[[zmq]]\ntopic = 'rawblock'\nwhen = { times = 2 }\nfault = 'silence'\n\
         [[zmq]]\ntopic = 'hashblock'\nwhen = { nth = 2 }\nfault = 'gap'\n",
    );
    node.devnode.generate(3).unwrap();
    assert_eq!(
        seen(&mut subscriber, next, 6),
        expect(&[
            ("sequence", 0),
            ("hashblock", 0),
            ("sequence", 1),
            ("sequence", 2),
            ("hashblock", 2),
            ("rawblock", 0),
        ])
    );
}

#[test]
fn messages_come_twice_and_counters_begin_again() {
    let node = start();
    let (mut subscriber, next) = subscribe(&node);
    let height = node.devnode.tip().height;
    load(
        &node,
        &format!(
            "[[zmq]]\ntopic = 'hashblock'\nwhen = {{ nth = 1 }}\nfault = {{ duplicate = 1 }}\n\
             [[zmq]]\ntopic = 'sequence'\nwhen = {{ from_height = {}, times = 1 }}\nfault = 'reset'\n",
            height + 2
        ),
    );
    node.devnode.generate(2).unwrap();
    assert_eq!(
        seen(&mut subscriber, next, 4),
        expect(&[
            ("sequence", 0),
            ("hashblock", 0),
            ("hashblock", 0),
            ("rawblock", 0)
        ])
    );
    assert_eq!(
        seen(&mut subscriber, 0, 3),
        expect(&[("sequence", 0), ("hashblock", 0), ("rawblock", 0)])
    );
}

#[test]
fn messages_come_in_other_shapes_and_the_next_ones_as_always() {
    let node = start();
    let (mut subscriber, _) = subscribe(&node);
    for (shape, parts) in [
        ("two_parts", vec![8, 80]),
        ("four_parts", vec![8, 80, 4, 0]),
        ("half_body", vec![8, 40, 4]),
        ("other_body", vec![8, 80, 4]),
        ("empty_body", vec![8, 0, 4]),
        ("short_counter", vec![8, 80, 3]),
        ("long_topic", vec![9, 80, 4]),
    ] {
        load(
            &node,
            &format!(
                "[[zmq]]\ntopic = 'rawblock'\nwhen = {{ times = 1 }}\nfault = {{ garbage = '{shape}' }}"
            ),
        );
        let hash = node.devnode.generate(1).unwrap()[0];
        let block = node.devnode.raw_block(&hash).unwrap();
        // 80 stands for the whole of a block.
        let parts = parts.into_iter().map(|length: usize| match length {
            80 => block.len(),
            40 => block.len() / 2,
            other => other,
        });
        subscriber.take(2);
        let garbled = subscriber.receive_parts(support::LIMIT).unwrap();
        let lengths: Vec<usize> = garbled.iter().map(Vec::len).collect();
        assert_eq!(lengths, parts.collect::<Vec<_>>(), "{shape}");
        assert_eq!(
            garbled.get(1) == Some(&block),
            lengths[1] == block.len() && shape != "other_body"
        );
    }
    let hash = node.devnode.generate(1).unwrap()[0];
    assert_eq!(subscriber.take(3)[2].text(), format!("rawblock {hash}"));
}

#[test]
fn a_late_message_holds_up_those_behind_it() {
    let node = start();
    let (mut subscriber, next) = subscribe(&node);
    load(
        &node,
        "[[zmq]]\ntopic = 'hashblock'\nwhen = { times = 1 }\nfault = { delay_s = 0.3 }",
    );
    let begun = std::time::Instant::now();
    node.devnode.generate(1).unwrap();
    assert_eq!(
        seen(&mut subscriber, next, 3),
        expect(&[("sequence", 0), ("hashblock", 0), ("rawblock", 0)])
    );
    assert!(begun.elapsed() >= std::time::Duration::from_millis(300));
}
