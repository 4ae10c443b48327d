//! Promises of every check, on tables of a few rows written by hand. Invariant: each is shown to pass, to fail with its count, and to hold for a table
//! without rows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::engine::checks::find::find;
use crate::engine::checks::found::Found;
use crate::engine::checks::spec::{Check, Rule};
use crate::engine::checks::subject::Subject;
use crate::engine::table_columns::{Values, table};
use crate::engine::table_file;

type Columns<'a> = Vec<(&'a str, Values)>;

fn batch(columns: Columns) -> RecordBatch {
    table(columns.into_iter().map(|(name, values)| (name.to_owned(), values))).unwrap()
}

fn days(dates: &[&str]) -> Values {
    Values::Dates(dates.iter().map(|date| date.parse::<NaiveDate>().ok().map(|date| date.to_epoch_days())).collect())
}

fn floats(values: &[f64]) -> Values {
    Values::Floats(values.iter().map(|v| Some(*v)).collect())
}

fn texts(values: &[&str]) -> Values {
    Values::Strings(values.iter().map(|v| (!v.is_empty()).then(|| (*v).to_owned())).collect())
}

/// What a check of a table sorted by `date` (where it has one) finds; `others` are the tables it reads.
fn look(check: &Value, columns: Columns, others: Vec<(&str, Columns)>) -> Result<Found, String> {
    let folder = tempfile::tempdir().unwrap();
    let key: Vec<String> = columns.iter().filter(|(name, _)| *name == "date").map(|(name, _)| (*name).to_owned()).collect();
    let write = |name: &str, columns: Columns, key: &[String]| {
        let path = folder.path().join(name);
        table_file::write(&path, &batch(columns), key).unwrap();
        path
    };
    let file = write("this", columns, &key);
    let others: BTreeMap<String, PathBuf> =
        others.into_iter().map(|(name, columns)| (name.to_owned(), write(name, columns, &[]))).collect();
    let mut check = check.clone();
    check["severity"] = json!("warn");
    let rule = serde_json::from_value::<Check>(check).unwrap().rule.unwrap();
    find(&Subject::open(&file, key, others).unwrap(), &rule).map_err(|error| error.to_string())
}

fn found(check: &Value, columns: Columns) -> Found {
    look(check, columns, Vec::new()).unwrap()
}

const FIVE: [&str; 5] = ["2025-01-02", "2025-01-03", "2025-01-06", "2025-01-07", "2025-01-08"];

#[test]
fn unique_counts_the_rows_that_are_too_many() {
    let check = json!({"unique": ["date", "symbol"]});
    let table =
        |symbols: &[&str]| vec![("date", days(&["2025-01-02", "2025-01-02", "2025-01-02", "2025-01-03"])), ("symbol", texts(symbols))];
    assert_eq!(found(&check, table(&["A", "B", "C", "A"])).bad, 0);
    let twice = found(&check, table(&["A", "A", "A", "A"]));
    assert_eq!(twice.bad, 2);
    assert!(twice.what.ends_with("1 value of date, symbol more than once, date 2025-01-02, symbol A"), "{}", twice.what);
    assert_eq!(twice.shown.rows, [[json!("2025-01-02"), json!("A"), json!(3)]]);
    assert_eq!(found(&check, table(&["", "", "B", "A"])).bad, 1, "missing values are equal");
    assert_eq!(found(&check, vec![("date", days(&[])), ("symbol", texts(&[]))]).bad, 0);
}

#[test]
fn not_null_sees_nan_and_counts_each_column() {
    let check = json!({"not_null": ["open", "h*"]});
    let table = || vec![("open", floats(&[1.0, f64::NAN, 3.0])), ("high", Values::Floats(vec![None, None, Some(2.0)]))];
    let bad = found(&check, table());
    assert_eq!(bad.bad, 2);
    assert!(bad.what.starts_with("2 of 3 rows without a value (open 1, high 2)"), "{}", bad.what);
    assert_eq!(found(&json!({"not_null": ["open"]}), vec![("open", floats(&[1.0]))]).bad, 0);
    assert_eq!(found(&check, vec![("open", floats(&[])), ("high", floats(&[]))]).bad, 0);
}

#[test]
fn range_takes_numbers_dates_and_columns_and_shows_the_farthest_first() {
    let close = || vec![("date", days(&FIVE)), ("close", floats(&[5.0, 4.0, 130.0, f64::NAN, 120.0]))];
    let bad = found(&json!({"range": {"column": "close", "min": 5, "max": 120}}), close());
    assert_eq!(bad.bad, 2);
    assert_eq!(bad.shown.rows[0], [json!(3), json!("2025-01-06"), json!(130.0)]);
    assert!(bad.what.contains("row 2 (date 2025-01-03) to row 3 (date 2025-01-06)"), "{}", bad.what);
    assert_eq!(found(&json!({"range": {"column": "date", "min": "2025-01-03"}}), close()).bad, 1);
    let bounds = vec![("close", floats(&[1.0, 5.0, 9.0])), ("low", floats(&[2.0, 2.0, 2.0])), ("high", floats(&[8.0, 8.0, f64::NAN]))];
    let outside = found(&json!({"range": {"column": "close", "min": "low", "max": "high"}}), bounds);
    assert_eq!(outside.bad, 1, "a missing limit is no limit: {}", outside.what);
    assert_eq!(outside.shown.columns, ["row", "close", "low", "high"]);
    assert_eq!(found(&json!({"range": {"column": "close", "min": 5}}), vec![("close", floats(&[]))]).bad, 0);
    let wrong = look(&json!({"range": {"column": "name", "min": 5}}), vec![("name", texts(&["x"]))], Vec::new());
    assert_eq!(wrong.unwrap_err(), "column 'name' is STRING, not a number");
}

#[test]
fn accepted_names_the_other_values_with_their_counts() {
    let check = json!({"accepted": {"column": "symbol", "values": ["ZL"]}});
    let bad = found(&check, vec![("symbol", texts(&["ZL", "ZL=F", "ZL=F", "", "X"]))]);
    assert_eq!(bad.bad, 3);
    assert!(bad.what.contains("(ZL=F × 2, X × 1)"), "{}", bad.what);
    assert_eq!(found(&check, vec![("symbol", texts(&[""]))]).bad, 0, "a missing value is for not_null");
    assert_eq!(found(&check, vec![("symbol", texts(&[]))]).bad, 0);
    let numbers = json!({"accepted": {"column": "n", "values": [1, 2]}});
    assert_eq!(found(&numbers, vec![("n", Values::Ints(vec![Some(1), Some(3), None]))]).bad, 1);
}

#[test]
fn monotonic_is_about_the_order_of_the_key() {
    let check = json!({"monotonic": "total"});
    let table = |totals: &[f64]| vec![("date", days(&FIVE)), ("total", floats(totals))];
    assert_eq!(found(&check, table(&[1.0, 1.0, 2.0, f64::NAN, 3.0])).bad, 0);
    let bad = found(&check, table(&[1.0, 5.0, f64::NAN, 4.0, 6.0]));
    assert_eq!((bad.bad, &bad.shown.rows[0][1]), (1, &json!("2025-01-07")));
    assert_eq!(found(&check, vec![("total", floats(&[]))]).bad, 0);
}

#[test]
fn row_count_says_how_many_are_missing_or_too_many() {
    let table = || vec![("x", floats(&[1.0, 2.0]))];
    assert_eq!(found(&json!({"row_count": {"min": 2, "max": 2}}), table()).bad, 0);
    assert_eq!(found(&json!({"row_count": {"min": 5}}), table()).what, "2 rows, 3 too few");
    assert_eq!(found(&json!({"row_count": {"max": 1}}), table()).what, "2 rows, 1 too many");
    assert_eq!(found(&json!({"row_count": {"min": 1}}), vec![("x", floats(&[]))]).bad, 1);
}

#[test]
fn a_gap_is_counted_in_days_or_in_trading_days() {
    let dates = || vec![("date", days(&["2024-12-30", "2025-01-02", "2025-01-10", "2025-01-10"]))];
    let bad = found(&json!({"max_gap": {"column": "date", "days": 7}}), dates());
    assert_eq!((bad.bad, bad.what.as_str()), (1, "1 gap of more than 7 days, the widest 2025-01-02 to 2025-01-10, 8 days"));
    assert_eq!(found(&json!({"max_gap": {"column": "date", "days": 8}}), dates()).what, "the widest gap is 8 days");
    let check = json!({"max_gap": {"column": "date", "days": 2, "calendar": {"table": "c.days", "column": "day"}}});
    let open = |dates: &[&str]| vec![("c.days", vec![("day", days(dates))])];
    let full = ["2024-12-30", "2024-12-31", "2025-01-02", "2025-01-09", "2025-01-10"];
    assert_eq!(look(&check, dates(), open(&full)).unwrap().what, "the widest gap is 2 trading days");
    let closed = [&full[..], &["2025-01-03"]].concat();
    assert_eq!(look(&check, dates(), open(&closed)).unwrap().bad, 1);
    let late = look(&check, dates(), open(&full[2..])).unwrap();
    assert!(late.bad == 1 && late.what.contains("outside the calendar 'c.days'"), "{}", late.what);
    assert_eq!(found(&json!({"max_gap": {"column": "date", "days": 1}}), vec![("date", days(&["", "2025-01-02"]))]).bad, 0);
    assert_eq!(found(&json!({"max_gap": {"column": "date", "days": 1}}), vec![("date", days(&[]))]).bad, 0);
    let text = look(&json!({"max_gap": {"column": "d", "days": 1}}), vec![("d", texts(&["2025-01-02"]))], Vec::new());
    assert_eq!(text.unwrap_err(), "column 'd' is STRING, not a date");
}

#[test]
fn fresh_measures_and_does_not_judge() {
    let check = json!({"fresh": {"column": "date", "max_age_days": 3}});
    let age = found(&check, vec![("date", days(&FIVE))]).age.unwrap();
    assert_eq!((age.newest.as_str(), age.max_days), ("2025-01-08", 3));
    for dates in [days(&[]), days(&[""])] {
        let none = found(&check, vec![("date", dates)]);
        assert_eq!((none.bad, none.age), (1, None));
    }
}

#[test]
fn a_frozen_tail_is_told_with_its_rows_and_value() {
    let check = |rows: u64| json!({"no_frozen_tail": {"column": ["target_*"], "rows": rows}});
    let table = || {
        let other = Values::Floats(vec![Some(1.0), Some(7.0), Some(7.0), None, None]);
        vec![("date", days(&FIVE)), ("target_1w", floats(&[1.0, 2.0, 3.0, 3.0, 3.0])), ("target_1m", other)]
    };
    let bad = found(&check(2), table());
    assert_eq!(bad.bad, 3);
    assert!(
        bad.what.starts_with("the last 3 values of target_1w are all 3.0, row 3 (date 2025-01-06) to row 5 (date 2025-01-08)"),
        "{}",
        bad.what
    );
    assert!(bad.what.contains("the last 2 values of target_1m are all 7.0"), "labels that are not known yet are no tail: {}", bad.what);
    assert_eq!(found(&check(4), table()).bad, 0);
    assert_eq!(found(&check(2), vec![("target_1w", floats(&[5.0, 5.0]))]).bad, 2, "a column of one value is all tail");
    assert_eq!(found(&check(2), vec![("target_1w", floats(&[]))]).bad, 0);
    let wrong = look(&json!({"no_frozen_tail": {"column": "z*", "rows": 2}}), table(), Vec::new());
    assert_eq!(wrong.unwrap_err(), "no column matches 'z*'");
}

#[test]
fn dead_columns_are_those_without_a_value_and_those_with_one() {
    let table = || {
        let some = Values::Floats(vec![Some(2.0), None]);
        vec![("date", days(&FIVE[..2])), ("empty", floats(&[f64::NAN, f64::NAN])), ("one", some), ("name", texts(&["x", "x"]))]
    };
    let bad = found(&json!({"no_dead_columns": true}), table());
    assert_eq!((bad.bad, bad.what.as_str()), (3, "1 column without any value (empty), 2 columns constant (one, name)"));
    assert_eq!(bad.shown.rows[1], [json!("one"), json!(1), json!("2.0")]);
    assert_eq!(found(&json!({"no_dead_columns": ["o*", "date"]}), table()).bad, 1);
    assert_eq!(found(&json!({"no_dead_columns": false}), table()).bad, 0);
    assert_eq!(found(&json!({"no_dead_columns": true}), vec![("x", floats(&[1.0]))]).bad, 0, "one row says nothing");
}

#[test]
fn two_copies_that_disagree_are_both_named() {
    let this = || vec![("regime", texts(&["calm", "storm", "new"])), ("weight", Values::Ints(vec![Some(50), Some(300), Some(600)]))];
    let copy = || vec![("r.copy", vec![("name", texts(&["calm", "storm", "old"])), ("w", floats(&[50.0, 300.5, 400.0]))])];
    let check = |more: Value| {
        let mut check = json!({"agrees_with": {"table": "r.copy", "on": {"regime": "name"}, "column": "weight", "other": "w"}});
        check["agrees_with"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        check
    };
    let bad = look(&check(json!({})), this(), copy()).unwrap();
    assert_eq!((bad.bad, &bad.shown.rows[0]), (1, &vec![json!("storm"), json!(300), json!(300.5)]));
    assert!(bad.what.contains("'r.copy' (2 compared)") && bad.shown.columns[2] == "r.copy.w", "{}", bad.what);
    assert_eq!(look(&check(json!({"tolerance": 0.5})), this(), copy()).unwrap().what, "2 rows as in 'r.copy'");
    assert_eq!(look(&check(json!({"tolerance": 0.5, "complete": true})), this(), copy()).unwrap().bad, 2);
    let apart = vec![("r.copy", vec![("name", texts(&["x"])), ("w", floats(&[1.0]))])];
    assert!(look(&check(json!({})), this(), apart).unwrap().what.contains("no row in common"));
    let missing = look(&check(json!({"other": "ww"})), this(), copy()).unwrap_err();
    assert_eq!(missing, "no column 'ww' in 'r.copy'");
    let texts_for_numbers = look(&check(json!({"other": "name"})), this(), copy()).unwrap_err();
    assert_eq!(texts_for_numbers, "column 'weight' is INT64, not a text");
}

#[test]
fn a_reference_leads_somewhere() {
    let check = json!({"references": {"column": "regime", "table": "r.weights", "other": "name"}});
    let weights = |names: &[&str]| vec![("r.weights", vec![("name", texts(names))])];
    let this = || vec![("regime", texts(&["calm", "storm", "storm", ""]))];
    assert_eq!(look(&check, this(), weights(&["calm", "storm", ""])).unwrap().bad, 0);
    let bad = look(&check, this(), weights(&["calm", ""])).unwrap();
    assert_eq!(bad.bad, 2, "a missing name in the other table stands for nothing");
    assert!(bad.what.contains("'r.weights' does not have (storm × 2)"), "{}", bad.what);
    assert_eq!(look(&check, vec![("regime", texts(&[]))], weights(&[])).unwrap().bad, 0);
}

#[test]
fn a_column_that_is_not_there_is_named_with_the_nearest() {
    let error = look(&json!({"unique": ["dat"]}), vec![("date", days(&FIVE))], Vec::new()).unwrap_err();
    assert_eq!(error, "no column 'dat' in the table");
}

#[test]
fn no_more_than_ten_rows_are_shown() {
    let many: Vec<f64> = (0..50).map(f64::from).collect();
    let bad = found(&json!({"range": {"column": "x", "max": -1}}), vec![("x", floats(&many))]);
    assert_eq!((bad.bad, bad.shown.rows.len()), (50, 10));
}

#[test]
fn the_words_of_a_check_are_its_name_or_what_it_asks() {
    let words = |check: Value| serde_json::from_value::<Check>(check).unwrap().words();
    assert_eq!(words(json!({"severity": "warn", "range": {"column": "x", "min": 5}})), "range x at least 5");
    assert_eq!(words(json!({"severity": "warn", "sql": "SELECT 1", "name": "no weekends"})), "no weekends");
    let rule: Rule = serde_json::from_value(json!({"unique": ["a", "b"]})).unwrap();
    assert_eq!(rule.words(), "unique a, b");
}
