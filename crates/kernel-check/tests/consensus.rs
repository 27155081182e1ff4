//! Blocks made the way the program makes them, judged by Bitcoin Core's consensus code: from a real
//! node's template over RPC to a job, from a job by a real kernel to a solution, to a raw block.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;

use bitcoin::consensus::encode::deserialize;
use bitcoin::{Block, ScriptBuf};
use chain::{CoinbaseTag, Job, Network, PayoutScript, Solved, VERSION_ROLLING_MASK};
use devnode::{Devnode, DevnodeConfig};
use node::{Auth, NodeConfig, Rpc};
use pow::{Kernel, NonceRange, ScanJob};
use signalcore_kernel_check::{Judge, Verdict};

/// A devnode, a client of it, and the judge, all at the same tip.
struct World {
    node: Devnode,
    rpc: Rpc,
    judge: Judge,
    payout: PayoutScript,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Devnode::start_blocking(DevnodeConfig::new(dir.path())).unwrap();
        let auth = Auth::CookieFile(node.cookie_file().to_owned());
        let rpc = Rpc::new(&NodeConfig::new(
            "devnode",
            node.rpc_url().parse().unwrap(),
            auth,
        ));
        // To the devnode's own key, so that it can spend the coins again, with real signatures.
        let payout =
            PayoutScript::parse(&node.own_address().to_string(), Network::Regtest).unwrap();
        Self {
            node,
            rpc,
            judge: Judge::regtest().unwrap(),
            payout,
            _dir: dir,
        }
    }

    fn job(&mut self, payout: &PayoutScript) -> Job {
        let template = self.rpc.get_block_template(Network::Regtest).unwrap();
        Job::new(
            &template,
            payout,
            &CoinbaseTag::new("/signalcore/").unwrap(),
            7,
        )
        .unwrap()
    }

    /// Mines the next block; both nodes must take it.
    fn mine(&mut self) -> Vec<u8> {
        let payout = self.payout.clone();
        self.mine_to(&payout)
    }

    fn mine_to(&mut self, payout: &PayoutScript) -> Vec<u8> {
        let job = self.job(payout);
        let raw = solve(&job, job.start_time());
        assert_eq!(
            self.judge.judge(&raw),
            Verdict::NewTip,
            "height {}",
            job.height()
        );
        self.node.submit(&raw).unwrap();
        raw
    }
}

/// Solves a job with the fastest kernel of this machine, all of its versions rolled.
fn solve(job: &Job, ntime: u32) -> Vec<u8> {
    let kernel = pow::kernel("auto").unwrap();
    solve_with(kernel, job, ntime, job.versions(), |_| true)
}

/// Solves a job with a kernel that scans these versions side by side, by the first hit of a version that is wanted.
fn solve_with(
    kernel: &dyn Kernel,
    job: &Job,
    ntime: u32,
    versions: &[i32],
    wanted: impl Fn(i32) -> bool,
) -> Vec<u8> {
    let range = NonceRange {
        start: 0,
        count: 1 << 7,
    };
    for extranonce in 0.. {
        let scan = ScanJob::new(&job.header(extranonce, ntime), versions, job.target());
        let mut solved = None;
        kernel.scan(&scan, range, &mut |hit| {
            if !wanted(hit.version) {
                return ControlFlow::Continue(());
            }
            solved = Some(Solved {
                extranonce,
                ntime,
                version: hit.version,
                nonce: hit.nonce,
            });
            ControlFlow::Break(())
        });
        if let Some(solved) = solved {
            return job.assemble(&solved);
        }
    }
    unreachable!("extranonces do not run out")
}

fn block(raw: &[u8]) -> Block {
    deserialize(raw).unwrap()
}

#[test]
fn empty_blocks_over_two_halvings_and_every_height_encoding_are_accepted() {
    let mut world = World::new();
    // Heights 1 to 16, 17 and 128 are encoded differently; regtest halves at 150 and 300.
    for _ in 0..310 {
        world.mine();
    }
    assert_eq!(world.judge.height(), 310);
}

#[test]
fn blocks_with_rolled_versions_by_every_kernel_are_accepted() {
    let mut world = World::new();
    let payout = world.payout.clone();
    for kernel in pow::kernels().iter().filter(|kernel| kernel.is_supported()) {
        let rolled = world.job(&payout).versions().len() - 1;
        assert!(rolled > 16, "more than a batch of any kernel");
        // A block by the version at each fifth place, in the whole list and alone.
        for place in (0..rolled).step_by(5) {
            let job = world.job(&payout);
            let (own, rolled) = job.versions().split_first().unwrap();
            let wanted = rolled[place];
            let list = if place % 2 == 0 { rolled } else { &[wanted] };
            let raw = solve_with(*kernel, &job, job.start_time(), list, |v| v == wanted);

            let version = block(&raw).header.version.to_consensus();
            assert_eq!(version, wanted);
            assert_ne!(version, *own);
            assert_eq!((version ^ own).cast_unsigned() & !VERSION_ROLLING_MASK, 0);
            let what = format!("{}, version {version:#010x}", kernel.name());
            assert_eq!(world.judge.judge(&raw), Verdict::NewTip, "{what}");
            assert_eq!(world.node.submit(&raw), Ok(()), "{what}");
        }
    }
}

#[test]
fn blocks_of_real_signed_transactions_are_accepted_with_their_scripts() {
    let mut world = World::new();
    for _ in 0..150 {
        world.mine();
    }
    let mut transactions = 0;
    for _ in 0..5 {
        world.node.fill_mempool(40).unwrap();
        let raw = world.mine();
        let block = block(&raw);
        transactions += block.txdata.len() - 1;
        assert!(
            block.txdata[1..]
                .iter()
                .any(|tx| !tx.input[0].witness.is_empty()),
            "they carry witness"
        );
    }
    assert!(transactions >= 100, "{transactions}");
}

#[test]
fn a_coinbase_only_job_by_our_own_rules_is_accepted() {
    let mut world = World::new();
    let mut window = chain::HeaderWindow::from_genesis(Network::Regtest, 100);
    for _ in 0..20 {
        let now = world
            .rpc
            .get_block_template(Network::Regtest)
            .unwrap()
            .curtime;
        let template = chain::Template::coinbase_only_on(&window, now).unwrap();
        let job = Job::new(&template, &world.payout, &CoinbaseTag::new("").unwrap(), 0).unwrap();
        let raw = solve(&job, job.start_time());
        assert_eq!(world.judge.judge(&raw), Verdict::NewTip);
        world.node.submit(&raw).unwrap();
        window.connect(&[block(&raw).header], None).unwrap();
    }
}

#[test]
fn every_kind_of_payout_is_accepted() {
    let mut world = World::new();
    for address in [
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
        "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
    ] {
        world.mine_to(&PayoutScript::parse(address, Network::Regtest).unwrap());
    }
    assert_eq!(world.judge.height(), 5);
}

#[test]
fn the_longest_tag_and_the_last_second_are_accepted() {
    let mut world = World::new();
    let template = world.rpc.get_block_template(Network::Regtest).unwrap();
    let tag = CoinbaseTag::new(&"x".repeat(CoinbaseTag::MAX_LEN)).unwrap();
    let job = Job::new(&template, &world.payout, &tag, u16::MAX).unwrap();
    assert_eq!(
        world.judge.judge(&solve(&job, job.max_time())),
        Verdict::NewTip
    );
}

#[test]
fn tampered_blocks_are_refused_by_both() {
    let mut world = World::new();
    for _ in 0..120 {
        world.mine();
    }
    world.node.fill_mempool(10).unwrap();
    let payout = world.payout.clone();
    let job = world.job(&payout);
    let good = solve(&job, job.start_time());
    assert!(job.transactions() >= 1);

    let tampered: Vec<(&str, Vec<u8>)> = vec![
        (
            "one satoshi too many",
            remade(&good, |block| {
                let value = block.txdata[0].output[0].value;
                block.txdata[0].output[0].value = value + bitcoin::Amount::ONE_SAT;
            }),
        ),
        (
            "another height in the coinbase",
            remade(&good, |block| {
                let mut script = block.txdata[0].input[0].script_sig.to_bytes();
                script[1] ^= 1;
                block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(script);
            }),
        ),
        (
            "a transaction twice",
            remade(&good, |block| {
                let last = block.txdata.last().unwrap().clone();
                block.txdata.push(last);
            }),
        ),
        (
            "a signature with one bit changed",
            remade(&good, |block| {
                let spend = &mut block.txdata[1].input[0];
                let mut items = spend.witness.to_vec();
                items[0][10] ^= 1;
                spend.witness = bitcoin::Witness::from_slice(&items);
            }),
        ),
        ("a transaction left out of the merkle root", {
            let mut block = block(&good);
            block.txdata.pop();
            bitcoin::consensus::serialize(&block)
        }),
        ("cut short", good[..good.len() - 1].to_vec()),
    ];
    for (what, raw) in tampered {
        let verdict = world.judge.judge(&raw);
        assert!(
            matches!(verdict, Verdict::Rejected(_)),
            "{what}: {verdict:?}"
        );
        assert!(
            world.node.submit(&raw).is_err(),
            "{what}: the devnode must refuse it too"
        );
    }
    assert_eq!(
        world.judge.judge(&good),
        Verdict::NewTip,
        "the block itself is good"
    );
}

/// Changes a block, makes its roots and commitment true again, and mines it anew.
fn remade(raw: &[u8], change: impl FnOnce(&mut Block)) -> Vec<u8> {
    let mut block = block(raw);
    change(&mut block);
    let root = block.witness_root().unwrap();
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    if let Some(output) = block.txdata[0].output.iter_mut().rfind(|out| {
        out.script_pubkey
            .as_bytes()
            .starts_with(&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed])
    }) {
        let mut script = output.script_pubkey.to_bytes();
        script[6..38].copy_from_slice(commitment.as_ref());
        output.script_pubkey = ScriptBuf::from_bytes(script);
    }
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    while block.header.validate_pow(block.header.target()).is_err() {
        block.header.nonce = block.header.nonce.wrapping_add(1);
    }
    bitcoin::consensus::serialize(&block)
}
