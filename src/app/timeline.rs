//! Owns `cbi log --timeline`. Invariant: every time and cost in it was measured when the step ran; nothing is guessed.

use std::collections::BTreeMap;

use crate::app::problem::{self, Outcome};
use crate::app::resolve::Records;
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BuildId, DigestPrefix};
use crate::model::build::{Attempt, Build};
use crate::model::result::ActionResult;
use crate::registry::journal::Journal;
use crate::ui::timeline::{Bar, Timeline};

/// The build whose hash begins like `which` as it went; the last one that ran something where none is named. A step that another build ran
/// meanwhile, for both, is shown too.
///
/// # Errors
/// When there is no such build, or it cannot be read.
pub fn timeline(options: &Options, which: Option<&str>) -> Outcome<Timeline> {
    let none = || vec![Diagnostic::new(ExitCode::Usage, "no build has run anything here yet").hint("cbi build")];
    let records = Records::open_if_any(options)?.ok_or_else(none)?;
    let mut journal = Journal::open(records.session.root()).map_err(problem::journal)?;
    let (id, build) = if let Some(text) = which {
        journal.find(&prefix(text)?).map_err(problem::journal)?
    } else {
        let all = journal.newest_first().map_err(problem::journal)?;
        all.into_iter().find(|(_, build)| build.counts.ran > 0 || !build.attempts.is_empty()).ok_or_else(none)?
    };
    let targets = Journal::targets(records.session.content(), id, &build).map_err(problem::journal)?;
    let keys: BTreeMap<ActionKey, &str> = targets.iter().map(|(name, built)| (built.key, name.as_str())).collect();
    Ok(draw(id, &build, &keys, &records.results))
}

fn prefix(text: &str) -> Outcome<DigestPrefix> {
    text.parse().map_err(|_| {
        let message = format!("'{text}' is not the hash of a build");
        vec![Diagnostic::new(ExitCode::Usage, message).hint("cbi log lists builds; name one by four or more digits")]
    })
}

fn draw(id: BuildId, build: &Build, keys: &BTreeMap<ActionKey, &str>, results: &[ActionResult]) -> Timeline {
    let during = |ms: u64| (build.started_ms..=build.ended_ms).contains(&ms);
    let ran = results.iter().filter(|result| during(result.ended_ms));
    let ran = ran.filter_map(|result| Some((*keys.get(&result.key)?, result)));
    let since = |ms: u64| ms.saturating_sub(build.started_ms);
    let made = ran.map(|(target, result)| Bar {
        target: target.to_owned(),
        kind: result.action.kind.clone(),
        lane: 0,
        start_ms: since(result.ended_ms.saturating_sub(result.cost.wall_ms)),
        end_ms: since(result.ended_ms),
        outcome: "ran".to_owned(),
        cpu_ms: Some(result.cost.cpu_ms),
        peak_bytes: Some(result.cost.peak_bytes),
    });
    let lost = build.attempts.iter().map(|attempt: &Attempt| Bar {
        target: attempt.target.clone(),
        kind: String::new(),
        lane: 0,
        start_ms: since(attempt.started_ms),
        end_ms: since(attempt.ended_ms),
        outcome: attempt.outcome.clone(),
        cpu_ms: None,
        peak_bytes: None,
    });
    let wall_ms = build.ended_ms.saturating_sub(build.started_ms);
    Timeline::new(id.to_string(), clock::rfc3339(build.started_ms), wall_ms, made.chain(lost).collect())
}
