//! The jail by itself, for this crate's tests; the program has it as a hidden command.

use std::process::ExitCode;

fn main() -> ExitCode {
    advisor::jail::main()
}
