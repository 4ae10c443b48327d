//! Owns how an unattended run is asked for and shown. Invariant: with `--json` one object goes out, and nothing else.

use std::sync::atomic::AtomicBool;

use crate::app::build::Ask;
use crate::app::daily::{self, Daily};
use crate::app::problem::Outcome;
use crate::app::waiting::Patience;
use crate::app::workspace::{Limits, Options};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::cli::args::Global;
use crate::cli::args_build;
use crate::ui::output::Output;
use crate::ui::plain::Plain;
use crate::ui::sink::Verbosity;

/// `cbi daily`. `show` shows problems on standard error.
///
/// # Errors
/// As the use-case.
pub fn daily(
    ask: &args_build::Daily,
    options: Options,
    global: &Global,
    cancel: &AtomicBool,
    show: impl Fn(&[Diagnostic]) -> ExitCode,
) -> Outcome<ExitCode> {
    let json = ask.select.format.json;
    let build = Ask {
        options,
        targets: ask.select.targets.clone(),
        limits: Limits { jobs: ask.limits.jobs, memory: ask.limits.memory },
        allow_stale: ask.allow_stale,
        ..Ask::default()
    };
    let asked = Daily { build, patience: patience(ask), report: ask.report.clone() };
    let (out, palette) = if json { Output::stderr(global.colour()) } else { Output::stdout(global.colour()) };
    let mut sink = Plain::new(out, palette, if json { Verbosity::Quiet } else { global.verbosity() });
    let quiet = json || global.quiet;
    let mut tell = |sentence: &str| {
        if !quiet {
            let (mut out, _) = Output::stdout(global.colour());
            out.line(sentence);
            out.flush();
        }
    };
    let done = daily::daily(&asked, cancel, &mut sink, &mut tell)?;
    if !done.problems.is_empty() {
        show(&done.problems);
    }
    if !done.untold.is_empty() {
        show(&done.untold);
    }
    let (mut out, _) = Output::stdout(global.colour());
    if json {
        out.line(&serde_json::to_string(&done.page).unwrap_or_default());
    } else if !quiet {
        done.page.forecasts.iter().for_each(|line| out.line(line));
        out.line(&format!("report: {}", done.path.display()));
    }
    out.flush();
    Ok(done.code)
}

fn patience(ask: &args_build::Daily) -> Option<Patience> {
    let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let until = ask.wait_until.map(clock::local_ms);
    let until = until.or_else(|| ask.wait_for.map(|time| clock::now_ms().saturating_add(millis(time))));
    until.map(|until_ms| Patience { until_ms, every: ask.every })
}
