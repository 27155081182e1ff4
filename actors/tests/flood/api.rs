//! Hundreds of clients, half of them silent, the others rude.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chain::Network;
use signalcore_actors::api::{Api, ApiSettings, ControlSocket, Http, Reply, Request, ask};
use signalcore_actors::board::Board;
use signalcore_actors::health::{Examiner, HealthThresholds, Premises};
use signalcore_actors::stats::Identity;
use signalcore_actors::submitter::Resubmitter;
use signalcore_actors::submitter::journal::{Journal, RealDisk};
use supervise::{ChildSpec, Supervisor};

use crate::support::{LIMIT, run};
use crate::{answers, ends, flood};

/// Clients by each thread.
const TIMES: u64 = 100;

async fn start(dir: &Path) -> (Supervisor, PathBuf) {
    let path = dir.join("control.sock");
    let journal = Journal::open(&dir.join("journal"), Arc::new(RealDisk), SystemTime::now());
    let journal = Arc::new(journal.unwrap());
    let board = Board::new(1);
    let mut tree = Supervisor::builder("test");
    let examiner = Examiner::new(Premises {
        network: Network::Regtest,
        thresholds: HealthThresholds {
            performance_min: 0.5,
        },
        board: board.clone(),
        supervisor: tree.handle(),
        journal: Arc::clone(&journal),
        http_trouble: None,
    });
    let settings = ApiSettings {
        identity: Identity {
            version: "1",
            network: Network::Regtest,
            node: "test".to_owned(),
            http: None,
        },
        socket: Arc::new(ControlSocket::bind(&path).unwrap()),
        http: Http::open(None),
        examiner: Arc::new(examiner),
        resubmitter: Resubmitter::new(&[], journal),
        faults: None,
    };
    tree.child(ChildSpec::new("api"), move |incarnation| {
        Ok(Api::new(settings.clone(), board.clone(), incarnation))
    });
    (tree.start().await.unwrap(), path)
}

/// A client of the n-th kind; the silent ones are kept.
fn client(path: &Path, n: u64, silent: &Mutex<Vec<UnixStream>>) {
    // The queue of those who are not let in yet may be full for a moment.
    let Ok(mut stream) = UnixStream::connect(path) else {
        return;
    };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    // Whoever is rude may be thrown out in the middle of it.
    let said = match n % 4 {
        0 | 2 => {
            silent.lock().unwrap().push(stream);
            return;
        }
        1 => stream.write_all(&vec![b'x'; 1 << 20]),
        _ => stream.write_all(b"{\"garbage\"\n\0\n\"status\"\n\n\n"),
    };
    if said.is_ok() && n % 8 == 3 {
        let mut line = String::new();
        drop(BufReader::new(stream).read_line(&mut line));
    }
}

#[test]
fn api_answers_whoever_else_is_there() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (tree, path) = start(dir.path()).await;
        let silent = Arc::new(Mutex::new(Vec::new()));
        let (at, kept) = (path.clone(), Arc::clone(&silent));
        flood(&tree, TIMES, move |n| client(&at, n, &kept)).await;

        // An honest client comes after them all, is let in and answered.
        let at = path.clone();
        let reply = tokio::task::spawn_blocking(move || ask(&at, &Request::Status))
            .await
            .unwrap();
        assert!(matches!(reply, Ok(Reply::Status(_))), "{reply:?}");
        answers(&tree).await;
        // No more are served than there are seats: all other silent ones were shown the door.
        let served = tokio::task::spawn_blocking(move || {
            let mut silent = silent.lock().unwrap();
            assert!(silent.len() > 100, "{}", silent.len());
            let waiting = |stream: &mut UnixStream| {
                stream
                    .set_read_timeout(Some(Duration::from_millis(1)))
                    .unwrap();
                let mut byte = [0];
                // Nothing to read, and not the end.
                stream
                    .read(&mut byte)
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            };
            silent
                .iter_mut()
                .map(waiting)
                .filter(|waits| *waits)
                .count()
        })
        .await
        .unwrap();
        assert!(served <= 32, "{served} silent clients are kept");
        ends(&tree).await;
    });
}
