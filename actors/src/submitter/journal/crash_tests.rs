//! A crash between any two changes of the disk, with and without the loss of what was not fsynced.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::fake::{MoodyDisk, Shared as TestDisk, block, found_time};
use super::*;

/// What a life of the journal was told is safe.
#[derive(Debug, Default)]
struct Told {
    durable: Vec<FoundBlock>,
    closed: bool,
}

/// One life: three blocks found, sent, answered, settled, until the disk crashes or all is done.
async fn live(dir: &TempDir, disk: &Arc<MoodyDisk>) -> Told {
    let mut told = Told::default();
    let path = dir.path().join("journal");
    let opened = Journal::open(&path, Arc::new(TestDisk(Arc::clone(disk))), found_time(0));
    let Ok(journal) = opened else {
        assert!(disk.has_crashed(), "{opened:?}");
        return told;
    };
    let node: Arc<str> = "local".into();
    for height in 1..=3 {
        let block = block(height, height);
        if height == 2 {
            journal.remember(&block.body);
        }
        let (Filed::New(ticket) | Filed::Known(ticket)) = journal.found(&block) else {
            continue;
        };
        let at = found_time(height);
        let hash = block.hash();
        tokio::select! {
            () = journal.durable(ticket) => told.durable.push(block),
            () = crashed(disk) => return told,
        }
        journal.sent(hash, &node, at);
        journal.answered(hash, &node, NodeFate::Accepted, "", "null", at);
        if height != 3 {
            journal.settle(hash, BlockEnd::Accepted, "", at);
        }
    }
    told.closed = journal.close(Duration::from_mins(1));
    assert!(told.closed || disk.has_crashed());
    told
}

async fn crashed(disk: &MoodyDisk) {
    while !disk.has_crashed() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whatever was said to be durable is there, whole, and nothing is damaged.
fn check(dir: &TempDir, told: &Told, what: &str) {
    let path = dir.path().join("journal");
    let listed = list(&path).unwrap();
    for block in &told.durable {
        assert!(
            listed.iter().any(|entry| entry.hash == block.hash()),
            "{what}: a block is lost"
        );
        assert_eq!(
            read_block(&path, block.hash()).unwrap(),
            block.raw(),
            "{what}"
        );
    }
    if told.closed {
        let states: Vec<EntryState> = listed.iter().map(|entry| entry.state).collect();
        assert_eq!(states, [EntryState::Accepted; 3], "{what}");
    }
    let journal = Journal::open(&path, Arc::new(RealDisk), found_time(0)).unwrap();
    assert_eq!(journal.report().damaged, [], "{what}");
    for block in journal.unsettled() {
        assert!(
            journal.raw_block(block.hash).is_ok(),
            "{what}: it can be sent again"
        );
    }
}

#[tokio::test]
async fn no_durable_block_is_lost_to_a_crash_at_any_point() {
    for lucky_bytes in [u64::MAX, 0, 1, 47, 200] {
        let mut changes = 0;
        loop {
            let dir = TempDir::new().unwrap();
            let disk = MoodyDisk::crashing_after(changes);
            let limit = Duration::from_mins(2);
            let told = timeout(limit, live(&dir, &disk))
                .await
                .expect("a life ends");
            if lucky_bytes != u64::MAX {
                disk.power_cut(lucky_bytes);
            }
            check(
                &dir,
                &told,
                &format!("crash after {changes} changes, {lucky_bytes} lucky bytes"),
            );
            if told.closed {
                assert!(changes > 8, "the life has {changes} changes");
                break;
            }
            changes += 1;
        }
    }
}

#[tokio::test]
async fn a_crash_during_the_start_after_damage_loses_nothing_that_was_readable() {
    let dir = TempDir::new().unwrap();
    let told = live(&dir, &MoodyDisk::new()).await;
    assert!(told.closed);
    let journal = dir.path().join("journal");
    let mut name = RealDisk.list(&journal).unwrap();
    name.retain(|name| name.starts_with("blocks-"));
    let path = journal.join(&name[0]);
    let mut bytes = std::fs::read(&path).unwrap();
    // The first record is the first block's body or its finding; the other blocks stay readable.
    bytes[frame::FILE_HEADER + 9] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let readable = list(&journal).unwrap();
    let name = path.file_name().unwrap();
    for changes in 0.. {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let disk = MoodyDisk::crashing_after(changes);
        let open =
            |disk| Journal::open(dir.path(), Arc::new(TestDisk(disk)), found_time(0)).map(drop);
        let opened = open(Arc::clone(&disk));
        assert_eq!(
            list(dir.path()).unwrap(),
            readable,
            "crash after {changes} changes"
        );
        open(MoodyDisk::new()).unwrap();
        assert_eq!(
            list(dir.path()).unwrap(),
            readable,
            "then a start, after {changes} changes"
        );
        let names = RealDisk.list(dir.path()).unwrap();
        assert!(
            names.iter().any(|name| name.ends_with(".damaged-1")),
            "{names:?}"
        );
        if opened.is_ok() && !disk.has_crashed() {
            assert!(changes > 3, "the start has {changes} changes");
            break;
        }
    }
}
