//! Owns the making of a frame. Invariant: the `fit` rows are a function of the prices and features up to the end of the valid range and of the
//! chosen columns alone; nothing that arrives later, and no other column, reaches them.

use arrow::array::RecordBatch;
use chrono::NaiveDate;

use crate::engine::frame::checks;
use crate::engine::frame::error::FrameError;
use crate::engine::frame::join;
use crate::engine::frame::labels::LabelledDay;
use crate::engine::frame::read::{self, Features, JoinedRows};
use crate::engine::frame::rows::{Frame, Row};
use crate::engine::frame::spec::FrameSpec;
use crate::engine::frame::splits::{Fate, Splits};
use crate::engine::frame_file::Part;
use crate::engine::price_history::PriceHistory;
use crate::model::joined::Ages;

/// The tables that a frame is made from.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Features, one row a date.
    pub features: RecordBatch,
    /// Prices, one row a date.
    pub prices: RecordBatch,
    /// Row weights, one row a date, where rows are weighted.
    pub weights: Option<RecordBatch>,
    /// The tables joined by what was known, in the order of the spec.
    pub joined: Vec<RecordBatch>,
}

/// Days sorted into parts, before features are looked up.
#[derive(Debug, Default)]
struct Days {
    train: Vec<LabelledDay>,
    valid: Vec<LabelledDay>,
    test: Vec<LabelledDay>,
    score: Vec<LabelledDay>,
    purged_train: usize,
    purged_valid: usize,
}

/// Makes the frame of these tables, or says why there is none.
///
/// # Errors
/// When a column is missing or unusable, or the rows can't be learnt from: see [`FrameError`].
pub fn build(spec: &FrameSpec, tables: &Tables) -> Result<Frame, FrameError> {
    let splits = spec.splits()?;
    let series = read::prices(&tables.prices, spec)?;
    let mut features = read::features(&tables.features, spec)?;
    for (index, (joined, rows)) in spec.join.iter().zip(&tables.joined).enumerate() {
        join::add(&mut features, rows, joined, spec.lag(index))?;
    }
    let weights = tables.weights.as_ref().map(|table| read::weights(table, spec)).transpose()?;
    let labelled = series.label(spec.label)?;
    let days = sort_out(&labelled, &splits);
    let (train, missing_train) = matched(&days.train, &features);
    checks::train_days_have_features(&missing_train, days.train.len())?;
    let (valid, missing_valid) = matched(&days.valid, &features);
    let (test, missing_test) = matched(&days.test, &features);
    let (score, missing_score) = matched(&days.score, &features);
    let missing = [missing_train, missing_valid, missing_test, missing_score].concat();
    let learnt_by = |last: Option<NaiveDate>| known_by(&labelled, splits.train.from, last);
    let (history, _) = matched(&learnt_by(spec.folds.as_ref().map(|folds| folds.range().1)), &features);
    let (refit, _) = matched(&learnt_by(spec.refit.and_then(|refit| refit.period_of(series.ends().1).pred_opt())), &features);
    let (timeline, _) = matched(if spec.past.is_some() { &labelled } else { &[] }, &features);
    let prices = PriceHistory::new(series.days());
    let notes = [left_out(&days, &missing), ages(&features, &[&train, &valid])].concat();
    let frame = Frame { features, weights, train, valid, test, score, history, refit, timeline, prices, notes };
    checks::every_part_has_rows(&frame, &splits, &days.score, series.ends())?;
    checks::rows_can_be_learnt_from(frame, spec)
}

/// The days from `first` on whose outcome came by `last`; none where there is no `last`.
fn known_by(labelled: &[LabelledDay], first: NaiveDate, last: Option<NaiveDate>) -> Vec<LabelledDay> {
    let known = |day: &&LabelledDay| day.date >= first && last.is_some_and(|last| day.outcome.is_some_and(|o| o.date <= last));
    labelled.iter().filter(known).copied().collect()
}

fn sort_out(labelled: &[LabelledDay], splits: &Splits) -> Days {
    let mut days = Days::default();
    for day in labelled {
        let Some(outcome) = day.outcome else {
            days.score.push(*day);
            continue;
        };
        match splits.fate(day.date, outcome.date) {
            Fate::In(Part::Train) => days.train.push(*day),
            Fate::In(Part::Valid) => days.valid.push(*day),
            Fate::In(Part::Test) => days.test.push(*day),
            Fate::Purged(Part::Train) => days.purged_train += 1,
            Fate::Purged(_) => days.purged_valid += 1,
            Fate::Outside => {}
        }
    }
    days
}

/// The days with a row of features, and the dates of those without.
fn matched(days: &[LabelledDay], features: &Features) -> (Vec<Row>, Vec<NaiveDate>) {
    let mut rows = Vec::with_capacity(days.len());
    let mut missing = Vec::new();
    for day in days {
        match features.row_of.get(&day.date) {
            Some(at) => rows.push(Row { date: day.date, price: day.price, outcome: day.outcome, at: *at }),
            None => missing.push(day.date),
        }
    }
    (rows, missing)
}

/// How old the rows of joined tables were on the days that are learnt from.
fn ages(features: &Features, learnt: &[&Vec<Row>]) -> Vec<String> {
    let told = |joined: &JoinedRows| {
        let ages = Ages::of(learnt.iter().copied().flatten().map(|row| joined.ages[row.at]));
        let old = match (ages.median_days, ages.max_days) {
            (Some(median), Some(most)) => format!("its rows are {median} days old on half of the days or less, {most} at most"),
            _ => "no day has a row of it".to_owned(),
        };
        format!("'{}': {old}; {} of {} days have none", joined.table, ages.without, ages.joined + ages.without)
    };
    features.joined.iter().map(told).collect()
}

fn left_out(days: &Days, missing: &[NaiveDate]) -> Vec<String> {
    let mut notes = Vec::new();
    for (count, part, next) in [(days.purged_train, "train", "valid begins"), (days.purged_valid, "valid", "valid ends")] {
        if count > 0 {
            notes.push(format!("{count} {part} rows left out: their outcome is not known before {next}"));
        }
    }
    if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
        notes.push(format!("{} days with a price left out: no row in the feature table ({first} to {last})", missing.len()));
    }
    notes
}
