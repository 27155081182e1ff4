//! Whether the nodes give work, and how fast.

use std::time::{Duration, Instant};

use actors::ingest::{ChainFacts, node_state};
use actors::messages::NodeState;
use chain::Network;
use node::{NodeConfig, NodeError, Rpc};

use super::report::{Finding, Status};

/// Nobody waits longer than this for one node.
const PATIENCE: Duration = Duration::from_secs(10);
/// So often the node is asked something small; the fastest answer counts.
const QUESTIONS: usize = 5;
/// A template that takes longer leaves the miner without its transactions for as long.
const SLOW: Duration = Duration::from_secs(1);

/// What a node answered.
#[derive(Debug, Clone)]
struct Answers {
    state: NodeState,
    height: u32,
    /// The fastest answer to `getblockchaininfo`.
    info: Duration,
    /// Transactions in the template and how long it took; or why there is none.
    template: Result<(usize, Duration), String>,
}

/// Asks every node, in order of preference. The first one decides: it gives tips and templates.
pub fn ask(nodes: &[NodeConfig], network: Network) -> Finding {
    let findings = nodes.iter().map(|config| match answers(config, network) {
        Ok(answers) => assess(&config.name, &answers),
        Err(error) => Finding::failed(format!("{}: {error}", config.name)),
    });
    findings
        .reduce(beside)
        .unwrap_or_else(|| Finding::failed("no node is configured"))
}

fn answers(config: &NodeConfig, network: Network) -> Result<Answers, NodeError> {
    let mut rpc = Rpc::new(config);
    rpc.set_not_after(Some(Instant::now() + PATIENCE));
    let mut said = rpc.get_blockchain_info()?;
    let mut info = Duration::MAX;
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        said = rpc.get_blockchain_info()?;
        info = info.min(began.elapsed());
    }
    let began = Instant::now();
    let template = rpc.get_block_template(network);
    let took = began.elapsed();
    let facts = ChainFacts {
        chain: &said.chain,
        blocks: said.blocks,
        headers: said.headers,
        // A fresh regtest node always says so.
        ibd: said.initial_block_download && network != Network::Regtest,
    };
    Ok(Answers {
        state: node_state(&facts, network),
        height: said.blocks,
        info,
        template: template
            .map(|template| (template.transactions.len(), took))
            .map_err(|error| error.to_string()),
    })
}

fn assess(name: &str, answers: &Answers) -> Finding {
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let said = format!(
        "{name}: {}, height {}, getblockchaininfo {}",
        answers.state,
        answers.height,
        ms(answers.info)
    );
    if let NodeState::Refused { reason } = &answers.state {
        return Finding::failed(format!("{name}: {reason}"));
    }
    let finding = match &answers.template {
        Ok((transactions, took)) => {
            let finding = Finding::success(format!(
                "{said}, getblocktemplate {} with {transactions} transactions",
                ms(*took)
            ));
            if *took > SLOW {
                finding.but(format!(
                    "node {name} takes {} for a template: more memory for it (dbcache, maxmempool) or a faster disk help"
                    , ms(*took)
                ))
            } else {
                finding
            }
        }
        Err(why) => Finding::success(said).but(format!("node {name} gives no template: {why}")),
    };
    match answers.state {
        NodeState::Ready => finding,
        _ => finding.but(format!(
            "wait until node {name} has caught up with the chain"
        )),
    }
}

/// A node's finding with that of a less preferred one.
fn beside(mut first: Finding, other: Finding) -> Finding {
    if first.status == Status::Success && other.status != Status::Success {
        first.status = Status::Partial;
    }
    first.message = format!("{}; {}", first.message, other.message);
    first.advice.extend(other.advice);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Answers {
        Answers {
            state: NodeState::Ready,
            height: 110,
            info: Duration::from_micros(400),
            template: Ok((12, Duration::from_millis(3))),
        }
    }

    #[test]
    fn a_node_on_its_tip_that_gives_templates_is_a_success() {
        let finding = assess("local", &ready());
        assert_eq!(finding.status, Status::Success);
        for words in ["local", "height 110", "0.4 ms", "3.0 ms with 12"] {
            assert!(finding.message.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn one_that_is_behind_slow_or_without_templates_is_a_reservation_with_advice() {
        let mut behind = ready();
        behind.state = NodeState::Syncing {
            blocks: 110,
            headers: 200,
            ibd: true,
        };
        let mut slow = ready();
        slow.template = Ok((12, Duration::from_secs(2)));
        let mut without = ready();
        without.template = Err("no peers".into());
        for (answers, words) in [
            (behind, "caught up"),
            (slow, "2000.0 ms"),
            (without, "no peers"),
        ] {
            let finding = assess("local", &answers);
            assert_eq!(finding.status, Status::Partial, "{finding:?}");
            assert!(finding.advice[0].contains(words), "{finding:?}");
        }
    }

    #[test]
    fn one_on_another_network_is_a_failure_and_the_first_node_decides() {
        let mut other = ready();
        other.state = NodeState::Refused {
            reason: "the node is on main".into(),
        };
        let failed = assess("wrong", &other);
        assert_eq!(failed.status, Status::Failed);
        let well = || assess("local", &ready());
        assert_eq!(beside(failed.clone(), well()).status, Status::Failed);
        assert_eq!(beside(well(), failed).status, Status::Partial);
        assert_eq!(beside(well(), well()).status, Status::Success);
    }
}
