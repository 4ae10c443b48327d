//! Owns the measures of quantile sets as tables and as text. Invariant: a figure that is not defined is NULL or a dash, and naive's stands beside it.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::NaiveDate;

use crate::engine::evaluation::{Judged, TestRow};
use crate::engine::judging::bootstrap::Interval;
use crate::engine::judging::quantile_sets::{IntervalSummary, LevelSummary, SetSummary};
use crate::engine::judging::segments::{By, Judgement, ModelSummary, Segment};
use crate::engine::judging::text::{aligned, figure, interval, section};
use crate::engine::quantiles::Quantiles;
use crate::engine::table_columns::{Values, table};
use crate::model::training::level_name;

/// A part of a set's measures, with the segment and the model it is of.
type Row<'a, T> = (&'a Segment, &'a ModelSummary, &'a SetSummary, &'a T);

/// A column of numbers: its name and how its value is found.
type Figure<T> = (&'static str, fn(&Row<T>) -> Option<f64>);

const LEVEL_FIGURES: &[Figure<LevelSummary>] = &[
    ("level", |(.., l)| Some(l.level)),
    ("pinball", |(.., l)| l.pinball),
    ("naive_pinball", |(.., l)| l.naive_pinball),
    ("pinball_ratio", |(.., l)| l.pinball_ratio),
    ("pinball_ratio_low", |(.., l)| l.ratio_interval.map(|i| i.low)),
    ("pinball_ratio_high", |(.., l)| l.ratio_interval.map(|i| i.high)),
    ("coverage", |(.., l)| l.coverage),
    ("coverage_low", |(.., l)| l.coverage_interval.map(|i| i.low)),
    ("coverage_high", |(.., l)| l.coverage_interval.map(|i| i.high)),
    ("naive_coverage", |(.., l)| l.naive_coverage),
];

const INTERVAL_FIGURES: &[Figure<IntervalSummary>] = &[
    ("lower", |(.., i)| Some(i.lower)),
    ("upper", |(.., i)| Some(i.upper)),
    ("nominal", |(.., i)| Some(i.nominal)),
    ("coverage", |(.., i)| i.coverage),
    ("coverage_low", |(.., i)| i.coverage_interval.map(|i| i.low)),
    ("coverage_high", |(.., i)| i.coverage_interval.map(|i| i.high)),
    ("naive_coverage", |(.., i)| i.naive_coverage),
    ("width", |(.., i)| i.width),
    ("naive_width", |(.., i)| i.naive_width),
    ("crossed", |(_, _, set, _)| set.crossed),
    ("set_pinball", |(_, _, set, _)| set.pinball),
    ("naive_set_pinball", |(_, _, set, _)| set.naive_pinball),
    ("set_pinball_ratio", |(_, _, set, _)| set.pinball_ratio),
    ("set_pinball_ratio_low", |(_, _, set, _)| set.ratio_interval.map(|i| i.low)),
    ("set_pinball_ratio_high", |(_, _, set, _)| set.ratio_interval.map(|i| i.high)),
];

/// The measures of the levels: one row a set, segment and level.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn levels(segments: &[Segment]) -> Result<RecordBatch, ArrowError> {
    rows_of(segments, |set| &set.levels, LEVEL_FIGURES)
}

/// The measures of the intervals: one row a set, segment and two levels.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn intervals(segments: &[Segment]) -> Result<RecordBatch, ArrowError> {
    rows_of(segments, |set| &set.intervals, INTERVAL_FIGURES)
}

fn rows_of<T>(segments: &[Segment], parts: fn(&SetSummary) -> &Vec<T>, figures: &[Figure<T>]) -> Result<RecordBatch, ArrowError> {
    let sets = segments.iter().flat_map(|s| s.models.iter().filter_map(move |m| Some((s, m, m.set.as_ref()?))));
    let rows: Vec<Row<T>> = sets.flat_map(|(s, m, set)| parts(set).iter().map(move |part| (s, m, set, part))).collect();
    let texts = |value: &dyn Fn(&Row<T>) -> String| Values::Strings(rows.iter().map(|row| Some(value(row))).collect());
    let mut columns = vec![
        ("model", texts(&|(_, m, ..)| m.model.clone())),
        ("by", texts(&|(s, ..)| s.by.word().to_owned())),
        ("segment", texts(&|(s, ..)| s.segment.clone())),
        ("n", Values::Ints(rows.iter().map(|(s, ..)| Some(s.n.cast_signed())).collect())),
        ("effective_n", Values::Floats(rows.iter().map(|(s, ..)| Some(s.effective_n)).collect())),
    ];
    columns.extend(figures.iter().map(|(name, value)| (*name, Values::Floats(rows.iter().map(value).collect()))));
    table(columns.into_iter().map(|(name, values)| (name.to_owned(), values)))
}

/// The quantiles themselves: one row a set, test row and level.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn predictions(rows: &[TestRow], models: &[Judged]) -> Result<RecordBatch, ArrowError> {
    let sets = models.iter().filter_map(|model| Some((model, model.set.as_ref()?)));
    let places = |set: &Quantiles| (0..rows.len()).flat_map(|row| (0..set.levels.len()).map(move |level| (row, level))).collect::<Vec<_>>();
    let all: Vec<(&Judged, &Quantiles, usize, usize)> =
        sets.flat_map(|(model, set)| places(set).into_iter().map(move |(row, level)| (model, set, row, level))).collect();
    let floats = |value: &dyn Fn(&Quantiles, usize, usize) -> f64| {
        Values::Floats(all.iter().map(|(_, set, row, level)| Some(value(set, *row, *level))).collect())
    };
    let dates =
        |value: fn(&TestRow) -> NaiveDate| Values::Dates(all.iter().map(|(.., row, _)| Some(value(&rows[*row]).to_epoch_days())).collect());
    let columns = [
        ("date", dates(|r| r.date)),
        ("outcome_date", dates(|r| r.outcome_date)),
        ("price", floats(&|_, row, _| rows[row].price)),
        ("actual", floats(&|_, row, _| rows[row].actual)),
        ("model", Values::Strings(all.iter().map(|(model, ..)| Some(model.model.clone())).collect())),
        ("level", floats(&|set, _, level| set.levels[level])),
        ("predicted", floats(&|set, row, level| set.predicted[level][row])),
        ("naive", floats(&|set, row, level| set.naive[level][row])),
        ("crossed", Values::Bools(all.iter().map(|(_, set, row, _)| Some(set.crossed[*row])).collect())),
    ];
    table(columns.map(|(name, values)| (name.to_owned(), values)))
}

/// The measures over all rows as text; nothing where no model is a set.
#[must_use]
pub fn text(judgement: &Judgement) -> String {
    let mut text = String::new();
    let all = judgement.segments.iter().find(|segment| segment.by == By::All);
    if let Some(all) = all.filter(|all| all.models.iter().any(|model| model.set.is_some())) {
        section(&mut text, "Quantile sets, level by level", &levels_text(all));
        section(&mut text, "Quantile sets, between two levels", &intervals_text(all));
    }
    text
}

/// One line a set and level, over all rows.
fn levels_text(all: &Segment) -> String {
    let line = |model: &str, l: &LevelSummary| {
        let figures = [figure(l.pinball, 4), figure(l.naive_pinball, 4), figure(l.pinball_ratio, 3), ends(l.ratio_interval)];
        let calibration = [figure(l.coverage, 3), ends(l.coverage_interval), figure(l.naive_coverage, 3)];
        [model.to_owned(), level_name(l.level)].into_iter().chain(figures).chain(calibration).collect()
    };
    lines(all, &["set", "level", "pinball", "naive", "ratio", "95 %", "came below", "95 %", "naive"], |model, set, lines| {
        lines.extend(set.levels.iter().map(|l| line(model, l)));
        let whole = [figure(set.pinball, 4), figure(set.naive_pinball, 4), figure(set.pinball_ratio, 3), ends(set.ratio_interval)];
        let none = std::iter::repeat_n(figure(None, 0), 3);
        lines.push([model.to_owned(), "all".to_owned()].into_iter().chain(whole).chain(none).collect());
    })
}

/// One line a set and interval, over all rows.
fn intervals_text(all: &Segment) -> String {
    let line = |model: &str, crossed: Option<f64>, i: &IntervalSummary| {
        let name = format!("{} to {}", level_name(i.lower), level_name(i.upper));
        let held = [figure(Some(i.nominal), 2), figure(i.coverage, 3), ends(i.coverage_interval), figure(i.naive_coverage, 3)];
        let wide = [figure(i.width, 3), figure(i.naive_width, 3), figure(crossed, 3)];
        [model.to_owned(), name].into_iter().chain(held).chain(wide).collect()
    };
    lines(all, &["set", "interval", "meant", "held", "95 %", "naive", "width", "naive", "crossed"], |model, set, lines| {
        lines.extend(set.intervals.iter().map(|i| line(model, set.crossed, i)));
    })
}

fn lines(all: &Segment, header: &[&str], mut each: impl FnMut(&str, &SetSummary, &mut Vec<Vec<String>>)) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let mut rows = Vec::new();
    for model in &all.models {
        if let Some(set) = &model.set {
            each(&model.model, set, &mut rows);
        }
    }
    aligned(&header, &rows)
}

fn ends(ends: Option<Interval>) -> String {
    interval(ends, 3)
}
