//! Owns child processes. Invariant: a child never outlives its step: when its leader ends, is cancelled or runs out of time, its whole
//! process group is killed before the leader is reaped.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use wait4::Wait4;

use crate::io::jail::{Cell, Jail};
use crate::io::resident;

/// A child to start.
#[derive(Debug, Default)]
pub struct Spawn {
    /// What it is called in [`Children::resident`].
    pub name: String,
    /// The program, by absolute path.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub args: Vec<OsString>,
    /// Its working folder.
    pub cwd: PathBuf,
    /// Its whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The file that takes its standard output and error.
    pub log: PathBuf,
    /// It is killed after this long.
    pub timeout: Option<Duration>,
    /// What it may touch; `None` leaves it to the operating system's permissions.
    pub jail: Option<Jail>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal from outside.
    Signalled(i32),
    /// Killed here: its time was up.
    TimedOut,
    /// Killed here: the build was stopped.
    Cancelled,
    /// Killed here: it held more memory than there was for it.
    Outgrown,
}

/// What a child used, its own waited-for children included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Elapsed time.
    pub wall: Duration,
    /// User and system CPU time.
    pub cpu: Duration,
    /// Peak resident memory in bytes: of the largest process, or of all of them together where more was seen.
    pub peak_bytes: u64,
}

/// A child that could not be started or waited for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not there or may not be executed.
    #[error("cannot start '{program}'")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to tell how it ended.
    #[error("lost track of '{program}'")]
    Wait {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log could not be opened.
    #[error("cannot write the log '{path}'")]
    Log {
        /// The log file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refused the jail.
    #[error("cannot confine '{program}': {message}")]
    Jail {
        /// The program.
        program: PathBuf,
        /// What the system said.
        message: String,
    },
}

#[derive(Debug, Clone)]
struct Live {
    name: String,
    deadline: Option<Instant>,
    verdict: Option<Ended>,
    /// The most memory that its group was seen to hold.
    seen_bytes: u64,
}

/// The children now running, so that they can be killed from another thread.
#[derive(Debug, Default)]
pub struct Children {
    live: Mutex<HashMap<i32, Live>>,
}

impl Children {
    /// No children yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the child and waits for its end; blocks the calling thread. A cell that fits its jail is used, and one that was made is left
    /// in `cell` for the next child.
    ///
    /// # Errors
    /// When the child cannot be started, confined or waited for. A child that fails is no error here.
    pub fn run(&self, spawn: &Spawn, cell: &mut Option<Cell>) -> Result<(Ended, Usage), ProcessError> {
        let began = Instant::now();
        let mut child = start(spawn, cell)?;
        let lost = |source| ProcessError::Wait { program: spawn.program.clone(), source };
        let id = i32::try_from(child.id()).unwrap_or(i32::MAX);
        let deadline = spawn.timeout.map(|t| began + t);
        self.with(|live| live.insert(id, Live { name: spawn.name.clone(), deadline, verdict: None, seen_bytes: 0 }));
        if let Some(pid) = Pid::from_raw(id) {
            // The leader stays a zombie here, so that its group's number cannot have been given to another.
            let waited = loop {
                match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                    Err(rustix::io::Errno::INTR) => {}
                    other => break other,
                }
            };
            waited.map_err(|e| lost(e.into()))?;
            // Nothing left in the group is the usual case, and no error.
            _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        let (verdict, seen_bytes) = self.with(|live| live.remove(&id)).map_or((None, 0), |l| (l.verdict, l.seen_bytes));
        let end = child.wait4().map_err(lost)?;
        let peak_bytes = end.rusage.maxrss.max(seen_bytes);
        let usage = Usage { wall: began.elapsed(), cpu: end.rusage.utime + end.rusage.stime, peak_bytes };
        let by_itself = end.status.code().map_or_else(|| Ended::Signalled(end.status.signal().unwrap_or(0)), Ended::Exited);
        Ok((verdict.unwrap_or(by_itself), usage))
    }

    /// Kills every child whose time is up. To be called often.
    pub fn kill_overdue(&self) {
        let now = Instant::now();
        self.kill(Ended::TimedOut, |l| l.deadline.is_some_and(|d| d <= now));
    }

    /// Kills every child.
    pub fn kill_all(&self) {
        self.kill(Ended::Cancelled, |_| true);
    }

    /// Kills the child of this name for its memory, and says whether there was one: then its end is told as [`Ended::Outgrown`].
    pub fn kill_outgrown(&self, name: &str) -> bool {
        self.kill(Ended::Outgrown, |l| l.name == name) > 0
    }

    /// Bytes of memory that each child's process group holds now, by the child's name.
    pub fn resident(&self) -> HashMap<String, u64> {
        let groups = resident::of_groups();
        self.with(|live| {
            let held = live.iter_mut().map(|(id, entry)| {
                let bytes = groups.get(id).copied().unwrap_or(0);
                entry.seen_bytes = entry.seen_bytes.max(bytes);
                (entry.name.clone(), bytes)
            });
            held.collect()
        })
    }

    /// Kills the children chosen that are not being killed yet, and says how many those are.
    fn kill(&self, verdict: Ended, which: impl Fn(&Live) -> bool) -> usize {
        self.with(|live| {
            let mut killed = 0;
            for (id, entry) in live.iter_mut().filter(|(_, l)| l.verdict.is_none() && which(l)) {
                entry.verdict = Some(verdict);
                killed += 1;
                if let Some(pid) = Pid::from_raw(*id) {
                    _ = rustix::process::kill_process_group(pid, Signal::KILL);
                }
            }
            killed
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<i32, Live>) -> T) -> T {
        f(&mut self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn start(spawn: &Spawn, cell: &mut Option<Cell>) -> Result<Child, ProcessError> {
    let in_log = |source| ProcessError::Log { path: spawn.log.clone(), source };
    let out = File::create(&spawn.log).map_err(in_log)?;
    let err = out.try_clone().map_err(in_log)?;
    let mut command = Command::new(&spawn.program);
    command.args(&spawn.args).current_dir(&spawn.cwd).env_clear().envs(spawn.env.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let started = match &spawn.jail {
        None => command.spawn(),
        Some(jail) => {
            let fits = cell.take().filter(|cell| cell.jail() == jail);
            let refused = |message| ProcessError::Jail { program: spawn.program.clone(), message };
            let cell = cell.insert(fits.map_or_else(|| Cell::enter(jail), Ok).map_err(refused)?);
            cell.start(command)
        }
    };
    started.map_err(|source| ProcessError::Start { program: spawn.program.clone(), source })
}

/// Asks the system to kill this process when the thread that started it ends, so that no engine outlives a killed build.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    }
}

/// Finds `program` in the folders of `path` (separated by `:`), or takes it as it is where it holds a `/`.
#[must_use]
pub fn find_program(program: &str, path: &str) -> Option<PathBuf> {
    let executable = |p: &Path| rustix::fs::access(p, rustix::fs::Access::EXEC_OK).is_ok() && p.is_file();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|p| executable(p));
    }
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|p| executable(p))
}

/// What `command` prints on its standard output, run to its end with this environment. What it says on its standard error is not kept: a command
/// that is traced prints secrets there.
///
/// # Errors
/// In words, when it cannot be started or fails. What it printed is in no error.
pub fn output(command: &[String], env: &[(String, String)]) -> Result<Vec<u8>, String> {
    let (program, args) = command.split_first().ok_or("it names no program")?;
    let path = env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, path)| path);
    let found = find_program(program, path).ok_or_else(|| format!("'{program}' is not there"))?;
    let ran = Command::new(found).args(args).env_clear().envs(env.iter().cloned()).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("'{program}' cannot be started: {error}"))?;
    if ran.status.success() { Ok(ran.stdout) } else { Err(format!("'{program}' ended with {}", ran.status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Spawn {
        Spawn {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            cwd: folder.into(),
            log: folder.join("log"),
            ..Spawn::default()
        }
    }

    #[test]
    fn a_child_gets_only_the_environment_it_was_given_and_its_output_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let spawn = Spawn { env: vec![("A".into(), "1".into())], ..shell(folder.path(), "echo $A; env | grep -c = ; exit 3") };
        let (ended, _) = Children::new().run(&spawn, &mut None).unwrap();
        assert_eq!(ended, Ended::Exited(3));
        let log = std::fs::read_to_string(&spawn.log).unwrap();
        assert!(log.starts_with("1\n"), "{log}");
        assert!(!log.contains("HOME"));
    }

    #[test]
    fn a_child_that_outstays_its_time_is_killed_with_its_own_children() {
        let folder = tempfile::tempdir().unwrap();
        let spawn = Spawn { timeout: Some(Duration::from_millis(50)), ..shell(folder.path(), "(sleep 5; touch late) & sleep 5") };
        let children = Children::new();
        let ended = std::thread::scope(|s| {
            let run = s.spawn(|| children.run(&spawn, &mut None).unwrap().0);
            while !run.is_finished() {
                children.kill_overdue();
                std::thread::yield_now();
            }
            run.join().unwrap()
        });
        assert_eq!(ended, Ended::TimedOut);
    }

    #[test]
    fn what_a_child_leaves_running_is_killed_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let spawn = shell(folder.path(), "sleep 30 & echo $!");
        assert_eq!(Children::new().run(&spawn, &mut None).unwrap().0, Ended::Exited(0));
        let pid: i32 = std::fs::read_to_string(&spawn.log).unwrap().trim().parse().unwrap();
        let gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |s| s.contains(") Z"));
        let began = Instant::now();
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(5), "the grandchild lives on");
        }
    }

    #[test]
    fn a_child_is_seen_with_all_that_its_group_holds_and_can_be_ended_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let spawn = Spawn { name: "two".into(), ..shell(folder.path(), "sleep 30 & sleep 30") };
        let children = Children::new();
        let ((ended, usage), most) = std::thread::scope(|s| {
            let run = s.spawn(|| children.run(&spawn, &mut None).unwrap());
            let mut most = 0;
            while most == 0 {
                most = children.resident().get("two").copied().unwrap_or(0);
            }
            assert!(!children.kill_outgrown("one") && children.kill_outgrown("two"));
            assert!(!children.kill_outgrown("two"), "it is being killed already");
            (run.join().unwrap(), most)
        });
        assert_eq!(ended, Ended::Outgrown);
        assert!(usage.peak_bytes >= most);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let spawn = Spawn { program: "/no/such".into(), ..shell(folder.path(), "") };
        assert!(Children::new().run(&spawn, &mut None).unwrap_err().to_string().contains("/no/such"));
        assert_eq!(find_program("no-such-program", "/usr/bin:/bin"), None);
        assert!(find_program("sh", "/usr/bin:/bin").is_some());
    }
}
