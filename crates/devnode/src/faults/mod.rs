//! Faults on purpose, by a script of rules.
//!
//! | file | its subject |
//! |---|---|
//! | `script` | the file: rules, and what is wrong with them |
//! | `when` | the conditions of a rule, and what it counts |
//! | `rpc` | what is done to calls and answers |
//! | `wire` | answers that are harmed on their way |
//! | `notice` | what is done to notifications |
//! | `event` | what happens by itself |
//! | `stage` | how it happens to the node |

mod event;
mod notice;
mod rpc;
mod script;
pub(crate) mod stage;
mod when;
pub(crate) mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub(crate) use event::{EventFault, Meanwhile};
pub(crate) use notice::NoticeFault;
pub(crate) use rpc::{Mode, RpcFault, RpcRule};
pub use script::{FaultScript, FaultScriptError};

use event::Due;
use script::describe;
use when::{Count, Moment};

/// The rules in force, and what they have counted. Shared by all that may be struck.
#[derive(Clone)]
pub(crate) struct Faults {
    machine: Arc<Mutex<Machine>>,
    /// Changes when other rules are loaded.
    loaded: watch::Sender<()>,
}

/// Rules and counters, without a clock of its own.
struct Machine {
    script: FaultScript,
    started: Instant,
    random: fastrand::Rng,
    rpc: Vec<Count>,
    zmq: Vec<Count>,
    event: Vec<Due>,
}

impl Machine {
    fn new(script: FaultScript) -> Self {
        Self {
            started: Instant::now(),
            random: fastrand::Rng::with_seed(script.seed),
            rpc: vec![Count::default(); script.rpc.len()],
            zmq: vec![Count::default(); script.zmq.len()],
            event: script.event.iter().map(event::EventRule::first).collect(),
            script,
        }
    }

    /// The first rule for calls that fires; all that match count.
    fn rpc(
        &mut self,
        is_about: impl Fn(&RpcRule) -> bool,
        now: Moment,
    ) -> Option<(usize, RpcRule)> {
        let rules = self.script.rpc.iter().zip(&mut self.rpc).enumerate();
        let mut decided = None;
        for (index, (rule, count)) in rules {
            if is_about(rule) && rule.when.holds(count, now, &mut self.random) && decided.is_none()
            {
                count.fired();
                decided = Some((index, rule.clone()));
            }
        }
        decided
    }

    /// The first rule for notifications that fires; all that match count.
    fn notice(&mut self, topic: &str, now: Moment) -> Option<(usize, NoticeFault)> {
        let rules = self.script.zmq.iter().zip(&mut self.zmq).enumerate();
        let mut decided = None;
        for (index, (rule, count)) in rules {
            if rule.is_about(topic)
                && rule.when.holds(count, now, &mut self.random)
                && decided.is_none()
            {
                count.fired();
                decided = Some((index, rule.fault));
            }
        }
        decided
    }

    /// The next event that comes now.
    fn event(&mut self, now: Moment) -> Option<(usize, EventFault)> {
        let mut rules = self.script.event.iter().zip(&mut self.event).enumerate();
        rules.find_map(|(index, (rule, due))| {
            rule.comes(due, now).then(|| (index, rule.fault.clone()))
        })
    }

    /// When the next event by time comes.
    fn next_event(&self) -> Option<Duration> {
        let times = self.event.iter().filter_map(|due| match due {
            Due::At(at) => Some(*at),
            Due::AtHeight(_) | Due::Never => None,
        });
        times.min()
    }
}

impl Faults {
    /// No rules yet.
    pub(crate) fn new() -> Self {
        Self {
            machine: Arc::new(Mutex::new(Machine::new(FaultScript::default()))),
            loaded: watch::Sender::new(()),
        }
    }

    /// Other rules, with counters and times from the beginning.
    pub(crate) fn load(&self, script: FaultScript) {
        for rule in script.rules() {
            tracing::warn!("fault loaded: {rule}");
        }
        *self.machine() = Machine::new(script);
        self.loaded.send_replace(());
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether calls need to be looked at at all.
    pub(crate) fn strike_calls(&self) -> bool {
        !self.machine().script.rpc.is_empty()
    }

    /// What happens to this call; `None` is a batch.
    pub(crate) fn call(&self, call: Option<(&str, Option<Mode>)>, height: u32) -> Option<RpcRule> {
        let mut machine = self.machine();
        let now = machine.moment(height);
        let (index, rule) = machine.rpc(|rule| rule.is_about(call), now)?;
        let method = call.map_or("batch", |(method, _)| method);
        tracing::warn!(method, height, "fault: rpc[{index}] {}", describe(&rule));
        Some(rule)
    }

    /// Whether the body of a request is left unread and its connection closed.
    pub(crate) fn drops_unread(&self, height: u32) -> bool {
        let mut machine = self.machine();
        let now = machine.moment(height);
        let decided = machine.rpc(RpcRule::drops_unread, now);
        if let Some((index, rule)) = &decided {
            tracing::warn!(height, "fault: rpc[{index}] {}", describe(rule));
        }
        decided.is_some()
    }

    /// What happens to a notification about the block at `height`.
    pub(crate) fn notice(&self, topic: &str, height: u32) -> Option<NoticeFault> {
        let mut machine = self.machine();
        let now = machine.moment(height);
        let (index, fault) = machine.notice(topic, now)?;
        tracing::warn!(topic, height, "fault: zmq[{index}] {}", describe(&fault));
        Some(fault)
    }

    /// The next event that comes now.
    pub(crate) fn event(&self, height: u32) -> Option<EventFault> {
        let mut machine = self.machine();
        let now = machine.moment(height);
        let (index, fault) = machine.event(now)?;
        tracing::warn!(height, "fault: event[{index}] {}", describe(&fault));
        Some(fault)
    }

    /// How long it is to the next event that comes by time.
    pub(crate) fn to_next_event(&self) -> Option<Duration> {
        let machine = self.machine();
        let next = machine.next_event()?;
        Some(next.saturating_sub(machine.started.elapsed()))
    }

    /// Changes when other rules are loaded.
    pub(crate) fn loaded(&self) -> watch::Receiver<()> {
        self.loaded.subscribe()
    }
}

impl Machine {
    fn moment(&self, height: u32) -> Moment {
        Moment {
            since: self.started.elapsed(),
            height,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(height: u32) -> Moment {
        Moment {
            since: Duration::ZERO,
            height,
        }
    }

    #[test]
    fn the_first_rule_that_fires_decides_and_all_that_match_count() {
        let script = FaultScript::parse(
            "[[rpc]]\nmethod = \"submitblock\"\nwhen = { nth = 1 }\nfault = { status = 503 }\n\
             [[rpc]]\nmethod = \"submitblock\"\nwhen = { nth = 2 }\nfault = { drop = \"read\" }\n\
             [[rpc]]\nmethod = \"*\"\nwhen = { times = 1 }\ndelay_s = 1\n",
        )
        .expect("a script");
        let mut machine = Machine::new(script);
        let mut struck = |method: &str| {
            machine
                .rpc(|rule| rule.is_about(Some((method, None))), at(0))
                .map(|(index, _)| index)
        };
        assert_eq!(struck("submitblock"), Some(0));
        assert_eq!(struck("submitblock"), Some(1));
        assert_eq!(
            struck("uptime"),
            Some(2),
            "an earlier decision costs no firing"
        );
        assert_eq!(struck("uptime"), None);
        assert_eq!(struck("submitblock"), None);
    }

    #[test]
    fn modes_and_topics_are_told_apart() {
        let script = FaultScript::parse(
            "[[rpc]]\nmethod = \"getblocktemplate\"\nmode = \"proposal\"\nfault = { status = 500 }\n\
             [[zmq]]\ntopic = \"rawblock\"\nwhen = { from_height = 7 }\nfault = \"gap\"\n",
        )
        .expect("a script");
        let mut machine = Machine::new(script);
        let call = |mode| Some(("getblocktemplate", Some(mode)));
        assert!(
            machine
                .rpc(|rule| rule.is_about(call(Mode::Template)), at(0))
                .is_none()
        );
        assert!(
            machine
                .rpc(|rule| rule.is_about(call(Mode::Proposal)), at(0))
                .is_some()
        );
        assert!(
            machine.rpc(|rule| rule.is_about(None), at(0)).is_none(),
            "a batch"
        );
        assert_eq!(machine.notice("hashblock", at(8)), None);
        assert_eq!(machine.notice("rawblock", at(6)), None);
        assert_eq!(
            machine.notice("rawblock", at(7)),
            Some((0, NoticeFault::Gap))
        );
    }

    #[test]
    fn events_are_found_one_after_the_other() {
        let script = FaultScript::parse(
            "[[event]]\nat_s = 0\nfault = { freeze_s = 1 }\n[[event]]\nat_height = 3\nfault = { reorg = 1 }\n",
        )
        .expect("a script");
        let mut machine = Machine::new(script);
        assert_eq!(machine.next_event(), Some(Duration::ZERO));
        assert_eq!(machine.event(at(3)).map(|(index, _)| index), Some(0));
        assert_eq!(machine.event(at(3)).map(|(index, _)| index), Some(1));
        assert_eq!(machine.event(at(3)), None);
        assert_eq!(machine.next_event(), None);
    }
}
