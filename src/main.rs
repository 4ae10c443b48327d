//! The program people run: reads the command line and does what it says.

use std::process::ExitCode;

fn main() -> ExitCode {
    cbi::cli::run::main().into()
}
