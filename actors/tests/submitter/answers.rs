//! Every answer of `submitblock`, given over a real connection, and what becomes of the block.

use bitcoin::block::Header;

use super::*;

/// What a node says of the block when it is looked up.
#[derive(Clone, Copy, PartialEq)]
enum Knows {
    /// It is in the active chain.
    Active,
    /// It is not, and the active chain is this much higher.
    Side(u32),
    /// It is invalid.
    Invalid,
    /// Nothing.
    Nothing,
}

use Knows::{Active, Invalid, Nothing, Side};

/// The answers of `submitblock` in turn, the last for ever; what a look-up finds; the end; how many submissions and
/// look-ups that takes.
struct Row(Vec<Answer>, Knows, Outcome, u32, u32);

fn word(word: &str) -> Answer {
    Answer::Result(json!(word))
}

fn accepted() -> Answer {
    Answer::Result(json!(null))
}

fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected(reason.to_owned())
}

/// Runs the submitter beside a node that behaves like this.
fn check(Row(answers, knows, outcome, submissions, look_ups): Row) {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let hash = solution.hash;
        let header = solution.job.header_of(&solution.solved);
        let header: Header = bitcoin::consensus::deserialize(&header).unwrap();
        let next = AtomicU32::new(0);
        let said = answers.clone();
        let fake = FakeNode::start(move |method, _| match method {
            "submitblock" => {
                let turn = next.fetch_add(1, Ordering::SeqCst) as usize;
                said[turn.min(said.len() - 1)].clone()
            }
            "getblockheader" if knows == Nothing => Answer::Error(-5, "Block not found"),
            "getblockheader" => Answer::Result(json!({
                "hash": hash,
                "confirmations": if knows == Active { 1 } else { -1 },
                "height": 1,
                "version": header.version.to_consensus(),
                "merkleroot": header.merkle_root,
                "time": header.time,
                "mediantime": header.time,
                "nonce": header.nonce,
                "bits": format!("{:08x}", header.bits.to_consensus()),
                "chainwork": format!("{:064x}", 4),
                "nTx": 1,
                "previousblockhash": header.prev_blockhash,
            })),
            "getchaintips" => {
                let status = if knows == Invalid { "invalid" } else { "valid-fork" };
                let higher = if let Side(higher) = knows { higher } else { 0 };
                Answer::Result(json!([
                    {"height": 1 + higher, "hash": "00".repeat(32), "branchlen": 0, "status": "active"},
                    {"height": 1, "hash": hash, "branchlen": 1, "status": status},
                ]))
            }
            _ => Answer::Error(-32601, "Method not found"),
        })
        .await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, &[fake_client(&fake)]).await;
        board.outbox.push(solution);
        let settled = settled(&board, hash).await;
        let what = format!("{:?}", answers[0]);
        assert_eq!(settled.outcome, outcome, "{what}");
        let asked = (fake.calls("submitblock"), fake.calls("getblockheader"));
        assert_eq!(asked, (submissions, look_ups), "{what}");
        stop(tree).await;
        let entries = list(journal.dir()).unwrap();
        let state = match outcome {
            Outcome::Accepted => EntryState::Accepted,
            Outcome::Rejected(_) => EntryState::Rejected,
            Outcome::Stale => EntryState::Stale,
        };
        assert_eq!(entries[0].state, state, "{what}");
    });
}

#[test]
fn null_and_what_a_look_up_finds_active_are_accepted() {
    check(Row(vec![accepted()], Nothing, Outcome::Accepted, 1, 0));
    for said in [
        "duplicate",
        "duplicate-inconclusive",
        "inconclusive",
        "duplicate-invalid",
        "stale-prevblk",
        "stale-work",
        "inconclusive-not-best-prevblk",
        "a word of next year",
    ] {
        check(Row(vec![word(said)], Active, Outcome::Accepted, 1, 1));
    }
}

#[test]
fn what_a_look_up_finds_behind_another_block_is_stale() {
    for said in ["duplicate", "duplicate-inconclusive", "inconclusive"] {
        check(Row(vec![word(said)], Side(1), Outcome::Stale, 1, 1));
    }
    for said in [
        "stale-prevblk",
        "stale-work",
        "inconclusive-not-best-prevblk",
    ] {
        check(Row(vec![word(said)], Nothing, Outcome::Stale, 1, 1));
    }
}

#[test]
fn what_a_look_up_finds_invalid_is_rejected() {
    for said in [
        "duplicate",
        "duplicate-inconclusive",
        "inconclusive",
        "duplicate-invalid",
    ] {
        check(Row(vec![word(said)], Invalid, rejected(said), 1, 1));
    }
}

#[test]
fn what_a_look_up_does_not_find_is_sent_again() {
    for said in ["duplicate", "duplicate-inconclusive", "inconclusive"] {
        check(Row(
            vec![word(said), accepted()],
            Nothing,
            Outcome::Accepted,
            2,
            1,
        ));
    }
}

#[test]
fn a_verdict_on_the_block_itself_is_final_at_once() {
    for said in [
        "high-hash",
        "time-too-old",
        "time-timewarp-attack",
        "bad-diffbits",
        "bad-prevblk",
        "bad-version(0x00000001)",
        "bad-cb-amount",
        "bad-cb-height",
        "bad-txns-nonfinal",
        "bad-blk-sigops",
    ] {
        check(Row(vec![word(said)], Nothing, rejected(said), 1, 0));
    }
}

#[test]
fn what_may_be_damage_on_the_way_is_final_at_the_fourth_time() {
    for said in [
        "bad-witness-merkle-match",
        "bad-witness-nonce-size",
        "unexpected-witness",
        "bad-txnmrklroot",
        "bad-txns-duplicate",
    ] {
        check(Row(vec![word(said)], Nothing, rejected(said), 4, 0));
        check(Row(
            vec![word(said), accepted()],
            Nothing,
            Outcome::Accepted,
            2,
            0,
        ));
    }
    let unreadable = || Answer::Error(-22, "Block decode failed");
    check(Row(
        vec![unreadable(), accepted()],
        Nothing,
        Outcome::Accepted,
        2,
        0,
    ));
    let said = "a word of next year";
    check(Row(vec![word(said)], Nothing, rejected(said), 4, 4));
}

#[test]
fn what_decides_nothing_is_asked_again() {
    for answer in [
        word("prev-blk-not-found"),
        word("time-too-new"),
        Answer::Error(-28, "Verifying blocks\u{2026}"),
        Answer::Error(-9, "not connected"),
        Answer::Error(-10, "downloading blocks"),
        Answer::Error(-32601, "Method not found"),
        Answer::Http(401, ""),
        Answer::Http(403, ""),
        Answer::Http(404, ""),
        Answer::Http(500, "out of order"),
        Answer::Http(503, "Work queue depth exceeded"),
    ] {
        check(Row(
            vec![answer, accepted()],
            Nothing,
            Outcome::Accepted,
            2,
            0,
        ));
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_looked_up() {
    for body in ["", "<html>", "{}", "{\"result\":null}", "[]"] {
        let garbage = Answer::Http(200, body);
        check(Row(vec![garbage.clone()], Active, Outcome::Accepted, 1, 1));
        check(Row(
            vec![garbage, accepted()],
            Nothing,
            Outcome::Accepted,
            2,
            1,
        ));
    }
}
