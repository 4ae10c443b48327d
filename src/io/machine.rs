//! Owns what the machine has. Invariant: it is asked, never assumed; where it will not say, the answer is small.

/// CPUs this process may use.
#[must_use]
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// Bytes of physical memory.
#[must_use]
pub fn memory() -> u64 {
    physical().unwrap_or(4 << 30)
}

/// Bytes that may still be written to the disk of `path`; `None` where the system does not say.
#[must_use]
pub fn disk_free(path: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Who is at work, as `user@host`; a `?` stands for what the machine does not say.
#[must_use]
pub fn who() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = |name: Option<String>| name.filter(|name| !name.is_empty()).unwrap_or_else(|| "?".to_owned());
    format!("{}@{}", named(user), named(Some(host)))
}

/// Gives this process and its children the usual mask for new files, so that no result depends on the user's own.
pub fn settle_umask() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
}

#[cfg(target_os = "linux")]
fn physical() -> Option<u64> {
    let info = rustix::system::sysinfo();
    #[expect(clippy::useless_conversion, reason = "narrower on 32-bit systems")]
    u64::from(info.totalram).checked_mul(u64::from(info.mem_unit))
}

#[cfg(not(target_os = "linux"))]
fn physical() -> Option<u64> {
    let output = std::process::Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
