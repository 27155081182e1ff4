//! Starting and stopping: credentials, ports, threads, and templates turned into blocks by `chain`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use chain::{CoinbaseTag, Job, Network, PayoutScript, Solved, Template};
use serde_json::{Value, json};
use signalcore_devnode::{Devnode, DevnodeConfig, DevnodeError};
use support::{basic, eventually, exchange, start, start_with};

fn count_with(devnode: &Devnode, authorization: &str) -> String {
    let body = r#"{"id":1,"method":"getblockcount"}"#;
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nAuthorization: {authorization}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    exchange(devnode.rpc_addr(), request.as_bytes()).status_line
}

#[test]
fn the_cookie_is_new_at_each_start_and_gone_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let node = Devnode::start_blocking(DevnodeConfig::new(dir.path())).unwrap();
    let file = node.cookie_file().to_owned();
    assert_eq!(file, dir.path().join("regtest/.cookie"));
    let old = std::fs::read(&file).unwrap();
    assert_eq!(old.len(), 75);
    assert_eq!(count_with(&node, &basic(&old)), "HTTP/1.1 200 OK");
    drop(node);
    assert!(!file.exists());

    let node = Devnode::start_blocking(DevnodeConfig::new(dir.path())).unwrap();
    let new = std::fs::read(&file).unwrap();
    assert_ne!(old, new);
    assert_eq!(count_with(&node, &basic(&old)), "HTTP/1.1 401 Unauthorized");
    assert_eq!(count_with(&node, &basic(&new)), "HTTP/1.1 200 OK");
}

#[test]
fn a_fixed_user_is_accepted_beside_the_cookie() {
    let node = start_with(|config| {
        config.rpc_user = Some("miner".to_owned());
        config.rpc_password = Some("a:b".to_owned());
    });
    assert_eq!(
        count_with(&node.devnode, &basic(b"miner:a:b")),
        "HTTP/1.1 200 OK"
    );
    assert_eq!(
        count_with(&node.devnode, &basic(b"miner:a")),
        "HTTP/1.1 401 Unauthorized"
    );
    assert_eq!(
        count_with(&node.devnode, &node.authorization()),
        "HTTP/1.1 200 OK"
    );
}

#[test]
fn ports_are_free_after_a_stop_and_can_be_taken_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = Devnode::start_blocking(DevnodeConfig::new(dir.path())).unwrap();
    let rpc = node.rpc_addr();
    let zmq: std::net::SocketAddr = node
        .zmq_endpoint()
        .unwrap()
        .strip_prefix("tcp://")
        .unwrap()
        .parse()
        .unwrap();
    // Connections that would keep a careless server alive.
    let _idle = TcpStream::connect(rpc).unwrap();
    let _subscriber = TcpStream::connect(zmq).unwrap();
    drop(node);
    assert!(TcpStream::connect(rpc).is_err());
    assert!(TcpStream::connect(zmq).is_err());
    let mut config = DevnodeConfig::new(dir.path());
    config.rpc_listen = rpc;
    config.zmq_listen = Some(zmq);
    let again = Devnode::start_blocking(config).unwrap();
    assert_eq!(
        (again.rpc_addr(), again.zmq_endpoint()),
        (rpc, Some(format!("tcp://{zmq}").as_str()))
    );
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut config = DevnodeConfig::new(dir.path());
    config.rpc_listen = addr;
    let error = Devnode::start_blocking(config.clone()).err().unwrap();
    assert!(matches!(error, DevnodeError::RpcBind { addr: named, .. } if named == addr));
    config.rpc_listen = "127.0.0.1:0".parse().unwrap();
    config.zmq_listen = Some(addr);
    let error = Devnode::start_blocking(config).err().unwrap();
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[test]
fn stop_over_rpc_ends_the_node_and_tells_who_waits() {
    let node = start();
    let addr = node.devnode.rpc_addr();
    assert_eq!(node.ok("stop", &json!([])), json!("Bitcoin Core stopping"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(node.devnode.stopped());
    assert!(TcpStream::connect(addr).is_err());
    assert!(!node.devnode.cookie_file().exists());
}

#[test]
fn a_stop_does_not_wait_for_endless_work() {
    let node = start();
    let address = node.devnode.own_address().to_string();
    let body =
        json!({"id": 1, "method": "generatetoaddress", "params": [4_000_000_000_u32, address]});
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nAuthorization: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        node.authorization(),
        body.len()
    );
    let addr = node.devnode.rpc_addr();
    let caller = std::thread::spawn(move || exchange(addr, request.as_bytes()));
    eventually("mining has begun", || node.devnode.tip().height > 2);
    // Others are served in between.
    assert!(node.ok("getblockcount", &json!([])).as_u64().unwrap() > 2);
    drop(node);
    let mined = caller.join().unwrap().json()["result"]
        .as_array()
        .unwrap()
        .len();
    assert!(mined > 2, "what was mined is told");
}

#[test]
fn the_handle_may_be_shared_between_threads() {
    fn shareable<T: Send + Sync>() {}
    shareable::<Devnode>();
}

#[tokio::test]
async fn it_starts_and_stops_inside_somebody_elses_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let node = Devnode::start(DevnodeConfig::new(dir.path()))
        .await
        .unwrap();
    let addr = node.rpc_addr();
    node.generate(1).unwrap();
    assert_eq!(node.tip().height, 1);
    node.stop().await;
    assert!(TcpStream::connect(addr).is_err());
}

/// Turns a template into a solved block the way a miner does.
fn mine_job(template: Value, payout: &str) -> (Job, Vec<u8>) {
    let template: Template = serde_json::from_value(template).unwrap();
    let payout = PayoutScript::parse(payout, Network::Regtest).unwrap();
    let tag = CoinbaseTag::new("/devnode/").unwrap();
    let job = Job::new(&template, &payout, &tag, 7).unwrap();
    let mut solved = Solved {
        extranonce: 42,
        ntime: template.curtime,
        version: template.version,
        nonce: 0,
    };
    while !job.is_solved_by(&solved) {
        solved.nonce += 1;
    }
    let block = job.assemble(&solved);
    (job, block)
}

#[test]
fn jobs_of_crate_chain_become_blocks_that_are_accepted() {
    let node = start();
    let payout = node.devnode.own_address().to_string();
    // Heights 1 to 16 are pushed by opcodes, 17 and 128 by one and two bytes.
    for height in 1..=130_u32 {
        let (job, block) = mine_job(node.template(), &payout);
        assert_eq!(job.height(), height);
        assert_eq!(node.devnode.submit(&block), Ok(()), "height {height}");
    }
    // They pay the node's own key: spend them, and mine that.
    node.devnode.fill_mempool(200).unwrap();
    eventually("the template has the transactions", || {
        node.template()["transactions"].as_array().unwrap().len() == 200
    });
    let (job, block) = mine_job(node.template(), &payout);
    assert_eq!(job.transactions(), 200);
    let proposal = json!([{"mode": "proposal", "data": hex::encode(&block)}]);
    assert_eq!(node.ok("getblocktemplate", &proposal), Value::Null);
    assert_eq!(
        node.ok("submitblock", &json!([hex::encode(&block)])),
        Value::Null
    );
    assert_eq!(node.devnode.mempool_len(), 0);
    assert_eq!(node.devnode.tip().height, 131);
}

#[test]
fn a_full_block_of_real_transactions_is_made_and_accepted() {
    let node = start_with(|config| config.template_max_age = std::time::Duration::ZERO);
    node.devnode.fund(30).unwrap();
    node.devnode.fill_mempool(7_200).unwrap();
    let template = node.template();
    let weight: u64 = template["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tx| tx["weight"].as_u64().unwrap())
        .sum();
    assert!((3_980_000..=3_992_000).contains(&weight), "{weight}");
    let (job, block) = mine_job(template, &node.devnode.own_address().to_string());
    assert!(job.weight() <= 4_000_000);
    assert_eq!(
        node.ok("submitblock", &json!([hex::encode(&block)])),
        Value::Null
    );
    assert_eq!(node.devnode.mempool_len(), 7_200 - job.transactions());
    // What was left out has its parents in the chain now.
    let rest = node.template()["transactions"].as_array().unwrap().len();
    assert_eq!(rest, node.devnode.mempool_len());
}

#[test]
fn mempool_transactions_depend_on_each_other_and_pay_fees() {
    let node = start();
    node.devnode.fund(3).unwrap();
    let ids = node.devnode.fill_mempool(40).unwrap();
    let template = node.template();
    let list = template["transactions"].as_array().unwrap();
    let listed: Vec<&str> = list.iter().map(|tx| tx["txid"].as_str().unwrap()).collect();
    assert_eq!(
        listed,
        ids.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    let mut dependent = 0;
    for (index, tx) in list.iter().enumerate() {
        for parent in tx["depends"].as_array().unwrap() {
            assert!(
                (1..=index as u64).contains(&parent.as_u64().unwrap()),
                "parents come first"
            );
            dependent += 1;
        }
        assert_eq!(tx["fee"], json!(1_410));
        assert_eq!(tx["sigops"], json!(1));
    }
    assert_eq!(
        dependent, 37,
        "three spend confirmed coins, the others one another"
    );
    assert_eq!(
        template["coinbasevalue"],
        json!(support::blocks::subsidy(104) + 40 * 1_410)
    );
    let error = start().devnode.fill_mempool(1).unwrap_err();
    assert!(
        matches!(error, DevnodeError::NoCoins { made: 0, wanted: 1 }),
        "{error}"
    );
}

#[test]
fn a_clock_is_shared_not_copied() {
    let clock = Arc::new(signalcore_devnode::ManualClock::new(1_900_000_000));
    let node = start_with(|config| config.clock = clock.clone());
    assert_eq!(node.template()["curtime"], json!(1_900_000_000));
    clock.set(1_900_000_500);
    assert_eq!(node.template()["curtime"], json!(1_900_000_500));
}
