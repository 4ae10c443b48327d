//! Kind `signal`: BUY, WAIT or MONITOR by rules over forecasts and features. Invariant: a signal stands with its reason and the figures that it was read
//! from; what acting on it would have come to is told of forecasts that the model had not seen, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::judging::bootstrap::Bootstrap;
use crate::engine::judging::policy::{self, Signal};
use crate::engine::past_forecasts;
use crate::kinds::body::Body;
use crate::kinds::bootstrap_key::{BOOTSTRAP_KEY, bootstrap};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::forecast::{self, backtest};
use crate::kinds::kind::Kind;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::signal_days::{self, Day, SignalError};
use crate::kinds::signal_report;
use crate::kinds::signal_rules::{Rule, RuleError, Rules};
use crate::model::check::TRIAL;
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The artifact with the signals.
pub const ARTIFACT: &str = "table";
/// What the kind is called.
pub const NAME: &str = "signal";
/// The slot of the forecasts.
pub const FORECAST_SLOT: &str = "forecast";
/// The slot of the table of features.
pub const FEATURES_SLOT: &str = "features";
/// The slot of the backtest's forecasts.
pub const BACKTEST_SLOT: &str = "backtest";

const SIGNALS: Want = Want::OneOf(&["BUY", "WAIT", "MONITOR"]);

/// Kind `signal`.
pub const KIND: Kind = Kind {
    name: NAME,
    version: 2,
    about: "BUY, WAIT or MONITOR by rules over forecasts and features, each with its reason and figures, and what acting on it would have come to.",
    keys: &[
        Key::required("forecast", Want::Target, "The forecasts that the rules read."),
        Key::required(
            "rules",
            Want::List(
                &Want::Table(&[
                    Key::required("signal", SIGNALS, "What the rule says."),
                    Key::required("when", Want::Text, "A condition over the day's figures, such as `change > 0.02`."),
                    Key::required("reason", Want::Text, "Why, for people."),
                ]),
                true,
            ),
            "The rules; the first that holds decides.",
        ),
        Key::optional("default", SIGNALS, "What is said where no rule holds; `MONITOR` where it is not said."),
        Key::optional("features", Want::TableName, "A table whose columns the rules may read too: one row a date."),
        Key::optional("date", Want::Text, "The feature table's column of dates; `date` where it is not said."),
        Key::optional("backtest", Want::Target, "The backtest by whose forecasts the rules are tried out."),
        BOOTSTRAP_KEY,
    ],
    declare,
};

/// The params of a `signal` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The rules, in their order.
    pub rules: Vec<Rule>,
    /// What is said where none holds.
    pub default: Signal,
    /// The feature table's column of dates, where there is such a table.
    pub date: Option<String>,
    /// How intervals are made, where the rules are tried out.
    pub backtest: Option<Bootstrap>,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let rules = rules(body)?;
    let default = body.text("default").and_then(signal).unwrap_or(Signal::Monitor);
    let read = Rules::read(&rules, default).map_err(|error| refused(body, &error))?;
    let mut declared = Declared {
        inputs: BTreeMap::from([(FORECAST_SLOT.to_owned(), forecasts(body, context)?)]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines: BTreeSet::from(["parquet".to_owned()]),
        ..Declared::default()
    };
    let mut spec = Spec { rules, default, date: None, backtest: None };
    if body.value("features").is_some() {
        declared.inputs.insert(FEATURES_SLOT.to_owned(), body.target("features", "table")?);
        spec.date = Some(body.text("date").unwrap_or("date").to_owned());
    } else {
        read.know(None).map_err(|error| refused(body, &error))?;
    }
    if body.value("backtest").is_some() {
        declared.inputs.insert(BACKTEST_SLOT.to_owned(), backtest(body, context, "backtest")?);
        declared.outputs.insert(TRIAL.to_owned());
        spec.backtest = Some(bootstrap(body));
    }
    declared.params = json!(spec);
    Ok(declared)
}

fn rules(body: Body) -> Result<Vec<Rule>, KindError> {
    let items = body.value("rules").and_then(Value::as_array).into_iter().flatten().enumerate();
    let one = |(at, item): (usize, &Value)| {
        let rule = Rule::deserialize(item).map_err(|error| body.error(&format!("rules.{at}"), error.to_string()))?;
        if rule.reason.trim().is_empty() {
            return Err(body.error(&format!("rules.{at}.reason"), "a signal without a reason helps nobody"));
        }
        Ok(rule)
    };
    items.map(one).collect()
}

fn signal(word: &str) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| signal.word() == word)
}

/// The table of the forecast that the stanza names.
fn forecasts(body: Body, context: &DeclareContext) -> Result<Source, KindError> {
    let source = body.target("forecast", forecast::ARTIFACT)?;
    if let Source::Target { name, .. } = &source
        && let Some(kind) = (context.kind_of)(name.as_str()).filter(|kind| kind != forecast::KIND.name)
    {
        return Err(body.error("forecast", format!("'{name}' is a {kind}, not a forecast")));
    }
    Ok(source)
}

/// A rule's refusal, at its condition.
fn refused(body: Body, error: &RuleError) -> KindError {
    let (rule, hint) = match error {
        RuleError::Unreadable { rule, .. } | RuleError::Undecidable { rule, .. } => (rule, None),
        RuleError::Unknown { rule, nearest: Some(near), .. } => (rule, Some(format!("did you mean '{near}'?"))),
        RuleError::Unknown { rule, .. } => (rule, Some("name the table that has it: features = \"dataset.table\"".to_owned())),
    };
    let refusal = body.error(&format!("rules.{}.when", rule.saturating_sub(1)), error.to_string());
    match hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

/// The folders of what is read.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The forecasts.
    pub forecast: PathBuf,
    /// The table of features, where there is one.
    pub features: Option<PathBuf>,
    /// The backtest, where the rules are tried out.
    pub backtest: Option<PathBuf>,
    /// Slot → hash of what feeds it.
    pub digests: BTreeMap<String, String>,
}

/// Runs the action.
///
/// # Errors
/// When a rule reads what is not there or compares what cannot be compared, or a file cannot be read or written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let folder = |slot: &str| request.input(slot).map(Path::to_owned);
    let inputs = Inputs {
        forecast: folder(FORECAST_SLOT)?,
        features: spec.date.is_some().then(|| folder(FEATURES_SLOT)).transpose()?,
        backtest: spec.backtest.is_some().then(|| folder(BACKTEST_SLOT)).transpose()?,
        digests: request.digests.clone(),
    };
    // Nothing is written before everything was decided.
    let signals = signals(&spec, &inputs).map_err(|error| error.as_failure())?;
    let told = signal_report::write(&signals, &inputs.digests, &request.output(ARTIFACT)?);
    let mut response = told.map_err(|error| error.as_failure())?;
    if let Some(tried) = &signals.tried {
        let told = signal_report::write_trial(tried, &request.output(TRIAL)?).map_err(|error| error.as_failure())?;
        response.metrics.extend(told.metrics);
        response.notes.extend(told.notes);
    }
    Ok(response)
}

/// What the rules say of the forecasts, and of those of the backtest.
///
/// # Errors
/// When a rule reads what is not there or compares what cannot be compared, or a file cannot be read.
pub fn signals(spec: &Spec, inputs: &Inputs) -> Result<signal_report::Signals, SignalError> {
    let rules = Rules::read(&spec.rules, spec.default)?;
    let features = match (&inputs.features, &spec.date) {
        (Some(folder), Some(date)) => Some(signal_days::features(folder, date, &rules)?),
        _ => None,
    };
    let days = signal_days::forecasts(&inputs.forecast)?;
    let said = |days: &[Day]| days.iter().map(|day| signal_days::say(&rules, day, features.as_ref())).collect::<Result<Vec<_>, _>>();
    let now = said(&days)?;
    let tried = match (&inputs.backtest, &spec.backtest) {
        (Some(folder), Some(bootstrap)) => {
            if let Some(day) = days.first() {
                past_forecasts::same_horizon(folder, &day.horizon)?;
            }
            let predictions = past_forecasts::read(folder)?;
            let past = signal_days::past(&predictions);
            let said = said(&past)?;
            let decided = predictions.iter().zip(&said).filter_map(|(prediction, said)| {
                Some(policy::Decision { row: prediction.row, predicted: prediction.predicted, signal: said.signal? })
            });
            let decided: Vec<_> = decided.collect();
            let acted = policy::judge(&decided, predictions.len() - decided.len(), bootstrap).ok_or(SignalError::NeverDecided)?;
            Some(signal_report::Tried { predictions, said, acted })
        }
        _ => None,
    };
    Ok(signal_report::Signals { days, said: now, tried })
}
