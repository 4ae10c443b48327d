//! Owns handing a text to a program of the user's. Invariant: it ends within the time it is given, whatever the program does.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a program is asked whether it has ended.
const TICK: Duration = Duration::from_millis(20);

/// Why a text was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// No program is named.
    #[error("no program is named")]
    NoProgram,
    /// It cannot be started or waited for.
    #[error("cannot run '{program}'")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended badly.
    #[error("'{program}' ended with {how}")]
    Ended {
        /// The program.
        program: String,
        /// Its exit code or signal.
        how: String,
    },
    /// It took too long and was killed.
    #[error("'{program}' was killed after {} seconds", patience.as_secs())]
    TooSlow {
        /// The program.
        program: String,
        /// How long it was given.
        patience: Duration,
    },
}

/// Runs a program (with its arguments) in `folder`, with the environment of this one and the variables in `env`, and gives it `text` on its
/// standard input. What it prints goes to standard error.
///
/// # Errors
/// When it cannot be run, ends with another code than 0, or takes longer than `patience`.
pub fn hand(run: &[String], folder: &Path, env: &[(&str, String)], text: &str, patience: Duration) -> Result<(), NoticeError> {
    let Some((program, args)) = run.split_first() else { return Err(NoticeError::NoProgram) };
    let failed = |source| NoticeError::Run { program: program.clone(), source };
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).envs(env.iter().map(|(k, v)| (*k, v))).stdin(Stdio::piped()).stdout(io::stderr());
    let began = Instant::now();
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        let text = text.to_owned();
        // A program need not read what it is given, and may be slow to: that is its business, not ours.
        std::thread::spawn(move || _ = stdin.write_all(text.as_bytes()));
    }
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(NoticeError::Ended { program: program.clone(), how: status.to_string() }),
            None if began.elapsed() >= patience => {
                _ = child.kill();
                _ = child.wait();
                return Err(NoticeError::TooSlow { program: program.clone(), patience });
            }
            None => std::thread::sleep(TICK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path, patience: Duration) -> Result<(), String> {
        let run = ["/bin/sh", "-c", script].map(str::to_owned);
        hand(&run, folder, &[("WHO", "me".to_owned())], "the text\n", patience).map_err(|e| e.to_string())
    }

    #[test]
    fn a_program_gets_the_text_the_folder_and_the_variables() {
        let folder = tempfile::tempdir().unwrap();
        shell("cat > got; echo $WHO >> got", folder.path(), Duration::from_secs(20)).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("got")).unwrap(), "the text\nme\n");
    }

    #[test]
    fn a_program_that_fails_hangs_or_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let said = |script, ms| shell(script, folder.path(), Duration::from_millis(ms)).unwrap_err();
        assert!(said("exit 3", 20_000).contains("'/bin/sh' ended with exit status: 3"));
        assert!(said("exec sleep 60", 50).contains("was killed after"));
        let none = hand(&["/no/such".to_owned()], folder.path(), &[], "", Duration::from_secs(1));
        assert!(none.unwrap_err().to_string().contains("/no/such"));
    }
}
