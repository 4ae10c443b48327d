//! Shared by integration tests: the real tables beside the checkout. Invariant: a test that needs them says so when it has none, and fails where CI
//! must have them.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

/// The folder of real tables that may not be redistributed (`CBI_SHARED`, or `../shared`).
///
/// Where it is absent the test that asked is skipped, which it says; with `CI=true` it fails.
#[allow(clippy::print_stderr, reason = "test.sh counts the line")]
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("CBI_SHARED").map_or(beside, PathBuf::from);
    if shared.is_dir() {
        return Some(shared);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is not there, and CI skips nothing", shared.display());
    eprintln!("skipped: needs ../shared");
    None
}
