//! Owns what `score` leaves behind. Invariant: how many forecasts have no outcome yet stands before any figure of those that have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use serde::Serialize;
use serde_json::json;

use crate::engine::evaluation::TestRow;
use crate::engine::judging::bootstrap::Bootstrap;
use crate::engine::judging::segments::{By, Judgement, Segment};
use crate::engine::judging::text::aligned;
use crate::engine::numbers::count;
use crate::engine::published::{Fate, Published};
use crate::engine::table_columns::{self, Values};
use crate::engine::table_file;
use crate::io::fs;
use crate::kinds::evaluate_report::{ReportError, write_json};
use crate::kinds::request::Response;
use crate::model::series::Series;

/// The readable table.
pub const TEXT_FILE: &str = "score.md";
/// Every published forecast and what came of it.
pub const ROWS_FILE: &str = "forecasts.parquet";
/// The figures, for programs.
pub const FIGURES_FILE: &str = "score.json";
/// The figures as a table.
pub const METRICS_FILE: &str = "metrics.parquet";

/// What there is to tell.
#[derive(Debug)]
pub struct Scored {
    /// The forecasts, by model, horizon and date.
    pub all: Vec<Published>,
    /// What came of each.
    pub fates: Vec<Fate>,
    /// How many more rows said the same again.
    pub repeated: usize,
    /// The day of the newest price.
    pub prices_until: NaiveDate,
    /// What they are prices of.
    pub series: Series,
    /// How intervals are made.
    pub bootstrap: Bootstrap,
    /// Each model and horizon.
    pub groups: Vec<Group>,
}

/// One model at one horizon.
#[derive(Debug, Serialize)]
pub struct Group {
    /// The model; empty where models are not told apart.
    pub model: String,
    /// The horizon; empty where horizons are not told apart.
    pub horizon: String,
    /// Forecasts published.
    pub published: usize,
    /// Those without an outcome yet.
    pub open: usize,
    /// Those whose days have no price.
    pub without_price: usize,
    /// The day on which the next one comes due.
    #[serde(serialize_with = "as_text")]
    pub next_due: Option<NaiveDate>,
    /// How the others did.
    pub judgement: Option<Judgement>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn as_text<S: serde::Serializer>(date: &Option<NaiveDate>, serializer: S) -> Result<S::Ok, S::Error> {
    match date {
        Some(date) => serializer.collect_str(date),
        None => serializer.serialize_none(),
    }
}

impl Group {
    fn name(&self) -> String {
        let name = format!("{} {}", self.model, self.horizon).trim().to_owned();
        if name.is_empty() { "all".to_owned() } else { name }
    }

    fn all(&self) -> Option<&Segment> {
        self.judgement.as_ref()?.segments.iter().find(|segment| segment.by == By::All)
    }
}

/// Writes the artifact.
///
/// # Errors
/// When a file cannot be written.
pub fn write(scored: &Scored, out: &Path) -> Result<(), ReportError> {
    fs::create_folders(out)?;
    let key = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    table_file::write(&out.join(ROWS_FILE), &rows(scored)?, &key(&["model", "horizon", "date", "target_date"]))?;
    table_file::write(&out.join(METRICS_FILE), &metrics(&scored.groups)?, &key(&["model", "horizon", "by", "segment"]))?;
    let figures = json!({ "prices_until": scored.prices_until.to_string(), "series": scored.series, "repeated": scored.repeated, "groups": scored.groups });
    write_json(out, FIGURES_FILE, &figures)?;
    Ok(fs::write(&out.join(TEXT_FILE), text(scored).as_bytes())?)
}

fn rows(scored: &Scored) -> Result<RecordBatch, ArrowError> {
    let texts = |value: &dyn Fn(usize) -> String| Values::Strings((0..scored.all.len()).map(|at| Some(value(at))).collect());
    let dates = |value: fn(&Published) -> NaiveDate| Values::Dates(scored.all.iter().map(|one| Some(value(one).to_epoch_days())).collect());
    let due = |value: fn(&TestRow) -> f64| Values::Floats(scored.fates.iter().map(|fate| fate.due().as_ref().map(value)).collect());
    let outcome = scored.fates.iter().map(|fate| fate.due().map(|row| row.outcome_date.to_epoch_days()));
    let error = scored.all.iter().zip(&scored.fates).map(|(one, fate)| fate.due().map(|row| one.predicted - row.actual));
    let columns = [
        ("model", texts(&|at| scored.all[at].model.clone())),
        ("horizon", texts(&|at| scored.all[at].horizon.clone())),
        ("date", dates(|one| one.date)),
        ("target_date", dates(|one| one.target_date)),
        ("state", texts(&|at| scored.fates[at].word().to_owned())),
        ("outcome_date", Values::Dates(outcome.collect())),
        ("price", due(|row| row.price)),
        ("predicted", Values::Floats(scored.all.iter().map(|one| Some(one.predicted)).collect())),
        ("actual", due(|row| row.actual)),
        ("error", Values::Floats(error.collect())),
        ("naive_error", due(|row| row.price - row.actual)),
    ];
    table_columns::table(columns.map(|(name, values)| (name.to_owned(), values)))
}

/// One row a model, horizon and part of its time.
fn metrics(groups: &[Group]) -> Result<RecordBatch, ArrowError> {
    let of_group = |group: &'_ Group| -> Vec<(String, String, Segment)> {
        let segments = group.judgement.iter().flat_map(|judgement| &judgement.segments);
        segments.map(|segment| (group.model.clone(), group.horizon.clone(), segment.clone())).collect()
    };
    let all: Vec<_> = groups.iter().flat_map(of_group).collect();
    let texts = |value: &dyn Fn(&(String, String, Segment)) -> String| Values::Strings(all.iter().map(|row| Some(value(row))).collect());
    let dates = |value: fn(&Segment) -> NaiveDate| Values::Dates(all.iter().map(|row| Some(value(&row.2).to_epoch_days())).collect());
    let mut columns = vec![
        ("model", texts(&|row| row.0.clone())),
        ("horizon", texts(&|row| row.1.clone())),
        ("by", texts(&|row| row.2.by.word().to_owned())),
        ("segment", texts(&|row| row.2.segment.clone())),
        ("first_date", dates(|segment| segment.first_date)),
        ("last_date", dates(|segment| segment.last_date)),
        ("n", Values::Ints(all.iter().map(|row| Some(row.2.n.cast_signed())).collect())),
    ];
    columns.extend(FIGURES.iter().map(|(name, value)| (*name, Values::Floats(all.iter().map(|row| value(&row.2)).collect()))));
    table_columns::table(columns.into_iter().map(|(name, values)| (name.to_owned(), values)))
}

/// A figure: its name and how it is found.
type Figure = (&'static str, fn(&Segment) -> Option<f64>);

/// The figures of a part: there is one model in each.
const FIGURES: &[Figure] = &[
    ("effective_n", |s| Some(s.effective_n)),
    ("mae", |s| s.models.first()?.summary.model.mae),
    ("mae_low", |s| Some(s.models.first()?.mae_interval?.low)),
    ("mae_high", |s| Some(s.models.first()?.mae_interval?.high)),
    ("naive_mae", |s| s.models.first()?.summary.naive.mae),
    ("mae_ratio", |s| s.models.first()?.summary.mae_ratio),
    ("mae_ratio_low", |s| Some(s.models.first()?.ratio_interval?.low)),
    ("mae_ratio_high", |s| Some(s.models.first()?.ratio_interval?.high)),
    ("rmse", |s| s.models.first()?.summary.model.rmse),
    ("naive_rmse", |s| s.models.first()?.summary.naive.rmse),
    ("mape", |s| s.models.first()?.summary.model.mape),
    ("naive_mape", |s| s.models.first()?.summary.naive.mape),
    ("direction", |s| s.models.first()?.summary.model.direction),
    ("up", |s| s.up),
    ("dm_p", |s| Some(s.models.first()?.dm_absolute?.p)),
];

/// How many have an outcome, and how the model that did best did.
#[must_use]
pub fn response(scored: &Scored) -> Response {
    let due = scored.fates.iter().filter(|fate| fate.due().is_some()).count();
    let open: usize = scored.groups.iter().map(|group| group.open).sum();
    let mut metrics = BTreeMap::from(
        [("published", count(scored.all.len())), ("due", count(due)), ("open", count(open))].map(|(n, v)| (n.to_owned(), v)),
    );
    for group in &scored.groups {
        let Some(all) = group.all() else { continue };
        let figures = ["effective_n", "mae", "naive_mae", "mae_ratio"];
        let known = FIGURES.iter().filter(|(name, _)| figures.contains(name)).filter_map(|(name, value)| Some((*name, value(all)?)));
        metrics.extend(known.map(|(name, value)| (format!("{}/{name}", group.name()), value)));
    }
    let mut notes = vec![counted(scored)];
    let best = scored.groups.iter().filter_map(|group| {
        let model = group.all()?.models.first()?;
        Some((group, group.all()?, model.summary.model.mae?, model.summary.naive.mae?))
    });
    notes.extend(best.map(|(group, all, mae, naive)| {
        format!(
            "{}: mean error {mae:.4}, naive {naive:.4} ({} forecasts, about {:.0} that do not overlap)",
            group.name(),
            all.n,
            all.effective_n
        )
    }));
    Response { metrics, notes, ..Response::default() }
}

/// How many forecasts there are, and how many of them have come due.
fn counted(scored: &Scored) -> String {
    let due = scored.fates.iter().filter(|fate| fate.due().is_some()).count();
    let n = scored.all.len();
    let until = scored.prices_until;
    let mut text = match due {
        0 => format!("{n} published, none has an outcome yet: prices end on {until}"),
        _ => format!("{n} published, {due} have an outcome by {until}"),
    };
    if let Some(next) = scored.groups.iter().filter_map(|group| group.next_due).min() {
        let _ = write!(text, ", the next comes due on {next}");
    }
    let without: usize = scored.groups.iter().map(|group| group.without_price).sum();
    if without > 0 {
        let _ = write!(text, "; {without} have no price near their days");
    }
    if scored.repeated > 0 {
        let _ = write!(text, "; {} rows repeat one that is counted", scored.repeated);
    }
    text
}

fn text(scored: &Scored) -> String {
    let mut text = format!("# Published forecasts and what came\n\n{}.\n", counted(scored));
    let header = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let figure = |value: Option<f64>, digits: usize| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"));
    let of =
        |segment: Option<&Segment>, name: &str| FIGURES.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value(segment?));
    let row = |group: &Group| {
        let (all, due) = (group.all(), group.published - group.open - group.without_price);
        let counts = [group.published, due, group.open].map(|n| n.to_string());
        let between = of(all, "mae_ratio_low").zip(of(all, "mae_ratio_high"));
        let figures = [
            figure(of(all, "effective_n"), 0),
            figure(of(all, "mae"), 4),
            figure(of(all, "naive_mae"), 4),
            figure(of(all, "mae_ratio"), 3),
            between.map_or_else(|| "–".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}")),
            figure(of(all, "direction"), 3),
            figure(of(all, "up"), 3),
        ];
        std::iter::once(group.name()).chain(counts).chain(figures).collect::<Vec<_>>()
    };
    let names = ["model", "published", "due", "open", "effective n", "MAE", "naive", "ratio", "95 %", "direction", "up"];
    let table = aligned(&header(&names), &scored.groups.iter().map(row).collect::<Vec<_>>());
    let _ = write!(text, "\n## All that have an outcome\n\n{table}");
    let parts: Vec<Vec<String>> = scored.groups.iter().flat_map(|group| quarters(group).into_iter()).collect();
    if !parts.is_empty() {
        let table = aligned(&header(&["model", "made in", "n", "MAE", "naive", "ratio"]), &parts);
        let _ = write!(text, "\n## By quarter\n\n{table}");
    }
    text
}

/// How a model did in each quarter: drift shows here.
fn quarters(group: &Group) -> Vec<Vec<String>> {
    let figure = |value: Option<f64>, digits: usize| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"));
    let segments = group.judgement.iter().flat_map(|judgement| &judgement.segments).filter(|segment| segment.by == By::Quarter);
    let row = |segment: &Segment| {
        let summary = segment.models.first().map(|model| model.summary);
        let (mae, naive) = (summary.and_then(|s| s.model.mae), summary.and_then(|s| s.naive.mae));
        let ratio = summary.and_then(|s| s.mae_ratio);
        vec![group.name(), segment.segment.clone(), segment.n.to_string(), figure(mae, 4), figure(naive, 4), figure(ratio, 3)]
    };
    segments.map(row).collect()
}
