//! Whether what was chosen works: known nonces on every thread, and a block that a node accepts.

use std::ops::ControlFlow;
use std::thread;

use anyhow::{Context as _, bail, ensure};
use chain::{CoinbaseTag, Job, Network, PayoutScript, Solved};
use devnode::{Devnode, DevnodeConfig};
use node::{Auth, NodeConfig, Rpc, SubmitAnswer};
use pow::{Kernel, NonceRange, ScanJob};

use super::choice::self_test;
use super::report::Finding;

/// Blocks before the one that is mined: their coins are of age, so that there are transactions.
const COINS: usize = 1;

/// Tries the kernel on so many threads at once, and mines a block with it on an embedded regtest node.
pub fn try_out(kernel: &'static dyn Kernel, threads: usize) -> Finding {
    let name = kernel.name();
    let failed = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| self_test(kernel)))
            .collect();
        running.into_iter().find_map(|thread| match thread.join() {
            Ok(result) => result.err(),
            Err(_) => Some("a thread panicked".to_owned()),
        })
    });
    if let Some(fault) = failed {
        return Finding::failed(fault).but(format!("report this line; {name} must not be used"));
    }
    match mine(kernel) {
        Ok(height) => Finding::success(format!(
            "{name} finds the nonces of real blocks on {threads} threads; the embedded regtest node accepted \
             block {height} from it"
        )),
        Err(error) => Finding::failed(format!(
            "no block could be mined on the embedded regtest node: {error:#}"
        )),
    }
}

/// Mines a block from a template, as the miner does, and submits it. Its height.
fn mine(kernel: &dyn Kernel) -> anyhow::Result<u32> {
    let home = tempfile::tempdir().context("no temporary directory")?;
    let devnode = Devnode::start_blocking(DevnodeConfig::new(home.path().join("node")))?;
    devnode.fund(COINS)?;
    devnode.fill_mempool(1)?;
    let auth = Auth::CookieFile(devnode.cookie_file().to_owned());
    let mut rpc = Rpc::new(&NodeConfig::new(
        "devnode",
        devnode.rpc_url().parse()?,
        auth,
    ));
    let template = rpc.get_block_template(Network::Regtest)?;
    let payout = PayoutScript::parse(&devnode.own_address().to_string(), Network::Regtest)?;
    let job = Job::new(&template, &payout, &CoinbaseTag::new("/tune/")?, 0)?;
    let solved = solve(kernel, &job).context("not one of 2^32 nonces is a solution")?;
    ensure!(job.is_solved_by(&solved), "its solution is none");
    match rpc.submit_block(&job.assemble(&solved))? {
        SubmitAnswer::Accepted => Ok(job.height()),
        other => bail!("the node answered {other:?}"),
    }
}

fn solve(kernel: &dyn Kernel, job: &Job) -> Option<Solved> {
    let ntime = job.start_time();
    let header = job.header(0, ntime);
    let scan = ScanJob::new(&header, job.versions(), job.target());
    let mut found = None;
    kernel.scan(&scan, NonceRange::ALL, &mut |hit| {
        found = Some(hit);
        ControlFlow::Break(())
    });
    found.map(|hit| Solved {
        extranonce: 0,
        ntime,
        version: hit.version,
        nonce: hit.nonce,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::key::supported;
    use crate::tune::report::Status;

    #[test]
    fn a_kernel_of_this_cpu_mines_a_block_that_the_node_accepts() {
        let Some(kernel) = supported().pop() else {
            panic!("the scalar kernel runs anywhere");
        };
        let finding = try_out(kernel, 2);
        assert_eq!(finding.status, Status::Success, "{finding:?}");
        assert!(finding.message.contains("on 2 threads"), "{finding:?}");
    }
}
