//! What the tests of the children share: an actix System, real nodes, and waiting on the board.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

pub mod fake;
pub mod relay;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use devnode::{Devnode, DevnodeConfig};
use node::{Auth, Node, NodeConfig, ZmqEndpoints};
use signalcore_actors::board::Board;
use supervise::{BoxError, Child, ChildSpec, Incarnation, Supervisor};
use tokio::sync::watch;

/// Longer than anything here takes on a slow machine under load.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Runs a test within an actix System, with logs where `RUST_LOG` asks for them.
pub fn run(test: impl Future<Output = ()>) {
    actix::System::new().block_on(test);
}

/// One child under a supervisor of its own.
pub async fn supervise<A, F>(factory: F) -> Supervisor
where
    A: Child,
    F: Fn(Incarnation) -> Result<A, BoxError> + Send + Sync + 'static,
{
    let mut tree = Supervisor::builder("test");
    tree.child(ChildSpec::new("child"), factory);
    tree.start().await.expect("the child comes up")
}

/// Stops the child, which must take its leave.
pub async fn stop(tree: Supervisor) {
    let report = tree.stop(LIMIT).await;
    assert!(report.still_running.is_empty(), "{report:?}");
}

/// Waits until the cell holds what is wanted.
pub async fn until<T: Clone + std::fmt::Debug>(
    cell: &watch::Sender<T>,
    what: &str,
    mut wanted: impl FnMut(&T) -> bool,
) -> T {
    let mut values = cell.subscribe();
    let found = tokio::time::timeout(LIMIT, values.wait_for(|value| wanted(value))).await;
    let Ok(value) = found else {
        panic!(
            "{what} did not happen within {LIMIT:?}; the cell holds {:?}",
            cell.borrow()
        );
    };
    value.expect("the board keeps its cells open").clone()
}

/// Waits until a condition that no cell announces holds.
pub async fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(LIMIT, waiting).await.is_ok(),
        "{what} did not happen within {LIMIT:?}"
    );
}

/// Waits until `devnode`'s best block is the tip that ingest published.
pub async fn tip_is_seen(board: &Board, devnode: &Devnode) {
    let tip = devnode.tip().hash;
    until(&board.tip_seen, "seeing the tip", |seen| {
        seen.as_ref().is_some_and(|seen| seen.hash == tip)
    })
    .await;
}

/// A devnode with a temporary data directory that lives as long as the test's handle on it.
pub async fn devnode(dir: &Path) -> Devnode {
    Devnode::start(DevnodeConfig::new(dir))
        .await
        .expect("the devnode starts")
}

/// A client of `devnode` that listens to its notifications.
pub fn client(devnode: &Devnode) -> Node {
    client_with_zmq(devnode, devnode.zmq_endpoint())
}

/// A client of `devnode` that listens elsewhere, or nowhere.
pub fn client_with_zmq(devnode: &Devnode, zmq: Option<&str>) -> Node {
    let cookie = Auth::CookieFile(devnode.cookie_file().to_owned());
    let mut config = NodeConfig::new("local", devnode.rpc_url().parse().expect("a URL"), cookie);
    if let Some(endpoint) = zmq {
        config.zmq = ZmqEndpoints::all_at(endpoint.parse().expect("an endpoint"));
    }
    Node::start(config).expect("the lanes start")
}

/// A client of whatever listens at `address`, with any password, and of a publisher somewhere else.
pub fn client_at(address: SocketAddr, zmq: Option<&str>) -> Node {
    let url = format!("http://{address}").parse().expect("a URL");
    let auth = Auth::UserPassword {
        user: "user".into(),
        password: "password".into(),
    };
    let mut config = NodeConfig::new("fake", url, auth);
    if let Some(endpoint) = zmq {
        config.zmq = ZmqEndpoints::all_at(endpoint.parse().expect("an endpoint"));
    }
    Node::start(config).expect("the lanes start")
}
