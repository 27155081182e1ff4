//! Well-behaved publishers: messages, counters, restarts.

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use node::zmq::{Gap, Payload, Settings, Subscriber, Topic, ZmqEvent};
use node::{ZmqEndpoint, ZmqEndpoints};
use zeromq::{PubSocket, Socket, SocketSend, ZmqMessage};

use crate::PATIENCE;
use crate::zmq_publisher::{
    Publisher, endpoints, lost, message, next, notification, quick, state_shows,
};

/// A hash in display order, and as a type.
fn hash(first: u8) -> ([u8; 32], BlockHash) {
    let mut bytes = [0; 32];
    bytes[0] = first;
    (bytes, hex::encode(bytes).parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zeromq_publisher_is_heard() {
    let mut publisher = PubSocket::new();
    let endpoint = publisher
        .bind("tcp://127.0.0.1:0")
        .await
        .unwrap()
        .to_string();
    let (subscriber, mut events) = Subscriber::start(
        "test",
        &ZmqEndpoints::all_at(endpoint.parse().unwrap()),
        quick(),
    );
    let connected = next(&mut events).await;
    assert!(
        matches!(&connected, ZmqEvent::Connected { topics, .. } if topics.len() == 3),
        "{connected:?}"
    );
    let (bytes, id) = hash(7);
    // When the subscription has arrived cannot be seen from outside: publish until it has.
    let begun = Instant::now();
    let mut counter = 0_u32;
    let first = loop {
        assert!(begun.elapsed() < PATIENCE);
        let mut message = ZmqMessage::from("hashblock");
        message.push_back(bytes.to_vec().into());
        message.push_back(counter.to_le_bytes().to_vec().into());
        publisher.send(message).await.unwrap();
        counter += 1;
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(20), events.recv()).await {
            break event.unwrap();
        }
    };
    match first {
        ZmqEvent::Notification(notification) => {
            assert_eq!(notification.topic, Topic::HashBlock);
            assert_eq!(notification.payload, Payload::HashBlock(id));
            assert_eq!(notification.gap, Gap::First);
        }
        other => panic!("{other:?}"),
    }
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_at_one_endpoint_share_a_connection_and_others_have_their_own() {
    let (one, two) = (Publisher::bind(), Publisher::bind());
    let endpoint = |publisher: &Publisher| -> ZmqEndpoint {
        format!("tcp://{}", publisher.address()).parse().unwrap()
    };
    let endpoints = ZmqEndpoints {
        hashblock: Some(endpoint(&one)),
        rawblock: Some(endpoint(&two)),
        sequence: Some(endpoint(&one)),
    };
    let (subscriber, mut events) = Subscriber::start("test", &endpoints, quick());
    let mut first = one.accept(2);
    let _second = two.accept(1);
    first.publish("hashblock", &hash(1).0, 0);
    assert_eq!(notification(&mut events).await.topic, Topic::HashBlock);
    let state = subscriber.state();
    assert_eq!(state.len(), 2);
    let of = |publisher: &Publisher| {
        state
            .iter()
            .find(|s| s.endpoint == endpoint(publisher))
            .unwrap()
    };
    assert_eq!(of(&one).topics, [Topic::HashBlock, Topic::Sequence]);
    assert_eq!(of(&two).topics, [Topic::RawBlock]);
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_endpoints_there_are_no_events() {
    let (subscriber, mut events) = Subscriber::start("test", &ZmqEndpoints::default(), quick());
    assert!(events.recv().await.is_none());
    assert!(subscriber.state().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_show_gaps_and_restarts_by_topic() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    let block = |label: u8| [hash(2).0.as_slice(), &[label]].concat();
    for (topic, counter, expected) in [
        ("hashblock", 100, Gap::First),
        ("hashblock", 101, Gap::None),
        ("sequence", 5, Gap::First),
        ("hashblock", 104, Gap::Missed(2)),
        ("sequence", 6, Gap::None),
        ("hashblock", 0, Gap::Reset),
        ("hashblock", 1, Gap::None),
        ("sequence", u32::MAX, Gap::Reset),
        ("sequence", 0, Gap::None),
        ("sequence", 0, Gap::Reset),
    ] {
        let body = if topic == "sequence" {
            block(b'C')
        } else {
            hash(2).0.to_vec()
        };
        link.publish(topic, &body, counter);
        let notification = notification(&mut events).await;
        assert_eq!(
            (notification.sequence, notification.gap),
            (counter, expected),
            "{topic}"
        );
    }
    let counters = &subscriber.state()[0].counters;
    assert_eq!(counters[&Topic::HashBlock].missed, 2);
    assert_eq!(counters[&Topic::HashBlock].resets, 1);
    assert_eq!(counters[&Topic::Sequence].received, 5);
    assert!(!counters.contains_key(&Topic::RawBlock));
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_restarts_is_found_again_and_its_counters_compared() {
    let publisher = Publisher::bind();
    let address = publisher.address();
    let (subscriber, mut events) = Subscriber::start("test", &endpoints(address), quick());
    let mut link = publisher.accept(3);
    link.publish("hashblock", &hash(1).0, 7);
    assert_eq!(notification(&mut events).await.gap, Gap::First);
    drop((link, publisher));
    assert!(lost(&mut events).await.contains("closed the connection"));
    state_shows(&subscriber, "refused", |state| {
        state
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("cannot connect"))
    })
    .await;
    let publisher = Publisher::at(address);
    let mut link = publisher.accept(3);
    link.publish("hashblock", &hash(2).0, 0);
    assert_eq!(notification(&mut events).await.gap, Gap::Reset);
    let state = subscriber.state().remove(0);
    assert_eq!(state.connects, 2);
    assert!(state.connected_since.is_some() && state.last_message.is_some());
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_can_be_made_anew_at_will() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let first = publisher.accept(3);
    assert!(matches!(
        next(&mut events).await,
        ZmqEvent::Connected { .. }
    ));
    subscriber.recreate();
    first.wait_for_end();
    let mut second = publisher.accept(3);
    second.publish("hashblock", &hash(1).0, 0);
    notification(&mut events).await;
    assert_eq!(subscriber.state()[0].connects, 2);
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_block_arrives_and_more_than_one_does_not() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    let block: Vec<u8> = (0..4_000_000_u32).map(|n| (n / 3) as u8).collect();
    let sender = std::thread::spawn(move || {
        link.publish("rawblock", &block, 0);
        link.publish("rawblock", &[block.as_slice(), &[0]].concat(), 1);
        link.publish("hashblock", &hash(1).0, 0);
        (link, block)
    });
    match notification(&mut events).await.payload {
        Payload::RawBlock(raw) => {
            let block = raw.bytes.to_vec();
            assert_eq!(raw.hash, raw.header.block_hash());
            assert_eq!(block.len(), 4_000_000);
            assert!(
                block
                    .iter()
                    .enumerate()
                    .all(|(n, byte)| *byte == (n as u32 / 3) as u8)
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(notification(&mut events).await.topic, Topic::HashBlock);
    assert_eq!(subscriber.state()[0].garbage.values().sum::<u64>(), 1);
    sender.join().unwrap();
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_told_of_when_its_first_bytes_are_there() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    assert!(matches!(
        next(&mut events).await,
        ZmqEvent::Connected { .. }
    ));
    let block: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 3) as u8).collect();
    let message = message(&[b"rawblock", &block, &[0; 4]]);
    // All that decides on a job, and not the rest.
    let (first, rest) = message.split_at(message.len() - block.len() - 6 + 256);
    link.send(first);
    let start = match next(&mut events).await {
        ZmqEvent::BlockStarts(start) => start,
        other => panic!("{other:?}"),
    };
    assert_eq!(start.hash, start.header.block_hash());
    assert_eq!(&start.bytes[..], &block[..256]);
    let rest = rest.to_vec();
    let sender = std::thread::spawn(move || {
        link.send(&rest);
        link
    });
    // Without anything that follows it.
    match next(&mut events).await {
        ZmqEvent::Notification(heard) => match heard.payload {
            Payload::RawBlock(raw) => {
                assert_eq!((raw.hash, raw.bytes.len()), (start.hash, 2_000_000));
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    let mut link = sender.join().unwrap();
    let sender = std::thread::spawn(move || {
        // Small ones, of which not all are blocks, and one that is larger than any block.
        link.publish("rawblock", &[7; 80], 1);
        link.publish("rawblock", &[8; 81], 2);
        link.publish("hashblock", &[9; 81], 0);
        link.publish("rawblock", &vec![0; 4_000_001], 3);
        link.publish("sequence", &[&[1; 32][..], b"C"].concat(), 0);
        link
    });
    match next(&mut events).await {
        ZmqEvent::BlockStarts(start) => assert_eq!(&start.bytes[..], &[8; 81]),
        other => panic!("{other:?}"),
    }
    for topic in [Topic::RawBlock, Topic::Sequence] {
        match next(&mut events).await {
            ZmqEvent::Notification(heard) => assert_eq!(heard.topic, topic),
            other => panic!("{other:?}"),
        }
    }
    drop(sender.join().unwrap());
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_block_that_was_not_subscribed_to_nothing_is_told() {
    let publisher = Publisher::bind();
    let all = endpoints(publisher.address());
    let some = ZmqEndpoints {
        rawblock: None,
        ..all
    };
    let (subscriber, mut events) = Subscriber::start("test", &some, quick());
    let mut link = publisher.accept(2);
    assert!(matches!(
        next(&mut events).await,
        ZmqEvent::Connected { .. }
    ));
    link.publish("rawblock", &[8; 81], 0);
    link.publish("hashblock", &hash(1).0, 0);
    match next(&mut events).await {
        ZmqEvent::Notification(heard) => assert_eq!(heard.topic, Topic::HashBlock),
        other => panic!("{other:?}"),
    }
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_listener_holds_the_publisher_back_and_loses_nothing() {
    let publisher = Publisher::bind();
    let settings = Settings {
        capacity: 1,
        ..quick()
    };
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), settings);
    let mut link = publisher.accept(3);
    // More than the sockets in between can hold, and then the publisher goes away at once.
    let block = vec![7; 1_000_000];
    let sender = std::thread::spawn(move || {
        (0..100).all(|counter| link.publish("rawblock", &block, counter))
    });
    for counter in 0..100 {
        let heard = notification(&mut events).await;
        assert_eq!((heard.sequence, heard.gap.is_loss()), (counter, false));
    }
    assert!(sender.join().unwrap());
    assert_eq!(
        subscriber.state()[0].counters[&Topic::RawBlock].received,
        100
    );
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_before_the_end_is_heard_before_the_end_is_told() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    for round in 0..20 {
        let mut link = publisher.accept(3);
        assert!(matches!(
            next(&mut events).await,
            ZmqEvent::Connected { .. }
        ));
        for counter in 0..10 {
            link.publish("hashblock", &hash(1).0, round * 10 + counter);
        }
        drop(link);
        for counter in 0..10 {
            match next(&mut events).await {
                ZmqEvent::Notification(heard) => assert_eq!(heard.sequence, round * 10 + counter),
                other => panic!("{other:?} before message {counter}"),
            }
        }
        assert!(matches!(next(&mut events).await, ZmqEvent::Lost { .. }));
    }
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_is_prompt_in_every_state() {
    // Connected.
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let link = publisher.accept(3);
    assert!(matches!(
        next(&mut events).await,
        ZmqEvent::Connected { .. }
    ));
    tokio::time::timeout(PATIENCE, subscriber.stop())
        .await
        .unwrap();
    link.wait_for_end();
    assert!(events.recv().await.is_none(), "no event after the end");
    // In the handshake.
    let (subscriber, _events) =
        Subscriber::start("test", &endpoints(publisher.address()), Settings::default());
    let _silent = publisher.accept_raw();
    tokio::time::timeout(PATIENCE, subscriber.stop())
        .await
        .unwrap();
    // Nobody there.
    let address = publisher.address();
    drop(publisher);
    let (subscriber, _events) = Subscriber::start("test", &endpoints(address), Settings::default());
    state_shows(&subscriber, "an attempt", |state| {
        state.last_error.is_some()
    })
    .await;
    tokio::time::timeout(PATIENCE, subscriber.stop())
        .await
        .unwrap();
}
