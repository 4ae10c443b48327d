//! Owns what a table's verdicts mean on the day of a build. Invariant: the same verdicts on the same day mean the same, whether the table was made now or
//! taken from the store.

use chrono::{Days, NaiveDate};

use crate::base::name::TargetName;
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::learning;
use crate::model::check::{Severity, Verdict};

/// How a build judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// The build's date.
    pub day: NaiveDate,
    /// Whether a table that is too old may pass, with a warning.
    pub allow_stale: bool,
}

impl Judge {
    /// The verdict on this day.
    #[must_use]
    pub fn judge(&self, verdict: &Verdict) -> Verdict {
        let mut judged = verdict.clone();
        let Some(age) = &verdict.age else { return judged };
        let Ok(newest) = age.newest.parse::<NaiveDate>() else { return judged };
        let days = (self.day - newest).num_days();
        judged.passed = verdict.passed && days <= age.max_days.into();
        judged.what = match days {
            ..0 => format!("{}, after {}", verdict.what, self.day),
            0 => format!("{}, the build's date", verdict.what),
            1 => format!("{}, the day before {}", verdict.what, self.day),
            _ => format!("{}, {days} days before {}", verdict.what, self.day),
        };
        if !judged.passed {
            judged.bad = judged.bad.max(1);
            judged.what = format!("{}; {} are allowed", judged.what, age.max_days);
            if self.allow_stale && judged.severity == Severity::Error {
                judged.severity = Severity::Warn;
                judged.what.push_str(" (let pass by --allow-stale)");
            }
        }
        judged
    }

    /// Why a table is refused on this day, by the first check that does so.
    #[must_use]
    pub fn refusal(&self, verdicts: &[Verdict]) -> Option<String> {
        let judged = verdicts.iter().map(|verdict| self.judge(verdict)).find(refuses)?;
        Some(format!("check '{}': {}", judged.check, judged.what))
    }

    /// The first day on which a verdict that is good on this day no longer is; `None` where time does not change it.
    #[must_use]
    pub fn good_until(&self, verdict: &Verdict) -> Option<NaiveDate> {
        let age = verdict.age.as_ref()?;
        let turns = age.newest.parse::<NaiveDate>().ok()?.checked_add_days(Days::new(u64::from(age.max_days) + 1))?;
        (turns > self.day).then_some(turns)
    }
}

/// Why a target may not learn from what stands beneath it: a query there was found to hold what was not known, by its target's name. `verdicts` tells what
/// checks said of a target.
#[must_use]
pub fn unlearnable<'v>(
    graph: &TargetGraph,
    id: NodeId,
    verdicts: impl Fn(NodeId) -> Option<&'v [Verdict]>,
) -> Option<(TargetName, String)> {
    learning::beneath(graph, id).into_iter().find_map(|below| {
        let failed = verdicts(below)?.iter().find(|verdict| !verdict.passed && verdict.severity == Severity::Learning)?;
        Some((graph[below].name().clone(), failed.what.clone()))
    })
}

/// Whether a verdict, once judged, fails its step.
#[must_use]
pub fn refuses(judged: &Verdict) -> bool {
    !judged.passed && judged.severity == Severity::Error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::check::Age;

    fn fresh(severity: Severity) -> Verdict {
        let age = Some(Age { newest: "2025-11-05".into(), max_days: 5 });
        Verdict { check: "fresh date 5 days".into(), severity, passed: true, bad: 0, what: "the newest date is 2025-11-05".into(), age }
    }

    fn on(day: &str, allow_stale: bool) -> Judge {
        Judge { day: day.parse().unwrap(), allow_stale }
    }

    #[test]
    fn age_is_judged_on_the_day_of_the_build() {
        let verdict = fresh(Severity::Error);
        assert!(on("2025-11-10", false).judge(&verdict).passed);
        assert!(on("2025-11-01", false).judge(&verdict).passed, "a table may be newer than the build's date");
        let stale = on("2025-11-11", false).judge(&verdict);
        assert!(refuses(&stale));
        assert_eq!(stale.what, "the newest date is 2025-11-05, 6 days before 2025-11-11; 5 are allowed");
    }

    #[test]
    fn what_is_let_pass_is_marked() {
        let judged = on("2025-11-11", true).judge(&fresh(Severity::Error));
        assert!(!judged.passed && !refuses(&judged) && judged.what.ends_with("(let pass by --allow-stale)"));
        let other = Verdict { age: None, passed: false, ..fresh(Severity::Error) };
        assert!(refuses(&on("2025-11-11", true).judge(&other)), "only age is let pass");
    }

    #[test]
    fn the_day_on_which_it_turns_is_known() {
        let verdict = fresh(Severity::Warn);
        assert_eq!(on("2025-11-10", false).good_until(&verdict), "2025-11-11".parse().ok());
        assert_eq!(on("2025-11-11", false).good_until(&verdict), None, "it has turned");
        assert_eq!(on("2025-11-10", false).good_until(&Verdict { age: None, ..verdict }), None);
    }
}
