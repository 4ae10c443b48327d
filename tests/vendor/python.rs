//! A Python with the vendors' packages, which tests ask for a second opinion. Invariant: it is the pinned one of `scripts/test-python.txt`.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A Python with the vendors' packages: `CBI_TEST_PYTHON`, as `./test.sh` sets it, else one made here, once.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| std::env::var_os("CBI_TEST_PYTHON").map_or_else(make_python, PathBuf::from))
}

fn make_python() -> PathBuf {
    let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test-python.txt");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let (program, done) = (home.join("bin/python3"), home.join("installed"));
    // Tests of several processes make it one after the other.
    let lock = fs::File::create(home.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if fs::read(&done).ok() != fs::read(&wanted).ok() {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home));
        succeed(Command::new(&program).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted));
        fs::copy(&wanted, &done).unwrap();
    }
    program
}

/// What the command prints; it must end well.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out.into_owned()
}
