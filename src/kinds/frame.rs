//! Kind `frame`: labels, splits and chosen features, the only door into training. Invariant: what a frame is asked to be is settled here, before any
//! row is read; a split that could leak is refused where it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use crate::engine::frame::build::{Tables, build};
use crate::engine::frame::error::FrameError;
use crate::engine::frame::spec::{FrameSpec, join_slot};
use crate::engine::frame::write::write;
use crate::engine::table_file;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::frame_stanza;
use crate::kinds::kind::Kind;
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::{Declared, Stanza};

/// The slot of the table of features.
const FEATURES_SLOT: &str = "features";
/// The slot of the table of prices.
const PRICE_SLOT: &str = "price";
/// The slot of the table of row weights.
const WEIGHT_SLOT: &str = "weight";

/// The artifact that learners read: train and valid rows.
pub const FIT: &str = "fit";
/// The artifact that `evaluate` reads.
pub const TEST: &str = "test";
/// The artifact that `forecast` reads.
pub const SCORE: &str = "score";
/// The artifact that `backtest` reads.
pub const FOLDS: &str = "folds";
/// The artifact that `refit` reads.
pub const REFIT: &str = "refit";

/// Kind `frame`.
pub const KIND: Kind = Kind {
    name: "frame",
    version: 4,
    about: "Makes the rows that models learn from, are tested on and forecast from: labels from the price series, splits by date, chosen features.",
    keys: frame_stanza::KEYS,
    declare,
};

fn declare(stanza: &Stanza, _: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let spec = frame_stanza::spec(body)?;
    let mut outputs = BTreeSet::from([FIT, TEST, SCORE].map(ToOwned::to_owned));
    outputs.extend(spec.folds.as_ref().map(|_| FOLDS.to_owned()));
    outputs.extend(spec.refit.map(|_| REFIT.to_owned()));
    let mut inputs = BTreeMap::from([
        (FEATURES_SLOT.to_owned(), body.target("features", "table")?),
        (PRICE_SLOT.to_owned(), body.target("price.table", "table")?),
    ]);
    let mut places = BTreeMap::from([(PRICE_SLOT.to_owned(), body.place("price.table"))]);
    if spec.weight.is_some() {
        places.insert(WEIGHT_SLOT.to_owned(), body.place("weight.table"));
        inputs.insert(WEIGHT_SLOT.to_owned(), body.target("weight.table", "table")?);
    }
    let mut learns = BTreeMap::from([(FEATURES_SLOT.to_owned(), spec.date.clone())]);
    for (index, join) in spec.join.iter().enumerate() {
        let (slot, at) = (join_slot(index), format!("join.{index}.table"));
        inputs.insert(slot.clone(), body.parse_target(&at, &join.table, "table")?);
        places.insert(slot.clone(), body.place(&at));
        learns.insert(slot, join.date.clone());
    }
    Ok(Declared {
        params: json!(spec),
        waits: (0..spec.join.len()).map(join_slot).collect(),
        learns,
        inputs,
        places,
        outputs,
        engines: BTreeSet::from(["parquet".to_owned()]),
        ..Declared::default()
    })
}

/// Runs the action.
///
/// # Errors
/// When the tables cannot be read, or no frame can be made of them.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: FrameSpec = request.params()?;
    let inputs = Inputs {
        features: request.input(FEATURES_SLOT)?,
        prices: request.input(PRICE_SLOT)?,
        weights: spec.weight.as_ref().map(|_| request.input(WEIGHT_SLOT)).transpose()?,
        joined: &(0..spec.join.len()).map(|index| request.input(&join_slot(index))).collect::<Result<Vec<_>, _>>()?,
    };
    make(&spec, &inputs, &request.out).map_err(|error| failure(&error))
}

/// A column that is not there is the recipe's mistake; rows that can't be learnt from are a data check's refusal.
fn failure(error: &FrameError) -> RunError {
    use FrameError as E;
    let failure = match error {
        E::UnknownColumn { .. } | E::NoMatch { .. } | E::Clash { .. } | E::BadPattern { .. } | E::BadDate { .. } => {
            RunError::invalid(error)
        }
        E::Table(_) | E::Arrow(_) | E::Files(_) | E::Json(_) => RunError::failed(error),
        _ => RunError::refused(error),
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The folders of the tables that a frame is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Of features.
    pub features: &'a Path,
    /// Of prices.
    pub prices: &'a Path,
    /// Of row weights, where the frame has some.
    pub weights: Option<&'a Path>,
    /// Of each joined table, in the order of the spec.
    pub joined: &'a [&'a Path],
}

/// Makes the artifacts `fit`, `test` and `score` in `out`.
///
/// # Errors
/// When the tables cannot be read, or no frame can be made of them.
pub fn make(spec: &FrameSpec, inputs: &Inputs, out: &Path) -> Result<Response, FrameError> {
    let rows = |folder: &Path| table_file::read(&folder.join(table_file::FILE_NAME));
    let weights = inputs.weights.map(rows).transpose()?;
    let joined = inputs.joined.iter().copied().map(rows).collect::<Result<_, _>>()?;
    let frame = build(spec, &Tables { features: rows(inputs.features)?, prices: rows(inputs.prices)?, weights, joined })?;
    write(&frame, spec, out)?;
    let parts = [("train", &frame.train), ("valid", &frame.valid), ("test", &frame.test), ("score", &frame.score)];
    #[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
    let counts = parts.map(|(part, rows)| (format!("{part}_rows"), rows.len() as f64));
    Ok(Response { metrics: counts.into(), notes: frame.notes, ..Response::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::kinds::body;
    use crate::model::recipe::{Common, Place, Source, Spot};
    use crate::model::training::{DateRange, Horizon, Label, LabelKind, TableColumn};

    fn good() -> Value {
        json!({
            "features": "wti.features", "columns": ["ret_*", "month"], "price": {"table": "wti.daily", "column": "price", "series": "spot"},
            "horizon": {"rows": 21},
            "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        })
    }

    fn declared(stanza: Value) -> Result<Declared, String> {
        let Value::Object(map) = stanza else { panic!("a table") };
        let file: std::sync::Arc<str> = "recipes/x.toml".into();
        let places = ["split", "split.valid", "split.test.0", "columns.1", "horizon.rows", "price", "price.series.roll"];
        let place = |span| Place { file: file.clone(), span };
        let stanza = Stanza {
            kind: "frame".into(),
            name: "frame/wti/1m".parse().unwrap(),
            body: map.into_iter().collect(),
            common: Common::default(),
            place: place(0..1),
            spots: places.iter().enumerate().map(|(at, path)| ((*path).to_owned(), Spot::both(place(at + 10..at + 11)))).collect(),
            part: None,
        };
        let named = |error: &KindError| {
            let path = places.get(error.place.span.start.wrapping_sub(10)).unwrap_or(&"stanza");
            format!("{path}: {error}")
        };
        if let Some(error) = body::check(&stanza, KIND.keys).first() {
            return Err(named(error));
        }
        let context = DeclareContext {
            text: &|_| Err("none".into()),
            files: &|_| Vec::new(),
            env: &|_| None,
            kind_of: &|_| None,
            tune_of: &|_| None,
            as_of: None,
        };
        declare(&stanza, &context).map_err(|error| named(&error))
    }

    fn refusal(change: impl Fn(&mut Value)) -> String {
        let mut stanza = good();
        change(&mut stanza);
        declared(stanza).unwrap_err()
    }

    #[test]
    fn a_frame_declares_its_tables_and_three_artifacts() {
        let declared = declared(good()).unwrap();
        let table = |name: &str| Source::Target { name: name.parse().unwrap(), artifact: "table".into() };
        assert_eq!(declared.inputs["features"], table("wti.features"));
        assert_eq!(declared.inputs["price"], table("wti.daily"));
        assert_eq!(declared.outputs.iter().map(String::as_str).collect::<Vec<_>>(), ["fit", "score", "test"]);
        let spec: FrameSpec = serde_json::from_value(declared.params).unwrap();
        assert_eq!(spec.label, Label { kind: LabelKind::Level, horizon: Horizon::Rows(21) });
        assert_eq!((spec.date.as_str(), spec.price_date.as_str(), spec.weight), ("date", "date", None));
        assert_eq!(spec.split.test, Some(DateRange { from: "2014-01-01".into(), to: None }));
    }

    #[test]
    fn joined_tables_are_learnt_from_and_wait_until_their_rows_are_known() {
        let mut stanza = good();
        let join = |table: &str| json!({"table": table, "columns": ["cpi_*"], "date": "month", "max_age_days": 80});
        stanza["join"] = json!([join("fred.cpi"), join("cftc.positions")]);
        let made = declared(stanza).unwrap();
        assert_eq!(made.inputs["join:1"], Source::Target { name: "cftc.positions".parse().unwrap(), artifact: "table".into() });
        assert_eq!((made.learns["join:0"].as_str(), made.waits.len()), ("month", 2));
        let bad = |join: Value| refusal(|s| s["join"] = json!([join]));
        assert!(bad(json!({"table": "fred.cpi", "columns": ["cpi"]})).contains("needs the key 'join.0.max_age_days'"));
        assert!(bad(json!({"table": "fred.cpi", "columns": ["[z-"], "max_age_days": 80})).contains("is not a pattern"));
        assert!(bad(json!({"table": "fred.cpi", "columns": ["x"], "max_age_days": 80_000})).contains("a century"));
    }

    #[test]
    fn the_recipe_names_the_authority_on_weights_and_the_frame_reads_it() {
        let mut stanza = good();
        stanza["weight"] = json!({"table": "wti.regimes", "column": "training_weight", "date": "day"});
        let declared = declared(stanza).unwrap();
        assert_eq!(declared.inputs["weight"], Source::Target { name: "wti.regimes".parse().unwrap(), artifact: "table".into() });
        let spec: FrameSpec = serde_json::from_value(declared.params).unwrap();
        assert_eq!(spec.weight, Some(TableColumn { table: "wti.regimes".into(), column: "training_weight".into() }));
        assert_eq!(spec.weight_date, "day");
        assert!(
            refusal(|s| s["weight"] = json!("training_weight")).contains("'weight' must be a table { table = …, column = …, date = … }")
        );
    }

    #[test]
    fn a_price_says_what_it_is_a_series_of_and_levels_that_are_no_prices_are_refused() {
        let missing = refusal(|s| _ = s["price"].as_object_mut().unwrap().remove("series"));
        assert!(missing.starts_with("price: frame 'frame/wti/1m' needs the key 'price.series'"), "{missing}");
        assert!(refusal(|s| s["price"]["series"] = json!("future")).contains("'price.series' must be \"spot\" or \"index\", or a table"));
        let future = |roll: &str| json!({"symbol": "ZL", "exchange": "CBOT", "contract": "front month", "roll": roll});
        let with = |roll: &str, label: &str| {
            let mut stanza = good();
            stanza["price"]["series"] = future(roll);
            stanza["label"] = json!(label);
            declared(stanza)
        };
        for label in ["level", "log_return"] {
            assert_eq!(
                with("unadjusted", label).unwrap().params["price"]["series"],
                future("unadjusted"),
                "it is in the key and in the record"
            );
            let refused = with("back_adjusted", label).unwrap_err();
            assert!(refused.starts_with("price.series.roll: the levels of a back-adjusted series are no prices"), "{refused}");
        }
        assert!(with("ratio_adjusted", "log_return").is_ok());
        let refused = with("ratio_adjusted", "level").unwrap_err();
        assert!(refused.starts_with("price.series.roll: each roll of a ratio-adjusted series rescales all earlier levels"), "{refused}");
        assert!(with("rolled", "level").unwrap_err().contains("'price.series.roll' must be"));
    }

    #[test]
    fn a_split_that_could_leak_is_refused_where_it_is_written() {
        assert_eq!(
            refusal(|s| s["split"]["valid"][0] = json!("2010-12-31")),
            "split.valid: 'valid' begins on 2010-12-31, but 'train' ends on 2010-12-31"
        );
        assert_eq!(
            refusal(|s| s["split"]["test"][0] = json!("2012-01-01")),
            "split.test.0: 'test' begins on 2012-01-01, but 'valid' ends on 2013-12-31"
        );
        assert_eq!(
            refusal(|s| s["split"]["valid"] = json!(["2013-12-31", "2011-01-01"])),
            "split.valid: 'valid' ends on 2011-01-01, before it begins on 2013-12-31"
        );
        assert_eq!(
            refusal(|s| s["split"]["valid"] = json!(["2011-01-01"])),
            "split.valid: 'valid' needs a last date; only 'test' may stay open"
        );
        assert!(refusal(|s| s["split"]["valid"][1] = json!("2013-02-30")).starts_with("split.valid: 'split.valid.1' must be a date"));
        assert!(refusal(|s| _ = s["split"].as_object_mut().unwrap().remove("test")).contains("'split.test'"));
    }

    #[test]
    fn folds_that_reach_into_the_test_or_cannot_be_are_refused() {
        let walk = |to: &str, test: &str| json!({"walk_forward": {"from": "2000-01-01", "to": to, "train": "expanding", "test": test}});
        let with = |folds: Value| {
            let mut stanza = good();
            stanza["folds"] = folds;
            declared(stanza)
        };
        assert!(with(walk("2013-12-31", "12 months")).unwrap().outputs.contains("folds"));
        assert!(
            with(walk("2014-01-01", "12 months")).unwrap_err().contains("the folds end on 2014-01-01, but 'test' begins on 2014-01-01")
        );
        assert!(with(walk("1999-12-31", "12 months")).unwrap_err().contains("the folds end before they begin"));
        assert!(with(walk("2013-12-31", "a while")).unwrap_err().contains("'a while' is no stretch of time such as '12 months'"));
    }

    #[test]
    fn patterns_and_horizons_are_checked_before_any_row_is_read() {
        assert!(refusal(|s| s["columns"][1] = json!("ret_[")).starts_with("columns.1: 'ret_[' is not a pattern"));
        assert_eq!(refusal(|s| s["columns"][1] = json!("ret_*")), "columns.1: 'ret_*' is listed twice");
        assert!(refusal(|s| s["columns"] = json!([])).contains("'columns'"));
        assert!(refusal(|s| s["horizon"] = json!({"rows": 1, "days": 2})).contains("'horizon'"));
        assert!(refusal(|s| s["horizon"] = json!({"rows": 0})).starts_with("horizon.rows:"));
        assert_eq!(refusal(|s| s["horizon"] = json!({"rows": 5_000_000_000_u64})), "horizon.rows: the horizon is out of range");
    }
}
