//! Publishers that are there and dead: frozen, unplugged, deaf. Each is noticed, and heard again once it is back.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use node::zmq::{Events, Gap, Settings, Subscriber, ZmqEvent};
use socket2::{Domain, Socket, Type};

use crate::PATIENCE;
use crate::processes::{Process, Reserved};
use crate::zmq_publisher::{
    Link, Publisher, endpoints, lost, next, notification, quick, state_shows,
};

const HASH: [u8; 32] = [5; 32];

/// Settings under which a dead publisher is noticed soon.
fn watchful() -> Settings {
    Settings {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_secs(1),
        handshake_timeout: Duration::from_millis(500),
        ..quick()
    }
}

async fn connected(events: &mut Events) {
    while !matches!(next(events).await, ZmqEvent::Connected { .. }) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_process_that_is_frozen_killed_and_started_again_is_heard_each_time() {
    let reserved = Reserved::new();
    let address = reserved.address;
    let (subscriber, mut events) = Subscriber::start("test", &endpoints(address), watchful());
    let publisher = Process::publisher(address);
    notification(&mut events).await;

    publisher.freeze();
    let reason = lost(&mut events).await;
    assert!(reason.contains("PING"), "{reason}");
    // It still accepts, as the system does for it, and greets nobody.
    state_shows(&subscriber, "an attempt that is not greeted", |state| {
        state
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("no complete handshake"))
    })
    .await;
    publisher.thaw();
    connected(&mut events).await;
    notification(&mut events).await;

    drop(publisher);
    lost(&mut events).await;
    let _publisher = Process::publisher(address);
    // It counts from the beginning.
    while notification(&mut events).await.gap != Gap::Reset {}
    subscriber.stop().await;
}

/// A wire between a subscriber and a publisher that can be unplugged: nothing passes, and nobody is told.
struct Wire {
    address: SocketAddr,
    unplugged: Arc<AtomicBool>,
}

impl Wire {
    fn to(publisher: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let unplugged = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&unplugged);
        thread::spawn(move || {
            // What is unplugged stays open until the end of the test.
            let mut open = Vec::new();
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                // The publisher may not be up yet: then the near end finds nobody either.
                let Ok(far) = TcpStream::connect(publisher) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&state);
                    thread::spawn(move || carry(from, to, &state));
                }
                open.push((near, far));
            }
        });
        Self { address, unplugged }
    }

    fn unplug(&self, unplugged: bool) {
        self.unplugged.store(unplugged, Ordering::SeqCst);
    }
}

/// Carries bytes until an end, or for ever nothing once the wire was unplugged.
fn carry(mut from: TcpStream, mut to: TcpStream, unplugged: &AtomicBool) {
    let mut bytes = [0; 4096];
    loop {
        let count = from.read(&mut bytes).unwrap_or(0);
        if unplugged.load(Ordering::SeqCst) {
            return;
        }
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_that_is_unplugged_and_plugged_in_again_is_noticed_without_a_word_from_it() {
    let reserved = Reserved::new();
    let _publisher = Process::publisher(reserved.address);
    let wire = Wire::to(reserved.address);
    let (subscriber, mut events) = Subscriber::start("test", &endpoints(wire.address), watchful());
    notification(&mut events).await;
    for _ in 0..2 {
        wire.unplug(true);
        let reason = lost(&mut events).await;
        assert!(reason.contains("PING"), "{reason}");
        wire.unplug(false);
        connected(&mut events).await;
        notification(&mut events).await;
    }
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_even_accept_is_left_and_heard_once_it_does() {
    // A full backlog: further connections are neither accepted nor refused.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(1).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the backlog never fills up");
    }
    let settings = Settings {
        connect_timeout: Duration::from_millis(300),
        ..quick()
    };
    let (subscriber, mut events) = Subscriber::start("test", &endpoints(address), settings);
    state_shows(&subscriber, "an attempt that is not accepted", |state| {
        state
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("no connection within"))
    })
    .await;
    let publisher = Publisher::of(socket.into());
    drop(waiting);
    let mut link = accept_live(&publisher);
    assert!(link.publish("hashblock", &HASH, 1));
    assert_eq!(notification(&mut events).await.sequence, 1);
    subscriber.stop().await;
}

/// The first connection that is still alive: earlier attempts were given up.
fn accept_live(publisher: &Publisher) -> Link {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(link) = publisher.try_accept(1, 3) {
            return link;
        }
    }
    panic!("no live connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_asks_for_answers_and_never_takes_them_is_left() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), watchful());
    let mut link = publisher.accept(3);
    let deaf = thread::spawn(move || {
        let pings = b"\x04\x17\x04PING\0\x640123456789abcdef".repeat(1000);
        while link.send(&pings) {}
    });
    let reason = lost(&mut events).await;
    assert!(reason.contains("did not take"), "{reason}");
    deaf.join().unwrap();
    let mut link = publisher.accept(3);
    assert!(link.publish("hashblock", &HASH, 1));
    assert_eq!(notification(&mut events).await.sequence, 1);
    subscriber.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_made_anew_in_the_middle_of_a_message_that_drips() {
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), watchful());
    let mut link = publisher.accept(3);
    connected(&mut events).await;
    // A byte now and then is a sign of life; that the tip moved meanwhile is for the listener to notice.
    link.send(&crate::zmq_publisher::message(&[b"hashblock", &HASH, &[0; 4]])[..20]);
    subscriber.recreate();
    lost(&mut events).await;
    let mut link = publisher.accept(3);
    assert!(link.publish("hashblock", &HASH, 1));
    assert_eq!(notification(&mut events).await.sequence, 1);
    subscriber.stop().await;
}
