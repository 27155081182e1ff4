//! Ways out of the jail, and none of them works.
#![allow(clippy::print_stderr)] // a test that is left out says so

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod limits;
mod reach;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use advisor::jail::orders::Force;
use advisor::outcome::Outcome;

use common::{Prison, assert_empty, jail, run};

/// Long enough for a script of a few commands, and waited out by those that hang.
const SHORT: Duration = Duration::from_secs(2);

impl Prison {
    /// Asks a script that gives no answer, and sees to it that nothing of it is left.
    fn fails(&self, script: &str, limit: Duration) -> (Outcome, String) {
        let failure = run(self.ask_cell(&self.shell(script), limit)).expect_err(script);
        self.is_empty();
        (failure.outcome, failure.detail)
    }

    fn answers(&self, script: &str) -> String {
        let answer = run(self.ask(script)).unwrap_or_else(|failure| panic!("{script}: {failure}"));
        self.is_empty();
        answer
    }

    fn is_empty(&self) {
        assert_empty(self.dir.path());
    }

    /// Whether the kernel holds the command to what it may open.
    fn has_landlock(&self) -> bool {
        self.answers("echo ready");
        let landlock = self.jail.shelter().expect("a command was started").landlock;
        match landlock {
            Force::Full => true,
            Force::Partial(why) => {
                eprintln!("left out: {why}");
                false
            }
            Force::None(why) => {
                // Anything else is a mistake of ours.
                assert!(
                    why.contains("no Landlock") || why.contains("not switched on"),
                    "{why}"
                );
                eprintln!("left out: {why}");
                false
            }
        }
    }

    /// Every kernel that this program runs on has seccomp.
    fn has_seccomp(&self) {
        self.answers("echo ready");
        let seccomp = self.jail.shelter().expect("a command was started").seccomp;
        assert_eq!(seccomp, Force::Full);
    }
}

/// This test's program, for one of its tests alone.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture"]);
    command
}

/// Runs a test as it is, or for root in a copy of this program that runs as a user of its own: the kernel counts
/// processes by user, and tests beside this one are not to count.
fn as_ordinary_user(test: &str, body: impl FnOnce()) {
    static NTH: AtomicU32 = AtomicU32::new(0);
    if !nix::unistd::geteuid().is_root() {
        return body();
    }
    // Numbers that belong to nobody, and that a container has as well.
    let nth = NTH.fetch_add(1, Ordering::Relaxed);
    let user = 60_000 + std::process::id().wrapping_mul(8).wrapping_add(nth) % 5_000;
    let copies = tempfile::tempdir().expect("a temporary directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(copies.path(), open).expect("it is ours");
    // By a process of its own: what this one is writing to, a child of another thread would hold open for a moment, and
    // that cannot be run.
    let copy = |from: PathBuf, name| {
        let to = copies.path().join(name);
        let copied = Command::new("cp").arg(from).arg(&to).status();
        assert!(copied.expect("cp").success());
        to
    };
    let tests = copy(std::env::current_exe().expect("this program"), "tests");
    let jailer = copy(jail(), "jail");
    let mut child: Child = Command::new(tests)
        .args(["--exact", test, "--nocapture"])
        .env("TEST_ADVISOR_JAIL", jailer)
        .env("TMPDIR", copies.path())
        .current_dir(copies.path())
        .uid(user)
        .gid(user)
        .spawn()
        .expect("a copy of this program");
    let status = child.wait().expect("it is ours");
    assert!(status.success(), "as an ordinary user: {status}");
}
