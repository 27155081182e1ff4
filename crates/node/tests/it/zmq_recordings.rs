//! Frames that Bitcoin Core 31.99 was recorded publishing, published again.

use std::fs;

use node::zmq::{Gap, Payload, Subscriber, Topic};
use serde_json::Value;

use crate::recordings;
use crate::zmq_publisher::{Publisher, endpoints, message, notification, quick};

/// Frames of one recorded message: u32le count, then per frame u32le length and bytes.
fn frames(container: &[u8]) -> Vec<Vec<u8>> {
    let number = |at: usize| u32::from_le_bytes(container[at..at + 4].try_into().unwrap()) as usize;
    let mut at = 4;
    (0..number(0))
        .map(|_| {
            let length = number(at);
            let frame = container[at + 4..at + 4 + length].to_vec();
            at += 4 + length;
            frame
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_messages_are_understood() {
    let Some(folder) = recordings("zmq") else {
        return;
    };
    let index: Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let publisher = Publisher::bind();
    let (subscriber, mut events) =
        Subscriber::start("test", &endpoints(publisher.address()), quick());
    let mut link = publisher.accept(3);
    let mut replayed = 0;
    for entry in index["messages"].as_array().unwrap() {
        let Ok(container) = fs::read(folder.join(entry["file"].as_str().unwrap())) else {
            continue;
        };
        let frames = frames(&container);
        let parts: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        assert!(link.send(&message(&parts)));
        let topic = entry["topic"].as_str().unwrap();
        if !Topic::ALL.iter().any(|known| known.as_str() == topic) {
            continue;
        }
        replayed += 1;
        let heard = notification(&mut events).await;
        assert_eq!(heard.topic.as_str(), topic);
        assert_eq!(u64::from(heard.sequence), entry["seq"].as_u64().unwrap());
        let hash = &entry["hash"];
        match &heard.payload {
            Payload::HashBlock(got) => {
                assert_eq!(got.to_string(), entry["body_hex"].as_str().unwrap());
            }
            Payload::RawBlock(block) => {
                assert_eq!(&block.bytes[..], &frames[1][..]);
                let decoded: bitcoin::Block =
                    bitcoin::consensus::encode::deserialize(&block.bytes).unwrap();
                assert_eq!(decoded.block_hash(), block.hash);
            }
            Payload::BlockConnected(got) => {
                assert_eq!(
                    (got.to_string(), &entry["label"]),
                    (hash.as_str().unwrap().to_owned(), &"C".into())
                );
            }
            Payload::BlockDisconnected(got) => {
                assert_eq!(
                    (got.to_string(), &entry["label"]),
                    (hash.as_str().unwrap().to_owned(), &"D".into())
                );
            }
            Payload::TransactionAdded { txid, .. } => {
                assert_eq!(
                    (txid.to_string(), &entry["label"]),
                    (hash.as_str().unwrap().to_owned(), &"A".into())
                );
            }
            Payload::TransactionRemoved { txid, .. } => {
                assert_eq!(
                    (txid.to_string(), &entry["label"]),
                    (hash.as_str().unwrap().to_owned(), &"R".into())
                );
            }
            other => panic!("{other:?}"),
        }
        if entry["section"] == "11b_after_restart" && heard.sequence == 0 {
            assert_eq!(
                heard.gap,
                Gap::Reset,
                "counters begin again after a restart"
            );
        }
    }
    assert!(replayed > 50, "only {replayed} messages were replayed");
    let state = subscriber.state().remove(0);
    assert_eq!(state.connects, 1);
    assert!(
        state
            .garbage
            .keys()
            .all(|reason| reason.as_str() == "unknown_topic"),
        "{:?}",
        state.garbage
    );
    subscriber.stop().await;
}
