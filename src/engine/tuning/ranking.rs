//! Owns the ranking of trials. Invariant: the best has the smallest measure on the valid rows, of equals the one drawn first; a trial's figures stand
//! beside the naive forecast's over the same rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::metrics::{self, Outcome};

/// What trials are ranked by; smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean absolute error.
    Mae,
    /// Root mean squared error.
    Rmse,
    /// Mean absolute percentage error.
    Mape,
    /// Mean pinball loss, of models that forecast a quantile.
    Pinball,
}

impl Metric {
    /// All of them, as recipes name them.
    pub const WORDS: [&'static str; 4] = ["mae", "rmse", "mape", "pinball"];

    /// The measure with this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let all = [Self::Mae, Self::Rmse, Self::Mape, Self::Pinball];
        Self::WORDS.iter().position(|name| *name == word).map(|at| all[at])
    }

    /// As recipes name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Mae => "mae",
            Self::Rmse => "rmse",
            Self::Mape => "mape",
            Self::Pinball => "pinball",
        }
    }

    /// Its figure among those of a forecast.
    #[must_use]
    pub fn of(self, figures: &Figures) -> Option<f64> {
        match self {
            Self::Mae => figures.mae,
            Self::Rmse => figures.rmse,
            Self::Mape => figures.mape,
            Self::Pinball => figures.pinball,
        }
    }
}

/// The measures of one forecast on the valid rows, on the price level. What the rows do not define is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Mean absolute error.
    pub mae: Option<f64>,
    /// Root mean squared error.
    pub rmse: Option<f64>,
    /// Mean absolute percentage error, in percent.
    pub mape: Option<f64>,
    /// Mean pinball loss, of a forecast of a quantile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinball: Option<f64>,
    /// Of a forecast of a quantile: the share of the prices that came at or below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
}

/// One trial in one rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Its number, from 1 in the order they were drawn.
    pub trial: usize,
    /// The rung, from 1.
    pub rung: usize,
    /// Its parameters as a recipe would give them, less those that the rung sets.
    pub params: BTreeMap<String, Value>,
    /// The parameters that its rung sets.
    pub set: BTreeMap<String, Value>,
    /// Rounds kept, of learners with rounds.
    pub rounds: Option<u32>,
    /// Its place in its rung, from 1.
    pub rank: usize,
    /// Whether the next rung goes on with it.
    pub kept: bool,
    /// Whether the search chose it.
    pub chosen: bool,
    /// How it did.
    pub figures: Figures,
}

/// The trials of a search so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// The learner.
    pub learner: String,
    /// What they are ranked by.
    pub metric: Metric,
    /// The searched parameters.
    pub searched: Vec<String>,
    /// The valid rows they are ranked on.
    pub rows: usize,
    /// The first of these rows' dates.
    pub first: String,
    /// The last.
    pub last: String,
    /// How the forecast did that the price stays where it is.
    pub naive: Figures,
    /// The trials: by rung, in it by rank. A model of more rounds is another model on the same rows, so any of them may be the best.
    pub trials: Vec<Trial>,
}

/// The measures of these forecasts, and of today's price in their place; `level` of the quantile that they are meant to be, where they are one.
#[must_use]
pub fn figures(rows: &[Outcome], level: Option<f64>) -> (Figures, Figures) {
    let summary = metrics::summarise(rows);
    let quantile = level.map(|level| metrics::quantile_errors(rows, level));
    let all =
        |errors: &metrics::Errors, pinball, coverage| Figures { mae: errors.mae, rmse: errors.rmse, mape: errors.mape, pinball, coverage };
    let own = all(&summary.model, quantile.and_then(|q| q.pinball), quantile.and_then(|q| q.coverage));
    (own, all(&summary.naive, quantile.and_then(|q| q.naive_pinball), quantile.and_then(|q| q.naive_coverage)))
}

/// Puts the trials of one rung in order; the next one goes on with the best so many.
///
/// # Errors
/// The number of the first trial whose measure is no number.
pub fn rank(mut trials: Vec<Trial>, metric: Metric, keep: usize) -> Result<Vec<Trial>, usize> {
    let is_number = |trial: &Trial| metric.of(&trial.figures).is_some_and(f64::is_finite);
    if let Some(bad) = trials.iter().find(|trial| !is_number(trial)) {
        return Err(bad.trial);
    }
    trials.sort_by(|a, b| loss(a, metric).total_cmp(&loss(b, metric)).then(a.trial.cmp(&b.trial)));
    for (at, trial) in trials.iter_mut().enumerate() {
        trial.rank = at + 1;
        trial.kept = at < keep;
    }
    Ok(trials)
}

impl Results {
    /// The trials that go on from the last rung there is, the best first.
    pub fn kept(&self) -> impl Iterator<Item = &Trial> {
        let last = self.trials.iter().map(|trial| trial.rung).max();
        self.trials.iter().filter(move |trial| Some(trial.rung) == last && trial.kept)
    }

    /// Chooses the best of all rungs; of equals the one that took the fewest rounds, then the one drawn first.
    pub fn choose(&mut self) {
        let order = |a: &&mut Trial, b: &&mut Trial| {
            let by_loss = loss(a, self.metric).total_cmp(&loss(b, self.metric));
            by_loss.then((a.rung, a.trial).cmp(&(b.rung, b.trial)))
        };
        if let Some(best) = self.trials.iter_mut().min_by(order) {
            best.chosen = true;
        }
    }

    /// The best trial, where one was chosen.
    #[must_use]
    pub fn chosen(&self) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.chosen)
    }
}

fn loss(trial: &Trial, metric: Metric) -> f64 {
    metric.of(&trial.figures).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: usize, mae: Option<f64>) -> Trial {
        let figures = Figures { mae, ..Figures::default() };
        let (params, set) = (BTreeMap::new(), BTreeMap::new());
        Trial { trial: number, rung: 1, params, set, rounds: None, rank: 0, kept: false, chosen: false, figures }
    }

    #[test]
    fn the_smallest_error_is_the_best_and_of_equals_the_first_drawn() {
        let ranked =
            rank(vec![trial(3, Some(2.0)), trial(2, Some(1.0)), trial(1, Some(2.0)), trial(4, Some(9.0))], Metric::Mae, 2).unwrap();
        let told: Vec<_> = ranked.iter().map(|trial| (trial.trial, trial.rank, trial.kept)).collect();
        assert_eq!(told, [(2, 1, true), (1, 2, true), (3, 3, false), (4, 4, false)]);
    }

    #[test]
    fn the_best_of_all_rungs_is_chosen_though_it_was_trained_for_less() {
        let later = |number, mae| Trial { rung: 2, ..trial(number, Some(mae)) };
        let mut results = Results {
            learner: "lightgbm".into(),
            metric: Metric::Mae,
            searched: Vec::new(),
            rows: 1,
            first: String::new(),
            last: String::new(),
            naive: Figures::default(),
            trials: vec![trial(1, Some(3.0)), trial(2, Some(2.0)), later(2, 2.0), later(1, 2.5)],
        };
        results.choose();
        assert_eq!(results.chosen().map(|trial| (trial.trial, trial.rung)), Some((2, 1)));
    }

    #[test]
    fn a_trial_without_a_measure_is_named_and_not_ranked_last() {
        assert_eq!(rank(vec![trial(1, Some(1.0)), trial(2, None)], Metric::Mae, 1), Err(2));
        assert_eq!(rank(vec![trial(1, Some(f64::NAN))], Metric::Mae, 1), Err(1));
    }

    #[test]
    fn every_metric_is_named_as_it_is_found() {
        for word in Metric::WORDS {
            assert_eq!(Metric::named(word).map(Metric::word), Some(word));
        }
    }
}
