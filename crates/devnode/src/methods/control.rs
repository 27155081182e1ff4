//! The node itself.

use serde::Serialize;

use super::args::Args;
use super::json::{self, Coins};
use crate::envelope::RpcResult;
use crate::node::Node;

/// The release whose answers are imitated: 31.99.0.
const CORE_VERSION: u32 = 319_900;
/// In the form of BIP14; the comment says what it really is.
const USER_AGENT: &str = "/Satoshi:31.99.0(signalcore-devnode)/";
const PROTOCOL_VERSION: u32 = 70_017;
/// Bitcoin Core's high water mark for notifications.
const HIGH_WATER_MARK: u32 = 1_000;

pub(super) fn uptime(node: &Node, _: &Args) -> RpcResult {
    json::result(&node.uptime_s())
}

pub(super) fn stop(node: &Node, _: &Args) -> RpcResult {
    node.stop();
    json::result("Bitcoin Core stopping")
}

#[derive(Serialize)]
struct Notification {
    r#type: &'static str,
    address: String,
    hwm: u32,
}

pub(super) fn zmq_notifications(node: &Node, _: &Args) -> RpcResult {
    let mut list = Vec::new();
    if let Some(address) = &node.zmq_endpoint {
        for kind in ["pubhashblock", "pubrawblock", "pubsequence"] {
            list.push(Notification {
                r#type: kind,
                address: address.clone(),
                hwm: HIGH_WATER_MARK,
            });
        }
    }
    json::result(&list)
}

#[derive(Serialize)]
struct NetworkInfo {
    version: u32,
    subversion: &'static str,
    protocolversion: u32,
    localservices: &'static str,
    localservicesnames: [&'static str; 2],
    localrelay: bool,
    timeoffset: i64,
    networkactive: bool,
    connections: u32,
    connections_in: u32,
    connections_out: u32,
    networks: Vec<Reach>,
    relayfee: Coins,
    incrementalfee: Coins,
    localaddresses: [String; 0],
    warnings: [String; 0],
}

#[derive(Serialize)]
struct Reach {
    name: &'static str,
    limited: bool,
    reachable: bool,
    proxy: &'static str,
    proxy_randomize_credentials: bool,
}

pub(super) fn network_info(_: &Node, _: &Args) -> RpcResult {
    // There is no peer-to-peer side: nothing is reachable, and nobody is connected.
    let networks = ["ipv4", "ipv6", "onion", "i2p", "cjdns"]
        .into_iter()
        .map(|name| Reach {
            name,
            limited: true,
            reachable: false,
            proxy: "",
            proxy_randomize_credentials: false,
        })
        .collect();
    json::result(&NetworkInfo {
        version: CORE_VERSION,
        subversion: USER_AGENT,
        protocolversion: PROTOCOL_VERSION,
        localservices: "0000000000000009",
        localservicesnames: ["NETWORK", "WITNESS"],
        localrelay: true,
        timeoffset: 0,
        networkactive: false,
        connections: 0,
        connections_in: 0,
        connections_out: 0,
        networks,
        relayfee: Coins(100),
        incrementalfee: Coins(100),
        localaddresses: [],
        warnings: [],
    })
}
