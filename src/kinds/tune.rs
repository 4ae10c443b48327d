//! Kind `tune`: a search for a learner's parameters. Invariant: trials are ordinary models of a frame's `fit`, so none sees a test row; which of them
//! goes on is decided by steps of the same graph, so a search that was stopped goes on where it was.
//!
//! The stanza of a search brings others along, named below it:
//!
//! | target | kind | makes |
//! |---|---|---|
//! | `NAME/trial-01`, … | the learner's | a model: drawn parameters |
//! | `NAME/rank-1`, … | `tune` | of searches with halving, after every rung but the last: the best trials' parameters, each its own artifact `slot-1`, … |
//! | `NAME/rung-2/slot-1`, … | the learner's | a model: the parameters of that slot, more rounds |
//! | `NAME` | `tune` | the results of all rungs, and the best parameters |
//!
//! An artifact of a slot holds parameters and no figures. A slot whose parameters stay what they were is therefore not trained again, whatever else a
//! grown search has found.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::base::name::TargetName;
use crate::engine::tuning::ranking::Metric;
use crate::kinds::body::{self, Body};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::ensemble::slot;
use crate::kinds::kind::Kind;
use crate::kinds::learner::{ARTIFACT, FRAME_SLOT};
use crate::kinds::training_stanza;
use crate::kinds::tune_rank::{BEFORE_SLOT, RESULTS, Spec, slot_artifact};
use crate::kinds::tune_search::Search;
use crate::kinds::tuned::{BEST, TUNE};
use crate::model::recipe::{Declared, Part, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The kinds of learners with parameters.
const LEARNERS: [&str; 8] = ["seasonal_naive", "ar", "exponential_smoothing", "garch", "ridge", "elastic_net", "lightgbm", "xgboost"];

/// A range of numbers.
const RANGE: &[Key] = &[
    Key::required("low", Want::Number, "The least."),
    Key::required("high", Want::Number, "The most. Where both are written as whole numbers, whole numbers are drawn."),
    Key::optional(
        "scale",
        Want::OneOf(&["linear", "log"]),
        "Whether equal steps or equal factors are as likely; `linear` where it is not said.",
    ),
];

/// Kind `tune`.
pub const KIND: Kind = Kind {
    name: TUNE,
    version: 2,
    about: "Searches for a learner's parameters: trials on a frame's train rows, ranked on its valid rows.",
    keys: &[
        Key::required("frame", Want::Target, "The frame whose train and valid rows are used."),
        Key::required("learner", Want::OneOf(&LEARNERS), "The kind whose parameters are searched."),
        Key::required(
            "space",
            Want::Map(&Want::Either(&[Want::List(&Want::Any, true), Want::Table(RANGE)])),
            "The searched parameters: each a list of values, or { low, high, scale }.",
        ),
        Key::optional("params", Want::Map(&Want::Any), "The parameters that are the same in every trial."),
        Key::optional("trials", Want::Int(1), "How many trials (default 16); all points of the space where it has fewer."),
        Key::optional("seed", Want::Int(0), "The seed of the draws (default 42)."),
        Key::optional(
            "metric",
            Want::OneOf(&Metric::WORDS),
            "What trials are ranked by, on the price level: mae (where it is not said), rmse, mape; pinball of models that forecast a quantile.",
        ),
        Key::optional(
            "halving",
            Want::Table(&[
                Key::required("rounds", Want::List(&Want::Int(1), true), "The rounds that a trial is trained for in each rung, ascending."),
                Key::optional("factor", Want::Int(2), "One trial in so many goes on to the next rung (default 3)."),
            ]),
            "Train all trials for a few rounds, the best of them again for more, and so on.",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let search = Search::read(body)?;
    let (of, rung) = stanza.part.as_ref().map_or((&stanza.name, search.rungs.len()), |part| (&part.of, part.number));
    let (this, next) = (search.rungs[rung - 1], search.rungs.get(rung));
    let named = |text: String| text.parse::<TargetName>().map_err(|error| body.error("", error.to_string()));
    let mut inputs = BTreeMap::from([(FRAME_SLOT.to_owned(), training_stanza::frame(body, context)?)]);
    for index in 0..this.trials {
        let name = named(if rung == 1 { trial_name(of, index) } else { slot_name(of, rung, index) })?;
        inputs.insert(slot(index), Source::Target { name, artifact: ARTIFACT.to_owned() });
    }
    if rung > 1 {
        inputs.insert(BEFORE_SLOT.to_owned(), Source::Target { name: named(rank_name(of, rung - 1))?, artifact: RESULTS.to_owned() });
    }
    let spec = Spec {
        learner: search.learner.kind().to_owned(),
        metric: search.metric,
        searched: search.searched.clone(),
        rung,
        models: this.trials,
        trials: if rung == 1 { search.trials.iter().map(|trial| trial.clone().into_iter().collect()).collect() } else { Vec::new() },
        slots: next.map(|rung| rung.trials),
        set: search.set_by(this).into_iter().collect(),
    };
    let made = next.map_or_else(|| vec![BEST.to_owned()], |next| (0..next.trials).map(slot_artifact).collect());
    let library = ["lightgbm", "xgboost"].into_iter().find(|name| *name == spec.learner);
    Ok(Declared {
        params: json!(spec),
        inputs,
        outputs: made.into_iter().chain([RESULTS.to_owned()]).collect(),
        engines: library.into_iter().chain(["parquet"]).map(ToOwned::to_owned).collect::<BTreeSet<_>>(),
        ..Declared::default()
    })
}

fn trial_name(of: &TargetName, index: usize) -> String {
    format!("{of}/trial-{:02}", index + 1)
}

fn slot_name(of: &TargetName, rung: usize, index: usize) -> String {
    format!("{of}/rung-{rung}/{}", slot_artifact(index))
}

fn rank_name(of: &TargetName, rung: usize) -> String {
    format!("{of}/rank-{rung}")
}

/// The stanzas that a search brings along; none of one that is refused, which says why itself.
#[must_use]
pub fn parts(stanza: &Stanza) -> Vec<Stanza> {
    if stanza.kind != KIND.name || !body::check(stanza, KIND.keys).is_empty() {
        return Vec::new();
    }
    let Ok(search) = Search::read(Body(stanza)) else { return Vec::new() };
    let mut parts = Vec::new();
    for (at, rung) in search.rungs.iter().enumerate() {
        let set = search.set_by(*rung);
        for index in 0..rung.trials {
            let mut params = if at == 0 { search.trials[index].clone() } else { serde_json::Map::new() };
            params.extend(set.clone());
            let mut keys = BTreeMap::from([("params".to_owned(), Value::Object(params))]);
            keys.extend(stanza.body.get("frame").map(|frame| ("frame".to_owned(), frame.clone())));
            let name = if at == 0 { trial_name(&stanza.name, index) } else { slot_name(&stanza.name, at + 1, index) };
            if at > 0 {
                let slot = format!("{}#{}", rank_name(&stanza.name, at), slot_artifact(index));
                keys.insert("tuned".to_owned(), Value::String(slot));
            }
            parts.extend(part(stanza, search.learner.kind(), &name, index + 1, keys));
        }
        if at + 1 < search.rungs.len() {
            parts.extend(part(stanza, KIND.name, &rank_name(&stanza.name, at + 1), at + 1, stanza.body.clone()));
        }
    }
    parts
}

/// One part. Its name is refused where it is needed, should it be too long.
fn part(whole: &Stanza, kind: &str, name: &str, number: usize, body: BTreeMap<String, Value>) -> Option<Stanza> {
    let part = Some(Part { of: whole.name.clone(), number });
    let mut common = whole.common.clone();
    common.description = None;
    Some(Stanza {
        kind: kind.to_owned(),
        name: name.parse().ok()?,
        body,
        common,
        place: whole.place.clone(),
        spots: whole.spots.clone(),
        part,
    })
}
