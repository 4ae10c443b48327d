//! Owns how much memory process groups hold now. Invariant: one look at the machine tells of all groups; what ended during it counts as nothing.

use std::collections::HashMap;

/// Resident bytes of every process group, by its number: what its processes hold in memory now. Pages that processes share count for each.
#[must_use]
pub fn of_groups() -> HashMap<i32, u64> {
    let mut groups = HashMap::new();
    for (group, bytes) in processes() {
        *groups.entry(group).or_insert(0) += bytes;
    }
    groups
}

/// Every process: its group and its resident bytes.
#[cfg(target_os = "linux")]
fn processes() -> Vec<(i32, u64)> {
    let page = rustix::param::page_size() as u64;
    let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(|entry| is_process(&entry.file_name()));
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter_map(|stat| of_stat(&stat)).map(|(group, pages)| (group, pages * page)).collect()
}

/// Group and resident pages from `/proc/PID/stat` (proc(5): fields 5 and 24; the name before them may hold anything but ends in the last `)`).
#[cfg(target_os = "linux")]
fn of_stat(stat: &str) -> Option<(i32, u64)> {
    let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace();
    let group = fields.nth(2)?.parse().ok()?;
    let pages = fields.nth(18)?.parse().ok()?;
    Some((group, pages))
}

/// Every process: its group and its resident bytes.
#[cfg(not(target_os = "linux"))]
fn processes() -> Vec<(i32, u64)> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pgid=,rss="]).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(of_line).collect()
}

/// Group and resident bytes from a line of `ps -o pgid=,rss=`, which counts in KiB.
#[cfg(any(test, not(target_os = "linux")))]
fn of_line(line: &str) -> Option<(i32, u64)> {
    let (group, kib) = line.trim().split_once(char::is_whitespace)?;
    Some((group.parse().ok()?, kib.trim().parse::<u64>().ok()? * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_holds_is_counted_in_its_group() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        let before = of_groups()[&group];
        let held = vec![1u8; 64 << 20];
        let after = of_groups()[&group];
        assert!(before > 0 && after >= before + (48 << 20), "{before} then {after} with {} more", held.len());
    }

    #[test]
    fn a_line_of_ps_is_read() {
        assert_eq!(of_line("  501   20480"), Some((501, 20 << 20)));
        assert_eq!(of_line("PGID RSS"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_with_brackets_and_spaces_does_not_move_the_fields() {
        let tail = "R 1 77 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 9000 22";
        let (group, pages) = of_stat(&format!("12 (a) b (c) {tail}")).unwrap();
        // Fields 5 and 24 of proc(5), counted from 1 with the process's number and name.
        assert_eq!((group, pages), (77, 21));
    }
}
