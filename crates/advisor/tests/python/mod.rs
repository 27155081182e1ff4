//! The interpreter for programs in Python.
#![allow(clippy::print_stderr)]

use std::process::Command;
use std::sync::OnceLock;

/// The system's, as an operator would write it into the configuration, or else whichever there is; or `None` after
/// saying that the test is skipped.
pub fn interpreter() -> Option<&'static str> {
    static FOUND: OnceLock<Option<&str>> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let new_enough = "import sys; sys.exit(sys.version_info < (3, 8))";
        ["/usr/bin/python3", "python3"].into_iter().find(|python| {
            let ran = Command::new(python).args(["-I", "-c", new_enough]).status();
            ran.is_ok_and(|status| status.success())
        })
    });
    if found.is_none() {
        eprintln!("skipped: no python3 of version 3.8 or later here");
    }
    found
}
