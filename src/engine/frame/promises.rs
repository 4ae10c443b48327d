//! Tests of whole frames: from tables to the bytes on disk. Invariant: each test states one thing that a frame promises its readers.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use chrono::{Days, NaiveDate};
use proptest::prelude::*;

use crate::engine::frame::build::{Tables, build};
use crate::engine::frame::error::FrameError;
use crate::engine::frame::spec::{FrameSpec, JoinSpec};
use crate::engine::frame::write::write;
use crate::engine::frame_file::{self, FrameData, Part};
use crate::engine::table_columns::{Values, table};
use crate::model::joined::Ages;
use crate::model::series::Series;
use crate::model::training::{DateRange, Horizon, Label, LabelKind, PriceColumn, Split, TableColumn};

const START: &str = "2001-01-01";

/// Days 0 to 59 are train, 60 to 89 valid, the rest test.
fn spec(horizon: Horizon) -> FrameSpec {
    let range = |from: u64, to: Option<u64>| Some(DateRange { from: day(from).to_string(), to: to.map(|t| day(t).to_string()) });
    FrameSpec {
        date: "date".into(),
        columns: vec!["x".into(), "lag_*".into()],
        price: PriceColumn { table: "t.prices".into(), column: "close".into(), series: Series::Spot },
        price_date: "day".into(),
        label: Label { kind: LabelKind::Level, horizon },
        split: Split { train: range(0, Some(59)), valid: range(60, Some(89)), test: range(90, None) },
        weight: None,
        weight_date: "date".into(),
        join: Vec::new(),
        lags: BTreeMap::new(),
        folds: None,
        refit: None,
        past: None,
    }
}

fn day(offset: u64) -> NaiveDate {
    START.parse::<NaiveDate>().unwrap() + Days::new(offset)
}

/// A price that never repeats and never falls in a straight line.
fn price(offset: u64) -> f64 {
    #[expect(clippy::cast_precision_loss)]
    let x = offset as f64;
    50.0 + 10.0 * (x / 9.0).sin() + x / 100.0
}

fn dates(offsets: impl Iterator<Item = u64>) -> Values {
    Values::Dates(offsets.map(|o| Some(day(o).to_epoch_days())).collect())
}

fn prices(offsets: &[u64]) -> RecordBatch {
    let close = offsets.iter().map(|o| Some(price(*o))).collect();
    table([("day".into(), dates(offsets.iter().copied())), ("close".into(), Values::Floats(close))]).unwrap()
}

fn features(offsets: &[u64], extra: &[&str]) -> RecordBatch {
    let column = |shift: u64| Values::Floats(offsets.iter().map(|o| (*o >= shift).then(|| price(o - shift))).collect());
    let mut columns = vec![
        ("lag_2".to_owned(), column(2)),
        ("date".into(), dates(offsets.iter().copied())),
        ("x".into(), column(0)),
        ("lag_10".into(), column(10)),
    ];
    columns.extend(extra.iter().map(|name| ((*name).to_owned(), column(1))));
    table(columns).unwrap()
}

fn replaced(table_: &RecordBatch, name: &str, values: Values) -> RecordBatch {
    let new = table([(name.to_owned(), values)]).unwrap();
    let schema = table_.schema();
    let columns = schema.fields().iter().zip(table_.columns()).map(|(f, c)| {
        let column = if f.name() == name { new.column(0).clone() } else { c.clone() };
        (f.name().clone(), column)
    });
    RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap()
}

/// The bytes of every file of one artifact.
fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    files.map(|f| (f.file_name().into_string().unwrap(), std::fs::read(f.path()).unwrap())).collect()
}

struct Made {
    folder: tempfile::TempDir,
    notes: Vec<String>,
}

impl Made {
    fn bytes(&self, artifact: &str) -> BTreeMap<String, Vec<u8>> {
        bytes(&self.folder.path().join(artifact))
    }

    fn data(&self, artifact: &str) -> FrameData {
        frame_file::read(&self.folder.path().join(artifact)).unwrap()
    }
}

fn make(spec: &FrameSpec, features: &RecordBatch, prices: &RecordBatch) -> Result<Made, FrameError> {
    weighted(spec, features, prices, None)
}

fn weighted(spec: &FrameSpec, features: &RecordBatch, prices: &RecordBatch, weights: Option<&RecordBatch>) -> Result<Made, FrameError> {
    let frame = build(spec, &Tables { features: features.clone(), prices: prices.clone(), weights: weights.cloned(), joined: Vec::new() })?;
    let folder = tempfile::tempdir().unwrap();
    write(&frame, spec, folder.path())?;
    Ok(Made { folder, notes: frame.notes })
}

/// A frame with a weekly table beside it, whose rows are known three days after their date.
fn with_weekly(days: &[u64], weeks: u64) -> Result<Made, FrameError> {
    let spec = FrameSpec {
        join: vec![JoinSpec { table: "t.weekly".into(), columns: vec!["w_*".into()], date: "date".into(), max_age_days: 9 }],
        lags: [("join:0".to_owned(), 3)].into(),
        ..spec(Horizon::Rows(7))
    };
    #[expect(clippy::cast_precision_loss)]
    let values = Values::Floats((0..weeks).map(|week| Some(week as f64)).collect());
    let weekly = table([("date".to_owned(), dates((0..weeks).map(|week| 7 * week))), ("w_share".to_owned(), values)]).unwrap();
    let tables = Tables { features: features(days, &[]), prices: prices(days), weights: None, joined: vec![weekly] };
    let frame = build(&spec, &tables)?;
    let folder = tempfile::tempdir().unwrap();
    write(&frame, &spec, folder.path())?;
    Ok(Made { folder, notes: frame.notes })
}

#[test]
fn a_joined_table_gives_each_day_what_was_known_and_the_record_says_how_old_it_was() {
    let made = with_weekly(&all(120), 15).unwrap();
    let (fit, score) = (made.data("fit"), made.data("score"));
    assert_eq!(fit.record.features, ["x", "lag_10", "lag_2", "w_share"]);
    assert!(fit.features[3][..3].iter().all(|value| value.is_nan()));
    assert_eq!(fit.features[3][3..12], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    let ages = |joined, without, median, most| Ages { joined, without, median_days: Some(median), max_days: Some(most) };
    let told = |data: &FrameData| {
        let [joined] = data.record.joined.as_slice() else { panic!("{:?}", data.record) };
        assert_eq!((joined.table.as_str(), joined.available_after_days, joined.max_age_days), ("t.weekly", 3, 9));
        joined.ages.unwrap()
    };
    assert_eq!(told(&fit), ages(73, 3, 6, 9));
    // The last row is of day 98: from day 108 on it is too old.
    assert_eq!((told(&score).joined, told(&score).without), (0, 7));
    assert_eq!(
        made.notes.last().unwrap(),
        "'t.weekly': its rows are 6 days old on half of the days or less, 9 at most; 3 of 76 days have none"
    );
}

#[test]
fn rows_that_a_joined_table_gets_later_leave_the_fit_as_it_was() {
    let (before, after) = (with_weekly(&all(120), 14).unwrap(), with_weekly(&all(160), 30).unwrap());
    assert_eq!(before.bytes("fit"), after.bytes("fit"));
    assert_ne!(before.bytes("score"), after.bytes("score"));
}

fn refused(spec: &FrameSpec, features: &RecordBatch, prices: &RecordBatch) -> FrameError {
    make(spec, features, prices).map(|made| made.notes).unwrap_err()
}

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn a_frame_holds_train_and_valid_apart_from_test_and_the_newest_rows() {
    let made = make(&spec(Horizon::Rows(7)), &features(&all(120), &[]), &prices(&all(120))).unwrap();
    let (fit, test, score) = (made.data("fit"), made.data("test"), made.data("score"));
    assert_eq!((fit.rows_of(Part::Train).len(), fit.rows_of(Part::Valid).len(), test.len(), score.len()), (53, 23, 23, 7));
    assert_eq!(fit.record.features, ["x", "lag_10", "lag_2"]);
    assert_eq!((fit.price[3], fit.label[3]), (price(3), price(10)));
    assert!(fit.features[1][9].is_nan() && !fit.features[1][10].is_nan(), "a missing value stays missing");
    assert_eq!(fit.trained_on(Part::Train).unwrap().outcome_last, day(59).to_string());
    assert_eq!(fit.trained_on(Part::Valid).unwrap().outcome_last, day(89).to_string());
    assert_eq!((test.dates[0], score.dates[0]), (day(90).to_epoch_days(), day(113).to_epoch_days()));
    assert_eq!(test.record.split.train, None);
    assert_eq!(
        made.notes,
        [
            "7 train rows left out: their outcome is not known before valid begins",
            "7 valid rows left out: their outcome is not known before valid ends"
        ]
    );
}

#[test]
fn each_artifact_holds_the_prices_known_up_to_its_last_row() {
    let mut later = spec(Horizon::Rows(7));
    later.split.train = Some(DateRange { from: day(5).to_string(), to: Some(day(59).to_string()) });
    let made = make(&later, &features(&all(120), &[]), &prices(&all(120))).unwrap();
    let known = |artifact| {
        let prices = made.data(artifact).prices;
        let offset = |date: i32| date - day(0).to_epoch_days();
        (offset(prices.dates[0]), offset(prices.dates[prices.dates.len() - 1]), prices.prices.len())
    };
    assert_eq!(known("fit"), (5, 82, 78), "from the first train row: what came before teaches nothing");
    assert_eq!(known("test"), (5, 112, 108), "to the last row with an outcome");
    assert_eq!(known("score"), (5, 119, 115));
    assert_eq!(made.data("test").prices.prices[45].to_bits(), price(50).to_bits());
}

#[test]
fn where_the_test_begins_does_not_reach_the_fit() {
    let (features, prices) = (features(&all(120), &[]), prices(&all(120)));
    let mut later = spec(Horizon::Rows(7));
    later.split.test = Some(DateRange { from: day(95).to_string(), to: Some(day(110).to_string()) });
    let (one, other) = (make(&spec(Horizon::Rows(7)), &features, &prices).unwrap(), make(&later, &features, &prices).unwrap());
    assert_eq!(one.bytes("fit"), other.bytes("fit"));
    assert_ne!(one.bytes("test"), other.bytes("test"));
}

#[test]
fn a_frame_without_rows_in_a_part_names_the_part_and_what_there_is() {
    let (features_, prices_) = (features(&all(120), &[]), prices(&all(120)));
    let error = refused(&spec(Horizon::Rows(60)), &features_, &prices_);
    assert_eq!(
        error.to_string(),
        "no train rows: no price from 2001-01-01 to 2001-03-01 has an outcome that the split may see (prices run from 2001-01-01 to 2001-04-30)"
    );
    let error = refused(&spec(Horizon::Rows(7)), &features(&all(92), &[]), &prices(&all(92)));
    assert!(matches!(error, FrameError::NoRows { split: "test", .. }), "{error}");
    let error = refused(&spec(Horizon::Rows(7)), &features(&all(110), &[]), &prices_);
    assert!(matches!(error, FrameError::NothingToScore { rows: 7, .. }), "{error}");
}

#[test]
fn what_cannot_be_learnt_from_is_refused_by_name() {
    let (spec_, features_, prices_) = (spec(Horizon::Rows(7)), features(&all(120), &[]), prices(&all(120)));
    let flat = Values::Floats((0..120).map(|o| if o < 70 { None } else { Some(1.0) }).collect());
    let error = refused(&spec_, &replaced(&features_, "lag_2", flat), &prices_);
    assert_eq!(error.to_string(), "no value at all from 2001-01-01 to 2001-02-22 in: 'lag_2'");
    let infinite = Values::Floats((0..120).map(|o| Some(if o == 119 { f64::INFINITY } else { price(o) })).collect());
    let error = refused(&spec_, &replaced(&features_, "x", infinite), &prices_);
    assert_eq!(error.to_string(), "column 'x' of the feature table is infinite on 2001-04-30");
    let words = Values::Strings(vec![Some("x".into()); 120]);
    let error = refused(&spec_, &replaced(&features_, "x", words), &prices_);
    assert_eq!(error.to_string(), "not numbers in the feature table: 'x' (STRING)");
    // Prices that alternate between 30 equal ones and a step: the label is constant where every train outcome falls on one plateau.
    let still = Values::Floats((0..120).map(|o| Some(if (7..=45).contains(&o) { 60.0 } else { price(o) })).collect());
    let mut short = spec_.clone();
    short.split.train = Some(DateRange { from: day(0).to_string(), to: Some(day(30).to_string()) });
    let error = refused(&short, &features_, &replaced(&prices_, "close", still));
    assert_eq!(error.to_string(), "the label is constant: 60 on all 31 train rows");
    let twice = prices(&[all(120), vec![5, 40]].concat());
    assert_eq!(refused(&spec_, &features_, &twice).to_string(), "the price table has several rows for one date: 2001-01-06, 2001-02-10");
    let twice = features(&[all(120), vec![40]].concat(), &[]);
    assert_eq!(refused(&spec_, &twice, &prices_).to_string(), "the feature table has several rows for one date: 2001-02-10");
}

#[test]
fn days_without_features_are_left_out_and_counted_up_to_one_in_twenty() {
    let spec = spec(Horizon::Rows(7));
    let without = |gone: &[u64]| features(&all(120).into_iter().filter(|o| !gone.contains(o)).collect::<Vec<_>>(), &[]);
    let made = make(&spec, &without(&[20, 100]), &prices(&all(120))).unwrap();
    assert_eq!(made.data("fit").rows_of(Part::Train).len(), 52);
    assert!(
        made.notes.contains(&"2 days with a price left out: no row in the feature table (2001-01-21 to 2001-04-11)".to_owned()),
        "{:?}",
        made.notes
    );
    let error = refused(&spec, &without(&[1, 2, 3]), &prices(&all(120)));
    assert_eq!(error.to_string(), "3 of 53 train days have no row in the feature table: 2001-01-02, 2001-01-03, 2001-01-04");
}

/// 50 on every day, but for these.
fn weights(other: &[(u64, Option<f64>)]) -> RecordBatch {
    let weight = |o| other.iter().find(|(day, _)| *day == o).map_or(Some(50.0), |(_, weight)| *weight);
    table([("date".into(), dates(0..120)), ("training_weight".into(), Values::Floats((0..120).map(weight).collect()))]).unwrap()
}

fn weighted_spec() -> FrameSpec {
    FrameSpec { weight: Some(TableColumn { table: "t.regimes".into(), column: "training_weight".into() }), ..spec(Horizon::Rows(7)) }
}

#[test]
fn weights_come_from_the_authority_that_the_recipe_names() {
    let spec = weighted_spec();
    let made = weighted(&spec, &features(&all(120), &[]), &prices(&all(120)), Some(&weights(&[(12, Some(600.0)), (115, None)]))).unwrap();
    let fit = made.data("fit");
    assert_eq!(&fit.weight.unwrap()[11..13], [50.0, 600.0]);
    assert_eq!(fit.record.weight, spec.weight);
    assert_eq!(made.data("test").weight, None, "and a day that nothing learns from needs none");
}

#[test]
fn a_day_to_learn_from_without_a_weight_is_refused_with_the_first_the_last_and_how_many() {
    let refused = |weights: &RecordBatch| {
        let made = weighted(&weighted_spec(), &features(&all(120), &[]), &prices(&all(120)), Some(weights));
        made.map(|made| made.notes).unwrap_err().to_string()
    };
    let text = "'t.regimes' has no weight in 'training_weight' for";
    assert_eq!(refused(&weights(&[(12, None)])), format!("{text} 1 of 76 days to learn from: 2001-01-13"));
    let gaps: Vec<_> = (10..15).chain(70..72).map(|o| (o, None)).collect();
    assert_eq!(refused(&weights(&gaps)), format!("{text} 7 of 76 days to learn from: 2001-01-11 to 2001-03-13"));
    assert_eq!(refused(&weights(&[]).slice(0, 50)), format!("{text} 26 of 76 days to learn from: 2001-02-20 to 2001-03-24"));
    assert_eq!(refused(&weights(&[(12, Some(-1.0))])), "the weight 'training_weight' of 't.regimes' is -1 on 2001-01-13");
    let none: Vec<_> = (0..120).map(|o| (o, Some(0.0))).collect();
    assert!(refused(&weights(&none)).starts_with("the weight 'training_weight' of 't.regimes' is 0 on 2001-01-01, 0 on "));
}

fn any_horizon() -> impl Strategy<Value = Horizon> {
    prop_oneof![(1_u32..25).prop_map(Horizon::Rows), (1_u32..25).prop_map(Horizon::Days)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_that_arrive_after_the_valid_range_leave_the_fit_as_it_was(
        horizon in any_horizon(),
        // With more gaps the 30 valid days may hold no outcome 24 rows ahead.
        gaps in prop::collection::btree_set(0_u64..90, 0..6),
        later in prop::collection::btree_set(90_u64..260, 40..80),
        later_still in prop::collection::btree_set(90_u64..400, 1..80),
        test_from in 90_u64..100,
    ) {
        let mut spec = spec(horizon);
        spec.split.test = Some(DateRange { from: day(test_from).to_string(), to: None });
        let old: Vec<u64> = all(90).into_iter().filter(|o| !gaps.contains(o)).chain(later.iter().copied()).collect();
        let mut new: Vec<u64> = old.iter().copied().chain(later_still).collect();
        new.sort_unstable();
        new.dedup();
        let before = make(&spec, &features(&old, &[]), &prices(&old));
        // A long horizon with many gaps leaves no valid row: refused, rightly.
        prop_assume!(!matches!(before, Err(FrameError::NoRows { .. })));
        let after = make(&spec, &features(&new, &[]), &prices(&new)).unwrap();
        prop_assert_eq!(before.unwrap().bytes("fit"), after.bytes("fit"));
    }

    #[test]
    fn columns_that_the_recipe_does_not_name_leave_every_artifact_as_it_was(names in prop::collection::btree_set("z[a-z]{1,6}", 1..5)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let before = make(&spec(Horizon::Rows(7)), &features(&all(120), &[]), &prices(&all(120))).unwrap();
        let after = make(&spec(Horizon::Rows(7)), &features(&all(120), &names), &prices(&all(120))).unwrap();
        for artifact in ["fit", "test", "score"] {
            prop_assert_eq!(before.bytes(artifact), after.bytes(artifact));
        }
    }

    #[test]
    fn the_order_of_the_rows_changes_nothing(order in Just((0_u32..120).collect::<Vec<_>>()).prop_shuffle(), other in Just((0_u32..120).collect::<Vec<_>>()).prop_shuffle()) {
        let (features, prices) = (features(&all(120), &[]), prices(&all(120)));
        let shuffled = |table: &RecordBatch, order: Vec<u32>| take_record_batch(table, &UInt32Array::from(order)).unwrap();
        let before = make(&spec(Horizon::Days(9)), &features, &prices).unwrap();
        let after = make(&spec(Horizon::Days(9)), &shuffled(&features, order), &shuffled(&prices, other)).unwrap();
        for artifact in ["fit", "test", "score"] {
            prop_assert_eq!(before.bytes(artifact), after.bytes(artifact));
        }
    }

    #[test]
    fn no_row_learnt_from_has_an_outcome_in_or_after_what_it_is_judged_by(horizon in any_horizon(), test_from in 90_u64..100) {
        let mut spec = spec(horizon);
        spec.split.test = Some(DateRange { from: day(test_from).to_string(), to: None });
        let made = make(&spec, &features(&all(160), &[]), &prices(&all(160))).unwrap();
        let (fit, test) = (made.data("fit"), made.data("test"));
        let last = |part| fit.trained_on(part).unwrap().outcome_last;
        prop_assert!(last(Part::Train) < day(60).to_string());
        prop_assert!(last(Part::Valid) < day(test_from).to_string());
        prop_assert_eq!(test.dates[0], day(test_from).to_epoch_days());
        let score = made.data("score");
        prop_assert!(score.dates[0] > test.dates[test.len() - 1]);
        prop_assert_eq!(score.dates[score.len() - 1], day(159).to_epoch_days());
    }
}
