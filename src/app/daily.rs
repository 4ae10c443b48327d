//! Owns `cbi daily`. Invariant: whatever happens once the settings are read, a report is left, and of a failure somebody is told.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::app::build::{self, Ask, Done};
use crate::app::plan;
use crate::app::problem::{self, Outcome, Problems};
use crate::app::status::Survey;
use crate::app::telling::Telling;
use crate::app::waiting::{self, Patience};
use crate::app::workspace::{Workspace, cache_of};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::exec::checked::Checked;
use crate::io::{file, fs};
use crate::model::event::{Event, EventSink};
use crate::store::root::Root;
use crate::ui::page::{Age, Failed, Page};

/// What `cbi daily` was asked.
#[derive(Debug, Clone, Default)]
pub struct Daily {
    /// What to build; it always goes on past failures.
    pub build: Ask,
    /// How long to wait for sources; not at all where it is not said.
    pub patience: Option<Patience>,
    /// Where to leave the report beside the cache's own copy.
    pub report: Option<PathBuf>,
}

/// How it ended.
#[derive(Debug)]
pub struct Reported {
    /// The report.
    pub page: Page,
    /// Where it was left.
    pub path: PathBuf,
    /// What kept the build from beginning.
    pub problems: Problems,
    /// Why somebody could not be told of a failure, or could not be if there were one.
    pub untold: Problems,
    /// The exit code: that of the build.
    pub code: ExitCode,
}

/// Waits for sources, builds, leaves a report, and tells of a failure. `tell` is told what is waited for.
///
/// # Errors
/// When there is no workspace, its settings cannot be read, or the report cannot be written.
pub fn daily(ask: &Daily, cancel: &AtomicBool, sink: &mut dyn EventSink, tell: &mut dyn FnMut(&str)) -> Outcome<Reported> {
    let workspace = Workspace::open(&ask.build.options)?;
    let ask = &Daily { build: Ask { targets: targets(ask, &workspace), ..ask.build.clone() }, ..ask.clone() };
    let mut page = Page { workspace: workspace.settings.name.clone(), requested: ask.build.targets.clone(), ..Page::default() };
    page.started = clock::rfc3339(clock::now_ms());
    // Found out now, not on the day on which somebody must be told.
    let telling = Telling::of(&workspace);
    let mut notes = Notes { page: &mut page, inner: None };
    let worked = run(ask, cancel, (sink, &mut notes), tell);
    let (code, problems) = match worked {
        Ok(code) => (code, Vec::new()),
        Err(problems) => {
            page.errors = problems.iter().map(|problem| problem.message.clone()).collect();
            (ExitCode::of_all(problems.iter().map(|problem| problem.code)), problems)
        }
    };
    page.code = code.number();
    outcome(code).clone_into(&mut page.outcome);
    let text = page.markdown();
    let path = leave(&ask.build.options.directory, &text)?;
    if let Some(other) = &ask.report {
        fs::write(other, text.as_bytes()).map_err(|e| vec![Diagnostic::of(ExitCode::ActionFailed, &e)])?;
    }
    let mut untold = telling.unready;
    if code != ExitCode::Ok {
        untold.extend(telling.ready.tell(&page, &text, &path));
    }
    Ok(Reported { page, path, problems, untold, code })
}

/// Waits and builds; what happens goes into the page.
fn run(ask: &Daily, cancel: &AtomicBool, (sink, notes): (&mut dyn EventSink, &mut Notes), tell: &mut dyn FnMut(&str)) -> Outcome<ExitCode> {
    if let Some(patience) = ask.patience {
        let waited = waiting::wait(&ask.build, patience, cancel, notes, tell)?;
        if waited.sources == 0 {
            tell("nothing to wait for: no table of the warehouse among these has a 'fresh' check");
        }
        notes.page.waited = (waited.sources > 0).then_some(waited);
        notes.begin();
    }
    let began = clock::start();
    notes.page.expected_ms =
        Survey::of(&ask.build.options, &ask.build.targets).ok().map(|survey| plan::expect(&survey, ask.build.limits).wall_ms);
    let build = Ask { keep_going: true, verdicts: true, ..ask.build.clone() };
    let mut both = Notes { page: &mut *notes.page, inner: Some(sink) };
    let done = build::build(&build, cancel, &mut both);
    notes.page.wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Done { checked, forecasts, code, .. } = done?;
    notes.page.ages = ages(&checked);
    notes.page.forecasts = forecasts;
    Ok(code)
}

/// What is asked for; where nothing is, the defaults and what the settings say is published.
fn targets(ask: &Daily, workspace: &Workspace) -> Vec<String> {
    let settings = &workspace.settings;
    if !ask.build.targets.is_empty() || settings.daily_publish.is_empty() {
        return ask.build.targets.clone();
    }
    settings.default.iter().chain(&settings.daily_publish).cloned().collect()
}

fn outcome(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Ok => "ok",
        ExitCode::Refused => "refused",
        ExitCode::Interrupted => "interrupted",
        _ => "failed",
    }
}

fn ages(checked: &[Checked]) -> Vec<Age> {
    let of = |checked: &Checked| {
        let aged = checked.verdicts.iter().filter(|verdict| verdict.age.is_some());
        aged.map(|verdict| Age { table: checked.target.clone(), said: verdict.what.clone(), fresh: verdict.passed }).collect::<Vec<_>>()
    };
    checked.iter().flat_map(of).collect()
}

/// Writes the day's report into the cache folder, over an earlier one of the same day.
fn leave(directory: &Path, text: &str) -> Outcome<PathBuf> {
    let cache = cache_of(directory)?;
    let root = Root::open(&cache).map_err(problem::stores)?;
    let folder = root.reports();
    let path = folder.join(format!("{}.md", clock::local_day()));
    let written = fs::create_folders(&folder).map_err(|e| problem::stores(e.into()));
    let scratch = written.and_then(|()| root.scratch().map_err(problem::stores))?;
    file::replace(&path, text.as_bytes(), &scratch).map_err(|e| problem::stores(e.into()))?;
    Ok(path)
}

/// Takes note of a build's events for the report, and hands them on.
struct Notes<'a> {
    page: &'a mut Page,
    inner: Option<&'a mut dyn EventSink>,
}

impl Notes<'_> {
    /// Forgets what a build after this one tells again: only that counts.
    fn begin(&mut self) {
        let page = &mut *self.page;
        (page.failed, page.blocked, page.warnings, page.reused) = (Vec::new(), Vec::new(), Vec::new(), 0);
    }
}

impl EventSink for Notes<'_> {
    fn event(&mut self, event: &Event) {
        let page = &mut *self.page;
        match event {
            Event::Ran { target, cost, .. } => page.ran.push((target.clone(), cost.wall_ms)),
            Event::Failed { target, error, hint, .. } => {
                page.failed.push(Failed { target: target.clone(), error: error.clone(), hint: hint.clone() });
            }
            Event::Blocked { target, by } => page.blocked.push((target.clone(), by.clone())),
            Event::Warned { target, warnings, .. } => page.warnings.extend(warnings.iter().map(|said| (target.clone(), said.clone()))),
            Event::Finished { counts, .. } => page.reused = counts.reused,
            _ => {}
        }
        if let Some(inner) = &mut self.inner {
            inner.event(event);
        }
    }

    fn tick(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.tick();
        }
    }
}
