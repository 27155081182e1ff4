//! No HOLD outlives its limits, whatever is decided when.

#![allow(clippy::unwrap_used)]

use bitcoin::hashes::Hash as _;
use proptest::prelude::*;

use super::*;
use crate::messages::{Advice, Counsel, Recommendation};
use crate::miner::decide::{Case, Switches, Validation, decide};
use crate::miner::policy::{Economics, PowerCost};
use crate::publish::fixtures::right;

const DEAR: PowerCost = PowerCost {
    watts: 1e12,
    sat_per_kwh: 1e12,
};

fn block(n: u8) -> BlockHash {
    BlockHash::from_byte_array([n; 32])
}

/// A miner's decisions, without a miner.
struct Scene {
    start: Instant,
    limits: Limits,
    holds: Holds,
    counsel: Option<Counsel>,
    number: u64,
    tip: BlockHash,
    power: Option<PowerCost>,
}

impl Scene {
    fn new(hold_max: Duration, hold_max_ratio: f64) -> Self {
        let start = Instant::now();
        Self {
            start,
            limits: Limits {
                hold_max,
                hold_max_ratio,
                ..Limits::default()
            },
            holds: Holds::new(start),
            counsel: None,
            number: 0,
            tip: block(0),
            power: None,
        }
    }

    fn at(&self, s: f64) -> Instant {
        self.start + Duration::from_secs_f64(s)
    }

    fn advise(&mut self, s: f64, recommendation: Recommendation, confidence: f64) {
        self.number += 1;
        self.counsel = Some(Counsel {
            number: self.number,
            tip: self.tip,
            at: self.at(s),
            answer: Ok(Advice {
                recommendation,
                confidence,
                reason: "because".to_owned(),
            }),
        });
    }

    fn decide(&mut self, s: f64) -> Decision {
        let now = self.at(s);
        let mut holder = self.holds.lock();
        let guards = holder.guards(now, self.tip, &self.limits);
        let decision = decide(&Case {
            now,
            tip: self.tip,
            validation: &Validation::default(),
            counsel: self.counsel.as_ref(),
            switches: &Switches::default(),
            guards: &guards,
            economics: &Economics {
                reward_sat: 5_000_000_000,
                expected_hashes: 2.0,
                hashrate_hs: Some(1.0),
                spacing: Duration::from_mins(10),
                stale_ratio: None,
                unheard: Duration::ZERO,
                power: self.power,
                template_age: None,
                template_max_age: Duration::from_mins(1),
            },
        });
        holder.note(now, self.tip, &decision);
        decision
    }

    fn holds(&mut self, s: f64) -> bool {
        matches!(self.decide(s).course, Course::Hold(_))
    }

    /// Milliseconds.
    fn held(&self, s: f64) -> u128 {
        (self.holds.held(self.at(s)) + Duration::from_micros(1)).as_millis()
    }
}

fn hold(s: f64) -> Recommendation {
    Recommendation::Hold(Duration::from_secs_f64(s))
}

const TEN_MINUTES: Duration = Duration::from_mins(10);

#[test]
fn a_hold_lasts_its_time_and_is_not_begun_again() {
    let mut scene = Scene::new(TEN_MINUTES, 0.2);
    scene.advise(0.0, hold(30.0), 1.0);
    assert!(scene.holds(0.0) && scene.holds(29.9));
    assert!(!scene.holds(30.0) && !scene.holds(31.0));
    assert_eq!(scene.held(100.0), 30_000);
}

#[test]
fn newer_advice_ends_a_hold_or_changes_its_length_and_only_what_was_held_counts() {
    let mut scene = Scene::new(TEN_MINUTES, 0.2);
    scene.advise(0.0, hold(300.0), 1.0);
    assert!(scene.holds(0.0));
    scene.advise(10.0, Recommendation::Proceed, 0.4);
    assert!(scene.holds(10.0), "that does not count");
    scene.advise(20.0, hold(10.0), 1.0);
    assert!(scene.holds(20.0) && scene.holds(29.0) && !scene.holds(30.0));
    assert_eq!(scene.held(100.0), 30_000);
    scene.advise(100.0, hold(300.0), 1.0);
    assert!(scene.holds(100.0));
    scene.advise(105.0, Recommendation::Proceed, 1.0);
    assert!(!scene.holds(105.0));
    assert_eq!(scene.held(500.0), 35_000);
}

#[test]
fn advice_again_and_again_holds_no_longer_in_a_row_than_one_hold_may_last() {
    let mut scene = Scene::new(TEN_MINUTES, 1.0);
    let mut held = 0;
    for s in 0..700 {
        scene.advise(f64::from(s), hold(100_000.0), 1.0);
        held += u32::from(scene.holds(f64::from(s)));
    }
    // 600 s, a minute of hashing, and 40 s of the next.
    assert_eq!(held, 640);
    let mut scene = Scene::new(TEN_MINUTES, 1.0);
    scene.power = Some(DEAR);
    let held = (0..700).filter(|&s| scene.holds(f64::from(s))).count();
    assert_eq!(held, 640, "nor does the policy");
}

#[test]
fn an_advisors_hold_ends_with_its_tip_and_the_policys_does_not() {
    let mut scene = Scene::new(TEN_MINUTES, 0.2);
    scene.advise(0.0, hold(300.0), 1.0);
    assert!(scene.holds(0.0));
    scene.tip = block(1);
    assert!(!scene.holds(10.0));
    scene.tip = block(0);
    assert!(!scene.holds(11.0), "and it does not come back");
    assert_eq!(scene.held(100.0), 10_000);
    scene.power = Some(DEAR);
    assert!(scene.holds(20.0));
    scene.tip = block(2);
    assert!(scene.holds(21.0));
    scene.power = None;
    scene.tip = block(3);
    assert!(
        scene.holds(79.0) && !scene.holds(80.0),
        "nor with its cause"
    );
}

#[test]
fn a_hold_goes_on_in_the_next_life_of_the_miner_and_ends_when_it_was_to_end() {
    let mut scene = Scene::new(TEN_MINUTES, 0.2);
    scene.advise(0.0, hold(100.0), 1.0);
    assert!(scene.holds(0.0));
    let shared = scene.holds.clone();
    scene.holds = shared;
    assert!(scene.holds(99.0) && !scene.holds(100.0));
}

#[test]
fn the_next_run_of_the_program_knows_what_was_held() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("holds.json");
    let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(1_000);
    let mut scene = Scene::new(TEN_MINUTES, 100.0 / 86_400.0);
    scene.advise(0.0, hold(60.0), 1.0);
    assert!(scene.holds(0.0));
    let document = scene.holds.lock().ledger.document(scene.at(0.0), wall);
    fs::write(&path, document).unwrap();
    // The program dies at once; it is started again after two minutes.
    let now = scene.at(120.0);
    scene.holds = Holds::open(&path, now, wall + Duration::from_mins(2)).unwrap();
    assert_eq!(scene.held(120.0), 60_000);
    scene.advise(120.0, hold(300.0), 1.0);
    let Course::Hold(left) = scene.decide(120.0).course else {
        panic!("not held")
    };
    assert!((left.as_secs_f64() - 40.0).abs() < 1e-3, "{left:?}");
}

/// Keeps the books, again and again, until the file names so many HOLDs.
async fn is_kept(scene: &Scene, guard: &GenerationGuard, path: &Path, holds: usize) {
    let named = || {
        let document = fs::read(path).ok()?;
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        Some(document["held_unix_s"].as_array()?.len())
    };
    let until = Instant::now() + Duration::from_mins(1);
    while named() != Some(holds) {
        assert!(Instant::now() < until, "{:?} of {holds}", named());
        scene.holds.keep(guard.clone(), Instant::now());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn each_hold_is_written_down_while_it_lasts_however_fast_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("holds.json");
    let mut scene = Scene::new(TEN_MINUTES, 0.2);
    scene.holds = Holds::open(&path, scene.start, SystemTime::now()).unwrap();
    actix::System::new().block_on(async {
        let (tree, guard) = right().await;
        for n in 0..20_u32 {
            let s = f64::from(n);
            scene.advise(s, hold(0.5), 1.0);
            assert!(scene.holds(s));
            scene.holds.keep(guard.clone(), Instant::now());
        }
        is_kept(&scene, &guard, &path, 20).await;
        tree.stop(Duration::from_mins(1)).await;
    });
}

#[test]
fn what_could_not_be_written_down_is_written_when_it_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later/holds.json");
    let mut scene = Scene::new(TEN_MINUTES, 0.2);
    scene.holds = Holds::open(&path, scene.start, SystemTime::now()).unwrap();
    actix::System::new().block_on(async {
        let (tree, guard) = right().await;
        scene.advise(0.0, hold(60.0), 1.0);
        assert!(scene.holds(0.0));
        scene.holds.keep(guard.clone(), Instant::now());
        let file = &scene.holds.file.as_ref().unwrap().file;
        while !file.has_failed(Instant::now()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::create_dir(dir.path().join("later")).unwrap();
        is_kept(&scene, &guard, &path, 1).await;
        tree.stop(Duration::from_mins(1)).await;
    });
}

#[test]
fn books_that_cannot_be_read_are_set_aside_and_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("holds.json");
    fs::write(&path, "{\"version\":1,").unwrap();
    let holds = Holds::open(&path, Instant::now(), SystemTime::now()).unwrap();
    assert_eq!(holds.held(Instant::now()), Duration::ZERO);
    let names = fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1);
    assert!(
        names[0]
            .to_string_lossy()
            .starts_with("holds.json.corrupt-"),
        "{names:?}"
    );
}

/// What may happen in a moment of a miner's life.
#[derive(Debug, Clone)]
enum Event {
    Advice(Recommendation, f64),
    NewTip,
    PowerIsDear(bool),
    Restart,
    Nothing,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0.0..2_000.0, 0.0..1.0).prop_map(|(s, sure)| Event::Advice(hold(s), sure)),
        1 => (0.0..1.0).prop_map(|sure| Event::Advice(Recommendation::Proceed, sure)),
        1 => (0.0..1.0).prop_map(|sure| Event::Advice(Recommendation::Retry, sure)),
        1 => Just(Event::NewTip),
        1 => any::<bool>().prop_map(Event::PowerIsDear),
        1 => Just(Event::Restart),
        2 => Just(Event::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is said when: in a row never longer than one HOLD may last, in any 24 hours never longer than the
    /// allowance, counted from the decisions alone.
    #[test]
    fn no_sequence_of_events_holds_for_longer_than_is_allowed(
        events in prop::collection::vec((event(), 0.5..8_000.0), 1..60),
        hold_max in 0.0..900.0,
        ratio in 0.0..0.5,
    ) {
        let day = DAY.as_secs_f64();
        let mut scene = Scene::new(Duration::from_secs_f64(hold_max), ratio);
        let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(10_000);
        // From when to when it was held.
        let mut spans: Vec<(f64, f64)> = Vec::new();
        let mut now = 0.0;
        for (event, then) in events {
            match event {
                Event::Advice(recommendation, sure) => scene.advise(now, recommendation, sure),
                Event::NewTip => scene.tip = block(scene.tip.to_byte_array()[0].wrapping_add(1)),
                Event::PowerIsDear(dear) => scene.power = dear.then_some(DEAR),
                Event::Restart => {
                    let wall = wall + Duration::from_secs_f64(now);
                    let at = scene.at(now);
                    let document = scene.holds.lock().ledger.document(at, wall);
                    let ledger = Ledger::resume(&document, at, wall).unwrap();
                    scene.holds.lock().ledger = ledger;
                    scene.holds.lock().current = None;
                }
                Event::Nothing => {}
            }
            let end = now + then;
            while now < end {
                let course = scene.decide(now).course;
                // The planner looks again when a HOLD is over, and every so often.
                let next = match course {
                    Course::Hold(left) => end.min(now + left.as_secs_f64().max(1e-6)),
                    _ => end.min(now + 300.0),
                };
                if matches!(course, Course::Hold(_)) {
                    match spans.last_mut() {
                        Some(last) if last.1 >= now => last.1 = next,
                        _ => spans.push((now, next)),
                    }
                }
                now = next;
            }
        }
        for &(from, to) in &spans {
            prop_assert!(to - from <= hold_max + 1e-3, "{} s in a row", to - from);
            let held: f64 = spans
                .iter()
                .map(|&(a, b)| (b.min(to) - a.max(to - day)).max(0.0))
                .sum();
            prop_assert!(held <= ratio * day + 1e-3, "{held} s in a day");
        }
    }
}
