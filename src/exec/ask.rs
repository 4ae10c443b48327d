//! Owns questions to the action program that make no artifact: what an engine says of itself, what a warehouse holds. Invariant: a question
//! leaves nothing behind, and its answer is used by the process that asked.

use std::time::Duration;

use serde_json::{Value, json};

use crate::base::diagnostic::ExitCode;
use crate::exec::environment::{PROGRAM_PATH, action_program, driver_env};
use crate::exec::failure::{self, Failure, RunError};
use crate::io::fs;
use crate::io::process::{Children, Spawn};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// The file `answer` that the question's output folder holds in the end.
///
/// # Errors
/// With what a person should know, when there is no answer.
pub fn ask(kind: &str, params: &Value, reach: &Value, answer: &str) -> Result<Vec<u8>, Failure> {
    ask_within(PATIENCE, kind, params, reach, answer)
}

/// The same, of a question whose answer may take so long.
///
/// # Errors
/// As [`ask`].
pub fn ask_within(patience: Duration, kind: &str, params: &Value, reach: &Value, answer: &str) -> Result<Vec<u8>, Failure> {
    let mut log = Vec::new();
    try_ask(patience, kind, params, reach, answer, &mut log).map_err(|error| failure::describe(&error, &log))
}

fn try_ask(patience: Duration, kind: &str, params: &Value, reach: &Value, answer: &str, log: &mut Vec<u8>) -> Result<Vec<u8>, RunError> {
    let folder = tempfile::tempdir().map_err(|error| RunError::Ended {
        message: format!("no temporary folder: {error}"),
        hint: None,
        code: ExitCode::ActionFailed,
    })?;
    let at = |name: &str| folder.path().join(name);
    let request = json!({ "kind": kind, "params": params, "reach": reach, "inputs": {}, "out": at("out"), "response": at("response") });
    fs::create_folder(&at("out"))?;
    fs::write(&at("request"), request.to_string().as_bytes())?;
    let mut env = vec![("PATH".to_owned(), PROGRAM_PATH.to_owned())];
    env.extend(std::env::var("CBI_NATIVE_DIR").ok().map(|dir| ("CBI_NATIVE_DIR".to_owned(), dir)));
    env.extend(driver_env());
    let program = action_program().map_err(|path| RunError::NoActionProgram { path })?;
    let spawn = Spawn {
        name: kind.to_owned(),
        program,
        args: vec![at("request").into()],
        cwd: folder.path().to_owned(),
        env,
        log: at("log"),
        timeout: Some(patience),
        jail: None,
    };
    let (ended, _) = Children::new().run(&spawn, &mut None)?;
    *log = fs::read_if_any(&spawn.log)?.unwrap_or_default();
    failure::judge(ended, Some(patience), Some(&[]), log)?;
    Ok(fs::read(&at("out").join(answer))?)
}
