//! `status`: what the running instance says of itself.

use std::fmt::Write as _;

use actors::api::{Reply, Request, SocketError, ask};
use actors::monitor::{Line, hashrate};
use actors::resources::Degradation;
use actors::stats::{Status, WorkerStatus};
use anyhow::Context as _;

use crate::cli::Global;
use crate::config;
use crate::exit::{Exit, ExitError};
use crate::output::Output;

/// Runs the command. 69 without a running instance.
///
/// # Errors
/// A configuration that cannot be used; no instance; an instance that does not answer.
pub fn run(global: &Global, output: Output) -> anyhow::Result<Exit> {
    let settings =
        config::load(global.config.as_deref()).context("cannot tell which instance to ask")?;
    let reply = ask(&settings.control_socket(), &Request::Status).map_err(|error| match error {
        SocketError::Absent { .. } => ExitError::new(Exit::Unavailable, error.to_string()),
        other => ExitError::new(Exit::Failed, other.to_string()),
    })?;
    match reply {
        Reply::Status(status) => output.result(&status, || text(&status))?,
        Reply::Health(_) | Reply::Resubmitted(_) => {
            return Err(ExitError::new(Exit::Failed, "another question was answered").into());
        }
        Reply::Done(reason) | Reply::Error(reason) => {
            return Err(ExitError::new(Exit::Failed, reason).into());
        }
    }
    Ok(Exit::Ok)
}

/// Where the hashing threads run, in a line: `on CPUs 0, 1, nice 0, 0 restarts`.
fn threads(workers: &[WorkerStatus]) -> String {
    let cpus: Option<Vec<String>> = workers.iter().map(|w| Some(w.cpu?.to_string())).collect();
    let cpus = match cpus {
        Some(cpus) if !cpus.is_empty() => format!("on CPUs {}", cpus.join(", ")),
        _ => "on any CPU".to_owned(),
    };
    let nice = workers.first().map_or(0, |worker| worker.nice);
    let restarts: u64 = workers.iter().map(|worker| worker.restarts).sum();
    format!("{cpus}, nice {nice}, {restarts} restarts")
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", Line::of(status));
    if let Some(health) = &status.health {
        let _ = writeln!(text, "health    {}: {}", health.status, health.message);
    }
    for alert in &status.alerts {
        let _ = writeln!(text, "alert     {}", alert.message);
    }
    if status.degradation != Degradation::None {
        let _ = writeln!(text, "degraded  {}", status.degradation);
    }
    let _ = writeln!(
        text,
        "version   {}, up {:.0} s, {}",
        status.version, status.uptime_s, status.network
    );
    let _ = writeln!(
        text,
        "node      {}: {}",
        status.node.name, status.node.state
    );
    for warning in &status.node.warnings {
        let _ = writeln!(text, "          warns: {warning}");
    }
    if status.nodes.len() > 1 {
        for node in &status.nodes {
            let _ = writeln!(text, "nodes     {node}");
        }
    }
    if let Some(tip) = &status.tip {
        let _ = writeln!(text, "tip       {} {}", tip.height, tip.hash);
        let _ = writeln!(text, "verified  {} headers: {}", tip.verified, tip.verdict);
    }
    if let Some(ahead) = &status.provisional_tip {
        let (height, hash) = (ahead.height, &ahead.hash);
        let _ = writeln!(
            text,
            "ahead     {height} {hash}, not confirmed by the node yet"
        );
    }
    let mining = &status.mining;
    let _ = writeln!(
        text,
        "mining    {} with {} x {} ({})",
        hashrate(mining.hashrate_hs),
        mining.threads,
        mining.kernel,
        mining.kernel_source
    );
    let _ = writeln!(text, "threads   {}", threads(&mining.workers));
    if let Some(job) = &mining.job {
        let _ = writeln!(
            text,
            "job       height {}, {} transactions, on {}",
            job.height, job.transactions, job.prev
        );
    }
    if let Some(reason) = &mining.fallback {
        let _ = writeln!(text, "fallback  {reason}");
    }
    let _ = write!(text, "{}", status.advisor);
    let blocks = status.blocks;
    let _ = writeln!(
        text,
        "blocks    {} found, {} accepted, {} rejected, {} stale",
        blocks.found, blocks.accepted, blocks.rejected, blocks.stale
    );
    if let Some(lifetime) = &status.lifetime {
        let all = lifetime.blocks;
        let _ = writeln!(
            text,
            "lifetime  {} found, {} accepted, {} rejected, {} stale in {} runs since {}",
            all.found,
            all.accepted,
            all.rejected,
            all.stale,
            lifetime.runs,
            lifetime.since.date()
        );
    }
    let ingest = &status.ingest;
    let _ = writeln!(
        text,
        "ingest    {} tips, {} templates, {} reorgs, {} RPC errors, ZMQ {} good, {} garbage, {} lost",
        ingest.tips,
        ingest.templates,
        ingest.reorgs,
        ingest.rpc_errors,
        ingest.zmq_messages,
        ingest.zmq_garbage,
        ingest.zmq_lost
    );
    if ingest.provisional_tips > 0 {
        let (taken, left) = (ingest.provisional_tips, ingest.provisional_cancelled);
        let _ = writeln!(
            text,
            "ahead     {taken} tips before the node confirmed them, {left} of them given up"
        );
    }
    for publisher in &status.zmq {
        let _ = writeln!(text, "zmq       {publisher}");
    }
    for calls in &status.rpc {
        let _ = writeln!(text, "rpc       {calls}");
    }
    for proposal in &ingest.proposals {
        let reason = proposal.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let _ = writeln!(
            text,
            "proposal  {} at {}{reason}: {}",
            proposal.verdict, proposal.node, proposal.shape
        );
    }
    for (step, times) in status.latency.known() {
        let _ = writeln!(text, "latency   {step}: {times}");
    }
    let log = &status.log;
    let _ = writeln!(
        text,
        "log       {} errors, {} warnings",
        log.errors, log.warnings
    );
    if let Some(address) = status.http {
        let _ = writeln!(text, "http      http://{address}");
    }
    for child in &status.children {
        let exit = child
            .last_exit
            .as_deref()
            .map(|exit| format!(", last exit: {exit}"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "child     {:10} {}, {} restarts{exit}",
            child.id, child.state, child.restarts
        );
    }
    text
}
