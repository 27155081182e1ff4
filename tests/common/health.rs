//! `health-check`, as an operator or a probe runs it.

use std::process::Output;

use serde_json::Value;

use super::program::Home;
use super::until;

/// What a health check said.
pub struct Checked {
    /// Its exit code.
    pub code: i32,
    /// Its document.
    pub report: Value,
}

impl Checked {
    /// From the output of `health-check --json`.
    pub fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stdout.lines().count(), 1, "{stdout}\n{stderr}");
        Self {
            code: output.status.code().unwrap(),
            report: serde_json::from_str(&stdout).unwrap(),
        }
    }

    /// A component's condition and message.
    pub fn component(&self, name: &str) -> (&str, &str) {
        let component = &self.report["components"][name];
        let text = |key: &str| component[key].as_str().unwrap_or_default();
        (text("status"), text("message"))
    }
}

/// Checks once.
pub fn check(home: &Home, args: &[&str]) -> Checked {
    Checked::of(&home.command(&[&["health-check", "--json"], args].concat()))
}

/// Checks until the answer is as wanted.
pub fn until_checked(what: &str, home: &Home, wanted: impl Fn(&Checked) -> bool) -> Checked {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until(what, || {
            let checked = check(home, &[]);
            last.clone_from(&checked.report);
            wanted(&checked).then_some(checked)
        })
    }));
    found.unwrap_or_else(|_| panic!("{what}: {last:#}; log:\n{}", home.log()))
}
