//! The link against the embedded node: both ends real, over real sockets.

use std::time::Duration;

use bitcoin::hashes::Hash as _;
use chain::Network;
use devnode::{Devnode, DevnodeConfig};
use node::zmq::{Payload, Settings, Subscriber, Topic, ZmqEvent};
use node::{Auth, Node, NodeConfig, ProposalAnswer, SubmitAnswer, ZmqEndpoints};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::zmq_publisher::next;

async fn embedded(dir: &TempDir) -> (Devnode, Node) {
    let devnode = Devnode::start(DevnodeConfig::new(dir.path()))
        .await
        .unwrap();
    let node = Node::start(config(&devnode)).unwrap();
    (devnode, node)
}

fn config(devnode: &Devnode) -> NodeConfig {
    let auth = Auth::CookieFile(devnode.cookie_file().to_owned());
    NodeConfig::new("embedded", devnode.rpc_url().parse().unwrap(), auth)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_is_read_and_blocks_are_judged() {
    let dir = TempDir::new().unwrap();
    let (devnode, node) = embedded(&dir).await;
    let hashes = devnode.generate(120).unwrap();
    let tip = *hashes.last().unwrap();

    let info = node.get_blockchain_info().await.unwrap();
    assert_eq!(
        (info.chain.as_str(), info.blocks, info.best_block),
        ("regtest", 120, tip)
    );
    assert_eq!(node.get_best_block_hash().await.unwrap(), tip);
    assert_eq!(node.get_block_hash(1).await.unwrap(), hashes[0]);
    let headers = node.get_headers(1, 500).await.unwrap();
    assert_eq!(
        headers
            .iter()
            .map(bitcoin::block::Header::block_hash)
            .collect::<Vec<_>>(),
        hashes
    );
    let known = hashes[49];
    let walked = node
        .walk_back(tip, 1000, move |hash| *hash == known)
        .await
        .unwrap();
    assert_eq!(walked, headers[50..]);
    assert_eq!(node.get_block_header_info(tip).await.unwrap().height, 120);
    let block = node.get_block(tip).await.unwrap();
    assert_eq!(Some(&block), devnode.raw_block(&tip).as_ref());
    let unknown = bitcoin::BlockHash::from_byte_array([1; 32]);
    assert!(node.get_block(unknown).await.unwrap_err().is_not_found());

    let template = node.get_block_template(Network::Regtest).await.unwrap();
    assert_eq!((template.height, template.previousblockhash), (121, tip));
    assert_eq!(
        node.submit_block(block.clone()).await.unwrap(),
        SubmitAnswer::Duplicate
    );
    let verdict = node.propose_block(Network::Regtest, block).await.unwrap();
    assert_eq!(verdict, ProposalAnswer::Duplicate);
    node.shutdown(PATIENCE).await;
    devnode.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_returns_on_a_new_tip() {
    let dir = TempDir::new().unwrap();
    let (devnode, node) = embedded(&dir).await;
    let template = node.get_block_template(Network::Regtest).await.unwrap();
    let waiting = tokio::spawn({
        let (node, id) = (node.clone(), template.longpollid.clone());
        async move { node.wait_for_block_template(Network::Regtest, id).await }
    });
    // Whether the poll is there already or not, the new tip ends it.
    let tip = devnode.generate(1).unwrap()[0];
    let template = tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((template.height, template.previousblockhash), (2, tip));
    node.shutdown(PATIENCE).await;
    devnode.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_blocks_are_announced_on_every_topic() {
    let dir = TempDir::new().unwrap();
    let (devnode, node) = embedded(&dir).await;
    let endpoints = ZmqEndpoints::all_at(devnode.zmq_endpoint().unwrap().parse().unwrap());
    let (subscriber, mut events) = Subscriber::start("embedded", &endpoints, Settings::default());
    assert!(matches!(
        next(&mut events).await,
        ZmqEvent::Connected { .. }
    ));
    // When the subscriptions have arrived cannot be seen from here: mine until they have.
    let begun = std::time::Instant::now();
    let mut mined = Vec::new();
    let mut heard = std::collections::BTreeSet::new();
    while heard.len() < Topic::ALL.len() {
        assert!(begun.elapsed() < PATIENCE, "heard only {heard:?}");
        mined.extend(devnode.generate(1).unwrap());
        while let Ok(Some(event)) =
            tokio::time::timeout(Duration::from_millis(50), events.recv()).await
        {
            let notification = match event {
                ZmqEvent::Notification(notification) => notification,
                ZmqEvent::BlockStarts(start) => {
                    assert!(mined.contains(&start.hash));
                    continue;
                }
                other => panic!("{other:?}"),
            };
            let hash = match &notification.payload {
                Payload::HashBlock(hash) | Payload::BlockConnected(hash) => *hash,
                Payload::RawBlock(block) => {
                    assert_eq!(Some(block.bytes.to_vec()), devnode.raw_block(&block.hash));
                    block.hash
                }
                other => panic!("{other:?}"),
            };
            assert!(mined.contains(&hash));
            assert!(!notification.gap.is_loss(), "{notification:?}");
            heard.insert(notification.topic);
        }
    }
    assert!(subscriber.state()[0].garbage.is_empty());
    let published = node.get_zmq_notifications().await.unwrap();
    assert!(
        published
            .iter()
            .any(|publisher| publisher.kind == "pubrawblock")
    );
    subscriber.stop().await;
    node.shutdown(PATIENCE).await;
    devnode.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_a_new_cookie_goes_unnoticed_by_the_next_call() {
    let dir = TempDir::new().unwrap();
    let (devnode, node) = embedded(&dir).await;
    assert_eq!(node.get_block_count().await.unwrap(), 0);
    let address = devnode.rpc_addr();
    let old = std::fs::read(devnode.cookie_file()).unwrap();
    devnode.stop().await;
    let error = node.get_block_count().await.unwrap_err();
    assert!(!error.node_answered() && error.is_transient(), "{error}");

    let mut config = DevnodeConfig::new(dir.path());
    config.rpc_listen = address;
    let devnode = Devnode::start(config).await.unwrap();
    assert_ne!(std::fs::read(devnode.cookie_file()).unwrap(), old);
    assert_eq!(node.get_block_count().await.unwrap(), 0);
    node.shutdown(PATIENCE).await;
    devnode.stop().await;
}
