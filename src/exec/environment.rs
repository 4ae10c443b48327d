//! Owns what a process finds around it. Invariant: nothing of it depends on who builds, where, or when.

use std::path::{Path, PathBuf};

use crate::exec::sandbox::Sandbox;

/// Where programs of `command` targets are looked for.
pub const PROGRAM_PATH: &str = "/opt/homebrew/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// System folders every command may read: programs, their libraries and the settings those need.
pub const SYSTEM: [&str; 11] = ["/bin", "/dev", "/etc", "/lib", "/lib64", "/nix", "/opt", "/proc", "/sbin", "/usr", "/private/etc"];

/// The program that runs actions: it stands beside this one.
///
/// # Errors
/// With where it should be, when it is not there.
pub fn action_program() -> Result<PathBuf, PathBuf> {
    let here = std::env::current_exe().unwrap_or_default();
    let beside = here.with_file_name("cbi-action");
    // Test programs stand one folder deeper than the programs they test.
    let above = here.parent().and_then(Path::parent).map(|p| p.join("cbi-action"));
    let found = [Some(beside.clone()), above].into_iter().flatten().find(|p| p.is_file());
    found.ok_or(beside)
}

/// The variables that every process gets.
#[must_use]
pub fn base_env(sandbox: &Sandbox) -> Vec<(String, String)> {
    let text = |p: PathBuf| p.to_string_lossy().into_owned();
    [
        ("PATH", PROGRAM_PATH.to_owned()),
        ("HOME", text(sandbox.tmp())),
        ("TMPDIR", text(sandbox.tmp())),
        ("TZ", "UTC".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("PYTHONHASHSEED", "0".to_owned()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .to_vec()
}

/// The variable that names the drivers of graphics adapters, for our own program, where this machine sets it: the loader of Vulkan reads it.
#[must_use]
pub fn driver_env() -> Option<(String, String)> {
    const DRIVERS: &str = "VK_DRIVER_FILES";
    std::env::var(DRIVERS).ok().map(|files| (DRIVERS.to_owned(), files))
}
