//! The actor below a real supervisor, with an advisor that cannot be started.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ::advisor::breaker::{BreakerState, Limits};
use ::advisor::counts::Counts;
use ::advisor::outcome::Outcome;
use ::advisor::process::Jail;
use supervise::{ChildSpec, Fault, Supervisor};

use super::settings::fixtures;
use super::*;
use crate::miner::fixtures::Chain;

/// Longer than anything takes.
const LONG: Duration = Duration::from_mins(1);

fn desk() -> Arc<Desk> {
    Arc::new(Desk::new(Jail::new("/nonexistent/jail", [""; 0])))
}

/// An advisor child, with a verified tip to ask about.
async fn started(desk: &Arc<Desk>, dossier: &Dossier) -> (Supervisor, Board, Chain) {
    let chain = Chain::new(Network::Regtest);
    let board = Board::new(1);
    board.tip_validated.send_replace(Some(chain.tip()));
    let (desk, dossier, shared) = (Arc::clone(desk), dossier.clone(), board.clone());
    let mut tree = Supervisor::builder("test");
    tree.child(ChildSpec::new("talk"), move |incarnation| {
        Ok(Advisor::new(
            fixtures::settings(&["/nonexistent/advisor"]),
            Network::Regtest,
            Arc::clone(&desk),
            dossier.clone(),
            shared.clone(),
            incarnation,
        ))
    });
    (tree.start().await.unwrap(), board, chain)
}

async fn until(board: &Board, what: &str, is_so: impl Fn(&AdvisorView) -> bool) -> AdvisorView {
    let mut view = board.advisor.subscribe();
    let seen = tokio::time::timeout(LONG, view.wait_for(is_so)).await;
    let seen = seen.unwrap_or_else(|_| panic!("in vain: {what}"));
    seen.unwrap().clone()
}

fn count(view: &AdvisorView, outcome: Outcome) -> u64 {
    view.counts.outcomes[&outcome]
}

#[test]
fn an_open_breaker_stays_open_when_the_child_crashes() {
    actix::System::new().block_on(async {
        let desk = desk();
        let limits = Limits {
            pause: LONG * 10,
            pause_most: LONG * 10,
            ..Limits::default()
        };
        let dossier = Dossier::new(limits, Duration::ZERO, Counts::default());
        let (supervisor, board, _chain) = started(&desk, &dossier).await;
        let view = until(&board, "it opens", |view| {
            count(view, Outcome::BreakerOpen) > 0
        })
        .await;
        let tried = count(&view, Outcome::SpawnFailure);
        assert_eq!(tried, 5, "{view:?}");

        let mut events = supervisor.events();
        supervisor.inject("talk", Fault::Panic).await.unwrap();
        while supervisor.children()[0].generation < 2 {
            events.recv().await.unwrap();
        }
        let left_alone = count(&board.advisor.borrow(), Outcome::BreakerOpen);
        let view = until(&board, "the next one is to ask", |view| {
            count(view, Outcome::BreakerOpen) > left_alone + 1
        })
        .await;
        assert_eq!(count(&view, Outcome::SpawnFailure), tried, "{view:?}");
        assert_eq!(view.health.unwrap().breaker, BreakerState::Open);
        let known = dossier.counts();
        assert_eq!(known.outcomes[&Outcome::SpawnFailure], tried, "to both");
        assert!(known.outcomes[&Outcome::BreakerOpen] > left_alone);
        supervisor.stop(LONG).await;
    });
}

#[test]
fn an_advisor_that_is_taken_up_again_has_another_chance_and_another_one_begins_with_nothing() {
    actix::System::new().block_on(async {
        let desk = desk();
        let ours = fixtures::settings(&["ours"]);
        let dossier = desk.take_up(&ours);
        let (supervisor, board, _chain) = started(&desk, &dossier).await;
        until(&board, "it is left alone", |view| {
            count(view, Outcome::BreakerOpen) > 0
        })
        .await;
        supervisor.stop(LONG).await;

        let again = desk.take_up(&ours);
        assert_eq!(again.counts(), dossier.counts());
        assert_eq!(again.health().breaker, BreakerState::Closed);
        let other = desk.take_up(&fixtures::settings(&["theirs"]));
        assert_eq!(other.counts(), Counts::default());
    });
}
