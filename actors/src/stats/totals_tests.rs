#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use tempfile::TempDir;

use super::*;
use crate::submitter::journal::EntryState;

fn second(n: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + n)
}

fn entry(state: EntryState, found: u64, settled: Option<u64>) -> JournalEntry {
    JournalEntry {
        hash: BlockHash::all_zeros(),
        height: 1,
        state,
        nodes: vec![],
        found_at: second(found),
        settled_at: settled.map(second),
        settled_as: settled.and(match state {
            EntryState::Accepted => Some(BlockEnd::Accepted),
            EntryState::Rejected => Some(BlockEnd::Rejected),
            EntryState::Superseded => Some(BlockEnd::Superseded),
            _ => None,
        }),
    }
}

fn journal() -> Vec<JournalEntry> {
    vec![
        entry(EntryState::Accepted, 1, Some(2)),
        entry(EntryState::Accepted, 10, Some(30)),
        entry(EntryState::Superseded, 11, Some(31)),
        entry(EntryState::Rejected, 12, Some(32)),
        entry(EntryState::Sent, 33, None),
    ]
}

fn blocks(found: u64, accepted: u64, rejected: u64, stale: u64) -> BlocksStatus {
    BlocksStatus {
        found,
        accepted,
        rejected,
        stale,
    }
}

/// A file of statistics, and what stands in its directory beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("statistics.json")
    }

    fn write(&self, content: &[u8]) {
        fs::write(self.path(), content).unwrap();
    }

    fn open(&self) -> Opened {
        Totals::open(&self.path(), journal, second(100))
    }

    /// The names and contents of files set aside.
    fn aside(&self) -> Vec<(String, Vec<u8>)> {
        let mut aside: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name() != "statistics.json")
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap_or_default())
            })
            .collect();
        aside.sort();
        aside
    }
}

/// What a run that stopped, or was killed, at second 20 left behind.
fn saved(stopped: bool) -> Vec<u8> {
    let mut totals = Totals::none(second(0).into());
    totals.as_of = second(20).into();
    totals.runs = 3;
    totals.hashes = 1000;
    totals.uptime_s = 60.0;
    totals.blocks = blocks(40, 30, 2, 8);
    totals.document(stopped)
}

#[test]
fn a_run_goes_on_where_the_last_one_stopped() {
    let place = Place::new();
    place.write(&saved(true));
    let Opened { past, may_write } = place.open();
    assert!(may_write);
    assert_eq!((past.runs, past.hashes), (4, 1000));
    assert_eq!(past.blocks, blocks(40, 30, 2, 8));
    assert_eq!(past.since, OffsetDateTime::from(second(0)));

    let registry = Registry::new(1);
    registry.threads[0].hashes.add(24);
    registry.blocks_found.increment();
    registry.blocks_accepted.increment();
    registry.earlier_stale.increment();
    registry.verifications_passed.add(7);
    let totals = past.with_run(&registry, 5, second(200));
    assert_eq!((totals.hashes, totals.restarts), (1024, 5));
    assert_eq!(totals.blocks, blocks(41, 31, 2, 9));
    assert_eq!(totals.verifications_passed, 7);
    assert!(totals.uptime_s >= 60.0);
    assert_eq!(totals.as_of, OffsetDateTime::from(second(200)));
    // And that is what the next run reads.
    place.write(&totals.document(true));
    assert_eq!(place.open().past.blocks, totals.blocks);
    assert_eq!(place.aside(), vec![]);
}

#[test]
fn what_a_killed_run_did_not_count_of_blocks_is_in_the_journal() {
    let place = Place::new();
    place.write(&saved(false));
    // After second 20 three were settled, and one found.
    assert_eq!(place.open().past.blocks, blocks(41, 31, 3, 9));
}

#[test]
fn the_first_run_counts_from_the_journal() {
    let place = Place::new();
    let Opened { past, may_write } = place.open();
    assert!(may_write);
    assert_eq!((past.runs, past.hashes, past.set_aside), (1, 0, 0));
    assert_eq!(past.blocks, blocks(5, 2, 1, 1));
    assert_eq!(past.since, OffsetDateTime::from(second(100)));
}

#[test]
fn a_file_that_cannot_be_used_is_set_aside_and_blocks_are_counted_anew() {
    let whole = saved(true);
    let later = String::from_utf8(whole.clone())
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    let cases: [(&str, &[u8]); 6] = [
        ("truncated", &whole[..whole.len() / 2]),
        ("empty", b""),
        ("garbage", b"\x00\xff not a document"),
        ("of a later version", later.as_bytes()),
        ("of no version", b"{\"runs\":3}"),
        ("of other types", b"{\"version\":1,\"runs\":\"many\"}"),
    ];
    for (what, content) in cases {
        let place = Place::new();
        place.write(content);
        let Opened { past, may_write } = place.open();
        assert!(may_write, "{what}");
        assert_eq!((past.runs, past.hashes), (1, 0), "{what}");
        assert_eq!(past.blocks, blocks(5, 2, 1, 1), "{what}");
        assert_eq!(past.set_aside, 1, "{what}");
        assert!(!place.path().exists(), "{what}");
        let name = "statistics.json.corrupt-20270115T080140Z";
        assert_eq!(
            place.aside(),
            vec![(name.to_owned(), content.to_vec())],
            "{what}"
        );
        // It happens again within the same second: nothing is lost.
        place.write(content);
        assert_eq!(place.open().past.set_aside, 2, "{what}");
        assert_eq!(place.aside().len(), 2, "{what}");
    }
}

#[test]
fn one_that_cannot_be_read_is_set_aside_as_well() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    let Opened { past, may_write } = place.open();
    assert!(may_write);
    assert_eq!(past.set_aside, 1);
    assert_eq!(place.aside().len(), 1);
}

#[test]
fn one_that_cannot_be_set_aside_is_left_alone() {
    let dir = TempDir::new().unwrap();
    // A name so long that there is no room for the mark of one set aside.
    let path = dir.path().join("s".repeat(250));
    fs::write(&path, b"garbage").unwrap();
    let Opened { past, may_write } = Totals::open(&path, journal, second(100));
    assert!(!may_write, "it must not be overwritten");
    assert_eq!(past.blocks, blocks(5, 2, 1, 1));
    assert_eq!(fs::read(&path).unwrap(), b"garbage");
}
