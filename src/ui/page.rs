//! Owns the report of one unattended run. Invariant: one page: what failed is told in full, and of long lists the rest is counted.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ui::words::elapsed;

/// Lines of a list before the rest is only counted.
const LISTED: usize = 25;

/// One unattended run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Page {
    /// The workspace.
    pub workspace: String,
    /// When it began, `2026-11-22T06:45:00Z`.
    pub started: String,
    /// How it ended: `ok`, `failed`, `refused` (a check or a gate) or `interrupted`.
    pub outcome: String,
    /// The exit code.
    pub code: u8,
    /// What was asked for; empty for the workspace's defaults.
    pub requested: Vec<String>,
    /// Elapsed milliseconds, the waiting for sources not counted.
    pub wall_ms: u64,
    /// What history let expect.
    pub expected_ms: Option<u64>,
    /// The waiting for sources, where there was any.
    pub waited: Option<Waited>,
    /// What kept the build from beginning.
    pub errors: Vec<String>,
    /// Steps that failed.
    pub failed: Vec<Failed>,
    /// Steps not tried, each with the failed one it needs.
    pub blocked: Vec<(String, String)>,
    /// Warnings of checks, each with its table.
    pub warnings: Vec<(String, String)>,
    /// How old tables with a `fresh` check are.
    pub ages: Vec<Age>,
    /// What forecasts say.
    pub forecasts: Vec<String>,
    /// Steps that ran, each with how long it took, milliseconds.
    pub ran: Vec<(String, u64)>,
    /// Steps whose recorded result was taken.
    pub reused: u64,
}

/// The waiting for sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Waited {
    /// How long, milliseconds.
    pub ms: u64,
    /// How many tables were waited for.
    pub sources: usize,
    /// Those that had not come when it ended, each with what was known of it.
    pub missing: Vec<(String, String)>,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    /// Its target.
    pub target: String,
    /// What went wrong.
    pub error: String,
    /// The way out, where one is known.
    pub hint: Option<String>,
}

/// How old a table is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Age {
    /// The table.
    pub table: String,
    /// What its check says of its newest date.
    pub said: String,
    /// Whether that is fresh enough.
    pub fresh: bool,
}

impl Page {
    /// The report in a few words, for a line in a chat.
    #[must_use]
    pub fn short(&self) -> String {
        let failed = self.failed.iter().map(|failed| format!("{}: {}", failed.target, failed.error));
        let first = failed.chain(self.errors.iter().cloned()).next();
        let first = first.and_then(|text| text.lines().next().map(|line| format!("; {line}"))).unwrap_or_default();
        let more = (self.failed.len() + self.errors.len()).saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        format!("cbi {}: {}{first}{more}", self.workspace, self.outcome)
    }

    /// The report as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}: {}\n\n", self.workspace, self.outcome);
        let asked = if self.requested.is_empty() { "the defaults".to_owned() } else { self.requested.join(" ") };
        _ = writeln!(text, "Began {}; asked for {asked}; exit code {}.", self.started, self.code);
        let expected = self.expected_ms.map(|ms| format!(" ({} expected)", elapsed(ms))).unwrap_or_default();
        let (ran, failed) = (self.ran.len(), self.failed.len());
        _ = writeln!(text, "It took {}{expected}: {ran} ran, {} reused, {failed} failed.", elapsed(self.wall_ms), self.reused);
        self.waiting(&mut text);
        list(&mut text, "What kept it from beginning", self.errors.iter().map(|error| indented(error)));
        let failed = self.failed.iter().map(|failed| {
            let hint = failed.hint.as_ref().map(|hint| format!("\n  hint: `{hint}`")).unwrap_or_default();
            format!("**{}**: {}{hint}", failed.target, indented(&failed.error))
        });
        all(&mut text, "Failed", failed);
        list(&mut text, "Not tried", self.blocked.iter().map(|(target, by)| format!("{target}: needs {by}")));
        list(&mut text, "Forecasts", self.forecasts.iter().cloned());
        let age = |age: &Age| format!("{}{}: {}", if age.fresh { "" } else { "**too old** " }, age.table, age.said);
        list(&mut text, "Age of the sources", self.ages.iter().map(age));
        list(&mut text, "Warnings", self.warnings.iter().map(|(target, warning)| format!("{target}: {warning}")));
        let mut ran: Vec<&(String, u64)> = self.ran.iter().collect();
        ran.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
        list(&mut text, "Ran, the longest first", ran.iter().map(|(target, ms)| format!("{target}, {}", elapsed(*ms))));
        text
    }

    fn waiting(&self, text: &mut String) {
        let Some(waited) = &self.waited else { return };
        let tables = if waited.sources == 1 { "1 table".to_owned() } else { format!("{} tables", waited.sources) };
        let end = if waited.missing.is_empty() { "all have come" } else { "these have not come" };
        _ = writeln!(text, "Waited {} for {tables}: {end}.", elapsed(waited.ms));
        list(text, "Not come", waited.missing.iter().map(|(table, said)| format!("{table}: {said}")));
    }
}

/// Further lines of a text stand below its first in a list.
fn indented(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("\n  ")
}

fn all(text: &mut String, title: &str, items: impl ExactSizeIterator<Item = String>) {
    if items.len() > 0 {
        _ = writeln!(text, "\n## {title}\n");
        items.for_each(|item| _ = writeln!(text, "- {item}"));
    }
}

fn list(text: &mut String, title: &str, items: impl ExactSizeIterator<Item = String>) {
    let rest = items.len().saturating_sub(LISTED);
    let shown: Vec<String> = items.take(LISTED).collect();
    all(text, title, shown.into_iter());
    if rest > 0 {
        _ = writeln!(text, "- and {rest} more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page {
            workspace: "oil".into(),
            started: "2026-11-22T06:45:00Z".into(),
            outcome: "refused".into(),
            code: 8,
            wall_ms: 21_480,
            expected_ms: Some(19_000),
            waited: Some(Waited { ms: 245_000, sources: 2, missing: vec![("m.raw".into(), "the newest date is 2026-11-19".into())] }),
            failed: vec![Failed {
                target: "m.clean".into(),
                error: "check 'unique date': 1 row too many".into(),
                hint: Some("cbi check m.clean".into()),
            }],
            blocked: vec![("forecast/1m".into(), "m.clean".into())],
            warnings: vec![("m.raw".into(), "'fresh date 1 day': the newest date is 2026-11-19".into())],
            ages: vec![Age { table: "m.raw".into(), said: "the newest date is 2026-11-19".into(), fresh: false }],
            forecasts: vec!["forecast/3m  2027-02-22: 61.2".into()],
            ran: (0..27).map(|n| (format!("step/{n}"), 1000 + n * 10)).collect(),
            reused: 4,
            ..Page::default()
        }
    }

    #[test]
    fn a_page_tells_what_failed_first_and_counts_the_rest_of_long_lists() {
        insta::assert_snapshot!(page().markdown(), @r#"
        # oil: refused

        Began 2026-11-22T06:45:00Z; asked for the defaults; exit code 8.
        It took 21.5s (19.0s expected): 27 ran, 4 reused, 1 failed.
        Waited 4m05s for 2 tables: these have not come.

        ## Not come

        - m.raw: the newest date is 2026-11-19

        ## Failed

        - **m.clean**: check 'unique date': 1 row too many
          hint: `cbi check m.clean`

        ## Not tried

        - forecast/1m: needs m.clean

        ## Forecasts

        - forecast/3m  2027-02-22: 61.2

        ## Age of the sources

        - **too old** m.raw: the newest date is 2026-11-19

        ## Warnings

        - m.raw: 'fresh date 1 day': the newest date is 2026-11-19

        ## Ran, the longest first

        - step/26, 1.3s
        - step/25, 1.2s
        - step/24, 1.2s
        - step/23, 1.2s
        - step/22, 1.2s
        - step/21, 1.2s
        - step/20, 1.2s
        - step/19, 1.2s
        - step/18, 1.2s
        - step/17, 1.2s
        - step/16, 1.2s
        - step/15, 1.1s
        - step/14, 1.1s
        - step/13, 1.1s
        - step/12, 1.1s
        - step/11, 1.1s
        - step/10, 1.1s
        - step/9, 1.1s
        - step/8, 1.1s
        - step/7, 1.1s
        - step/6, 1.1s
        - step/5, 1.1s
        - step/4, 1.0s
        - step/3, 1.0s
        - step/2, 1.0s
        - and 2 more
        "#);
    }

    #[test]
    fn a_good_day_is_short() {
        let good = Page {
            workspace: "oil".into(),
            outcome: "ok".into(),
            started: "2026-11-22T06:45:00Z".into(),
            reused: 9,
            wall_ms: 80,
            ..Page::default()
        };
        insta::assert_snapshot!(good.markdown(), @r#"
        # oil: ok

        Began 2026-11-22T06:45:00Z; asked for the defaults; exit code 0.
        It took 80ms: 0 ran, 9 reused, 0 failed.
        "#);
    }
}
