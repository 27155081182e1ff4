//! Questions to real commands, and what becomes of them.

mod oneshot;
mod persistent;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use advisor::breaker;
use advisor::consultant::{Answer, Consultant, Mode, Settings};
use advisor::counts::Counts;
use advisor::dossier::{Dossier, Health};
use advisor::jail::orders::{Cell, Limits};
use advisor::outcome::Outcome;
use advisor::process::Jail;
use advisor::protocol::{Kind, Mining, Request, Template, VERSION, Validation, Verdict};
use advisor::tries::Patience;
use tempfile::TempDir;

/// Longer than anything takes that happens.
const LONG: Duration = Duration::from_mins(2);

/// Shell functions for advisors: `hear` reads a question, `say ID WORD` answers, `reply` answers what was heard.
const PRELUDE: &str = r#"
hear() {
    IFS= read -r question || exit 0
    id=${question#*'"id":"'}; id=${id%%'"'*}
    attempt=${question#*'"attempt":'}; attempt=${attempt%%,*}
}
say() { printf '{"v":1,"id":"%s","recommendation":"%s","confidence":0.9,"reason":"%s"}\n' "$1" "$2" $$; }
reply() { say "$id" PROCEED; }
"#;

/// A directory, the settings for an advisor that works in it, and what is known of it.
struct Office {
    dir: TempDir,
    settings: Settings,
    breaker: breaker::Limits,
    cache: Duration,
    dossier: OnceCell<Dossier>,
}

impl Office {
    /// Of a shell script, with all the time it may need and no pauses worth mentioning.
    fn new(mode: Mode, script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cell = Cell {
            command: ["/bin/sh", "-c", &format!("{PRELUDE}{script}")]
                .map(str::to_owned)
                .into(),
            dir: dir.path().join("work"),
            env: BTreeMap::new(),
            readable: Vec::new(),
            limits: Limits::default(),
        };
        let settings = Settings {
            jail: Jail::new(env!("CARGO_BIN_EXE_advisor-jail"), [""; 0]),
            cell,
            mode,
            patience: Patience {
                attempts: 3,
                per_try: LONG,
                overall: LONG,
                pause: Duration::from_millis(1),
                pause_most: Duration::from_millis(1),
            },
        };
        Self {
            dir,
            settings,
            breaker: breaker::Limits {
                calls: 1000,
                ..breaker::Limits::default()
            },
            cache: Duration::ZERO,
            dossier: OnceCell::new(),
        }
    }

    /// What is known of the advisor, to all consultants.
    fn dossier(&self) -> &Dossier {
        let new = || Dossier::new(self.breaker, self.cache, Counts::default());
        self.dossier.get_or_init(new)
    }

    fn consultant(&self) -> Consultant {
        let rng = fastrand::Rng::with_seed(1);
        Consultant::new(self.settings.clone(), self.dossier().clone(), rng)
    }

    fn counts(&self) -> Counts {
        self.dossier().counts()
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.counts().outcomes[&outcome]
    }

    fn health(&self) -> Health {
        self.dossier().health()
    }

    /// A file in the advisor's directory.
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn request(id: &str) -> Request {
    Request {
        v: VERSION,
        id: id.to_owned(),
        attempt: 1,
        kind: Kind::Tip,
        network: "regtest".to_owned(),
        height: 100,
        tip: "0f".repeat(32),
        validation: Validation {
            verdict: Verdict::Authentic,
            coverage: 1.0,
            level: 100,
            failures: Vec::new(),
        },
        template: Some(Template {
            transactions: 10,
            fees_sat: 50_000,
            weight: 40_000,
            age_s: 0.1,
        }),
        mining: Mining {
            hashrate_hs: None,
            expected_block_s: None,
            stale_ratio: None,
        },
        recent_intervals_s: vec![600.0, 300.0],
        system: None,
    }
}

/// The answer to a question that keeps the rules.
async fn ask(consultant: &mut Consultant, id: &str) -> Answer {
    let answer = consultant.ask(&request(id)).await;
    answer.expect("the question keeps the rules")
}

/// Resolves when a file is there.
async fn appears(path: PathBuf) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < LONG, "{} does not appear", path.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a test's future.
fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
