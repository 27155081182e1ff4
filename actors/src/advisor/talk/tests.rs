//! What is asked, and what becomes of the answers.
#![allow(clippy::unwrap_used)]

use advisor::consultant::Mode;
use advisor::outcome::Outcome;
use advisor::process::{Failure, Jail};
use advisor::protocol::VERSION;
use supervise::Supervisor;

use super::super::settings::fixtures;
use super::*;
use crate::miner::fixtures::Chain;
use crate::publish::fixtures::right;

/// Longer than anything takes.
const LONG: Duration = Duration::from_mins(1);

/// A board with a verified tip and its template.
fn board(chain: &Chain) -> Board {
    let board = Board::new(1);
    board.tip_validated.send_replace(Some(chain.tip()));
    let template = chain.template(chain.start);
    board.template.send_replace(Some(template));
    board
        .mining
        .send_modify(|mining| mining.state = MiningState::Scanning);
    board
}

/// With an advisor whose jail is this shell script.
async fn talk(board: &Board, mode: Mode, jail: &str) -> (Supervisor, Talk) {
    let (tree, guard) = right().await;
    let desk = Arc::new(Desk::new(Jail::new("/bin/sh", ["-c", jail])));
    let dir = std::env::temp_dir();
    let settings = AdvisorSettings {
        mode,
        dir,
        ..fixtures::settings(&["/the/advisor"])
    };
    let dossier = desk.take_up(&settings);
    let board = board.clone();
    let talk = Talk::new(settings, Network::Regtest, desk, dossier, board, guard);
    (tree, talk)
}

fn reply(recommendation: Recommended, hold_s: Option<f64>) -> Answer {
    Answer {
        reply: Some(Reply {
            v: VERSION,
            id: "q1".to_owned(),
            recommendation,
            confidence: 0.9,
            reason: "because".to_owned(),
            hold_s,
        }),
        ..Answer::default()
    }
}

#[test]
fn nobody_is_asked_where_it_would_not_matter() {
    actix::System::new().block_on(async {
        let board = board(&Chain::new(Network::Regtest));
        let (tree, talk) = talk(&board, Mode::OneShot, "").await;
        let by = "the block limit".to_owned();
        for (state, is_asked) in [
            (MiningState::Scanning, true),
            (MiningState::SwitchedOff { by }, false),
            (MiningState::Paced, true),
            (MiningState::Ibd, false),
        ] {
            board
                .mining
                .send_modify(|mining| mining.state = state.clone());
            assert_eq!(talk.subject().is_some(), is_asked, "{state}");
        }
        board
            .mining
            .send_modify(|mining| mining.state = MiningState::Scanning);
        for (degradation, is_asked) in [(Degradation::Eased, true), (Degradation::Parked, false)] {
            board.degradation.send_replace(degradation);
            assert_eq!(talk.subject().is_some(), is_asked, "{degradation}");
        }
        board.degradation.send_replace(Degradation::None);
        assert!(talk.subject().unwrap().class.is_some());
        board.tip_validated.send_replace(None);
        assert!(talk.subject().is_none());
        tree.stop(LONG).await;
    });
}

#[test]
fn an_answer_is_advice_once_and_one_about_health_is_none() {
    actix::System::new().block_on(async {
        let board = board(&Chain::new(Network::Regtest));
        let (tree, mut talk) = talk(&board, Mode::OneShot, "").await;
        let (subject, brief) = (talk.subject().unwrap(), talk.brief().unwrap());
        let given = |talk: &Talk| talk.desk.state().hindsight.score().given;
        let number = || {
            board
                .counsel
                .borrow()
                .as_ref()
                .map(|counsel| counsel.number)
        };

        let proceed = || reply(Recommended::Proceed, None);
        talk.answered(1, Kind::Health, &subject, &brief, proceed());
        assert_eq!((number(), given(&talk)), (None, 0));
        assert!(board.advisor.borrow().last.is_none());

        talk.answered(2, Kind::Tip, &subject, &brief, proceed());
        assert_eq!((number(), given(&talk)), (Some(2), 1));
        let kept = Answer {
            cached: true,
            ..proceed()
        };
        talk.answered(3, Kind::Template, &subject, &brief, kept);
        assert_eq!(
            (number(), given(&talk)),
            (Some(3), 1),
            "it was judged before"
        );
        assert!(board.advisor.borrow().last.as_ref().unwrap().cached);

        tree.stop(LONG).await;
        talk.answered(4, Kind::Tip, &subject, &brief, proceed());
        assert_eq!(number(), Some(3), "who was given up has no say");
    });
}

#[test]
fn a_hold_without_a_time_is_for_as_long_as_may_be_and_a_failure_says_why() {
    actix::System::new().block_on(async {
        let board = board(&Chain::new(Network::Regtest));
        let (tree, mut talk) = talk(&board, Mode::OneShot, "").await;
        let (subject, brief) = (talk.subject().unwrap(), talk.brief().unwrap());
        for (hold_s, hold) in [
            (None, HOLD),
            (Some(1e300), HOLD),
            (Some(30.0), Duration::from_secs(30)),
        ] {
            let answer = reply(Recommended::Hold, hold_s);
            talk.answered(1, Kind::Tip, &subject, &brief, answer);
            let counsel = board.counsel.borrow().clone().unwrap();
            let advice = counsel.answer.unwrap();
            assert_eq!(advice.recommendation, Recommendation::Hold(hold));
        }
        let failure = Failure {
            outcome: Outcome::Timeout,
            detail: "no whole reply".to_owned(),
        };
        let failed = Answer {
            failures: vec![failure.clone(), failure],
            ..Answer::default()
        };
        talk.answered(2, Kind::Tip, &subject, &brief, failed);
        let why = "no whole reply, after 2 tries".to_owned();
        let answers = board.latencies.advice.quantiles().unwrap().n;
        assert_eq!(answers, 3, "a failure is no answer");
        let counsel = board.counsel.borrow().clone().unwrap();
        assert_eq!((counsel.number, counsel.answer), (2, Err(why.clone())));
        assert_eq!(board.advisor.borrow().trouble, Some(why));
        talk.answered(
            3,
            Kind::Health,
            &subject,
            &brief,
            reply(Recommended::Retry, None),
        );
        assert_eq!(board.advisor.borrow().trouble, None);
        tree.stop(LONG).await;
    });
}

#[test]
fn a_question_whose_tip_is_gone_is_given_up() {
    actix::System::new().block_on(async {
        let mut chain = Chain::new(Network::Regtest);
        let board = board(&chain);
        // It lives for as long as it is asked, and says nothing.
        let (tree, talk) = talk(&board, Mode::OneShot, "cat >/dev/null").await;
        let (desk, dossier) = (Arc::clone(&talk.desk), talk.dossier.clone());
        let (stop, asked) = oneshot::channel();
        let beside = async {
            let mut view = board.advisor.subscribe();
            let is_asking = view.wait_for(|view| view.asking.is_some());
            drop(tokio::time::timeout(LONG, is_asking).await.unwrap());
            let found = chain.solve(chain.start);
            chain.connect(&found);
            board.tip_validated.send_replace(Some(chain.tip()));
            let is_given_up = view.wait_for(|view| view.overtaken > 0);
            drop(tokio::time::timeout(LONG, is_given_up).await.unwrap());
            drop(stop);
        };
        let (ended, ()) = tokio::join!(talk.run(asked), beside);
        ended.unwrap();
        let counts = dossier.counts();
        assert_eq!((desk.state().overtaken, counts.unanswered), (1, 0));
        desk.jail.settled().await;
        tree.stop(LONG).await;
    });
}

#[test]
fn the_end_of_a_command_that_is_kept_is_an_end_and_a_failed_try_is_none() {
    actix::System::new().block_on(async {
        for (mode, is_end) in [(Mode::Persistent, true), (Mode::OneShot, false)] {
            let board = board(&Chain::new(Network::Regtest));
            let (tree, talk) = talk(&board, mode, "exit 0").await;
            let (stop, asked) = oneshot::channel();
            let beside = async {
                let mut view = board.advisor.subscribe();
                let has_failed = view.wait_for(|view| view.counts.unanswered > 0);
                drop(tokio::time::timeout(LONG, has_failed).await.unwrap());
                drop(stop);
            };
            let (ended, ()) = tokio::join!(talk.run(asked), beside);
            let said = ended.err().map(|error| error.to_string());
            let lost = "the advisor, /the/advisor, runs no longer: its jail was killed";
            assert_eq!(said.as_deref(), is_end.then_some(lost));
            tree.stop(LONG).await;
        }
    });
}
