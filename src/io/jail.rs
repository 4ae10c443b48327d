//! Owns what a child process may touch. Invariant: who enters a jail never leaves it, so it is entered by a thread that does nothing else.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a jailed child may touch. Everything else on the file system, and TCP, is refused by the kernel (Linux Landlock).
/// On other systems, and on kernels without Landlock, it is not enforced; [`available`] says which.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Jail {
    /// Folders and files that may be read and executed.
    pub read: Vec<PathBuf>,
    /// Folders that may be changed as well.
    pub write: Vec<PathBuf>,
}

/// A thread in a jail, for as long as this lives. A jail binds a thread, and every process started from it, for good; many children that
/// share a jail start from one cell, for setting up a jail costs more than starting a process.
#[derive(Debug)]
pub struct Cell {
    jail: Jail,
    orders: Sender<Command>,
    started: Receiver<io::Result<Child>>,
}

impl Cell {
    /// Makes a thread that enters the jail.
    ///
    /// # Errors
    /// When the kernel refuses the jail.
    pub fn enter(jail: &Jail) -> Result<Self, String> {
        let (orders, take) = channel::<Command>();
        let (tell, started) = channel();
        let (ready, entered) = channel();
        let own = jail.clone();
        std::thread::spawn(move || {
            let inside = confine::enter(&own);
            let works = inside.is_ok();
            // Whoever made the cell waits for the answers, or has gone: then there is nothing left to do.
            _ = ready.send(inside);
            while let Some(mut command) = works.then(|| take.recv().ok()).flatten() {
                _ = tell.send(command.spawn());
            }
        });
        entered.recv().unwrap_or_else(|_| Err("the thread that starts it failed".into()))?;
        Ok(Self { jail: jail.clone(), orders, started })
    }

    /// The jail it is in.
    #[must_use]
    pub fn jail(&self) -> &Jail {
        &self.jail
    }

    /// Starts a child in the jail.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread in its jail has failed");
        self.orders.send(command).map_err(|_| gone())?;
        self.started.recv().map_err(|_| gone())?
    }
}

/// Whether this system enforces a [`Jail`].
#[must_use]
pub fn available() -> bool {
    confine::available()
}

#[cfg(target_os = "linux")]
mod confine {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError,
    };

    use super::Jail;

    const WANTED: ABI = ABI::V4;

    pub fn available() -> bool {
        ruleset(CompatLevel::HardRequirement).is_ok()
    }

    fn ruleset(level: CompatLevel) -> Result<landlock::RulesetCreated, RulesetError> {
        let ruleset = Ruleset::default().set_compatibility(level);
        ruleset.handle_access(AccessFs::from_all(WANTED))?.handle_access(AccessNet::from_all(WANTED))?.create()
    }

    pub fn enter(jail: &Jail) -> Result<(), String> {
        let mut rules = ruleset(CompatLevel::BestEffort).map_err(|e| e.to_string())?;
        for (paths, access) in [(&jail.read, AccessFs::from_read(WANTED)), (&jail.write, AccessFs::from_all(WANTED))] {
            for path in paths {
                // A path that is not there needs no permission.
                let Ok(fd) = PathFd::new(path) else { continue };
                let access = if path.is_dir() { access } else { access & AccessFs::from_file(WANTED) };
                rules = rules.add_rule(PathBeneath::new(fd, access)).map_err(|e| e.to_string())?;
            }
        }
        rules.restrict_self().map_err(|e| e.to_string())?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod confine {
    use super::Jail;

    pub fn available() -> bool {
        false
    }

    #[expect(clippy::unnecessary_wraps, reason = "the Linux twin can fail")]
    pub fn enter(_: &Jail) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn children_of_a_cell_read_nothing_that_was_not_declared_and_others_are_not_bound() {
        if !available() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        let system = ["/usr", "/bin", "/lib", "/lib64", "/dev"].map(PathBuf::from).to_vec();
        let cell = Cell::enter(&Jail { read: system, write: vec![folder.path().into(), "/dev/null".into()] }).unwrap();
        for round in 0..2 {
            let mut command = Command::new("/bin/sh");
            let script = format!("echo mine > own && cat own && cat {}", secret.path().display());
            command.args(["-c", &script]).current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let output = cell.start(command).unwrap().wait_with_output().unwrap();
            assert_eq!(output.stdout, b"mine\n", "round {round}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("Permission denied"), "{said}");
            assert_eq!(output.status.code(), Some(1));
        }
        std::fs::read(secret.path()).unwrap();
    }
}
