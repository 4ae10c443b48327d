//! Owns the reading of a `tune` stanza. Invariant: every trial of a search that was read is one that its learner takes, so nothing is found wrong with a
//! parameter after hours of training.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::parameters::ParameterError;
use crate::engine::tuning::ranking::Metric;
use crate::engine::tuning::space::{Space, SpaceError};
use crate::kinds::body::Body;
use crate::kinds::context::KindError;
use crate::kinds::learner::Learner;
use crate::kinds::{learners, trained, tuned};

/// The most trials of a search.
pub const MOST: usize = 1000;

/// A search, read from its stanza.
pub struct Search {
    /// Whose parameters are searched.
    pub learner: &'static dyn Learner,
    /// The searched parameters, sorted.
    pub searched: Vec<String>,
    /// The parameters of each trial as a recipe would give them, less those that a rung sets.
    pub trials: Vec<Map<String, Value>>,
    /// What trials are ranked by.
    pub metric: Metric,
    /// How many are trained in each rung, and with how many rounds; one rung where there is no halving.
    pub rungs: Vec<Rung>,
}

/// One round of a search: so many trials, each with so many rounds of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Trials in it.
    pub trials: usize,
    /// The rounds each is given; as its parameters say where that is not set.
    pub rounds: Option<u32>,
}

impl Search {
    /// Reads a stanza whose keys were checked.
    ///
    /// # Errors
    /// When there is nothing to search, or something that the learner does not take.
    pub fn read(body: Body) -> Result<Self, KindError> {
        let word = body.required_text("learner")?;
        let learner = learners::of(word).ok_or_else(|| body.error("learner", format!("'{word}' is no learner")))?;
        let none = Map::new();
        let (fixed, given) = (body.table("params").unwrap_or(&none), body.table("space").unwrap_or(&none));
        let space = Space::read(given).map_err(|error| in_space(body, &error))?;
        let wanted = usize::try_from(body.int("trials").unwrap_or(16)).unwrap_or(usize::MAX);
        if wanted > MOST {
            return Err(body.error("trials", format!("a search has at most {MOST} trials")));
        }
        let rounds = rounds(body, learner)?;
        check_names(body, learner, fixed, &space)?;
        let seed = body.int("seed").and_then(|seed| u64::try_from(seed).ok()).unwrap_or(42);
        let trials = trials(body, learner, fixed, &space.points(seed, wanted), rounds.first().copied())?;
        let metric = metric(body, learner, &trials)?;
        Ok(Self { learner, searched: space.names().cloned().collect(), rungs: rungs(body, trials.len(), &rounds), trials, metric })
    }

    /// The parameter that a rung sets, with its value: the rounds, of searches with halving.
    #[must_use]
    pub fn set_by(&self, rung: Rung) -> Option<(String, Value)> {
        Some((self.learner.rounds_key()?.to_owned(), json!(rung.rounds?)))
    }
}

fn in_space(body: Body, error: &SpaceError) -> KindError {
    let path = error.name().map_or_else(|| "space".to_owned(), |name| format!("space.{name}"));
    body.error(&path, error.to_string())
}

/// The rounds of each rung; none without halving.
fn rounds(body: Body, learner: &dyn Learner) -> Result<Vec<u32>, KindError> {
    let Some(halving) = body.table("halving") else { return Ok(Vec::new()) };
    let kind = learner.kind();
    let Some(key) = learner.rounds_key() else {
        let why = format!("{kind} is not trained in rounds, so no trial can be given fewer of them");
        return Err(body.error("halving", why).hint("leave out `halving`: every trial is then trained once"));
    };
    for table in ["params", "space"] {
        let is_rounds =
            |name: &&String| learner.parameters(&Map::from_iter([((*name).clone(), json!(1))])).is_ok_and(|all| all[key] == json!(1));
        if let Some(name) = body.table(table).into_iter().flat_map(Map::keys).find(is_rounds) {
            return Err(body.key_error(&format!("{table}.{name}"), format!("'{name}' is set by `halving`, rung by rung")));
        }
    }
    let rounds: Vec<u32> = halving["rounds"].as_array().into_iter().flatten().filter_map(|n| u32::try_from(n.as_i64()?).ok()).collect();
    if rounds.len() < 2 || rounds.windows(2).any(|pair| pair[0] >= pair[1]) {
        let error = body.error("halving.rounds", "the rungs' rounds are at least two numbers, each larger than the one before");
        return Err(error.hint("rounds = [100, 300, 900]"));
    }
    Ok(rounds)
}

/// Each searched parameter by itself: that the learner has it, that it may be set, and that it may hold what is tried.
fn check_names(body: Body, learner: &dyn Learner, fixed: &Map<String, Value>, space: &Space) -> Result<(), KindError> {
    if let Some(name) = space.names().find(|name| fixed.contains_key(*name)) {
        let error = body.key_error(&format!("space.{name}"), format!("'{name}' is in `params` too, and cannot be both fixed and searched"));
        return Err(error.hint("take it out of one of them"));
    }
    for name in space.names() {
        for (key, value) in space.samples(name) {
            let mut all = fixed.clone();
            all.insert(name.clone(), value);
            match learner.parameters(&all) {
                Err(error @ ParameterError::Value { .. }) if error.name() == name => {
                    return Err(body.error(&format!("space.{name}.{key}"), error.to_string()));
                }
                Err(error @ (ParameterError::Unknown { .. } | ParameterError::Owned { .. } | ParameterError::Twice { .. })) => {
                    return Err(refused(body, &error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A parameter refused for its name, where that stands.
fn refused(body: Body, error: &ParameterError) -> KindError {
    let searched = body.table("space").is_some_and(|space| space.contains_key(error.name()));
    let refusal = body.key_error(&format!("{}.{}", if searched { "space" } else { "params" }, error.name()), error.to_string());
    match error.hint() {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

/// The trials, each of which the learner takes as a whole.
fn trials(
    body: Body,
    learner: &dyn Learner,
    fixed: &Map<String, Value>,
    points: &[BTreeMap<String, Value>],
    rounds: Option<u32>,
) -> Result<Vec<Map<String, Value>>, KindError> {
    let whole = |(at, point): (usize, &BTreeMap<String, Value>)| {
        let mut all = fixed.clone();
        all.extend(point.clone());
        let mut run = all.clone();
        run.extend(learner.rounds_key().zip(rounds).map(|(key, rounds)| (key.to_owned(), json!(rounds))));
        match learner.parameters(&run) {
            Ok(_) => Ok(all),
            Err(error) if fixed.contains_key(error.name()) && learner.parameters(fixed).is_err() => {
                Err(body.error(&format!("params.{}", error.name()), error.to_string()))
            }
            Err(error) => Err(body.error("space", format!("trial {} ({}): {error}", at + 1, tuned::in_words(point)))),
        }
    };
    points.iter().enumerate().map(whole).collect()
}

/// What trials are ranked by: as the stanza says, else the loss of what they forecast. A quantile is ranked as one, and nothing else is.
fn metric(body: Body, learner: &dyn Learner, trials: &[Map<String, Value>]) -> Result<Metric, KindError> {
    let level = |trial: &Map<String, Value>| trained::quantile(learner.kind(), &learner.parameters(trial).unwrap_or_default());
    let levels: Vec<Option<f64>> = trials.iter().map(level).collect();
    if levels.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(body.error("space", "these trials forecast different quantiles, which cannot be ranked against each other"));
    }
    let quantile = levels.first().copied().flatten().is_some();
    let usual = if quantile { Metric::Pinball } else { Metric::Mae };
    let metric = body.text("metric").and_then(Metric::named).unwrap_or(usual);
    if quantile == (metric == Metric::Pinball) {
        return Ok(metric);
    }
    let (what, hint) = if quantile { ("a quantile", "metric = \"pinball\"") } else { ("no quantile", "metric = \"mae\"") };
    Err(body.error("metric", format!("these trials forecast {what}, which '{}' does not measure", metric.word())).hint(hint))
}

/// The rungs: all trials, then the best one in `factor`, and so on, but never fewer than one.
fn rungs(body: Body, trials: usize, rounds: &[u32]) -> Vec<Rung> {
    if rounds.is_empty() {
        return vec![Rung { trials, rounds: None }];
    }
    let factor = body.table("halving").and_then(|halving| usize::try_from(halving.get("factor")?.as_u64()?).ok()).unwrap_or(3);
    let sizes = std::iter::successors(Some(trials), |size| Some(size.div_ceil(factor)));
    sizes.zip(rounds).map(|(trials, rounds)| Rung { trials, rounds: Some(*rounds) }).collect()
}
