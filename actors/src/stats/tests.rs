#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use supervise::{ChildSpec, Supervisor};
use tempfile::TempDir;

use super::*;

/// Longer than any machine needs.
const LIMIT: Duration = Duration::from_mins(1);

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let waited = async {
        while !look() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waited)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

async fn start(dir: &TempDir, board: &Board) -> Supervisor {
    let settings = StatsSettings {
        identity: Identity {
            version: "1",
            network: chain::Network::Regtest,
            node: "test".to_owned(),
            http: None,
        },
        files: Arc::new(StatsFiles {
            status: Scribe::start(dir.path().join("status.json")).unwrap(),
            totals: Some(Scribe::start(dir.path().join("statistics.json")).unwrap()),
        }),
    };
    let opened = Totals::open(
        &dir.path().join("statistics.json"),
        Vec::new,
        SystemTime::now(),
    );
    board.past.set(opened.past).unwrap();
    let mut tree = Supervisor::builder("test");
    let board = board.clone();
    tree.child(ChildSpec::new("stats"), move |incarnation| {
        Ok(Stats::new(settings.clone(), board.clone(), incarnation))
    });
    tree.start().await.unwrap()
}

fn document(dir: &TempDir, name: &str) -> Option<serde_json::Value> {
    serde_json::from_slice(&fs::read(dir.path().join(name)).ok()?).ok()
}

#[test]
fn a_stop_waits_for_the_last_write_and_everything_counted_is_in_it() {
    let dir = TempDir::new().unwrap();
    actix::System::new().block_on(async {
        let board = Board::new(1);
        let tree = start(&dir, &board).await;
        until("the first save", || {
            document(&dir, "statistics.json").is_some_and(|file| file["stopped"] == false)
        })
        .await;
        board.registry.blocks_found.add(3);
        board.registry.threads[0].hashes.add(77);
        assert!(tree.stop(LIMIT).await.is_clean());
    });
    let file = document(&dir, "statistics.json").unwrap();
    assert_eq!(file["stopped"], true);
    assert_eq!(file["runs"], 1);
    assert_eq!(
        (&file["hashes"], &file["blocks"]["found"]),
        (&77.into(), &3.into())
    );
    let mode = fs::metadata(dir.path().join("statistics.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn where_resources_are_scarce_the_status_document_is_given_up_and_taken_up_again() {
    let dir = TempDir::new().unwrap();
    actix::System::new().block_on(async {
        let board = Board::new(1);
        board.degradation.send_replace(Degradation::Trimmed);
        let tree = start(&dir, &board).await;
        let mut rates = board.rates.subscribe();
        for _ in 0..3 {
            rates.changed().await.unwrap();
        }
        assert_eq!(document(&dir, "status.json"), None);
        until("the totals, of which there is no other copy", || {
            document(&dir, "statistics.json").is_some()
        })
        .await;
        board.degradation.send_replace(Degradation::None);
        until("the status document", || {
            document(&dir, "status.json").is_some_and(|status| status["lifetime"]["runs"] == 1)
        })
        .await;
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn a_disk_that_refuses_ends_nothing() {
    let dir = TempDir::new().unwrap();
    actix::System::new().block_on(async {
        let board = Board::new(1);
        // Nothing can be renamed onto a directory that is not empty.
        for name in ["status.json", "statistics.json"] {
            fs::create_dir_all(dir.path().join(name).join("in the way")).unwrap();
        }
        let totals = dir.path().join("elsewhere");
        board
            .past
            .set(Totals::open(&totals, Vec::new, SystemTime::now()).past)
            .unwrap();
        let settings = StatsSettings {
            identity: Identity {
                version: "1",
                network: chain::Network::Regtest,
                node: "test".to_owned(),
                http: None,
            },
            files: Arc::new(StatsFiles {
                status: Scribe::start(dir.path().join("status.json")).unwrap(),
                totals: Some(Scribe::start(dir.path().join("statistics.json")).unwrap()),
            }),
        };
        let mut tree = Supervisor::builder("test");
        let shared = board.clone();
        tree.child(ChildSpec::new("stats"), move |incarnation| {
            Ok(Stats::new(settings.clone(), shared.clone(), incarnation))
        });
        let tree = tree.start().await.unwrap();
        let mut rates = board.rates.subscribe();
        for _ in 0..3 {
            rates.changed().await.unwrap();
        }
        assert_eq!(tree.children()[0].restarts, 0);
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}
