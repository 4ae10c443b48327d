//! Owns what a frame's rows must be for learning to make sense. Invariant: a frame that passed has rows in every part, a value in every feature,
//! a label that varies, and not one infinite number.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::engine::frame::error::FrameError;
use crate::engine::frame::labels::LabelledDay;
use crate::engine::frame::outcomes::outcome_features;
use crate::engine::frame::rows::{Frame, Row};
use crate::engine::frame::spec::FrameSpec;
use crate::engine::frame::splits::Splits;
use crate::engine::frame_file::Part;

/// One in so many train days may lack a row of features.
const MISSING_ONE_IN: usize = 20;

/// Refuses a feature table that lacks more than 5 % of the train days.
///
/// # Errors
/// When it does.
pub fn train_days_have_features(missing: &[NaiveDate], days: usize) -> Result<(), FrameError> {
    if missing.len() * MISSING_ONE_IN > days { Err(FrameError::MissingFeatures { missing: missing.to_vec(), days }) } else { Ok(()) }
}

/// Refuses a frame with an empty part.
///
/// # Errors
/// When a part has no rows.
pub fn every_part_has_rows(
    frame: &Frame,
    splits: &Splits,
    newest: &[LabelledDay],
    (first, last): (NaiveDate, NaiveDate),
) -> Result<(), FrameError> {
    for (part, rows) in [(Part::Train, &frame.train), (Part::Valid, &frame.valid), (Part::Test, &frame.test)] {
        if rows.is_empty() {
            let range = splits.of(part);
            let to = range.to.map_or_else(|| "today".to_owned(), |to| to.to_string());
            return Err(FrameError::NoRows { split: part.word(), from: range.from, to, first, last });
        }
    }
    if frame.score.is_empty() {
        let first = newest.first().map_or(last, |day| day.date);
        return Err(FrameError::NothingToScore { rows: newest.len(), first, last });
    }
    Ok(())
}

/// Refuses rows that nothing can be learnt from, and notes what deserves a look.
///
/// # Errors
/// When a feature has no value in the train rows or an infinite one anywhere, or is an outcome, the label is constant, or a weight is missing or negative.
pub fn rows_can_be_learnt_from(mut frame: Frame, spec: &FrameSpec) -> Result<Frame, FrameError> {
    label_varies(&frame.train)?;
    features_are_finite(&frame)?;
    let (dead, constant) = dead_and_constant(&frame);
    if !dead.is_empty() {
        let (first, last) = (frame.train[0].date, frame.train[frame.train.len() - 1].date);
        return Err(FrameError::AllMissing { columns: dead, first, last });
    }
    let outcomes = outcome_features(&frame);
    if !outcomes.is_empty() {
        return Err(FrameError::Outcomes { columns: outcomes });
    }
    weights_are_weights(&frame, spec)?;
    if !constant.is_empty() {
        frame.notes.push(format!("constant over all train rows: {}", constant.join(", ")));
    }
    Ok(frame)
}

fn label_varies(train: &[Row]) -> Result<(), FrameError> {
    let mut labels = train.iter().filter_map(|row| row.outcome).map(|outcome| outcome.label);
    match labels.next() {
        Some(label) if labels.all(|other| other.to_bits() == label.to_bits()) => {
            Err(FrameError::ConstantLabel { label, rows: train.len() })
        }
        _ => Ok(()),
    }
}

fn features_are_finite(frame: &Frame) -> Result<(), FrameError> {
    for (name, values) in frame.features.names.iter().zip(&frame.features.columns) {
        let rows =
            [&frame.train, &frame.valid, &frame.test, &frame.score, &frame.history, &frame.refit, &frame.timeline].into_iter().flatten();
        let dates: BTreeSet<_> = rows.filter(|row| values[row.at].is_infinite()).map(|row| row.date).collect();
        if !dates.is_empty() {
            let dates = dates.into_iter().collect();
            return Err(FrameError::Infinite { input: "the feature table".to_owned(), column: name.clone(), dates });
        }
    }
    Ok(())
}

/// The features without a value in the train rows, and those with only one.
fn dead_and_constant(frame: &Frame) -> (Vec<String>, Vec<String>) {
    let (mut dead, mut constant) = (Vec::new(), Vec::new());
    for (name, values) in frame.features.names.iter().zip(&frame.features.columns) {
        let mut known = frame.train.iter().map(|row| values[row.at]).filter(|v| !v.is_nan());
        match known.next() {
            None => dead.push(name.clone()),
            Some(first) if known.all(|v| v.to_bits() == first.to_bits()) => constant.push(name.clone()),
            Some(_) => {}
        }
    }
    (dead, constant)
}

/// Every row that learners see has a weight, none is below zero or infinite, and not all are zero.
fn weights_are_weights(frame: &Frame, spec: &FrameSpec) -> Result<(), FrameError> {
    let (Some(of), Some(weights)) = (&spec.weight, &frame.weights) else { return Ok(()) };
    let learnt: BTreeSet<NaiveDate> =
        [&frame.train, &frame.valid, &frame.history, &frame.refit].into_iter().flatten().map(|row| row.date).collect();
    let weight = |date: &NaiveDate| weights.get(date).copied().filter(|w| !w.is_nan());
    let without: Vec<NaiveDate> = learnt.iter().filter(|date| weight(date).is_none()).copied().collect();
    if !without.is_empty() {
        return Err(FrameError::NoWeight { of: of.clone(), without, days: learnt.len() });
    }
    let all = || learnt.iter().filter_map(|date| Some((*date, weight(date)?)));
    let mut bad: Vec<(NaiveDate, f64)> = all().filter(|(_, w)| w.is_infinite() || *w < 0.0).collect();
    if bad.is_empty() && frame.train.iter().all(|row| weight(&row.date) == Some(0.0)) {
        bad = all().collect();
    }
    if bad.is_empty() { Ok(()) } else { Err(FrameError::BadWeight { of: of.clone(), days: bad }) }
}
