//! Task `peers`: asks now and then how many peers the node has.

use std::rc::Rc;
use std::time::Duration;

use supervise::BoxError;
use tokio::time::sleep;
use tracing::debug;

use super::link::Link;

/// Time between two questions.
const INTERVAL: Duration = Duration::from_secs(30);

pub(super) async fn run(link: Rc<Link>) -> Result<(), BoxError> {
    loop {
        link.up().await;
        let peers = match link.node.get_network_info().await {
            Ok(info) => Some(info.connections),
            Err(error) => {
                debug!(node = %link.name(), "the number of its peers is unknown: {error}");
                None
            }
        };
        link.set_peers(peers);
        sleep(INTERVAL).await;
    }
}
