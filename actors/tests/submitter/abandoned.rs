//! A submitter that hangs in the middle of an effect, is given up, and wakes up when its successor has done
//! the work.
//!
//! Its thread never waits for a disk or a node. What can hold it is where its log goes: a pipe that nobody
//! reads. Such a log stands behind each of these tests.

use std::fmt::Debug;
use std::fs;
use std::sync::{Condvar, OnceLock};

use supervise::{ChildSpec, EventKind, Incarnation, Liveness};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::*;

/// A line of the log that blocks its writer, once.
struct Stall {
    line: &'static str,
    hash: String,
    door: Arc<Door>,
}

#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Door {
    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// The log of all tests of this process.
#[derive(Clone, Default)]
struct StallingLog(Arc<Mutex<Vec<Stall>>>);

#[derive(Default)]
struct Line {
    message: String,
    hash: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "hash" => self.hash = format!("{value:?}"),
            _ => {}
        }
    }
}

impl<S: Subscriber> Layer<S> for StallingLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let stalled = {
            let mut stalls = self.0.lock().unwrap();
            let found = stalls
                .iter()
                .position(|stall| line.message.starts_with(stall.line) && line.hash == stall.hash);
            found.map(|at| stalls.swap_remove(at))
        };
        if let Some(stall) = stalled {
            stall.door.pass();
        }
    }
}

/// Has the log block at the next line that begins like this and is about this block.
fn stall_at(line: &'static str, hash: BlockHash) -> Arc<Door> {
    static LOG: OnceLock<StallingLog> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = StallingLog::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    });
    let door = Arc::new(Door::default());
    log.0.lock().unwrap().push(Stall {
        line,
        hash: hash.to_string(),
        door: Arc::clone(&door),
    });
    door
}

type Incarnations = Arc<Mutex<Vec<Incarnation>>>;

async fn start_watched(
    board: &Board,
    journal: &Arc<Journal>,
    node: &Node,
) -> (Supervisor, Incarnations) {
    let settings =
        SubmitterSettings::new(Network::Regtest, vec![node.clone()], Arc::clone(journal));
    let incarnations = Incarnations::default();
    let (board, known) = (board.clone(), Arc::clone(&incarnations));
    let mut tree = Supervisor::builder("test");
    let spec = ChildSpec::new("submitter")
        .start_timeout(Duration::from_secs(2))
        .shutdown(Duration::from_millis(300))
        .liveness(Liveness::mailbox(
            Duration::from_millis(100),
            Duration::from_secs(2),
        ));
    tree.child(spec, move |incarnation| {
        known.lock().unwrap().push(incarnation.clone());
        Ok(Submitter::new(settings.clone(), board.clone(), incarnation))
    });
    (tree.start().await.unwrap(), incarnations)
}

/// Waits for an event that comes after this call.
fn event(tree: &Supervisor, wanted: EventKind) -> impl Future<Output = ()> {
    let mut events = tree.events();
    async move {
        let coming = async { while events.recv().await.unwrap().kind != wanted {} };
        let came = tokio::time::timeout(LIMIT, coming).await;
        assert!(came.is_ok(), "{wanted:?} did not happen within {LIMIT:?}");
    }
}

/// All that is in the files of the journal.
async fn content(journal: &Journal) -> Vec<Vec<u8>> {
    tokio::time::timeout(LIMIT, journal.flushed())
        .await
        .unwrap();
    let mut files: Vec<_> = fs::read_dir(journal.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Opens the door; what the old thread then does changes nothing.
async fn wakes_up_in_vain(
    door: &Door,
    tree: Supervisor,
    board: &Board,
    journal: &Journal,
    fake: &FakeNode,
) {
    let before = content(journal).await;
    let submissions = fake.calls("submitblock");
    let ended = event(&tree, EventKind::AbandonedEnded);
    door.open();
    ended.await;
    assert_eq!(fake.calls("submitblock"), submissions);
    assert_eq!(
        content(journal).await,
        before,
        "nothing is written any more"
    );
    assert_eq!(counts(board), [1, 0, 0]);
    let entries = list(journal.dir()).unwrap();
    assert_eq!(
        (entries.len(), entries[0].state),
        (1, EntryState::Accepted),
        "{entries:?}"
    );
    stop(tree).await;
}

#[test]
fn between_an_answer_and_the_settlement_it_settles_nothing_a_second_time() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let hash = solution.hash;
        let fake = scripted(vec![Answer::Result(json!(null))]).await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let (tree, incarnations) = start_watched(&board, &journal, &fake_client(&fake)).await;
        let door = stall_at("block accepted", hash);
        let given_up = event(&tree, EventKind::Abandoned);
        board.outbox.push(solution);
        given_up.await;
        assert!(!incarnations.lock().unwrap()[0].is_current());
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);
        assert_eq!(fake.calls("submitblock"), 1, "its answer was written down");
        wakes_up_in_vain(&door, tree, &board, &journal, &fake).await;
    });
}

#[test]
fn before_sending_it_sends_and_writes_nothing_when_it_wakes_up() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let hash = solution.hash;
        let fake = FakeNode::start(|_, _| Answer::Error(-28, "Loading block index…")).await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let (tree, incarnations) = start_watched(&board, &journal, &fake_client(&fake)).await;
        board.outbox.push(solution);
        entry(&journal, "doubt", |entry| {
            entry.state == EntryState::Unknown
        })
        .await;
        // Its successor hangs at the start, about to send the block again.
        let door = stall_at("sending a journalled block again", hash);
        let given_up = event(&tree, EventKind::Abandoned);
        let first = incarnations.lock().unwrap()[0].clone();
        first.fail("on purpose");
        given_up.await;
        assert!(!incarnations.lock().unwrap()[1].is_current());
        // And the one after that does the work.
        let asked = fake.calls("submitblock");
        fake.now(|_, _| Answer::Result(json!(null)));
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);
        assert!(fake.calls("submitblock") > asked);
        wakes_up_in_vain(&door, tree, &board, &journal, &fake).await;
    });
}
