//! The document that `health-check` prints.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The components of a whole program, in the order in which a person reads them. Children that are
/// not among them are shown behind.
pub const COMPONENTS: [&str; 15] = [
    "node",
    "ingest",
    "validator",
    "miner",
    "pipeline",
    "performance",
    "submitter",
    "store",
    "supervisor",
    "recovery",
    "resources",
    "stats",
    "monitor",
    "api",
    "advisor",
];

/// How a component is. Ordered by severity, which is not the order of the exit codes: what is known to
/// be wrong weighs more than what is not known.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Condition {
    /// It does what it is there for.
    #[default]
    Ok,
    /// Nobody can tell (yet).
    Unknown,
    /// It does, and somebody should have a look.
    Warning,
    /// It does not.
    Critical,
}

impl Condition {
    /// As a monitoring plugin exits: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "OK",
            Self::Unknown => "UNKNOWN",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        })
    }
}

/// One component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// How it is.
    pub status: Condition,
    /// Why, in words.
    pub message: String,
    /// How long it took to answer, in seconds; null where it was not asked.
    pub latency_s: Option<f64>,
}

impl Component {
    /// A component of which nothing was measured.
    pub fn new(status: Condition, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            latency_s: None,
        }
    }

    /// It does what it is there for.
    pub fn ok(message: impl Into<String>) -> Self {
        Self::new(Condition::Ok, message)
    }

    /// Somebody should have a look.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Condition::Warning, message)
    }

    /// It does not do what it is there for.
    pub fn critical(message: impl Into<String>) -> Self {
        Self::new(Condition::Critical, message)
    }

    /// Nobody can tell.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Condition::Unknown, message)
    }

    /// The same with the time an answer took.
    #[must_use]
    pub fn measured(mut self, latency: Option<Duration>) -> Self {
        self.latency_s = latency.map(|latency| latency.as_secs_f64());
        self
    }

    /// With another finding on the same component: the worse one counts. Of two alike, the first one
    /// does (a child that hangs is the cause of what else is wrong with it), unless both are well: then
    /// the later one says more, if it says anything.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let latency_s = self.latency_s.or(later.latency_s);
        let says_more = self.status == Condition::Ok && !later.message.is_empty();
        let worse = match later.status.cmp(&self.status) {
            Ordering::Greater => later,
            Ordering::Equal if says_more => later,
            _ => self,
        };
        Self { latency_s, ..worse }
    }
}

/// The whole document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// That of the worst component.
    pub status: Condition,
    /// The worst component and its message, or that all is well.
    #[serde(default)]
    pub message: String,
    /// By name.
    pub components: BTreeMap<String, Component>,
}

impl HealthReport {
    /// A report without components.
    pub fn of_the_whole(status: Condition, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            components: BTreeMap::new(),
        }
    }

    /// Adds a finding on a component to what is known of it.
    pub fn set(&mut self, name: &str, finding: Component) {
        let finding = match self.components.remove(name) {
            Some(known) => known.and(finding),
            None => finding,
        };
        self.components.insert(name.to_owned(), finding);
    }

    /// Draws the whole's condition from the components.
    pub fn conclude(&mut self) {
        let worst = self.in_order().into_iter().next();
        (self.status, self.message) = match worst {
            Some((name, worst)) if worst.status != Condition::Ok => {
                (worst.status, format!("{name}: {}", worst.message))
            }
            _ => (Condition::Ok, "working on the node's tip".to_owned()),
        };
    }

    /// The components, worst first and otherwise in the order of [`COMPONENTS`].
    pub fn in_order(&self) -> Vec<(&str, &Component)> {
        let place = |name: &str| {
            COMPONENTS
                .iter()
                .position(|known| *known == name)
                .unwrap_or(COMPONENTS.len())
        };
        let mut components: Vec<(&str, &Component)> = self
            .components
            .iter()
            .map(|(name, component)| (name.as_str(), component))
            .collect();
        components.sort_by_key(|(name, component)| (Reverse(component.status), place(name)));
        components
    }

    /// The report on one component alone; none if there is no such component.
    pub fn only(&self, name: &str) -> Option<Self> {
        let component = self.components.get(name)?;
        Some(Self {
            status: component.status,
            message: format!("{name}: {}", component.message),
            components: BTreeMap::from([(name.to_owned(), component.clone())]),
        })
    }

    /// Whether the node is on its tip and the pipeline works on it: what a load balancer wants to know.
    pub fn is_ready(&self) -> bool {
        ["node", "pipeline"].iter().all(|name| {
            self.components
                .get(*name)
                .is_some_and(|component| component.status == Condition::Ok)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(components: &[(&str, Component)]) -> HealthReport {
        let mut report = HealthReport::default();
        for (name, component) in components {
            report.set(name, component.clone());
        }
        report.conclude();
        report
    }

    #[test]
    fn the_worst_component_decides_and_is_named() {
        let whole = report(&[
            ("monitor", Component::ok("up")),
            ("resources", Component::warning("memory is low")),
        ]);
        assert_eq!(whole.status, Condition::Warning);
        assert_eq!(whole.message, "resources: memory is low");
        let worse = report(&[
            ("api", Component::unknown("not asked")),
            ("resources", Component::warning("memory is low")),
            ("node", Component::critical("absent")),
        ]);
        assert_eq!(worse.status, Condition::Critical);
        let names: Vec<&str> = worse.in_order().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["node", "resources", "api"]);
        let unknown = report(&[("node", Component::unknown("not asked yet"))]);
        assert_eq!(unknown.status, Condition::Unknown);
    }

    #[test]
    fn nothing_wrong_is_ok() {
        assert_eq!(report(&[]).status, Condition::Ok);
        assert_eq!(report(&[("node", Component::ok(""))]).status, Condition::Ok);
    }

    #[test]
    fn of_two_findings_the_worse_counts_and_the_latency_stays() {
        let asked = Component::ok("up").measured(Some(Duration::from_millis(2)));
        let both = report(&[
            ("miner", asked.clone()),
            ("miner", Component::critical("no job")),
        ]);
        let miner = &both.components["miner"];
        assert_eq!(miner.message, "no job");
        assert_eq!(miner.latency_s, Some(0.002));
        // Of two that are well, the later says more, if it says anything.
        let both = report(&[
            ("miner", asked.clone()),
            ("miner", Component::ok("scanning")),
        ]);
        assert_eq!(both.components["miner"].message, "scanning");
        let both = report(&[("miner", asked), ("miner", Component::default())]);
        assert_eq!(both.components["miner"].message, "up");
        // Of two that are not, the first is the cause.
        let both = report(&[
            ("ingest", Component::critical("hangs")),
            ("ingest", Component::critical("the node is absent")),
        ]);
        assert_eq!(both.components["ingest"].message, "hangs");
    }

    #[test]
    fn the_document_is_the_one_that_others_build_on() {
        let whole = report(&[("node", Component::critical("absent"))]);
        let document = serde_json::to_value(&whole).expect("a document");
        let wanted = serde_json::json!({
            "status": "CRITICAL",
            "message": "node: absent",
            "components": {"node": {"status": "CRITICAL", "message": "absent", "latency_s": null}},
        });
        assert_eq!(document, wanted);
        let read: HealthReport = serde_json::from_value(wanted).expect("readable");
        assert_eq!(read, whole);
    }

    #[test]
    fn one_component_alone_decides_when_it_is_asked_for() {
        let whole = report(&[
            ("node", Component::critical("absent")),
            ("stats", Component::ok("up")),
        ]);
        let stats = whole.only("stats").expect("there");
        assert_eq!(stats.status, Condition::Ok);
        assert_eq!(stats.components.len(), 1);
        assert_eq!(whole.only("nothing"), None);
    }

    #[test]
    fn ready_is_a_node_on_its_tip_and_a_pipeline_that_works_on_it() {
        let well = Component::ok("");
        let of = |node: Component, pipeline: Component| {
            report(&[("node", node), ("pipeline", pipeline)]).is_ready()
        };
        assert!(of(well.clone(), well.clone()));
        assert!(!of(Component::warning("syncing"), well.clone()));
        assert!(!of(well, Component::unknown("starting")));
        assert!(!report(&[]).is_ready());
    }

    #[test]
    fn exit_codes_are_those_of_monitoring_plugins() {
        let codes = [
            (Condition::Ok, 0),
            (Condition::Warning, 1),
            (Condition::Critical, 2),
            (Condition::Unknown, 3),
        ];
        for (condition, code) in codes {
            assert_eq!(condition.exit_code(), code, "{condition}");
        }
    }
}
