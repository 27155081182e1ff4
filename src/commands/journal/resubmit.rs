//! `journal resubmit`: gives a block to the nodes again.
//!
//! A running instance is asked to do it, as the journal is its own. Without one the journal is opened here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::api::{Reply, Request, SocketError, ask_patiently};
use actors::submitter::Resubmitter;
use actors::submitter::journal::{self, EntryState, Journal, NodeEntry, RealDisk};
use anyhow::Context as _;
use bitcoin::BlockHash;
use node::Node;
use serde::Serialize;

use super::in_words;
use crate::config::Settings;
use crate::exit::{Exit, ExitError};
use crate::output::Output;

/// Longer than a node may take to answer a submission and a look-up.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the journal may take to be written out.
const JOURNAL_CLOSE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
struct Document {
    hash: String,
    nodes: Vec<NodeEntry>,
}

/// Runs the command. 0 if a node has the block in its active chain now, 69 if no node decided, 1 otherwise.
///
/// # Errors
/// No such block, or several; no such node; a journal that cannot be read or is in use by an instance that does not
/// answer.
pub fn run(
    settings: &Settings,
    hash: &str,
    node: Option<&str>,
    output: Output,
) -> anyhow::Result<Exit> {
    let hash = journal::show(&settings.journal_dir(), hash)?.entry.hash;
    let request = Request::Resubmit {
        hash,
        node: node.map(str::to_owned),
    };
    let nodes = match ask_patiently(&settings.control_socket(), &request, PATIENCE) {
        Ok(Reply::Resubmitted(nodes)) => nodes,
        Ok(Reply::Error(reason)) => return Err(ExitError::new(Exit::Failed, reason).into()),
        Ok(other) => {
            let reason = format!("the instance answered something else: {other:?}");
            return Err(ExitError::new(Exit::Failed, reason).into());
        }
        Err(SocketError::Absent { .. }) => without_instance(settings, hash, node)?,
        Err(error) => return Err(error.into()),
    };
    let is = |state| move |node: &NodeEntry| node.state == state;
    let exit = if nodes.iter().any(is(EntryState::Accepted)) {
        Exit::Ok
    } else if nodes.iter().all(is(EntryState::Unknown)) {
        Exit::Unavailable
    } else {
        Exit::Failed
    };
    let document = Document {
        hash: hash.to_string(),
        nodes,
    };
    output.result(&document, || {
        let nodes: Vec<String> = document.nodes.iter().map(in_words).collect();
        format!("{}\n  {}", document.hash, nodes.join("\n  "))
    })?;
    Ok(exit)
}

fn without_instance(
    settings: &Settings,
    hash: BlockHash,
    node: Option<&str>,
) -> anyhow::Result<Vec<NodeEntry>> {
    let journal = Journal::open(
        &settings.journal_dir(),
        Arc::new(RealDisk),
        SystemTime::now(),
    )?;
    let journal = Arc::new(journal);
    let nodes = settings
        .nodes
        .iter()
        .map(|config| Ok(Node::start(config.clone())?))
        .collect::<anyhow::Result<Vec<Node>>>()
        .context("cannot start the threads of a node")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let resubmitter = Resubmitter::new(&nodes, Arc::clone(&journal));
    let answers = runtime.block_on(resubmitter.resubmit(hash, node))?;
    if !journal.close(JOURNAL_CLOSE) {
        tracing::warn!("the journal does not take what the nodes said: its disk does not answer");
    }
    Ok(answers)
}
