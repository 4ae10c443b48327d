//! Owns how a build takes the verdicts of checks. Invariant: a refused step keeps its result in the store, so that it is refused again without running
//! again.

use chrono::NaiveDate;

use crate::base::diagnostic::ExitCode;
use crate::exec::failure::Failure;
use crate::model::check::{CHECKS, CHECKS_FILE, Verdict};
use crate::model::manifest::FileEntry;
use crate::model::result::ActionResult;
use crate::plan::judge::{Judge, refuses};

/// Verdicts named in an error; the rest is counted.
const NAMED: usize = 5;

/// What the checks of one target said in this build.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The target.
    pub target: String,
    /// Every verdict, judged on the build's day.
    pub verdicts: Vec<Verdict>,
    /// The file with the rows that show them.
    pub report: Option<FileEntry>,
    /// The first day on which one of them would be another.
    pub until: Option<NaiveDate>,
}

impl Checked {
    /// The verdicts of a result; `None` where its table has no checks.
    #[must_use]
    pub fn of(result: &ActionResult, target: &str, judge: &Judge) -> Option<Self> {
        if result.checks.is_empty() {
            return None;
        }
        Some(Self {
            target: target.to_owned(),
            verdicts: result.checks.iter().map(|verdict| judge.judge(verdict)).collect(),
            report: result.outputs.get(CHECKS).and_then(|manifest| manifest.files.get(CHECKS_FILE)).copied(),
            until: result.checks.iter().filter_map(|verdict| judge.good_until(verdict)).min(),
        })
    }

    /// The warnings, each a sentence.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.verdicts.iter().filter(|v| !v.passed && !refuses(v)).map(sentence).collect()
    }

    /// The failure of the step, where a check refuses its table.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let refusals: Vec<String> = self.verdicts.iter().filter(|v| refuses(v)).map(sentence).collect();
        if refusals.is_empty() {
            return None;
        }
        let mut lines: Vec<String> = refusals.iter().take(NAMED).map(|said| format!("check {said}")).collect();
        if refusals.len() > NAMED {
            lines.push(format!("and {} more checks", refusals.len() - NAMED));
        }
        // Where there is no report of rows, it is age alone that refuses.
        let hint = Some(match &self.report {
            Some(_) => format!("cbi check {}", self.target),
            None => format!("bring its sources up to date, or let it pass with a warning: cbi build --allow-stale {}", self.target),
        });
        Some(Failure { error: lines.join("\n"), hint, log_tail: Vec::new(), code: ExitCode::Refused })
    }
}

fn sentence(verdict: &Verdict) -> String {
    format!("'{}': {}", verdict.check, verdict.what)
}
