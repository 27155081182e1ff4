//! Thousands of blocks at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use chain::{CoinbaseTag, Job, Network, PayoutScript, Solved};
use serde_json::json;
use signalcore_actors::board::Board;
use signalcore_actors::messages::Solution;
use signalcore_actors::submitter::journal::{EntryState, Journal, RealDisk, list};
use signalcore_actors::submitter::{Submitter, SubmitterSettings};
use supervise::{ChildSpec, Supervisor};

use crate::support::fake::{Answer, FakeNode};
use crate::support::{client_at, client_with_zmq, devnode, run, until_true};
use crate::{THREADS, answers, ends, flood, threads};

/// Blocks by each thread: four records each, and the journal keeps over a thousand for a slow disk.
const FEW: u64 = 50;
/// And then.
const MANY: u64 = 500;

fn solve(job: &Arc<Job>, extranonce: u64) -> Solution {
    let (version, ntime) = (job.versions()[0], job.start_time());
    let solved = (0..=u32::MAX)
        .map(|nonce| Solved {
            extranonce,
            ntime,
            version,
            nonce,
        })
        .find(|solved| job.is_solved_by(solved))
        .unwrap();
    Solution {
        job: Arc::clone(job),
        hash: job.hash_of(&solved),
        solved,
        found_at: Instant::now(),
        found_time: SystemTime::now(),
    }
}

#[test]
fn every_block_of_thousands_is_sent_once_and_of_hundreds_journalled() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let job = {
            let devnode = devnode(&dir.path().join("node")).await;
            let node = client_with_zmq(&devnode, None);
            let template = node.get_block_template(Network::Regtest).await.unwrap();
            let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
            let payout = PayoutScript::parse(address, Network::Regtest).unwrap();
            let tag = CoinbaseTag::new("/test/").unwrap();
            Arc::new(Job::new(&template, &payout, &tag, 0).unwrap())
        };
        // Accepts every block, and counts how often it was given each.
        let given = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
        let counted = Arc::clone(&given);
        let fake = FakeNode::start(move |method, parameters| match method {
            "submitblock" => {
                let header = parameters[0].as_str().unwrap()[..160].to_owned();
                *counted.lock().unwrap().entry(header).or_default() += 1;
                Answer::Result(json!(null))
            }
            _ => Answer::Error(-32601, "Method not found"),
        })
        .await;
        let journal = Journal::open(
            &dir.path().join("journal"),
            Arc::new(RealDisk),
            SystemTime::now(),
        );
        let journal = Arc::new(journal.unwrap());
        let nodes = vec![client_at(fake.address, None)];
        let settings = SubmitterSettings::new(Network::Regtest, nodes, Arc::clone(&journal));
        let board = Board::new(1);
        let mut tree = Supervisor::builder("test");
        let shared = board.clone();
        tree.child(ChildSpec::new("submitter"), move |incarnation| {
            Ok(Submitter::new(
                settings.clone(),
                shared.clone(),
                incarnation,
            ))
        });
        let tree = tree.start().await.unwrap();
        let few = threads();

        let pour = async |times: u64, first: u64| {
            let (outbox, cell) = (Arc::clone(&board.outbox), board.job.clone());
            let (job, before) = (Arc::clone(&job), board.registry.blocks_accepted.get());
            flood(&tree, times, move |n| {
                // And with each a new job to write down.
                cell.send_replace(Some(Arc::clone(&job)));
                outbox.push(solve(&job, first + n));
            })
            .await;
            let mut most_threads = 0;
            until_true("accepting every block", || {
                most_threads = most_threads.max(threads());
                board.registry.blocks_accepted.get() == before + THREADS * times
            })
            .await;
            answers(&tree).await;
            assert!(board.outbox.is_empty());
            assert!(journal.unsettled().is_empty());
            // The threads that flood are among them.
            assert!(
                most_threads < few + 40,
                "{few} threads before, {most_threads} in the flood"
            );
        };
        // As many as the journal keeps for a disk that is slow: every one of them is in it.
        pour(FEW, 0).await;
        tokio::time::timeout(Duration::from_mins(1), journal.flushed())
            .await
            .unwrap();
        let entries = list(journal.dir()).unwrap();
        assert_eq!(entries.len() as u64, THREADS * FEW);
        assert!(
            entries
                .iter()
                .all(|entry| entry.state == EntryState::Accepted)
        );
        // Far more: what is settled before the disk has taken it may be missing there.
        pour(MANY, THREADS * FEW).await;
        let given = given.lock().unwrap().clone();
        assert_eq!(given.len() as u64, THREADS * (FEW + MANY), "every block");
        assert!(given.values().all(|times| *times == 1), "once");
        ends(&tree).await;
    });
}
