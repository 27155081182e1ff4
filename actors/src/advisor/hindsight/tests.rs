//! Which facts on the board bear out advice, and which speak against it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use chain::Network;

use super::*;
use crate::messages::{Decider, DecisionView, TipDoubt};
use crate::miner::fixtures::{Chain, elsewhere, settled};

struct Scene {
    board: Board,
    chain: Chain,
    hindsight: Hindsight,
}

impl Scene {
    /// On the first tip of a chain, with its template.
    fn new() -> Self {
        let chain = Chain::new(Network::Regtest);
        let board = Board::new(1);
        board.tip_validated.send_replace(Some(chain.tip()));
        board
            .template
            .send_replace(Some(chain.template(chain.start)));
        let mut scene = Self {
            board,
            chain,
            hindsight: Hindsight::default(),
        };
        scene.observe();
        scene
    }

    fn observe(&mut self) {
        self.hindsight.observe(&self.board);
    }

    fn advise(&mut self, recommendation: Recommendation) {
        let tip = self.chain.tip();
        let reward = self
            .board
            .template
            .borrow()
            .as_ref()
            .unwrap()
            .template
            .coinbasevalue;
        let advice = Advice {
            recommendation,
            confidence: 0.9,
            reason: String::new(),
        };
        self.hindsight
            .advised(tip.hash, tip.height, reward, &advice);
    }

    /// Three further tips.
    fn three_tips(&mut self) {
        for _ in 0..3 {
            let found = self.chain.solve(self.chain.start);
            self.chain.connect(&found);
            let tip = self.chain.tip();
            self.board.tip_validated.send_replace(Some(tip));
            self.observe();
        }
    }

    /// A block of ours on this tip has come to an end.
    fn settle(&mut self, outcome: Outcome) {
        let found = self.chain.solve(self.chain.start);
        self.board
            .settled
            .send_replace(Some(settled(&found, outcome)));
        self.observe();
    }

    fn loses(&mut self, loses: bool) {
        self.board.decision.send_replace(Some(DecisionView {
            course: "PROCEED",
            by: Decider::Policy,
            reason: String::new(),
            counsel: None,
            loses,
            held: Duration::ZERO,
            hold_allowed: Duration::ZERO,
        }));
        self.observe();
    }
}

/// Whether PROCEED was right, and HOLD wrong, after this.
fn is_worthwhile(happens: impl Fn(&mut Scene)) -> bool {
    let mut scene = Scene::new();
    scene.advise(Recommendation::Proceed);
    scene.advise(Recommendation::Hold(Duration::from_secs(1)));
    happens(&mut scene);
    scene.three_tips();
    let score = scene.hindsight.score();
    assert_eq!((score.judged, score.open), (2, 0));
    assert_eq!(score.proceed.right, score.hold.wrong);
    score.proceed.right == 1
}

#[test]
fn what_speaks_against_a_tip_is_told_apart_from_what_does_not() {
    assert!(is_worthwhile(|_| {}));
    assert!(!is_worthwhile(|scene| {
        scene.board.tip_doubt.send_replace(Some(TipDoubt {
            hash: scene.chain.tip().hash,
            verdict: Verdict::Rejected,
            reason: "high-hash".into(),
        }));
        scene.observe();
    }));
    assert!(is_worthwhile(|scene| {
        scene.board.tip_doubt.send_replace(Some(TipDoubt {
            hash: elsewhere(),
            verdict: Verdict::Rejected,
            reason: "high-hash".into(),
        }));
        scene.observe();
    }));
    assert!(!is_worthwhile(|scene| scene.settle(Outcome::Stale)));
    assert!(!is_worthwhile(|scene| {
        scene.board.degradation.send_replace(Degradation::Eased);
        scene.observe();
        scene.board.degradation.send_replace(Degradation::None);
    }));
    assert!(is_worthwhile(|scene| {
        scene.board.degradation.send_replace(Degradation::Trimmed);
        scene.observe();
    }));
    assert!(!is_worthwhile(|scene| scene.loses(true)));
    assert!(is_worthwhile(|scene| {
        scene.loses(true);
        scene.loses(false);
        scene.settle(Outcome::Accepted);
    }));
}

#[test]
fn what_was_known_before_advice_was_given_is_not_held_against_it() {
    let mut scene = Scene::new();
    scene.settle(Outcome::Stale);
    scene.advise(Recommendation::Proceed);
    scene.observe();
    scene.three_tips();
    assert_eq!(scene.hindsight.score().proceed.right, 1);
}

#[test]
fn a_retry_is_judged_by_the_next_template_on_its_tip() {
    for (more, is_right) in [(1.01, true), (1.0, false)] {
        let mut scene = Scene::new();
        scene.advise(Recommendation::Retry);
        scene.observe();
        assert_eq!(scene.hindsight.score().judged, 0, "it is the one in hand");
        let mut seen = scene.chain.template(scene.chain.at(1.0));
        let template = Arc::make_mut(&mut seen.template);
        let value = template.coinbasevalue.unwrap() as f64 * more;
        template.coinbasevalue = Some(value as u64);
        scene.board.template.send_replace(Some(seen));
        scene.observe();
        let retry = scene.hindsight.score().retry;
        assert_eq!((retry.right == 1, retry.right + retry.wrong), (is_right, 1));
    }
}
