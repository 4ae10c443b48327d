//! Owns a frame's artifacts on disk. Invariant: their bytes are a function of the frame's rows, features and spec; no date of writing, no
//! count of what was left out, no name of a target is among them.

use std::path::Path;

use chrono::NaiveDate;

use crate::base::json;
use crate::engine::frame::error::FrameError;
use crate::engine::frame::read::{Features, JoinedRows};
use crate::engine::frame::rows::{Frame, Row};
use crate::engine::frame::spec::{FrameSpec, JoinSpec};
use crate::engine::frame_file::{Part, RECORD_FILE, ROWS_FILE};
use crate::engine::frame_past::{self, Past};
use crate::engine::price_history::{self, PriceHistory};
use crate::engine::table_columns::{Values, table};
use crate::engine::table_file;
use crate::io::fs;
use crate::model::joined::{Ages, Joined};
use crate::model::training::FrameRecord;

type Columns = Vec<(String, Values)>;

/// Writes `fit`, `test` and `score` as folders of `out`, and `folds` and `refit` where they are asked for.
///
/// Beside its rows each holds the prices from the first row of `fit` to its own last row: an older price, which no row shows, reaches nothing.
///
/// # Errors
/// When a file cannot be written.
pub fn write(frame: &Frame, spec: &FrameSpec, out: &Path) -> Result<(), FrameError> {
    let names = &frame.features.names;
    let fit_rows: Vec<Row> = frame.fit().into_iter().map(|(_, row)| row).collect();
    let first = fit_rows.iter().map(|row| row.date.to_epoch_days()).min().unwrap_or(i32::MAX);
    let known = |rows: &[Row]| frame.prices.between(first, last(rows));
    let told = |rows: &[Row], record: FrameRecord| FrameRecord { joined: joined(frame, spec, rows), ..record };
    let artifact = |name: &str, columns: Columns, record: FrameRecord, rows: &[Row], prices: &PriceHistory| {
        artifact(&out.join(name), columns, &told(rows, record), prices)?;
        match spec.past {
            Some(past) => Ok(frame_past::write(&out.join(name), &before(frame, rows, past), names)?),
            None => Ok::<(), FrameError>(()),
        }
    };
    artifact("fit", fit(frame), spec.fit_record(names), &fit_rows, &known(&fit_rows))?;
    artifact("test", test(frame), spec.test_record(names), &frame.test, &known(&frame.test))?;
    artifact("score", score(frame), spec.score_record(names), &frame.score, &known(&frame.score))?;
    let whole = |name: &str, rows: &[Row], record: FrameRecord| {
        let first = rows.iter().map(|row| row.date.to_epoch_days()).min().unwrap_or(i32::MAX);
        let prices = frame.prices.between(first, last(rows));
        artifact(name, learnable(frame, rows, &vec![Part::Train; rows.len()]), record, rows, &prices)
    };
    if spec.folds.is_some() {
        whole("folds", &frame.history, spec.folds_record(names))?;
    }
    if spec.refit.is_some() {
        whole("refit", &frame.refit, spec.refit_record(names))?;
    }
    Ok(())
}

/// The joined tables, and how old their rows were on the days of these rows.
fn joined(frame: &Frame, spec: &FrameSpec, rows: &[Row]) -> Vec<Joined> {
    let one = |(index, (joined, asked)): (usize, (&JoinedRows, &JoinSpec))| Joined {
        table: joined.table.clone(),
        features: joined.names.clone(),
        available_after_days: spec.lag(index),
        max_age_days: asked.max_age_days,
        ages: Some(Ages::of(rows.iter().map(|row| joined.ages[row.at]))),
    };
    frame.features.joined.iter().zip(&spec.join).enumerate().map(one).collect()
}

/// The rows of features that windows of these rows reach, as far as they are none of these.
fn before(frame: &Frame, rows: &[Row], past: u32) -> Past {
    let values = |row: &Row| frame.features.columns.iter().map(|column| column[row.at]).collect();
    let past = usize::try_from(past).unwrap_or(usize::MAX);
    Past::of(frame.past(rows, past).iter().map(|row| (row.date.to_epoch_days(), values(row))).collect())
}

/// The last of the rows' dates.
fn last(rows: &[Row]) -> i32 {
    rows.iter().map(|row| row.date.to_epoch_days()).max().unwrap_or(i32::MIN)
}

fn fit(frame: &Frame) -> Columns {
    let (parts, rows): (Vec<Part>, Vec<Row>) = frame.fit().into_iter().unzip();
    learnable(frame, &rows, &parts)
}

fn learnable(frame: &Frame, rows: &[Row], parts: &[Part]) -> Columns {
    let mut columns = labelled(rows, parts);
    if let Some(weights) = &frame.weights {
        columns.push(("weight".into(), floats(rows.iter().map(|row| weights.get(&row.date).copied().unwrap_or(f64::NAN)))));
    }
    with_features(columns, &frame.features, rows)
}

fn test(frame: &Frame) -> Columns {
    let columns = labelled(&frame.test, &vec![Part::Test; frame.test.len()]);
    with_features(columns, &frame.features, &frame.test)
}

fn score(frame: &Frame) -> Columns {
    let rows = &frame.score;
    let columns = vec![("date".into(), dates(rows, |row| Some(row.date))), ("price".into(), floats(rows.iter().map(|row| row.price)))];
    with_features(columns, &frame.features, rows)
}

fn labelled(rows: &[Row], parts: &[Part]) -> Columns {
    let labels = rows.iter().map(|row| row.outcome.map_or(f64::NAN, |outcome| outcome.label));
    vec![
        ("date".into(), dates(rows, |row| Some(row.date))),
        ("outcome_date".into(), dates(rows, |row| row.outcome.map(|outcome| outcome.date))),
        ("split".into(), Values::Strings(parts.iter().map(|part| Some(part.word().to_owned())).collect())),
        ("price".into(), floats(rows.iter().map(|row| row.price))),
        ("label".into(), floats(labels)),
    ]
}

fn with_features(mut columns: Columns, features: &Features, rows: &[Row]) -> Columns {
    for (name, values) in features.names.iter().zip(&features.columns) {
        columns.push((name.clone(), floats(rows.iter().map(|row| values[row.at]))));
    }
    columns
}

fn dates(rows: &[Row], date: impl Fn(&Row) -> Option<NaiveDate>) -> Values {
    Values::Dates(rows.iter().map(|row| date(row).map(|date| date.to_epoch_days())).collect())
}

/// Numbers with NULL where they are missing.
fn floats(values: impl Iterator<Item = f64>) -> Values {
    Values::Floats(values.map(|v| (!v.is_nan()).then_some(v)).collect())
}

fn artifact(folder: &Path, columns: Columns, record: &FrameRecord, prices: &PriceHistory) -> Result<(), FrameError> {
    fs::create_folders(folder)?;
    table_file::write(&folder.join(ROWS_FILE), &table(columns)?, &["date".to_owned()])?;
    price_history::write(folder, prices)?;
    fs::write(&folder.join(RECORD_FILE), json::pretty(record)?.as_bytes())?;
    Ok(())
}
