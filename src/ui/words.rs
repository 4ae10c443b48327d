//! Owns the sentences about a build. Invariant: a piped and a live build say the same words; only where they stand differs.

use std::time::Duration;

use crate::base::clock;
use crate::base::units;
use crate::model::build::Counts;
use crate::model::event::{Event, TimeLeft};
use crate::model::progress::Progress;
use crate::model::result::Cost;
use crate::ui::output::{Palette, paint, tame};
use crate::ui::sink::Verbosity;
use crate::ui::tally::Tally;

/// Names listed before the rest is only counted.
const NAMES: usize = 10;

/// Milliseconds as people read them.
#[must_use]
pub fn elapsed(ms: u64) -> String {
    units::duration(Duration::from_millis(ms))
}

/// Milliseconds to come, no finer than they can be known.
#[must_use]
pub fn rough(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..=90 => format!("{} s", seconds.div_ceil(10).max(1) * 10),
        91..=5400 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{}.{} h", seconds / 3600, seconds % 3600 / 360),
    }
}

/// How long it will still take: `about` where all that is left will run, `up to` where some of it may turn out to be fresh.
#[must_use]
pub fn left(left: TimeLeft) -> String {
    format!("{} {} left", if left.sure { "about" } else { "up to" }, rough(left.ms))
}

/// How far a step is, and how long it takes at this pace if it does all it may.
#[must_use]
pub fn far(progress: &Progress) -> String {
    let left = progress.left_ms.filter(|ms| *ms > 0).map(|ms| format!(", up to {} left", rough(ms))).unwrap_or_default();
    format!("{}{left}", progress.in_words())
}

/// Which state of the warehouse the build reads.
fn observed(tables: u64, instant_ms: i64, seen_ms: Option<u64>) -> String {
    let tables = if tables == 1 { "1 table".to_owned() } else { format!("{tables} tables") };
    let instant = clock::rfc3339(u64::try_from(instant_ms).unwrap_or_default());
    match seen_ms {
        None => format!("{tables} of the warehouse, as of {instant}"),
        Some(seen) => format!(
            "offline: {tables} of the warehouse as they were seen {} ago, as of {instant}",
            elapsed(clock::now_ms().saturating_sub(seen))
        ),
    }
}

/// The lines about `event`, its first one behind the position in the build; none where `verbosity` leaves it out.
#[must_use]
pub fn lines(event: &Event, tally: &Tally, palette: &Palette, verbosity: Verbosity) -> Vec<String> {
    let at = paint(palette.dim, &tally.position());
    let verbose = verbosity == Verbosity::Verbose;
    let name = |target: &str| paint(palette.name, target);
    match event {
        Event::Failed { target, error, place, hint, log_tail, .. } => {
            failure(target, error, (place.as_deref(), hint.as_deref()), log_tail, palette)
        }
        _ if verbosity == Verbosity::Quiet => Vec::new(),
        Event::Observed { tables, instant_ms, seen_ms } => vec![observed(*tables, *instant_ms, *seen_ms)],
        Event::Planned { total, reused, expected_ms } => {
            let left = total.saturating_sub(*reused);
            let time = expected_ms.map_or_else(String::new, |ms| format!("; up to {}", rough(ms)));
            if left == 0 { Vec::new() } else { vec![format!("{} to build or check, {reused} fresh{time}", steps(left))] }
        }
        Event::Started { target, kind, key, why, .. } => {
            let key = if verbose { format!(" {}", paint(palette.dim, &key.0.short())) } else { String::new() };
            vec![format!("{at} start   {} ({kind}){key}: {why}", name(target))]
        }
        Event::Ran { target, key, cost, unchanged, notes } => {
            let same = if *unchanged { ", same result as before" } else { "" };
            let key = if verbose { format!(" {}", paint(palette.dim, &key.0.short())) } else { String::new() };
            let spent = spent(cost, verbose);
            let mut lines = vec![format!("{at} {} {}{key} in {spent}{same}", paint(palette.good, "ran    "), name(target))];
            lines.extend(notes.iter().map(|note| format!("        {}", tame(note))));
            lines
        }
        Event::Reused { target, .. } => vec![format!("{at} reused  {}", name(target))],
        Event::Warned { reused: true, .. } if !verbose => Vec::new(),
        Event::Warned { target, warnings, .. } => {
            let begin = format!("        {} {}", paint(palette.warn, "warning"), name(target));
            warnings.iter().map(|warning| format!("{begin}: {}", tame(warning))).collect()
        }
        Event::Progress { target, progress } if verbose => vec![format!("{at} at      {}: {}", name(target), tame(&far(progress)))],
        Event::Waiting { target, adapter: None } => vec![format!("{at} waiting {}: another build runs it", name(target))],
        Event::Waiting { target, adapter: Some(adapter) } => {
            vec![format!("{at} waiting {}: another step computes on {}", name(target), tame(adapter))]
        }
        Event::Outgrew { target, reserved_bytes, held_bytes, budget_bytes } => {
            let held = format!("it held {}, {} were reserved", units::bytes(*held_bytes), units::bytes(*reserved_bytes));
            let full = format!("the {} for all steps were used up", units::bytes(*budget_bytes));
            vec![format!("{at} {} {}: {held}, and {full}: it runs again alone", paint(palette.warn, "ended  "), name(target))]
        }
        Event::Blocked { target, by } if verbose => vec![format!("{at} blocked {}: needs {by}", name(target))],
        Event::Blocked { .. } | Event::Progress { .. } => Vec::new(),
        Event::Pushing { pushed, of, bytes } => vec![pushing(*pushed, *of, *bytes)],
        Event::Mirrored { pulled, pulled_bytes, pushed, pushed_bytes, unpushed, failure, refused } => {
            let mut lines = mirrored((*pulled, *pulled_bytes), (*pushed, *pushed_bytes));
            lines.extend(failure.as_ref().map(|why| format!("{} mirror: {}", paint(palette.warn, "warning"), tame(why))));
            lines.extend(refused.iter().map(|(why, count)| {
                let results = if *count == 1 { "1 result".to_owned() } else { format!("{count} results") };
                format!("{} mirror: refused {results}: {}", paint(palette.warn, "warning"), tame(why))
            }));
            let results = if *unpushed == 1 { "1 result is".to_owned() } else { format!("{unpushed} results are") };
            lines.extend((*unpushed > 0).then(|| format!("{results} not in the mirror; cbi mirror push brings what is missing there")));
            lines
        }
        Event::WentBack { build, target, artifacts, same } => {
            let build = build.0.short();
            let said = match same {
                Some(true) => paint(palette.good, &format!("as in build {build}")),
                Some(false) => paint(palette.bad, &format!("not as in build {build}")),
                None => format!("build {build} left none"),
            };
            artifacts.iter().map(|(artifact, id)| format!("{}#{artifact}  {}  {said}", name(target), id.0.short())).collect()
        }
        Event::Finished { counts, outcome, wall_ms } => summary(*counts, outcome, *wall_ms, tally, palette),
    }
}

/// How far the results of a build are on their way into the mirror.
#[must_use]
pub fn pushing(pushed: u64, of: u64, bytes: u64) -> String {
    format!("mirror: {pushed} of {of} results are there, {} went up", units::bytes(bytes))
}

/// What came from the mirror, and what went there: results and bytes of each.
fn mirrored(pulled: (u64, u64), pushed: (u64, u64)) -> Vec<String> {
    let said = |verb: &str, (results, bytes): (u64, u64)| {
        let results = (results > 0).then(|| if results == 1 { "1 result".to_owned() } else { format!("{results} results") });
        results.map(|results| format!("{verb} {results} ({})", units::bytes(bytes)))
    };
    let all: Vec<String> = [said("took", pulled), said("put", pushed)].into_iter().flatten().collect();
    if all.is_empty() { Vec::new() } else { vec![format!("mirror: {}", all.join(", "))] }
}

fn spent(cost: &Cost, verbose: bool) -> String {
    let wall = elapsed(cost.wall_ms);
    if !verbose {
        return wall;
    }
    format!("{wall} (cpu {}, peak {})", elapsed(cost.cpu_ms), units::bytes(cost.peak_bytes))
}

fn failure(target: &str, error: &str, (place, hint): (Option<&str>, Option<&str>), log_tail: &[String], palette: &Palette) -> Vec<String> {
    let mut lines = vec![format!("{} {}", paint(palette.bad, "FAILED"), paint(palette.name, target))];
    let mut said = error.lines().map(tame);
    lines.push(format!("  {} {}", paint(palette.bad, "error:"), said.next().unwrap_or_default()));
    lines.extend(said.map(|line| format!("    {line}")));
    lines.extend(place.map(|place| format!("    {} {}", paint(palette.dim, "-->"), tame(place))));
    if let Some(hint) = hint {
        lines.push(format!("  {} {}", paint(palette.warn, "hint:"), tame(hint)));
    }
    if !log_tail.is_empty() {
        lines.push("  its log ended:".to_owned());
        lines.extend(log_tail.iter().map(|line| format!("  {} {}", paint(palette.dim, "|"), tame(line))));
    }
    lines.push(format!("  rerun alone: {}", paint(palette.strong, &format!("cbi build {target}"))));
    lines
}

fn summary(counts: Counts, outcome: &str, wall_ms: u64, tally: &Tally, palette: &Palette) -> Vec<String> {
    let mut lines = Vec::new();
    if tally.failed.len() > 1 {
        lines.push(paint(palette.bad, "failed:"));
        lines.extend(tally.failed.iter().take(NAMES).map(|(target, error)| format!("  {}: {}", paint(palette.name, target), tame(error))));
        lines.extend(rest(tally.failed.len()));
    }
    if !tally.blocked.is_empty() {
        lines.push(paint(palette.bad, "blocked:"));
        let blocked = tally.blocked.iter().take(NAMES);
        lines.extend(blocked.map(|(target, by)| format!("  {}: needs {by}", paint(palette.name, target))));
        lines.extend(rest(tally.blocked.len()));
    }
    let (word, style) = match outcome {
        "ok" if counts.ran == 0 => ("nothing to do", palette.good),
        "ok" => ("done", palette.good),
        "interrupted" => ("interrupted", palette.warn),
        _ => ("failed", palette.bad),
    };
    let mut parts = Vec::new();
    let (blocked, left) = (tally.blocked.len() as u64, tally.total.saturating_sub(tally.done));
    for (count, what) in
        [(counts.ran, "ran"), (counts.reused, "reused"), (counts.failed, "failed"), (blocked, "blocked"), (left, "not done")]
    {
        if count > 0 || matches!(what, "ran" | "reused") {
            parts.push(format!("{count} {what}"));
        }
    }
    lines.push(format!("{}: {}, in {}", paint(style, word), parts.join(", "), elapsed(wall_ms)));
    lines
}

fn rest(count: usize) -> Option<String> {
    (count > NAMES).then(|| format!("  and {} more", count - NAMES))
}

fn steps(count: u64) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}
