//! The journal as its users see it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tokio::time::timeout;

use super::fake::{MoodyDisk, Shared as TestDisk, block, found_time};
use super::frame::{FILE_HEADER, FRAME_HEAD};
use super::*;

const LIMIT: Duration = Duration::from_mins(1);

fn open(dir: &TempDir) -> Journal {
    open_at(dir, found_time(0)).unwrap()
}

fn open_at(dir: &TempDir, now: SystemTime) -> Result<Journal, JournalError> {
    Journal::open(&dir.path().join("journal"), Arc::new(RealDisk), now)
}

fn open_on(dir: &TempDir, disk: &Arc<MoodyDisk>) -> Journal {
    let disk = Arc::new(TestDisk(Arc::clone(disk)));
    Journal::open(&dir.path().join("journal"), disk, found_time(0)).unwrap()
}

fn ticket(filed: Filed) -> Ticket {
    match filed {
        Filed::New(ticket) | Filed::Known(ticket) => ticket,
        Filed::Settled => panic!("settled"),
    }
}

async fn file(journal: &Journal, block: &FoundBlock) {
    timeout(LIMIT, journal.durable(ticket(journal.found(block))))
        .await
        .unwrap();
}

fn node(name: &str) -> Arc<str> {
    name.into()
}

fn only_file(dir: &TempDir, prefix: &str) -> PathBuf {
    let names = RealDisk.list(&dir.path().join("journal")).unwrap();
    let mut found = names
        .iter()
        .filter(|n| n.starts_with(prefix) && n.strip_suffix(".log").is_some());
    let path = dir.path().join("journal").join(found.next().unwrap());
    assert_eq!(found.next(), None, "{names:?}");
    path
}

#[tokio::test]
async fn a_durable_block_is_there_after_a_crash_with_its_transactions() {
    let dir = TempDir::new().unwrap();
    for count in [0, 3] {
        let block = block(10 + count, count);
        let journal = open(&dir);
        file(&journal, &block).await;
        drop(journal);
        let journal = open(&dir);
        assert_eq!(journal.raw_block(block.hash()).unwrap(), block.raw());
        assert_eq!(
            read_block(journal.dir(), block.hash()).unwrap(),
            block.raw()
        );
    }
    assert_eq!(open(&dir).report().unsettled, 2);
}

#[tokio::test]
async fn a_job_that_was_remembered_is_not_written_again_with_its_solution() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    let block = block(1, 200);
    journal.remember(&block.body);
    while !journal.shared.lock().bodies.contains_key(&block.body.id()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    file(&journal, &block).await;
    drop(journal);
    let size = fs::metadata(only_file(&dir, "blocks-")).unwrap().len();
    assert!(size < 1000, "{size} bytes for header and coinbase");
    assert_eq!(open(&dir).raw_block(block.hash()).unwrap(), block.raw());
}

#[tokio::test]
async fn answers_and_the_end_are_listed_in_the_words_of_the_command() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    let blocks: Vec<FoundBlock> = (1..=5).map(|height| block(height, 0)).collect();
    for block in &blocks {
        file(&journal, block).await;
    }
    let at = found_time(9);
    let (a, b) = (node("a"), node("b"));
    journal.sent(blocks[1].hash(), &a, at);
    journal.sent(blocks[2].hash(), &a, at);
    journal.answered(
        blocks[2].hash(),
        &a,
        NodeFate::Unknown,
        "unreachable",
        "",
        at,
    );
    journal.answered(blocks[3].hash(), &a, NodeFate::Accepted, "", "null", at);
    journal.answered(
        blocks[3].hash(),
        &b,
        NodeFate::Rejected,
        "high-hash",
        "high-hash",
        at,
    );
    assert!(journal.settle(blocks[4].hash(), BlockEnd::Superseded, "", at));
    assert!(
        !journal.settle(blocks[4].hash(), BlockEnd::Superseded, "", at),
        "only once"
    );
    timeout(LIMIT, journal.flushed()).await.unwrap();

    let listed = serde_json::to_value(list(journal.dir()).unwrap()).unwrap();
    let states: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        ["journalled", "sent", "unknown", "accepted", "superseded"]
    );
    assert!(listed[4]["settled_at"].is_string(), "{}", listed[4]);
    assert_eq!(
        listed[3],
        serde_json::json!({
            "hash": blocks[3].hash().to_string(),
            "height": 4,
            "state": "accepted",
            "nodes": [
                {"name": "a", "state": "accepted", "reason": null},
                {"name": "b", "state": "rejected", "reason": "high-hash"},
            ],
            "found_at": "2027-01-15T08:00:04.000Z",
            "settled_at": null,
            "settled_as": null,
        })
    );
    assert_eq!(journal.unsettled().len(), 4);
    drop(journal);
    let open_again = open(&dir);
    assert_eq!(open_again.unsettled().len(), 4);
    assert_eq!(open_again.found(&blocks[4]), Filed::Settled);
    assert!(matches!(open_again.found(&blocks[0]), Filed::Known(_)));
}

#[test]
fn two_processes_never_share_a_journal_and_reading_needs_no_lock() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    let second = open_at(&dir, found_time(0));
    assert!(
        matches!(second, Err(JournalError::Locked { .. })),
        "{second:?}"
    );
    assert_eq!(list(journal.dir()).unwrap(), []);
    drop(journal);
    assert!(open_at(&dir, found_time(0)).is_ok());
    assert_eq!(list(&dir.path().join("nowhere")).unwrap(), []);
}

#[tokio::test]
async fn its_files_are_for_its_owner_only() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    file(&journal, &block(1, 2)).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(journal.dir()), 0o700);
    for entry in fs::read_dir(journal.dir()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_writing_goes_on_behind_the_last_good_record() {
    let dir = TempDir::new().unwrap();
    let blocks: Vec<FoundBlock> = (1..=3).map(|height| block(height, 2)).collect();
    let journal = open(&dir);
    for block in &blocks[..2] {
        file(&journal, block).await;
    }
    drop(journal);
    let path = only_file(&dir, "blocks-");
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::remove_dir_all(dir.path().join("journal")).unwrap();
        fs::create_dir(dir.path().join("journal")).unwrap();
        fs::write(&path, &whole[..cut]).unwrap();
        let journal = open(&dir);
        let kept = journal.unsettled().len();
        let report = journal.report();
        assert!(
            report.damaged.is_empty() && kept <= 2,
            "cut at {cut}: {report:?}"
        );
        assert_eq!(
            report.set_aside.len(),
            usize::from((1..FILE_HEADER).contains(&cut))
        );
        if cut % 11 != 0 {
            continue;
        }
        file(&journal, &blocks[2]).await;
        drop(journal);
        let journal = open(&dir);
        assert_eq!(journal.unsettled().len(), kept + 1, "cut at {cut}");
        assert_eq!(
            journal.raw_block(blocks[2].hash()).unwrap(),
            blocks[2].raw()
        );
        assert_eq!(
            (journal.report().torn_bytes, journal.report().damaged.len()),
            (0, 0)
        );
    }
}

#[tokio::test]
async fn damage_in_the_middle_costs_one_record_and_the_damaged_file_is_kept_aside() {
    let dir = TempDir::new().unwrap();
    let blocks: Vec<FoundBlock> = (1..=3).map(|height| block(height, 0)).collect();
    let journal = open(&dir);
    for block in &blocks {
        file(&journal, block).await;
    }
    drop(journal);
    let path = only_file(&dir, "blocks-");
    let mut bytes = fs::read(&path).unwrap();
    let second = FILE_HEADER + (bytes.len() - FILE_HEADER) / 3;
    bytes[second + FRAME_HEAD + 5] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(list(&dir.path().join("journal")).unwrap().len(), 2);

    let journal = open(&dir);
    let report = journal.report().clone();
    assert_eq!(
        (
            report.unsettled,
            report.damaged.len(),
            report.set_aside.len()
        ),
        (2, 1, 1)
    );
    assert_eq!(
        fs::read(&report.set_aside[0]).unwrap(),
        bytes,
        "nothing is thrown away"
    );
    for block in [&blocks[0], &blocks[2]] {
        assert_eq!(journal.raw_block(block.hash()).unwrap(), block.raw());
    }
    drop(journal);
    let report = open(&dir).report().clone();
    assert_eq!(
        (
            report.unsettled,
            report.damaged.len(),
            report.set_aside.len()
        ),
        (2, 0, 0)
    );
}

#[test]
fn a_foreign_file_is_set_aside_and_a_newer_one_refused() {
    let dir = TempDir::new().unwrap();
    let journal = dir.path().join("journal");
    fs::create_dir(&journal).unwrap();
    fs::write(
        journal.join("blocks-00000004.log"),
        "my own notes, not a journal at all",
    )
    .unwrap();
    let report = open(&dir).report().clone();
    assert_eq!(
        report.set_aside,
        [journal.join("blocks-00000004.log.foreign-1")]
    );

    let newer = write_newer_file(&journal);
    let refused = open_at(&dir, found_time(0)).unwrap_err();
    assert!(
        matches!(refused, JournalError::NewerVersion { version: 2, .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("later version"), "{refused}");
    assert!(newer.exists(), "it is left as it is");
}

/// A file as a later version of the program would begin it.
fn write_newer_file(journal: &Path) -> PathBuf {
    let mut header = frame::FileHeader {
        stream: frame::Stream::Blocks,
        number: 9,
        salt: 1,
    }
    .encode();
    header[8] = 2;
    let sum = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    let path = journal.join("blocks-00000009.log");
    fs::write(&path, header).unwrap();
    path
}

#[tokio::test]
async fn a_newer_file_is_refused_by_who_only_reads() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    let block = block(1, 0);
    file(&journal, &block).await;
    write_newer_file(journal.dir());
    let listed = list(journal.dir()).unwrap_err();
    let read = read_block(journal.dir(), block.hash()).unwrap_err();
    for refused in [listed, read] {
        assert!(
            matches!(refused, JournalError::NewerVersion { version: 2, .. }),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn settled_blocks_leave_after_thirty_days_and_open_ones_never() {
    let dir = TempDir::new().unwrap();
    let journal = open(&dir);
    let open_one = block(1, 3);
    file(&journal, &open_one).await;
    // Enough of them that dropping them is worth a rewrite.
    for height in 2..400 {
        let block = block(height, 0);
        journal.found(&block);
        journal.settle(block.hash(), BlockEnd::Accepted, "", found_time(height));
    }
    timeout(LIMIT, journal.flushed()).await.unwrap();
    drop(journal);

    let soon = found_time(400) + SETTLED_KEPT - Duration::from_secs(500);
    let journal = open_at(&dir, soon).unwrap();
    assert_eq!(
        (journal.report().blocks, journal.report().dropped),
        (399, 0)
    );
    drop(journal);
    let journal = open_at(&dir, found_time(400) + SETTLED_KEPT).unwrap();
    assert_eq!(
        (journal.report().unsettled, journal.report().dropped),
        (1, 398)
    );
    assert_eq!(journal.raw_block(open_one.hash()).unwrap(), open_one.raw());
    drop(journal);
    let size = fs::metadata(only_file(&dir, "blocks-")).unwrap().len();
    assert!(size < 2000, "{size} bytes");
    assert_eq!(open(&dir).report().unsettled, 1);
}

#[tokio::test]
async fn a_full_disk_keeps_the_block_in_memory_and_writes_it_when_there_is_room() {
    let dir = TempDir::new().unwrap();
    let disk = MoodyDisk::new();
    let journal = open_on(&dir, &disk);
    file(&journal, &block(1, 1)).await;
    disk.set_full(true);
    let late = block(2, 1);
    let ticket = ticket(journal.found(&late));
    while journal.trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!journal.is_durable(ticket));
    assert_eq!(journal.raw_block(late.hash()).unwrap(), late.raw());
    let listed = journal.unsettled();
    assert_eq!((listed.len(), listed[1].ticket), (2, ticket));
    disk.set_full(false);
    timeout(LIMIT, journal.durable(ticket)).await.unwrap();
    assert_eq!(journal.trouble(), None);
    drop(journal);
    let journal = open(&dir);
    assert_eq!(journal.report().damaged, []);
    assert_eq!(journal.raw_block(late.hash()).unwrap(), late.raw());
}

#[tokio::test]
async fn after_a_failed_fsync_everything_since_the_last_good_one_goes_to_a_new_file() {
    let dir = TempDir::new().unwrap();
    let disk = MoodyDisk::new();
    let journal = open_on(&dir, &disk);
    file(&journal, &block(1, 0)).await;
    disk.set_no_sync(true);
    let late = block(2, 4);
    let ticket = ticket(journal.found(&late));
    while journal.trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    disk.set_no_sync(false);
    timeout(LIMIT, journal.durable(ticket)).await.unwrap();
    drop(journal);
    disk.power_cut(0);
    let journal = open(&dir);
    assert_eq!(journal.raw_block(late.hash()).unwrap(), late.raw());
    assert_eq!(journal.report().unsettled, 2);
}

#[tokio::test]
async fn a_disk_that_stalls_stops_neither_filing_nor_settling_and_memory_stays_bounded() {
    let dir = TempDir::new().unwrap();
    let disk = MoodyDisk::new();
    let journal = open_on(&dir, &disk);
    file(&journal, &block(1, 0)).await;
    disk.set_stalled(true);
    for height in 2..4000 {
        let block = block(height, 0);
        assert!(matches!(journal.found(&block), Filed::New(_)));
        assert!(journal.settle(block.hash(), BlockEnd::Accepted, "", found_time(height)));
    }
    assert!(
        !journal.close(Duration::from_millis(10)),
        "it says that not all is written"
    );
    disk.set_stalled(false);
    assert!(journal.close(LIMIT));
    assert!(list(journal.dir()).unwrap().len() < 1000);
}

#[tokio::test]
async fn old_files_of_jobs_are_removed_and_those_of_found_blocks_kept() {
    let dir = TempDir::new().unwrap();
    // A file is full after eight bodies.
    let path = dir.path().join("journal");
    let journal =
        Journal::open_limited(&path, Arc::new(RealDisk), found_time(0), 64 << 10).unwrap();
    let body = |n: u8| Body::new(&vec![n; 8 << 10], 1);
    for n in 0..40 {
        let body = body(n);
        journal.remember(&body);
        while !journal.shared.lock().bodies.contains_key(&body.id()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if n == 4 {
            let mut block = block(1, 0);
            block.body = body;
            file(&journal, &block).await;
        }
    }
    let names = RealDisk.list(journal.dir()).unwrap();
    let mut jobs: Vec<&String> = names.iter().filter(|n| n.starts_with("jobs-")).collect();
    jobs.sort();
    assert_eq!(jobs.len(), 3, "{jobs:?}");
    assert_eq!(jobs[0], "jobs-00000001.log", "the found block's");
}

#[test]
fn times_before_1970_do_not_panic() {
    let dir = TempDir::new().unwrap();
    drop(open_at(&dir, UNIX_EPOCH).unwrap());
}
