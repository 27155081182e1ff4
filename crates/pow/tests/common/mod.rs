//! Test data, if the environment names any.

use std::path::Path;

/// A file of the real-data folder named by `SIGNALCORE_TESTDATA`; `None`, said aloud, without it.
pub fn testdata(path: &str) -> Option<Vec<u8>> {
    let Some(folder) = std::env::var_os("SIGNALCORE_TESTDATA") else {
        #[allow(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: SIGNALCORE_TESTDATA not set");
        }
        return None;
    };
    let path = Path::new(&folder).join(path);
    Some(std::fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display())))
}
