//! ingest, validator and miner: those that follow the chain, with tips and templates that flap.

use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use chain::Network;
use signalcore_actors::board::Board;
use signalcore_actors::ingest::{Ingest, IngestSettings};
use signalcore_actors::messages::{NodeState, Outcome, TipSeen, TipSource};
use signalcore_actors::miner::MinerSettings;
use signalcore_actors::validator::{Validator, ValidatorSettings, WallClock};
use supervise::{ChildSpec, Supervisor};

use crate::rig::{self, Rig};
use crate::support::{client_with_zmq, devnode, run, tip_is_seen, until, until_true};
use crate::{THREADS, answers, ends, flood, resident, threads};

const TIMES: u64 = 25_000;

#[test]
fn validator_verifies_the_last_of_the_tips_and_skips_the_others() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(50).unwrap();
        let board = Board::new(1);
        let settings = ValidatorSettings {
            network: Network::Regtest,
            level: 16_000,
            coverage_min: 0.7,
            nodes: vec![client_with_zmq(&devnode, None)],
            clock: WallClock::default(),
        };
        let mut tree = Supervisor::builder("test");
        let shared = board.clone();
        tree.child(ChildSpec::new("validator"), move |incarnation| {
            Ok(Validator::new(
                settings.clone(),
                shared.clone(),
                incarnation,
            ))
        });
        let tree = tree.start().await.unwrap();
        let few = threads();
        let see = {
            let cell = board.tip_seen.clone();
            move |hash| {
                cell.send_replace(Some(TipSeen {
                    hash,
                    node: "local".into(),
                    source: TipSource::Poll,
                    seen_at: Instant::now(),
                }));
            }
        };
        let tip = devnode.tip().hash;
        let pour = see.clone();
        flood(&tree, TIMES, move |n| {
            // Mostly hashes of no block.
            let mut nowhere = [0xff; 32];
            nowhere[..8].copy_from_slice(&n.to_le_bytes());
            pour(if n % 7 == 0 {
                tip
            } else {
                BlockHash::from_byte_array(nowhere)
            });
        })
        .await;
        devnode.generate(1).unwrap();
        let tip = devnode.tip().hash;
        see(tip);
        until(&board.tip_validated, "the last tip", |known| {
            known.as_ref().is_some_and(|known| known.hash == tip)
        })
        .await;
        answers(&tree).await;
        assert!(threads() < few + 20, "{few} before, {} now", threads());
        ends(&tree).await;
    });
}

#[test]
fn miner_works_on_the_last_tip_and_loses_no_block_of_those_before() {
    rig::run(async {
        let mut rig = Rig::mining(MinerSettings {
            // A block is found on each tip at once.
            settle_max: Duration::from_hours(1),
            ..rig::settings()
        })
        .await;
        let low = rig.board.tip_validated.borrow().clone();
        let low_template = rig.board.template.borrow().clone();
        let first = rig.solution().await;
        rig.connect(&first);
        rig.settle(&first, Outcome::Accepted);
        rig.publish_tip();
        rig.publish_template();
        let high = rig.board.tip_validated.borrow().clone();
        let high_template = rig.board.template.borrow().clone();

        let board = rig.board.clone();
        let (tips, templates) = ([low, high.clone()], [low_template, high_template]);
        flood(&rig.supervisor, TIMES, move |n| {
            let which = (n % 2) as usize;
            board.tip_validated.send_replace(tips[which].clone());
            board
                .template
                .send_replace(templates[(n / 2 % 2) as usize].clone());
            board.node_state.send_replace(if n % 5 == 0 {
                NodeState::Unknown
            } else {
                NodeState::Ready
            });
        })
        .await;
        rig.board.node_state.send_replace(NodeState::Ready);
        rig.board.tip_validated.send_replace(high);
        rig.publish_template();
        let tip = rig.window.tip().hash;
        let board = rig.board.clone();
        until_true("a block on the last tip", || {
            board
                .outbox
                .latest(Some(tip))
                .is_some_and(|found| found.job.prev() == tip)
        })
        .await;
        answers(&rig.supervisor).await;
        let registry = &rig.board.registry;
        // The first was taken out above.
        let waiting = rig.board.outbox.len() as u64;
        assert_eq!(registry.blocks_found.get(), waiting + 1, "none is lost");
        assert!(waiting < 10, "{waiting} blocks on two tips");
        assert!(
            registry.jobs.get() < THREADS * TIMES,
            "{} orders",
            registry.jobs.get()
        );
        ends(&rig.supervisor).await;
    });
}

/// The n-th message: of all kinds, and of none.
fn message(n: u64) -> Vec<u8> {
    let mut hash = vec![0xff; 32];
    hash[..8].copy_from_slice(&n.to_le_bytes());
    let sequence = (n as u32).to_le_bytes().to_vec();
    let parts = match n % 6 {
        0 | 1 => vec![b"hashblock".to_vec(), hash, sequence],
        2 => vec![b"hashblock".to_vec(), vec![0; 5], sequence],
        3 => vec![b"rawblock".to_vec(), vec![0xab; 3000], sequence],
        4 => vec![
            b"sequence".to_vec(),
            [hash, b"C".to_vec()].concat(),
            sequence,
        ],
        _ => vec![b"sequence".to_vec()],
    };
    let last = parts.len() - 1;
    let frame = |(at, part): (usize, &Vec<u8>)| frame(u8::from(at < last), part);
    parts.iter().enumerate().flat_map(frame).collect()
}

/// A frame of ZMTP 3.0.
fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let head = match u8::try_from(body.len()) {
        Ok(length) => vec![flags, length],
        Err(_) => [&[flags | 2], &(body.len() as u64).to_be_bytes()[..]].concat(),
    };
    [&head, body].concat()
}

/// Speaks as a publisher to whoever connects, without a pause, until it is told to stop. The answer is how many
/// messages it got rid of.
fn publish(listener: &TcpListener, stop: &AtomicBool) -> u64 {
    let mut greeting = [0; 64];
    (greeting[0], greeting[8], greeting[9], greeting[10]) = (0xff, 1, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    let ready = frame(4, b"\x05READY\x0bSocket-Type\0\0\0\x03PUB");
    let hello = [&greeting[..], &ready].concat();
    let mut said = 0;
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let (mut waiting, mut from) = (hello.clone(), 0);
        while !stop.load(Ordering::Relaxed) {
            match stream.write(&waiting[from..]) {
                Ok(written) => from += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It is being made anew.
                Err(_) => break,
            }
            if from == waiting.len() {
                (waiting, from) = (message(said), 0);
                said += 1;
            }
        }
    }
    said
}

#[test]
fn ingest_sees_the_nodes_tip_whatever_a_publisher_says() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(1).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let board = Board::new(1);
        let node = client_with_zmq(&devnode, Some(&endpoint));
        let mut settings = IngestSettings::new(Network::Regtest, vec![node]);
        settings.poll_interval = Duration::from_millis(100);
        let mut tree = Supervisor::builder("test");
        let shared = board.clone();
        tree.child(ChildSpec::new("ingest"), move |incarnation| {
            Ok(Ingest::new(settings.clone(), shared.clone(), incarnation))
        });
        let tree = tree.start().await.unwrap();
        tip_is_seen(&board, &devnode).await;
        let few = threads();

        let (before, stop) = (resident(), Arc::new(AtomicBool::new(false)));
        let (told, heard) = (Arc::clone(&stop), board.clone());
        let talking = std::thread::spawn(move || publish(&listener, &told));
        until_true("many messages", || {
            heard.registry.zmq_messages.get() > 2_000 && heard.registry.zmq_garbage.get() > 1_000
        })
        .await;
        // In the midst of it: asks and answers, sees what is true, and keeps the node in peace.
        let pings = flood(&tree, TIMES, {
            let look = Arc::clone(&board.look);
            let want = Arc::clone(&board.want_template);
            move |_| {
                look.notify_one();
                want.notify_one();
            }
        })
        .await;
        assert!(pings > 0);
        for _ in 0..3 {
            devnode.generate(1).unwrap();
            tip_is_seen(&board, &devnode).await;
            answers(&tree).await;
        }
        stop.store(true, Ordering::Relaxed);
        let said = talking.join().unwrap();
        let registry = &board.registry;
        let handed_on = board.block_seen.borrow().clone();
        assert!(handed_on.is_none(), "no work: {handed_on:?}");
        let grown = resident().saturating_sub(before);
        assert!(grown < 200 << 20, "{grown} bytes more");
        assert!(
            registry.tips_seen.get() < 100,
            "{} tips of {said} messages",
            registry.tips_seen.get()
        );
        assert!(
            registry.templates.get() < said / 4,
            "{} templates for {said} messages",
            registry.templates.get()
        );
        assert!(threads() < few + 20, "{few} before, {} now", threads());
        ends(&tree).await;
    });
}
