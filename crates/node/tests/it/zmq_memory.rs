//! Publishers that send more than anybody can hold. What it costs is read from the system, each in a process of its own.

use std::io::{ErrorKind, Write};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use node::zmq::{Garbage, Settings, Subscriber, ZmqEvent};

use crate::processes::elsewhere;
use crate::zmq_publisher::{Link, Publisher, endpoints, lost, message, next, notification, quick};

/// Most that the process may grow by: a few messages of the largest size, and what they were read into.
const GROWTH_MIB: u64 = 64;

/// The most memory that this process ever used, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Has a publisher `flood` a subscriber in a process of its own; it must still hear a well-behaved one afterwards
/// and not have grown. Answers its state and why a connection was lost, if one was.
fn survives(
    test: &str,
    flood: impl FnOnce(&mut Link) + Send + 'static,
) -> Option<(node::zmq::EndpointState, Option<String>)> {
    if elsewhere(&format!("zmq_memory::{test}")) {
        return None;
    }
    let answer = runtime().block_on(async {
        let publisher = Publisher::bind();
        let (subscriber, mut events) =
            Subscriber::start("test", &endpoints(publisher.address()), quick());
        let mut link = publisher.accept(3);
        assert!(matches!(
            next(&mut events).await,
            ZmqEvent::Connected { .. }
        ));
        let before = peak_mib();
        let flooding = thread::spawn(move || {
            flood(&mut link);
            // Either it was cut off, or this is heard.
            if !link.publish("hashblock", &[5; 32], 1) {
                link = publisher.accept(3);
                link.publish("hashblock", &[5; 32], 1);
            }
            (publisher, link)
        });
        let mut reason = None;
        loop {
            match next(&mut events).await {
                ZmqEvent::Lost { reason: why, .. } => reason = Some(why),
                ZmqEvent::Notification(heard) if heard.sequence == 1 => break,
                _ => {}
            }
        }
        let grown = peak_mib().saturating_sub(before);
        assert!(grown <= GROWTH_MIB, "{test}: grew by {grown} MiB");
        drop(flooding.join().unwrap());
        let state = subscriber.state().remove(0);
        subscriber.stop().await;
        (state, reason)
    });
    Some(answer)
}

#[test]
fn two_gibibytes_of_messages_that_nobody_asked_for() {
    let flood = |link: &mut Link| {
        let junk = message(&[b"garbage", &vec![0; 4 << 20], &[0; 4]]);
        for _ in 0..512 {
            assert!(link.send(&junk));
        }
    };
    let test = "two_gibibytes_of_messages_that_nobody_asked_for";
    if let Some((state, lost)) = survives(test, flood) {
        assert_eq!(state.garbage[&Garbage::UnknownTopic], 512);
        assert_eq!(lost, None);
    }
}

#[test]
fn one_frame_of_eight_gibibytes() {
    let flood = |link: &mut Link| {
        link.send(&[&[2_u8][..], &(8_u64 << 30).to_be_bytes()].concat());
        let zeros = vec![0; 1 << 20];
        for _ in 0..8 << 10 {
            if !link.send(&zeros) {
                return;
            }
        }
        panic!("all of it was taken");
    };
    if let Some((_, lost)) = survives("one_frame_of_eight_gibibytes", flood) {
        assert!(lost.unwrap().contains("a frame of 8589934592 bytes"));
    }
}

#[test]
fn ten_million_empty_parts() {
    let flood = |link: &mut Link| {
        link.send(&[1_u8, 0].repeat(10_000_000));
    };
    if let Some((_, lost)) = survives("ten_million_empty_parts", flood) {
        assert!(lost.unwrap().contains("more than 16 parts"));
    }
}

#[test]
fn a_hundred_thousand_empty_messages_and_echoed_subscriptions() {
    let flood = |link: &mut Link| {
        let junk = [
            message(&[b""]),
            message(&[b"\x01hashblock"]),
            message(&[b"\x00hashblock"]),
        ]
        .concat();
        for _ in 0..100 {
            assert!(link.send(&junk.repeat(1000)));
        }
    };
    let test = "a_hundred_thousand_empty_messages_and_echoed_subscriptions";
    if let Some((state, lost)) = survives(test, flood) {
        assert_eq!(state.garbage[&Garbage::PartCount], 300_000);
        assert_eq!(lost, None);
    }
}

#[test]
fn endless_commands_and_pings() {
    let flood = |link: &mut Link| {
        let mut reader = Link {
            stream: link.stream.try_clone().unwrap(),
        };
        let answers = thread::spawn(move || {
            for _ in 0..20_000 {
                let (flags, pong) = reader.frame();
                assert_eq!((flags, &pong[..5]), (4, b"\x04PONG".as_slice()));
            }
        });
        let subscribe = b"\x04\x13\x09SUBSCRIBEhashblock".as_slice();
        let ready = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB".as_slice();
        let long = [b"\x06\0\0\0\0\0\0\x10\0".as_slice(), &[0; 4096]].concat();
        let ping = b"\x04\x09\x04PING\0\x0aab".as_slice();
        let all = [subscribe, ready, &long, ping].concat();
        for _ in 0..20_000 {
            assert!(link.send(&all));
        }
        answers.join().unwrap();
    };
    if let Some((state, lost)) = survives("endless_commands_and_pings", flood) {
        assert_eq!((state.garbage.len(), lost), (0, None));
    }
}

#[test]
fn blocks_that_nobody_takes() {
    if elsewhere("zmq_memory::blocks_that_nobody_takes") {
        return;
    }
    runtime().block_on(async {
        let publisher = Publisher::bind();
        let settings = Settings {
            max_queued: 16 << 20,
            ..quick()
        };
        let (subscriber, mut events) =
            Subscriber::start("test", &endpoints(publisher.address()), settings);
        let mut link = publisher.accept(3);
        let before = peak_mib();
        let (tell, told) = std::sync::mpsc::channel();
        let publishing = thread::spawn(move || {
            let block = vec![7; 4_000_000];
            for counter in 0_u32..200 {
                let message = message(&[b"rawblock", &block, &counter.to_le_bytes()]);
                send_telling(&mut link, &message, &tell);
            }
            link
        });
        // Until nothing more is read of it.
        tokio::task::spawn_blocking(move || told.recv().expect("it is held back"))
            .await
            .unwrap();
        let grown = peak_mib().saturating_sub(before);
        assert!(grown <= GROWTH_MIB, "grew by {grown} MiB");
        // Nothing of what was read is lost.
        for counter in 0..200 {
            let heard = notification(&mut events).await;
            assert_eq!((heard.sequence, heard.gap.is_loss()), (counter, false));
        }
        let grown = peak_mib().saturating_sub(before);
        assert!(grown <= GROWTH_MIB, "grew by {grown} MiB");
        drop(publishing.join().unwrap());
        subscriber.stop().await;
    });
}

/// Sends all of it, and tells whenever nothing is taken for a second.
fn send_telling(link: &mut Link, mut bytes: &[u8], tell: &Sender<()>) {
    let patience = Some(Duration::from_secs(1));
    link.stream.set_write_timeout(patience).unwrap();
    while !bytes.is_empty() {
        match link.stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = tell.send(());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_thousand_publishers_that_announce_a_tebibyte_each() {
    if elsewhere("zmq_memory::a_thousand_publishers_that_announce_a_tebibyte_each") {
        return;
    }
    runtime().block_on(async {
        let publisher = Publisher::bind();
        let settings = Settings {
            reconnect_min: Duration::from_millis(1),
            reconnect_max: Duration::from_millis(1),
            ..quick()
        };
        let (subscriber, mut events) =
            Subscriber::start("test", &endpoints(publisher.address()), settings);
        let before = peak_mib();
        let publishing = thread::spawn(move || {
            let header = [&[2_u8][..], &(1_u64 << 40).to_be_bytes()].concat();
            for _ in 0..1000 {
                let mut link = publisher.accept(3);
                link.send(&header);
                link.wait_for_end();
            }
        });
        for _ in 0..1000 {
            lost(&mut events).await;
        }
        publishing.join().unwrap();
        let grown = peak_mib().saturating_sub(before);
        assert!(grown <= GROWTH_MIB, "grew by {grown} MiB");
        subscriber.stop().await;
    });
}
