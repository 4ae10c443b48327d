//! The program that runs one action and exits: the only one that loads an engine. `cbi` starts it with the path of a request file.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use cbi::base::diagnostic;
use cbi::kinds::dispatch;
use cbi::kinds::request::{Request, RunError};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return fail("this program is started by cbi, with the path of one request", Some("cbi build"), diagnostic::ExitCode::Usage);
    };
    match run(Path::new(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.message, error.hint.as_deref(), error.code),
    }
}

fn run(path: &Path) -> Result<(), RunError> {
    let request = Request::read(path)?;
    let response = dispatch::run(&request)?;
    request.answer(&response)
}

/// Says why, as the last lines of the log.
fn fail(message: &str, hint: Option<&str>, code: diagnostic::ExitCode) -> ExitCode {
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    // Where nobody listens, the exit code still tells.
    _ = write!(io::stderr(), "error: {message}\n{hint}");
    ExitCode::from(code.number())
}
