//! The rule, with the clock in the test's hand.

use bitcoin::hashes::Hash as _;

use super::*;

/// A look every quarter of a second.
const TICK: Duration = Duration::from_millis(250);

fn block(n: u8) -> BlockHash {
    BlockHash::from_byte_array([n; 32])
}

/// Two threads on a chain of single digits.
struct Case {
    now: Instant,
    watch: StaleWatch,
    scene: Scene,
    notes: Vec<Note>,
    alarms: u32,
}

impl Case {
    /// All on block 1.
    fn well() -> Self {
        let now = Instant::now();
        let mut case = Self {
            now,
            watch: StaleWatch::default(),
            scene: Scene {
                best: Some((block(1), now)),
                verified: Some(block(1)),
                job: Some(block(1)),
                threads: vec![None; 2],
                ..Scene::default()
            },
            notes: Vec::new(),
            alarms: 0,
        };
        case.scan(0, 1);
        case.scan(1, 1);
        case.pass(20);
        case
    }

    fn scan(&mut self, thread: usize, parent: u8) {
        self.scene.threads[thread] = Some(ParentMark::of(&block(parent)));
    }

    fn tip(&mut self, n: u8) {
        self.scene.best = Some((block(n), self.now));
        self.watch.note_best(block(n), self.now);
    }

    fn look(&mut self) -> Option<StaleWork> {
        let finding = self.watch.look(&self.scene, self.now);
        self.notes.extend(finding.note);
        self.alarms += u32::from(finding.begun);
        finding.stale
    }

    /// Looks `ticks` times, and answers what the last look found.
    fn pass(&mut self, ticks: u32) -> Option<StaleWork> {
        let mut last = None;
        for _ in 0..ticks {
            self.now += TICK;
            last = self.look();
        }
        last
    }

    fn loudness(&self) -> Vec<Loudness> {
        self.notes.iter().map(|note| note.loudness).collect()
    }
}

#[test]
fn work_on_the_best_block_is_never_stale_however_long_it_lasts() {
    let mut case = Case::well();
    assert_eq!(case.pass(10_000), None);
    assert_eq!(case.notes, []);
}

#[test]
fn two_seconds_behind_the_best_block_are_an_alarm_once_and_its_end_is_said() {
    let mut case = Case::well();
    case.tip(2);
    assert_eq!(case.pass(8), None, "two seconds are allowed");
    let stale = case.pass(1).expect("more than two seconds");
    assert_eq!((stale.best, &*stale.threads), (block(2), &[0, 1][..]));
    assert_eq!(stale.age(case.now), 9 * TICK);
    assert!(case.pass(20).is_some());
    assert_eq!(case.alarms, 1);
    assert_eq!(case.loudness(), [Loudness::Warn], "once");
    assert!(
        case.notes[0].text.contains("hash-0, hash-1"),
        "{:?}",
        case.notes
    );
    assert!(case.notes[0].text.contains(&block(2).to_string()));
    case.scan(0, 2);
    case.scan(1, 2);
    assert_eq!(case.pass(1), None);
    assert_eq!(case.loudness(), [Loudness::Warn, Loudness::Info]);
    assert!(case.notes[1].text.contains("again"), "{:?}", case.notes);
}

#[test]
fn one_that_lasts_becomes_an_error_once() {
    let mut case = Case::well();
    case.tip(2);
    case.pass(400);
    assert_eq!(case.loudness(), [Loudness::Warn, Loudness::Error]);
    assert_eq!(case.alarms, 1);
    case.scene.threads = vec![None; 2];
    case.pass(1);
    assert!(
        case.notes[2].text.contains("nothing is hashed"),
        "{:?}",
        case.notes
    );
}

#[test]
fn a_single_thread_that_stays_behind_is_named() {
    let mut case = Case::well();
    case.tip(2);
    case.scan(0, 2);
    case.scene.verified = Some(block(2));
    case.scene.job = Some(block(2));
    let stale = case.pass(12).expect("hash-1 stays behind");
    assert_eq!(
        (&*stale.threads, stale.cause),
        (&[1][..], StaleCause::NotTakenUp)
    );
}

#[test]
fn the_cause_is_how_far_the_best_block_has_come() {
    let mut case = Case::well();
    case.tip(2);
    assert_eq!(case.pass(12).expect("stale").cause, StaleCause::Unverified);
    case.scene.verified = Some(block(2));
    assert_eq!(case.pass(1).expect("stale").cause, StaleCause::NoJob);
    case.scene.job = Some(block(2));
    assert_eq!(case.pass(1).expect("stale").cause, StaleCause::NotTakenUp);
}

#[test]
fn threads_that_scan_nothing_waste_nothing() {
    let mut case = Case::well();
    case.scene.threads = vec![None; 2];
    case.tip(2);
    assert_eq!(case.pass(100), None);
    assert_eq!(case.notes, []);
}

#[test]
fn blocks_that_follow_each_other_fast_are_no_alarm_while_each_is_worked_on_in_time() {
    let mut case = Case::well();
    for n in 2..200 {
        // Whenever looked at, the threads are on the block before.
        case.tip(n);
        case.scan(0, n - 1);
        case.scan(1, n - 1);
        assert_eq!(case.pass(1), None);
    }
}

#[test]
fn jobs_that_move_and_never_catch_up_are_an_alarm() {
    let mut case = Case::well();
    for n in 2..200 {
        case.tip(n);
        let behind = n.saturating_sub(20).max(1);
        case.scan(0, behind);
        case.scan(1, behind);
        let stale = case.pass(1);
        assert_eq!(stale.is_some(), n > 9, "{n}: {stale:?}");
    }
    assert_eq!(case.alarms, 1);
}

#[test]
fn a_node_that_goes_back_makes_work_on_its_former_best_block_stale() {
    let mut case = Case::well();
    case.tip(2);
    case.scan(0, 2);
    case.scan(1, 2);
    case.pass(100);
    case.tip(1);
    assert_eq!(case.pass(8), None);
    assert!(case.pass(1).is_some());
    // And forward again: it is the best one, as if nothing had been.
    case.tip(2);
    assert_eq!(case.pass(1), None);
    assert_eq!(case.pass(100), None);
}

#[test]
fn a_block_ahead_of_the_nodes_word_is_not_stale_until_it_is_given_up() {
    let mut case = Case::well();
    case.scene.ahead = Some(block(2));
    case.scan(0, 2);
    case.scan(1, 2);
    assert_eq!(case.pass(100), None);
    case.scene.ahead = None;
    assert_eq!(case.pass(8), None, "from here on it counts");
    assert!(case.pass(2).is_some());
}

#[test]
fn news_that_took_long_to_arrive_is_no_alarm_if_the_threads_follow_at_once() {
    let mut case = Case::well();
    // Announced five seconds ago, read now.
    case.scene.best = Some((
        block(2),
        case.now.checked_sub(20 * TICK).expect("an earlier time"),
    ));
    assert_eq!(case.look(), None, "the threads were given no time yet");
    case.scan(0, 2);
    case.scan(1, 2);
    assert_eq!(case.pass(100), None);
    // If they do not follow, the time before counts.
    case.scene.best = Some((
        block(3),
        case.now.checked_sub(20 * TICK).expect("an earlier time"),
    ));
    case.pass(1);
    let stale = case.pass(1).expect("stale for five seconds and more");
    assert!(stale.age(case.now) > 20 * TICK);
}

#[test]
fn while_a_node_catches_up_with_its_headers_nothing_is_stale_and_afterwards_time_begins_anew() {
    let mut case = Case::well();
    case.scene.catching_up = true;
    case.tip(2);
    assert_eq!(case.pass(100), None);
    case.scene.catching_up = false;
    assert_eq!(case.pass(8), None);
    assert!(case.pass(2).is_some());
}

#[test]
fn without_any_best_block_nothing_is_stale() {
    let mut case = Case::well();
    case.scene.best = None;
    assert_eq!(case.pass(100), None);
}

#[test]
fn a_heavier_block_of_a_node_that_is_not_in_use_makes_work_stale_too() {
    let mut case = Case::well();
    case.scene.heavier = Some((block(3), case.now));
    assert_eq!(case.pass(8), None, "as long as it takes to change the node");
    let stale = case.pass(1).expect("the node was not changed");
    assert_eq!((stale.best, stale.cause), (block(3), StaleCause::OtherNode));
    // It is, at last.
    case.scene.heavier = None;
    case.tip(3);
    case.scene.verified = Some(block(3));
    assert_eq!(case.pass(1).expect("stale").cause, StaleCause::NoJob);
    case.scan(0, 3);
    case.scan(1, 3);
    assert_eq!(case.pass(100), None);
    assert_eq!(case.alarms, 1);
}
