//! Publishers that are broken, hostile, or something else altogether. Each is survived, and the next one heard.

use std::time::{Duration, Instant};

use node::zmq::{Events, Garbage, Settings, Subscriber, Topic, ZmqEvent};

use crate::zmq_publisher::{
    Link, Publisher, endpoints, greeting, lost, message, next, notification, quick, state_shows,
};

const HASH: [u8; 32] = [5; 32];

/// Proves that the subscriber still hears a well-behaved publisher.
async fn is_heard(publisher: &Publisher, events: &mut Events, counter: u32) -> Link {
    let mut link = publisher.accept(3);
    assert!(link.publish("hashblock", &HASH, counter));
    assert_eq!(notification(events).await.sequence, counter);
    link
}

/// A publisher that shakes hands and then sends `bytes`; answers why the subscriber hung up on it.
async fn hangs_up_on(bytes: Vec<u8>) -> String {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    let sender = std::thread::spawn(move || {
        link.send(&bytes);
        link.wait_for_end();
    });
    let reason = lost(&mut events).await;
    sender.join().unwrap();
    is_heard(&publisher, &mut events, 9).await;
    subscriber.stop().await;
    reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_announces_a_tebibyte_is_refused() {
    let header = [&[2_u8][..], &(1_u64 << 40).to_be_bytes()].concat();
    let reason = hangs_up_on(header).await;
    assert!(
        reason.contains("a frame of 1099511627776 bytes"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_any_impossible_length_are_refused() {
    for (flags, length) in [
        (2_u8, u64::MAX),
        (3, 1 << 63),
        (2, i64::MAX as u64),
        (2, (5 << 20) + 1),
        (6, 4097),
        (6, u64::MAX),
    ] {
        let header = [&[flags][..], &length.to_be_bytes()].concat();
        let reason = hangs_up_on(header).await;
        assert!(reason.contains("what no publisher sends"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_endless_parts_is_refused() {
    let reason = hangs_up_on([1_u8, 0].repeat(1_000_000)).await;
    assert!(reason.contains("more than 16 parts"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_large_parts_is_refused() {
    let part = vec![0; 3 << 20];
    let reason = hangs_up_on(message(&[b"rawblock", &part, &part])).await;
    assert!(reason.contains("a message of more than"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_flags_are_refused() {
    for flags in [0x08, 0x80, 0xff, 0x05] {
        let reason = hangs_up_on(vec![flags; 64]).await;
        assert!(reason.contains("flags"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_the_middle_of_a_message_yields_no_half_message() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    let whole = message(&[b"hashblock", &HASH, &[0; 4]]);
    link.send(&whole[..whole.len() - 3]);
    drop(link);
    is_heard(&publisher, &mut events, 3).await;
    let state = subscriber.state().remove(0);
    assert_eq!(state.counters[&Topic::HashBlock].received, 1);
    assert!(state.garbage.is_empty());
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_the_wrong_form_are_counted_and_survived() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    let counter = [0_u8; 4];
    let labelled = |label: u8, more: usize| [HASH.as_slice(), &[label], &vec![0; more]].concat();
    for (parts, _) in [
        (vec![b"hashblock".to_vec()], Garbage::PartCount),
        (
            vec![b"hashblock".to_vec(), HASH.to_vec()],
            Garbage::PartCount,
        ),
        (
            vec![
                b"hashblock".to_vec(),
                HASH.to_vec(),
                counter.to_vec(),
                vec![],
            ],
            Garbage::PartCount,
        ),
        (vec![vec![]; 16], Garbage::PartCount),
        (
            vec![b"hashtx".to_vec(), HASH.to_vec(), counter.to_vec()],
            Garbage::UnknownTopic,
        ),
        (
            vec![b"hashblock2".to_vec(), HASH.to_vec(), counter.to_vec()],
            Garbage::UnknownTopic,
        ),
        (
            vec![b"hashblock".to_vec(), HASH[..31].to_vec(), counter.to_vec()],
            Garbage::BodySize,
        ),
        (
            vec![b"hashblock".to_vec(), vec![0; 33], counter.to_vec()],
            Garbage::BodySize,
        ),
        (
            vec![b"rawblock".to_vec(), vec![0; 80], counter.to_vec()],
            Garbage::BodySize,
        ),
        (
            vec![b"rawblock".to_vec(), vec![], counter.to_vec()],
            Garbage::BodySize,
        ),
        (
            vec![b"sequence".to_vec(), HASH.to_vec(), counter.to_vec()],
            Garbage::BodySize,
        ),
        (
            vec![b"sequence".to_vec(), labelled(b'A', 7), counter.to_vec()],
            Garbage::BodySize,
        ),
        (
            vec![b"sequence".to_vec(), labelled(b'C', 8), counter.to_vec()],
            Garbage::Label,
        ),
        (
            vec![b"sequence".to_vec(), labelled(b'A', 0), counter.to_vec()],
            Garbage::Label,
        ),
        (
            vec![b"sequence".to_vec(), labelled(b'X', 0), counter.to_vec()],
            Garbage::Label,
        ),
        (
            vec![b"hashblock".to_vec(), HASH.to_vec(), vec![0; 3]],
            Garbage::CounterSize,
        ),
        (
            vec![b"hashblock".to_vec(), HASH.to_vec(), vec![0; 8]],
            Garbage::CounterSize,
        ),
    ] {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert!(link.send(&message(&parts)));
    }
    link.publish("hashblock", &HASH, 0);
    notification(&mut events).await;
    let state = subscriber.state().remove(0);
    let counted: Vec<_> = state.garbage.into_iter().collect();
    assert_eq!(
        counted,
        [
            (Garbage::PartCount, 4),
            (Garbage::UnknownTopic, 2),
            (Garbage::BodySize, 6),
            (Garbage::Label, 3),
            (Garbage::CounterSize, 2)
        ]
    );
    assert_eq!(state.connects, 1, "none of it costs the connection");
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_greet_like_a_publisher_is_left_and_tried_again() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut old = greeting(1);
    old[10] = 2;
    let mut secured = greeting(1);
    secured[12..17].copy_from_slice(b"CURVE");
    let mut odd = greeting(1);
    odd[9] = 0;
    let after = |rest: &[u8]| [greeting(1).as_slice(), rest].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "not ZMTP's"),
        (vec![0; 64], "not ZMTP's"),
        (odd.to_vec(), "not ZMTP's"),
        (old.to_vec(), "ZMTP 2"),
        (secured.to_vec(), "security mechanism"),
        (after(b"\x04\x0d\x05ERROR\x06denied"), "a proper READY"),
        (after(b"\x00\x01x"), "a proper READY"),
        (
            after(b"\x06\xff\xff\xff\xff\xff\xff\xff\xff"),
            "a command of",
        ),
        (
            after(b"\x06\0\0\0\0\0\x10\0\0\x05READY\x01x\0\x0f\xff\xf0"),
            "a command of 1048576 bytes",
        ),
        (
            after(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REP"),
            "a REP socket",
        ),
        (after(b"\x04\x06\x05READY"), "a proper READY"),
        (
            after(b"\x04\x19\x05READY\x0bSocket-Type\xff\xff\xff\xffPUB"),
            "a proper READY",
        ),
    ];
    for (bytes, expected) in cases {
        let mut link = Link {
            stream: publisher.accept_raw(),
        };
        link.send(&bytes);
        // So that a reader that wants more does not wait for it.
        let _ = link.stream.shutdown(std::net::Shutdown::Write);
        link.wait_for_end();
        state_shows(&subscriber, expected, |state| {
            state
                .last_error
                .as_deref()
                .is_some_and(|error| error.contains(expected))
        })
        .await;
    }
    assert_eq!(
        subscriber.state()[0].connects,
        0,
        "none of them counts as a connection"
    );
    is_heard(&publisher, &mut events, 1).await;
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_accepts_and_never_greets_is_left() {
    let publisher = Publisher::bind();
    let settings = Settings {
        handshake_timeout: Duration::from_millis(500),
        ..quick()
    };
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), settings);
    let silent = Link {
        stream: publisher.accept_raw(),
    };
    silent.wait_for_end();
    // One that stops half-way through its greeting.
    let mut half = Link {
        stream: publisher.accept_raw(),
    };
    half.send(&greeting(1)[..40]);
    half.wait_for_end();
    let state = state_shows(&subscriber, "left", |state| state.last_error.is_some()).await;
    assert!(state.last_error.unwrap().contains("no complete handshake"));
    is_heard(&publisher, &mut events, 1).await;
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_is_answered_and_unknown_commands_are_passed_over() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    link.send(b"\x04\x0a\x04PING\0\x64ctx");
    assert_eq!(link.frame(), (4, b"\x04PONGctx".to_vec()));
    // In the long form and without context; after one that nobody knows.
    link.send(b"\x04\x06\x05HELLO\x06\0\0\0\0\0\0\0\x07\x04PING\0\0");
    assert_eq!(link.frame(), (4, b"\x04PONG".to_vec()));
    link.send(b"\x04\x05\x04PONG\x04\x00\x04\x05\x04PING");
    link.publish("hashblock", &HASH, 4);
    assert_eq!(notification(&mut events).await.sequence, 4);
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_publisher_is_noticed_by_its_silence_to_a_ping() {
    let publisher = Publisher::bind();
    let settings = Settings {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(400),
        ..quick()
    };
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), settings);
    let mut alive = publisher.accept(3);
    // It answers a few times, and then freezes.
    for _ in 0..3 {
        let (flags, ping) = alive.frame();
        assert_eq!((flags, ping.as_slice()), (4, b"\x04PING\0\0".as_slice()));
        alive.send(b"\x04\x05\x04PONG");
    }
    let reason = lost(&mut events).await;
    assert!(reason.contains("PING"), "{reason}");
    is_heard(&publisher, &mut events, 2).await;
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_older_than_ping_is_not_asked_for_one() {
    let publisher = Publisher::bind();
    let settings = Settings {
        ping_interval: Duration::from_millis(20),
        ping_timeout: Duration::from_millis(20),
        ..quick()
    };
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), settings);
    let mut link = publisher.accept_version(0, 3);
    assert!(matches!(
        next(&mut events).await,
        ZmqEvent::Connected { .. }
    ));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(400) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    link.publish("hashblock", &HASH, 0);
    notification(&mut events).await;
    assert_eq!(subscriber.state()[0].connects, 1);
    link.stream.set_nonblocking(true).unwrap();
    assert!(
        std::io::Read::read(&mut link.stream, &mut [0]).is_err(),
        "nothing was sent to it"
    );
    subscriber.stop().await;
}
