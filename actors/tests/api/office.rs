//! A tree of two children: the api, and one to do harm to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::{Actor, ActorContext as _, Context, Handler};
use chain::Network;
use signalcore_actors::api::{Api, ApiSettings, ControlSocket, Http, Reply, Request, ask};
use signalcore_actors::board::Board;
use signalcore_actors::health::{Examiner, HealthReport, HealthThresholds, Premises};
use signalcore_actors::stats::Identity;
use signalcore_actors::submitter::Resubmitter;
use signalcore_actors::submitter::journal::{Journal, RealDisk};
use supervise::{ChildSpec, Fault, Shutdown, Supervisor};
use tempfile::TempDir;

/// Someone who does nothing, until something is done to him.
struct Patient;

impl Actor for Patient {
    type Context = Context<Self>;
}

impl Handler<Shutdown> for Patient {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

pub struct Office {
    pub board: Board,
    pub tree: Supervisor,
    pub http: Http,
    pub control: PathBuf,
    _dir: TempDir,
}

impl Office {
    /// Opens, with HTTP on a free port.
    pub async fn open() -> Self {
        let any = "127.0.0.1:0".parse().expect("an address");
        Self::open_with(Some(any), true).await
    }

    pub async fn open_with(listen: Option<SocketAddr>, faults: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let control = dir.path().join("control.sock");
        let board = Board::new(1);
        let http = Http::open(listen);
        let journal = Arc::new(journal(dir.path()));
        let mut tree = Supervisor::builder("office");
        tree.child(ChildSpec::new("patient"), |_| Ok(Patient));
        let examiner = Examiner::new(Premises {
            network: Network::Regtest,
            thresholds: HealthThresholds {
                performance_min: 0.5,
            },
            board: board.clone(),
            supervisor: tree.handle(),
            journal: Arc::clone(&journal),
            http_trouble: http.trouble().map(str::to_owned),
        });
        let api = ApiSettings {
            identity: Identity {
                version: "1.2.3",
                network: Network::Regtest,
                node: "local".to_owned(),
                http: http.address(),
            },
            socket: Arc::new(ControlSocket::bind(&control).expect("a socket")),
            http: http.clone(),
            examiner: Arc::new(examiner),
            resubmitter: Resubmitter::new(&[], journal),
            faults: faults.then(|| tree.handle()),
        };
        let shared = board.clone();
        tree.child(ChildSpec::new("api"), move |incarnation| {
            Ok(Api::new(api.clone(), shared.clone(), incarnation))
        });
        Self {
            board,
            tree: tree.start().await.expect("both come up"),
            http,
            control,
            _dir: dir,
        }
    }

    /// Asks on the control socket, as a command does: from a thread of its own.
    pub async fn ask(&self, request: Request) -> Reply {
        let control = self.control.clone();
        tokio::task::spawn_blocking(move || ask(&control, &request))
            .await
            .expect("the question is put")
            .expect("an answer")
    }

    pub async fn health(&self) -> HealthReport {
        match self.ask(Request::Health).await {
            Reply::Health(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    pub async fn harm(&self, child: &str, fault: Fault) {
        self.tree.inject(child, fault).await.expect("it is done");
    }

    /// Waits until a child has been restarted and is up.
    pub async fn restarted(&self, child: &str) {
        super::support::until_true("the restart", || {
            let children = self.tree.children();
            let found = children.iter().find(|status| &*status.id == child);
            found.is_some_and(|status| status.restarts > 0 && status.state.name() == "up")
        })
        .await;
    }

    pub async fn close(self) {
        super::support::stop(self.tree.clone()).await;
    }
}

/// Longer than any test takes to notice, shorter than anybody waits.
pub const HANG: Duration = Duration::from_secs(20);

fn journal(dir: &Path) -> Journal {
    Journal::open(&dir.join("journal"), Arc::new(RealDisk), SystemTime::now())
        .expect("a new journal")
}
