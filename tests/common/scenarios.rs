//! What the whole program must do beside a node, whichever node it is.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::node::{Node, RPC_USER};
use super::program::Home;
use super::{spend, until};

/// `[mining]` that makes blocks as fast as the timestamp rules allow.
pub fn fast() -> String {
    format!(
        "payout_address = \"{}\"\nblock_interval_s = 0",
        spend::address()
    )
}

/// `[mining]` that makes blocks as steadily as a clock.
pub fn paced(interval_s: f64) -> String {
    format!(
        "payout_address = \"{}\"\nblock_interval_s = {interval_s}",
        spend::address()
    )
}

/// `[mining]` that verifies only.
pub const IDLE: &str = "enabled = false";

/// `run --blocks` ends with as many accepted blocks, and the node has them, paid to the right script.
pub fn mines_blocks_that_the_node_accepts(node: &Node) {
    let home = Home::new(node, &fast(), true);
    let before = node.height();
    // Heights 1 to 20 cross the change of the height's encoding in the coinbase at 17.
    let last = home.mine(20);
    assert_eq!(last["blocks_accepted"], 20, "{last}");
    assert_eq!(last["blocks_rejected"], 0, "{last}");
    assert!(last["hashes"].as_u64().unwrap() > 0, "{last}");
    assert_eq!(
        last["tip"]["height"].as_u64(),
        Some(node.height()),
        "{last}"
    );
    assert_eq!(last["tip"]["hash"], node.tip(), "{last}");
    assert!(node.height() >= before + 20);
    let block = node.call("getblock", json!([node.tip(), 2]));
    let coinbase = &block["tx"][0];
    assert_eq!(
        coinbase["vout"][0]["scriptPubKey"]["address"],
        spend::address(),
        "{coinbase}"
    );
    let text = coinbase["vin"][0]["coinbase"].as_str().unwrap();
    assert!(
        text.contains(&hex::encode("/signalcore/")),
        "the tag is in the coinbase: {text}"
    );
    let journal = home.journal();
    assert_eq!(journal.len(), 20);
    assert!(
        journal.iter().all(|entry| entry["state"] == "accepted"),
        "{journal:?}"
    );
}

/// Every kind of payout address is paid.
pub fn pays_every_kind_of_address(node: &Node) {
    let addresses = [
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
        "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
    ];
    for address in addresses {
        let home = Home::new(
            node,
            &format!("payout_address = \"{address}\"\nblock_interval_s = 0"),
            true,
        );
        let last = home.mine(1);
        assert_eq!(last["blocks_accepted"], 1, "{address}: {last}");
        let block = node.call("getblock", json!([node.tip(), 2]));
        assert_eq!(
            block["tx"][0]["vout"][0]["scriptPubKey"]["address"],
            address
        );
    }
}

/// Transactions of the mempool are mined, and their fees claimed to the satoshi.
pub fn mines_a_filled_mempool(node: &Node) {
    let sent = spend::fill_mempool(node, 12, 10);
    until("the mempool is filled", || {
        (node.call("getmempoolinfo", json!([]))["size"].as_u64() == Some(sent as u64)).then_some(())
    });
    let first = node.height() + 1;
    // Paced, so that no block is made before its template is there.
    let home = Home::new(node, &paced(0.5), true);
    let last = home.mine(3);
    assert_eq!(last["blocks_accepted"], 3, "{last}");
    let mut mined = 0;
    for height in first..=node.height() {
        let hash = node.call("getblockhash", json!([height]));
        let block = node.call("getblock", json!([hash, 2]));
        let transactions = block["tx"].as_array().unwrap();
        mined += transactions.len() - 1;
        let paid: f64 = transactions[0]["vout"]
            .as_array()
            .unwrap()
            .iter()
            .map(|out| out["value"].as_f64().unwrap())
            .sum();
        // The subsidy halves every 150 blocks on regtest; every transaction here pays 2,000 sat.
        let subsidy = 5_000_000_000_u64 >> (height / 150);
        let fees = 2_000 * (transactions.len() as u64 - 1);
        assert_eq!(
            (paid * 1e8).round() as u64,
            subsidy + fees,
            "height {height}"
        );
    }
    assert_eq!(mined, sent, "every transaction is in a block");
}

/// A mempool of thousands is mined whole, in one block.
pub fn mines_a_crowded_mempool(node: &Node) {
    let sent = spend::fill_mempool(node, 84, 24);
    assert!(sent >= 2_000);
    until("the mempool is filled", || {
        (node.call("getmempoolinfo", json!([]))["size"].as_u64() == Some(sent as u64)).then_some(())
    });
    let first = node.height() + 1;
    let home = Home::new(node, &paced(1.0), true);
    let last = home.mine(2);
    assert_eq!(last["blocks_accepted"], 2, "{last}");
    assert_eq!(last["blocks_rejected"], 0, "{last}");
    let sizes: Vec<usize> = (first..=node.height())
        .map(|height| {
            let hash = node.call("getblockhash", json!([height]));
            let block = node.call("getblock", json!([hash, 1]));
            block["tx"].as_array().unwrap().len() - 1
        })
        .collect();
    assert!(sizes.contains(&sent), "{sent} transactions, in {sizes:?}");
    assert_eq!(
        node.call("getmempoolinfo", json!([]))["size"],
        0,
        "nothing is left"
    );
}

/// As fast as it can for a hundred blocks: no timestamp runs ahead of the clock further than the
/// rules force it to.
pub fn keeps_the_timestamp_rules_at_full_speed(node: &Node) {
    let home = Home::new(node, &fast(), true);
    let first = node.height() + 1;
    let last = home.mine(120);
    assert_eq!(last["blocks_accepted"], 120, "{last}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut parent = node.call("getblockhash", json!([first - 1]));
    let mut parent = node.call("getblockheader", json!([parent.take()]));
    for height in first..first + 120 {
        let hash = node.call("getblockhash", json!([height]));
        let header = node.call("getblockheader", json!([hash]));
        let time = header["time"].as_u64().unwrap();
        let least = parent["mediantime"].as_u64().unwrap() + 1;
        assert!(time >= least, "{header}");
        assert!(time <= now.max(least), "{time} is ahead of {now}: {header}");
        parent = header;
    }
}

/// The node accepts a user with a password as it does its cookie.
pub fn logs_in_with_a_password_file(node: &Node) {
    let login = format!(
        "rpc_user = \"{RPC_USER}\"\nrpc_password_file = \"{}\"",
        node.password_file().display()
    );
    let home = Home::logging_in("regtest", node, &login, &fast(), true);
    let last = home.mine(3);
    assert_eq!(last["blocks_accepted"], 3, "{last}");
}

/// Two nodes that do not know each other both get what is mined on the first one's templates.
pub fn gives_every_block_to_every_node(node: &Node) {
    let second = node.another();
    let mining = format!(
        "{}\n[[node]]\nname = \"second\"\nrpc_url = \"{}\"\ncookie_file = \"{}\"",
        paced(0.2),
        second.rpc_url(),
        second.cookie_file().display()
    );
    let home = Home::new(node, &mining, true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 5).then_some(())
    });
    let tip = node.tip();
    until("the second node has the first one's tip", || {
        second.rpc("getblockheader", json!([tip])).ok()
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    let oldest = &home.journal()[0];
    let nodes = oldest["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2, "{oldest}");
    assert!(
        nodes.iter().all(|node| node["state"] == "accepted"),
        "{oldest}"
    );
}

/// Blocks with real work and the signet's commitment.
pub fn mines_on_a_signet(node: &Node) {
    let address = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
    // A chain without recent blocks looks like one that is being downloaded.
    let mining = format!("payout_address = \"{address}\"\nduring_ibd = true");
    let home = Home::on_network("signet", node, &mining, true);
    let last = home.mine(3);
    assert_eq!(last["blocks_accepted"], 3, "{last}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    assert_eq!(node.height(), 3);
    let block = node.call("getblock", json!([node.tip(), 2]));
    assert_eq!(
        block["tx"][0]["vout"][0]["scriptPubKey"]["address"],
        address
    );
}

/// A longer branch is followed, and so is a node that goes back.
pub fn follows_reorganisations(node: &Node) {
    node.generate(12, &spend::address());
    let home = Home::new(node, IDLE, true);
    let running = home.start();
    home.until_tip(&node.tip());

    let fork = node.call("getblockhash", json!([7]));
    node.call("invalidateblock", json!([fork]));
    assert_eq!(node.height(), 6);
    home.until_tip(&node.tip());

    // A branch of another shape, shorter than the first one.
    node.generate(4, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080");
    home.until_tip(&node.tip());
    node.call("reconsiderblock", json!([fork]));
    assert_eq!(node.height(), 12, "the first branch has more work");
    home.until_tip(&node.tip());
    home.until_status("it counts the reorganisation", |status| {
        (status["ingest"]["reorgs"].as_u64()? >= 1).then_some(())
    });
    let (status, _) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
}

/// Mining goes on after a reorganisation, on the new branch.
pub fn mines_on_after_a_reorganisation(node: &Node) {
    node.generate(5, &spend::address());
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 2).then_some(())
    });
    let victim = node.call("getblockhash", json!([4]));
    node.call("invalidateblock", json!([victim]));
    let accepted = home.until_status("it is asked once", |status| {
        status["blocks"]["accepted"].as_u64()
    });
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + 3).then_some(())
    });
    let (status, _) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    // A block that was found on the old branch while the node dropped it.
    for entry in home.journal() {
        let reason = entry["nodes"][0]["reason"].as_str().unwrap_or_default();
        assert!(
            entry["state"] != "rejected" || ["bad-prevblk", "duplicate-invalid"].contains(&reason),
            "{entry}"
        );
    }
    assert!(
        node.call("getblock", json!([victim]))["confirmations"]
            .as_i64()
            .unwrap()
            < 0
    );
}

/// A branch of another miner takes the place of more than ten blocks, among them our own.
pub fn mines_on_after_a_deep_reorganisation(node: &Node) {
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 10).then_some(())
    });
    let rival = node.another();
    // Both start at genesis; what is mined meanwhile, the rival has to spare.
    let branch = rival.generate(
        node.height() as u32 + 40,
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    );
    let lost = node.call("getblockhash", json!([1]));
    for hash in &branch {
        let answer = node.call("submitblock", json!([rival.raw_block(hash)]));
        assert!(
            answer.is_null() || answer == "inconclusive",
            "{answer} for {hash}"
        );
    }
    assert_ne!(node.call("getblockhash", json!([1])), lost, "it lost");
    let accepted = home.until_status("it follows the rival and counts that", |status| {
        (status["ingest"]["reorgs"].as_u64()? >= 1
            && status["tip"]["height"].as_u64()? >= branch.len() as u64)
            .then_some(status["blocks"]["accepted"].as_u64()?)
    });
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + 3).then_some(())
    });
    let tip = node.call("getblockheader", json!([branch.last().unwrap()]));
    assert!(tip["confirmations"].as_i64().unwrap() >= 3, "{tip}");
    let (status, last) = running.stop();
    assert!(status.success(), "{status}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
}

/// Mining without ZMQ: own blocks and those of others are followed by polling.
pub fn mines_by_polling_alone(node: &Node) {
    let home = Home::new(node, &paced(0.5), false);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 3).then_some(())
    });
    let theirs = node.generate(3, &spend::address()).pop().unwrap();
    let accepted = home.until_status("it knows the tip or its successor", |status| {
        (status["tip"]["height"].as_u64()? >= block_height(node, &theirs))
            .then_some(status["blocks"]["accepted"].as_u64()?)
    });
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + 2).then_some(())
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    let header = node.call("getblockheader", json!([theirs]));
    assert!(header["confirmations"].as_i64().unwrap() >= 3, "{header}");
}

fn block_height(node: &Node, hash: &str) -> u64 {
    node.call("getblockheader", json!([hash]))["height"]
        .as_u64()
        .unwrap()
}

/// Without ZMQ the polls see every new tip.
pub fn works_by_polling_alone(node: &Node) {
    let home = Home::new(node, IDLE, false);
    let running = home.start();
    for _ in 0..3 {
        node.generate(1, &spend::address());
        home.until_tip(&node.tip());
    }
    let status = home.status().unwrap();
    assert_eq!(status["ingest"]["zmq_messages"], 0, "{status}");
    assert_eq!(running.stop().0.code(), Some(0));
}

/// With ZMQ its notifications arrive, none is garbage.
pub fn hears_zmq(node: &Node) {
    node.generate(1, &spend::address());
    let home = Home::new(node, IDLE, true);
    let running = home.start();
    home.until_tip(&node.tip());
    home.until_status("a notification arrives", |status| {
        node.generate(1, &spend::address());
        (status["ingest"]["zmq_messages"].as_u64()? > 0).then_some(())
    });
    home.until_tip(&node.tip());
    let status = home.status().unwrap();
    assert_eq!(status["ingest"]["zmq_garbage"], 0, "{status}");
    assert_eq!(running.stop().0.code(), Some(0));
}

/// A node of another network is refused in words and never mined on.
pub fn refuses_a_node_of_another_network(node: &Node) {
    let mining = "payout_address = \"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx\"";
    let home = Home::on_network("signet", node, mining, true);
    let running = home.start();
    let state = home.until_status("it refuses", |status| {
        status["node"]["state"]
            .as_str()
            .filter(|state| state.contains("refused"))
            .map(str::to_owned)
    });
    assert!(
        state.contains("regtest") && state.contains("signet"),
        "{state}"
    );
    let status = home.status().unwrap();
    assert_eq!(status["mining"]["job"], Value::Null, "{status}");
    assert_eq!(running.stop().0.code(), Some(0));
}
