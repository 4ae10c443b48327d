//! Kind `neural`: a network over windows of rows. Invariant: `params` holds every setting with the value used, the defaults of its architecture
//! included, so the key and the record say all that determined the model.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::FrameData;
use crate::engine::parameters::Form::{Int, Number, Word};
use crate::engine::parameters::{Owned, Parameter, ParameterError, Vocabulary};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::model::adapter::Wish;
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// The architectures, as recipes write them.
pub const ARCHITECTURES: &[&str] = &["dense", "lstm", "gru", "tcn", "cnn_lstm", "attention"];

/// Kind `neural`.
pub const KIND: Kind = Kind {
    name: "neural",
    version: 2,
    about: "Trains a neural network on a frame: dense, LSTM, GRU, TCN, CNN-LSTM or attention.",
    keys: &[
        FRAME_KEY,
        Key::required("architecture", Want::OneOf(ARCHITECTURES), "Which network."),
        Key::optional(
            "device",
            Want::OneOf(&["cpu", "gpu", "auto"]),
            "Where it is trained: `cpu` (default), `gpu`, or `auto`, which is a graphics card for what trains faster there, where there is one.",
        ),
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "window, units, layers, dropout, batch_size, epochs, learning_rate, weight_decay, clip_norm, schedule, patience, min_delta, loss, \
             seed, gap_days, and what the architecture has: kernel_size, filters, heads.",
        ),
    ],
    declare,
};

static VOCABULARY: Vocabulary = Vocabulary {
    library: "a neural model",
    version: "",
    parameters: &[
        Parameter { name: "window", aliases: &["sequence_length", "lookback"], form: Int },
        Parameter { name: "units", aliases: &["hidden_size", "width", "channels"], form: Int },
        Parameter { name: "layers", aliases: &["num_layers"], form: Int },
        Parameter::new("dropout", Number),
        Parameter::new("batch_size", Int),
        Parameter::new("epochs", Int),
        Parameter { name: "learning_rate", aliases: &["lr"], form: Number },
        Parameter::new("weight_decay", Number),
        Parameter::new("clip_norm", Number),
        Parameter::new("schedule", Word(&["constant", "cosine", "plateau"])),
        Parameter::new("patience", Int),
        Parameter::new("min_delta", Number),
        Parameter::new("loss", Word(&["squared", "huber", "quantile"])),
        Parameter::new("delta", Number),
        Parameter::new("alpha", Number),
        Parameter::new("seed", Int),
        Parameter::new("gap_days", Int),
        Parameter::new("kernel_size", Int),
        Parameter::new("filters", Int),
        Parameter { name: "heads", aliases: &["num_heads"], form: Int },
    ],
    owned: &[
        Owned { names: &["architecture", "device"], instead: "it is a key of the stanza" },
        Owned { names: &["optimizer"], instead: "AdamW is the only one" },
        Owned { names: &["rounds"], instead: "`refit` and `backtest` set it; a recipe says `epochs` and `patience`" },
    ],
};

/// What a card trained faster than one thread of a processor, as `docs/performance.md` measures it.
const ON_A_CARD: &str = "attention";

/// Settings that some architectures or losses alone have.
const BELONGS: [(&str, &str, &[&str], &str); 5] = [
    ("kernel_size", "architecture", &["tcn", "cnn_lstm"], "with this architecture"),
    ("filters", "architecture", &["cnn_lstm"], "with this architecture"),
    ("heads", "architecture", &["attention"], "with this architecture"),
    ("delta", "loss", &["huber"], "with this loss"),
    ("alpha", "loss", &["quantile"], "with this loss"),
];

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    if cfg!(not(feature = "neural")) {
        return Err(KindError::new(stanza.place.clone(), "this cbi was built without neural models")
            .hint("cargo build --release --bins --features neural"));
    }
    let device = body.text("device").unwrap_or("cpu");
    if device == "gpu" && cfg!(not(feature = "gpu")) {
        return Err(body
            .error("device", "this cbi was built without graphics adapters")
            .hint("cargo build --release --bins --features gpu"));
    }
    // On the processor every training gives the same bits, so only what gains by it leaves that unasked.
    let gains = body.text("architecture") == Some(ON_A_CARD);
    let adapter = (device == "gpu" || device == "auto" && gains).then(|| Wish::new(device == "gpu"));
    let declared = training_stanza::with_params(body, context, &Neural)?;
    let memory = memory(&declared.params["params"]);
    Ok(Declared { memory: Some(memory), adapter, engines: ["burn", "parquet"].map(str::to_owned).into(), ..declared })
}

/// The settings of one architecture, as given and by default.
///
/// # Errors
/// The first that is unknown, of the wrong form, or cannot be.
pub fn parameters(architecture: &str, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = VOCABULARY.check(given)?;
    params.insert("architecture".into(), json!(architecture));
    params.entry("loss".into()).or_insert(json!("huber"));
    for (name, by, of, with) in BELONGS {
        let has = params.get(by).and_then(Value::as_str).is_some_and(|word| of.contains(&word));
        if !has && params.contains_key(name) {
            return Err(ParameterError::Clash { name: name.into(), with, why: "it has no such thing" });
        }
    }
    for (name, default) in defaults(architecture) {
        params.entry(name.to_owned()).or_insert(default);
    }
    let loss = match params["loss"].as_str() {
        Some("huber") => Some(("delta", json!(1.0))),
        Some("quantile") => Some(("alpha", json!(0.5))),
        _ => None,
    };
    params.extend(loss.map(|(name, value)| (name.to_owned(), params.get(name).cloned().unwrap_or(value))));
    check(&mut params)?;
    Ok(params)
}

fn defaults(architecture: &str) -> Vec<(&'static str, Value)> {
    let all = [("epochs", json!(50)), ("weight_decay", json!(0.01)), ("clip_norm", json!(1.0)), ("schedule", json!("cosine"))];
    let more = [("patience", json!(10)), ("min_delta", json!(0.0)), ("seed", json!(42)), ("gap_days", json!(10))];
    let own = match architecture {
        "dense" => shape(1, 64, 2, &[]),
        "tcn" => shape(30, 50, 4, &[("kernel_size", 3)]),
        "cnn_lstm" => shape(30, 50, 1, &[("kernel_size", 3), ("filters", 64)]),
        "attention" => {
            let own = [("dropout", json!(0.1)), ("batch_size", json!(16)), ("learning_rate", json!(0.0003))];
            own.into_iter().chain(shape(128, 256, 1, &[("heads", 4)])).collect()
        }
        _ => shape(30, 50, 1, &[]),
    };
    let rest = [("dropout", json!(0.2)), ("batch_size", json!(32)), ("learning_rate", json!(0.001))];
    all.into_iter().chain(more).chain(own).chain(rest).collect()
}

fn shape(window: u32, units: u32, layers: u32, more: &[(&'static str, u32)]) -> Vec<(&'static str, Value)> {
    let shape = [("window", window), ("units", units), ("layers", layers)];
    shape.iter().chain(more).map(|(name, value)| (*name, json!(value))).collect()
}

fn check(params: &mut BTreeMap<String, Value>) -> Result<(), ParameterError> {
    for name in ["window", "units", "layers", "batch_size", "epochs", "kernel_size", "filters", "heads", "gap_days"] {
        training_stanza::at_least(params, name, 1)?;
    }
    training_stanza::at_least(params, "patience", 0)?;
    training_stanza::at_least(params, "seed", 0)?;
    // Each block sees twice as far back as the one before.
    let deepest = if params["architecture"] == "tcn" { 16 } else { u64::MAX };
    if params["layers"].as_u64().is_some_and(|layers| layers > deepest) {
        let found = params["layers"].to_string();
        return Err(ParameterError::Value { name: "layers".into(), want: format!("a whole number, at most {deepest}"), found });
    }
    for name in ["weight_decay", "clip_norm", "min_delta"] {
        training_stanza::number(params, name, 0.0, "0 or more", |value| value >= 0.0)?;
    }
    training_stanza::number(params, "learning_rate", 0.0, "above 0", |value| value > 0.0)?;
    training_stanza::number(params, "dropout", 0.0, "0 or more, and below 1", |value| (0.0..1.0).contains(&value))?;
    if params.contains_key("delta") {
        training_stanza::number(params, "delta", 1.0, "above 0", |value| value > 0.0)?;
    }
    if params.contains_key("alpha") {
        training_stanza::number(params, "alpha", 0.5, "between 0 and 1", |value| value > 0.0 && value < 1.0)?;
    }
    let (units, heads) = (params["units"].as_u64().unwrap_or(1), params.get("heads").and_then(Value::as_u64).unwrap_or(1));
    if units % heads != 0 {
        return Err(ParameterError::Value {
            name: "heads".into(),
            want: format!("a divisor of the {units} units"),
            found: heads.to_string(),
        });
    }
    Ok(())
}

/// Bytes that a training is expected to hold before one has run: what it holds without rows, its weights with what goes with them, and what a batch leaves
/// for the way back or, where that is more, what forecasts of valid rows hold.
fn memory(params: &Value) -> u64 {
    const WITHOUT: u64 = 192 << 20;
    // Weights, their gradients, two moments, the best so far, and a checkpoint being written.
    const COPIES: u64 = 8;
    // As many steps as the learner forecasts at once.
    const FORECAST_STEPS: u64 = 8192;
    let count = |name: &str| params[name].as_u64().unwrap_or(1);
    let product = |factors: &[u64]| factors.iter().fold(1u64, |all, factor| all.saturating_mul(*factor));
    let (window, rows, units, layers) = (count("window"), count("batch_size"), count("units"), count("layers"));
    let taps = params["kernel_size"].as_u64().unwrap_or(4);
    // A convolution in front has channels of its own.
    let wide = units.max(count("filters"));
    let weights = product(&[COPIES, 4, wide, wide, taps, layers]);
    let scores = if params["heads"].is_null() { 0 } else { product(&[4, rows, count("heads"), window, window, layers]) };
    let batch = product(&[window, rows, product(&[wide, 24, layers]).saturating_add(1024)]).saturating_add(scores);
    let forecasts = product(&[FORECAST_STEPS, product(&[wide, 8]).saturating_add(256)]);
    WITHOUT.saturating_add(product(&[4, weights.saturating_add(batch.max(forecasts))]))
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&Neural, request)
}

/// The learner.
pub struct Neural;

impl Learner for Neural {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        let mut given = given.clone();
        let architecture = given.remove("architecture").and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
        parameters(&architecture, &given)
    }

    fn fix_rounds(&self, params: &mut BTreeMap<String, Value>, rounds: &[u32]) {
        params.retain(|name, _| !["patience", "min_delta"].contains(&name.as_str()));
        params.insert("rounds".into(), json!(rounds.first()));
    }

    #[cfg(feature = "neural")]
    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        crate::kinds::neural_learner::fit(frame, settings)
    }

    #[cfg(not(feature = "neural"))]
    fn fit(&self, _: &FrameData, _: &Settings) -> Result<Fitted, LearnError> {
        Err(LearnError::Weights { why: "this cbi was built without neural models".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(architecture: &str, params: Value) -> Result<BTreeMap<String, Value>, String> {
        let Value::Object(map) = params else { panic!("a table") };
        parameters(architecture, &map).map_err(|error| format!("{error} {}", error.hint().unwrap_or_default()))
    }

    #[test]
    fn every_architecture_has_the_settings_it_runs_with() {
        let lstm = serde_json::to_string(&given("lstm", json!({})).unwrap()).unwrap();
        assert_eq!(
            lstm,
            r#"{"architecture":"lstm","batch_size":32,"clip_norm":1.0,"delta":1.0,"dropout":0.2,"epochs":50,"gap_days":10,"layers":1,"learning_rate":0.001,"loss":"huber","min_delta":0.0,"patience":10,"schedule":"cosine","seed":42,"units":50,"weight_decay":0.01,"window":30}"#
        );
        for architecture in ARCHITECTURES {
            let again = given(architecture, json!({})).unwrap();
            let mut written: Map<String, Value> = again.clone().into_iter().collect();
            written.remove("architecture");
            assert_eq!(given(architecture, Value::Object(written)).unwrap(), again, "{architecture}: what is written out is the same");
        }
        let attention = given("attention", json!({})).unwrap();
        assert_eq!((&attention["window"], &attention["units"], &attention["heads"]), (&json!(128), &json!(256), &json!(4)));
    }

    #[test]
    fn a_setting_that_is_unknown_or_of_another_architecture_is_refused() {
        let refusal = |architecture: &str, params: Value| given(architecture, params).unwrap_err();
        assert_eq!(refusal("lstm", json!({"unit": 3})), "a neural model has no parameter 'unit' did you mean 'units'?");
        assert_eq!(refusal("lstm", json!({"heads": 3})), "'heads' cannot be used with this architecture: it has no such thing ");
        assert_eq!(refusal("gru", json!({"alpha": 0.1})), "'alpha' cannot be used with this loss: it has no such thing ");
        assert_eq!(refusal("attention", json!({"width": 10, "heads": 4})), "'heads' must be a divisor of the 10 units, not 4 ");
        assert_eq!(refusal("tcn", json!({"layers": 64})), "'layers' must be a whole number, at most 16, not 64 ");
        assert!(refusal("tcn", json!({"dropout": 1.0})).starts_with("'dropout' must be 0 or more, and below 1"));
        assert!(refusal("tcn", json!({"rounds": 4})).starts_with("'rounds' may not be set here"));
        assert_eq!(given("lstm", json!({"hidden_size": 7})).unwrap()["units"], json!(7));
    }
}
