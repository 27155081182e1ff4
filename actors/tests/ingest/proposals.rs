//! Whether the node is asked about every new shape of block, and what comes of its answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chain::{CoinbaseOnly, CoinbaseTag, Job, Network, PayoutScript, Solved, Template};
use devnode::Devnode;
use node::{Node, ProposalAnswer};
use signalcore_actors::board::Board;
use signalcore_actors::proposals::{Candidate, Finding, ProposalVerdict, Proposals};
use supervise::Supervisor;

use crate::support::{client, devnode, run, stop, until, until_true};
use crate::{NEVER, ingest};

/// One address of each kind.
const PAYOUTS: [&str; 5] = [
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
    "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
    "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
];

fn job(template: &Template, payout: &str) -> Job {
    let payout = PayoutScript::parse(payout, Network::Regtest).unwrap();
    Job::new(template, &payout, &CoinbaseTag::new("/test/").unwrap(), 0).unwrap()
}

fn candidate(template: &Template, payout: &str) -> Candidate {
    let job = job(template, payout);
    Candidate {
        version: *job.versions().last().unwrap(),
        job: Arc::new(job),
        node: "local".into(),
    }
}

/// ingest on a devnode, and the node's template.
async fn asked(dir: &Path) -> (Devnode, Node, Board, Supervisor) {
    let devnode = devnode(dir).await;
    let node = client(&devnode);
    let board = Board::new(1);
    let tree = ingest(&board, node.clone(), |settings| {
        settings.poll_interval = NEVER;
    })
    .await;
    (devnode, node, board, tree)
}

async fn finding(board: &Board, candidate: &Candidate, wanted: impl Fn(&Finding) -> bool) {
    board.candidate.send_replace(Some(candidate.clone()));
    let (node, shape) = (&candidate.node, candidate.job.shape());
    let known = |proposals: &Proposals| proposals.finding(node, shape).is_some_and(&wanted);
    until(&board.proposals, "an answer to a proposal", known).await;
}

#[test]
fn every_payout_with_and_without_transactions_is_asked_about_and_sound() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (devnode, node, board, tree) = asked(dir.path()).await;
        devnode.generate(101).unwrap();
        devnode.fill_mempool(5).unwrap();
        // A template that somebody else asked for a moment ago is given again, for five seconds.
        let template = loop {
            let template = node.get_block_template(Network::Regtest).await.unwrap();
            if template.transactions.len() == 5 {
                break template;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        for payout in PAYOUTS {
            let full = candidate(&template, payout);
            finding(&board, &full, |finding| *finding == Finding::Sound).await;
        }
        let own = candidate(&coinbase_only(&template), PAYOUTS[0]);
        finding(&board, &own, |finding| *finding == Finding::Sound).await;
        let views = board.proposals.borrow().views();
        assert_eq!(views.len(), PAYOUTS.len() + 1);
        assert!(
            views
                .iter()
                .all(|view| view.verdict == ProposalVerdict::Sound)
        );
        assert!(views[3].shape.contains("p2wsh"), "{}", views[3].shape);
        stop(tree).await;
    });
}

#[test]
fn a_shape_that_the_node_refuses_is_known_with_its_reason_until_a_better_one_passes() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (devnode, node, board, tree) = asked(dir.path()).await;
        devnode.generate(20).unwrap();
        let good = node.get_block_template(Network::Regtest).await.unwrap();
        let mut wrong = good.clone();
        wrong.height -= 1;
        let (wrong, right) = (candidate(&wrong, PAYOUTS[2]), candidate(&good, PAYOUTS[2]));
        assert_eq!(wrong.job.shape(), right.job.shape());
        finding(&board, &wrong, |finding| {
            finding.bar() == Some("bad-cb-height")
        })
        .await;
        let view = board.proposals.borrow().views().remove(0);
        assert_eq!(view.verdict, ProposalVerdict::Barred);
        assert_eq!(view.reason.as_deref(), Some("bad-cb-height"));
        finding(&board, &right, |finding| *finding == Finding::Sound).await;
        stop(tree).await;
    });
}

#[test]
fn a_refusal_that_may_pass_bars_nothing() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (_devnode, node, board, tree) = asked(dir.path()).await;
        let mut early = node.get_block_template(Network::Regtest).await.unwrap();
        (early.mintime, early.curtime) = (1, 1);
        let early = candidate(&early, PAYOUTS[2]);
        finding(&board, &early, |finding| {
            *finding == Finding::Refused("time-too-old".to_owned()) && finding.bar().is_none()
        })
        .await;
        stop(tree).await;
    });
}

#[test]
fn a_proposal_on_a_tip_that_is_none_any_more_says_nothing() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (devnode, node, board, tree) = asked(dir.path()).await;
        let late = node.get_block_template(Network::Regtest).await.unwrap();
        devnode.generate(1).unwrap();
        let late = candidate(&late, PAYOUTS[2]);
        let answer = node.propose_block(Network::Regtest, late.block()).await;
        assert_eq!(answer.unwrap(), ProposalAnswer::NotBestParent);
        board.candidate.send_replace(Some(late.clone()));
        let next = node.get_block_template(Network::Regtest).await.unwrap();
        let next = candidate(&next, PAYOUTS[3]);
        finding(&board, &next, |finding| *finding == Finding::Sound).await;
        assert!(board.proposals.borrow().wants(&late));
        assert_eq!(board.proposals.borrow().views().len(), 1);
        stop(tree).await;
    });
}

#[test]
fn a_proposal_that_was_not_on_the_nodes_tip_is_made_again_once_it_is() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (devnode, node, board, tree) = asked(dir.path()).await;
        let early = node.get_block_template(Network::Regtest).await.unwrap();
        let ahead = devnode.generate(1).unwrap()[0];
        let early = candidate(&early, PAYOUTS[2]);
        until(&board.template, "the new tip's template", |seen| {
            seen.as_ref()
                .is_some_and(|seen| seen.template.previousblockhash == ahead)
        })
        .await;
        let meter = node.meter();
        let asked = || meter.read().poll["getblocktemplate"].calls;
        let before = asked();
        board.candidate.send_replace(Some(early.clone()));
        until_true("a proposal", || asked() > before).await;
        assert!(board.proposals.borrow().views().is_empty());
        // The node comes to where we are; nothing else is offered.
        devnode.invalidate(&ahead).unwrap();
        let (name, shape) = (&early.node, early.job.shape());
        let known = |known: &Proposals| known.finding(name, shape) == Some(&Finding::Sound);
        until(&board.proposals, "an answer to the same proposal", known).await;
        stop(tree).await;
    });
}

/// What we would make of a tip before the node's template is there.
fn coinbase_only(template: &Template) -> Template {
    Template::coinbase_only(&CoinbaseOnly {
        network: Network::Regtest,
        parent: template.previousblockhash,
        parent_time: template.mintime,
        height: template.height,
        bits: template.bits,
        mintime: template.mintime,
        curtime: template.curtime,
    })
}

/// Heights as numbers and as pushes, and the subsidy's halvings, by our own rules alone.
#[test]
fn coinbase_only_blocks_are_accepted_at_every_height_and_across_the_halvings() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client(&devnode);
        for height in (1..=18).chain(127..=129).chain(149..=151).chain(299..=301) {
            let tip = devnode.tip().height;
            if height > tip + 1 {
                devnode.generate(height - tip - 1).unwrap();
            }
            let template = node.get_block_template(Network::Regtest).await.unwrap();
            assert_eq!(template.height, height);
            let own = coinbase_only(&template);
            assert_eq!(own.coinbasevalue, template.coinbasevalue, "{height}");
            let candidate = candidate(&own, PAYOUTS[4]);
            let answer = node
                .propose_block(Network::Regtest, candidate.block())
                .await;
            assert_eq!(answer.unwrap(), ProposalAnswer::Valid, "{height}");
            let (job, version) = (&candidate.job, candidate.version);
            let ntime = job.start_time();
            let solved = (0..u32::MAX).map(|nonce| Solved {
                extranonce: 0,
                ntime,
                version,
                nonce,
            });
            let solved = solved.into_iter().find(|solved| job.is_solved_by(solved));
            node.submit_block(job.assemble(&solved.unwrap()))
                .await
                .unwrap();
            assert_eq!(devnode.tip().height, height);
        }
    });
}
