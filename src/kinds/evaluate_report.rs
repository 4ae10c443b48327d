//! Owns what `evaluate` leaves behind: the `metrics` artifact and the numbers of its report. Invariant: all of it is made from one judgement, and none
//! says a model's error without naive's.

use std::path::Path;

use arrow::error::ArrowError;
use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::base::json;
use crate::engine::evaluation::{Judged, TestRow};
use crate::engine::judging::importance::{self, Importance};
use crate::engine::judging::quantile_sets::SetSummary;
use crate::engine::judging::segments::{By, Judgement, ModelSummary, Segment};
use crate::engine::judging::{quantile_tables, tables, text};
use crate::engine::metrics::Errors;
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};
use crate::kinds::request::Response;
use crate::model::training::{FrameRecord, level_name};

/// The readable table in the artifact.
pub const TEXT_FILE: &str = "metrics.md";

/// What the naive forecast is called among the reported numbers.
pub const NAIVE: &str = "naive";

/// Why the artifact is not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A table cannot be made.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// A table cannot be written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The figures cannot be written as JSON.
    #[error("{file}: {source}")]
    Json {
        /// The file.
        file: &'static str,
        /// What the writer says.
        source: serde_json::Error,
    },
}

/// What there is to tell.
pub struct Told<'a> {
    /// The frame's record.
    pub frame: &'a FrameRecord,
    /// Its test rows.
    pub rows: &'a [TestRow],
    /// What the models forecast of them.
    pub models: &'a [Judged],
    /// How they did.
    pub judgement: &'a Judgement,
    /// What moves them, and the date of the first row that was asked, where it was asked.
    pub explained: Option<&'a (Vec<Importance>, NaiveDate)>,
}

/// Writes the artifact.
///
/// # Errors
/// When a file cannot be written.
pub fn write(told: &Told, out: &Path) -> Result<(), ReportError> {
    fs::create_folders(out)?;
    let key = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let measures = tables::metrics(&told.judgement.segments)?;
    table_file::write(&out.join("metrics.parquet"), &measures, &key(&["model", "by", "segment"]))?;
    table_file::write(&out.join("predictions.parquet"), &tables::predictions(told.rows, told.models)?, &key(&["date", "model"]))?;
    let mut readable = text::text(&heading(told.frame), told.judgement);
    if told.models.iter().any(|model| model.set.is_some()) {
        let segments = &told.judgement.segments;
        table_file::write(&out.join("quantiles.parquet"), &quantile_tables::levels(segments)?, &key(&["model", "by", "segment", "level"]))?;
        table_file::write(
            &out.join("intervals.parquet"),
            &quantile_tables::intervals(segments)?,
            &key(&["model", "by", "segment", "lower"]),
        )?;
        let forecasts = quantile_tables::predictions(told.rows, told.models)?;
        table_file::write(&out.join("quantile_predictions.parquet"), &forecasts, &key(&["date", "model", "level"]))?;
        readable.push_str(&quantile_tables::text(told.judgement));
    }
    if let Some((all, first)) = told.explained {
        table_file::write(&out.join("importance.parquet"), &importance::table_of(all)?, &key(&["model", "feature"]))?;
        readable.push_str(&text::importance(all, *first));
    }
    fs::write(&out.join(TEXT_FILE), readable.as_bytes())?;
    let about = json!({ "label": told.frame.label, "price": told.frame.price, "test": told.frame.split.test });
    let mut all = json!(told.judgement);
    all["frame"] = about;
    write_json(out, "metrics.json", &all)
}

/// Writes figures into the file of this name.
///
/// # Errors
/// When it cannot be written.
pub fn write_json(out: &Path, file: &'static str, figures: &Value) -> Result<(), ReportError> {
    let text = json::pretty(figures).map_err(|source| ReportError::Json { file, source })?;
    Ok(fs::write(&out.join(file), text.as_bytes())?)
}

/// What was forecast, and what its prices are prices of.
fn heading(frame: &FrameRecord) -> String {
    let (price, ahead) = (&frame.price, frame.label.horizon.in_words());
    let caution = price.series.caution().map(|caution| format!(": {caution}")).unwrap_or_default();
    format!("{}.{}, {ahead} ahead\n\nPrices: {}{caution}.", price.table, price.column, price.series)
}

/// The measures over all rows as flat numbers, and the best model in a sentence.
#[must_use]
pub fn response(judgement: &Judgement) -> Response {
    let mut report = Response::default();
    let Some(all) = judgement.segments.iter().find(|segment| segment.by == By::All) else { return report };
    #[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
    report.metrics.insert("n".into(), all.n as f64);
    report.metrics.insert("effective_n".into(), all.effective_n);
    if let Some(model) = all.models.first() {
        numbers(&mut report, NAIVE, errors(&model.summary.naive));
    }
    for model in &all.models {
        numbers(&mut report, &model.model, errors(&model.summary.model));
        numbers(&mut report, &model.model, beside_naive(model));
        if let Some(set) = &model.set {
            of_set(&mut report, &model.model, set);
        }
    }
    report.notes.extend(best(all));
    report
}

fn errors(errors: &Errors) -> [(&'static str, Option<f64>); 5] {
    [("mape", errors.mape), ("mae", errors.mae), ("rmse", errors.rmse), ("r2", errors.r2), ("direction", errors.direction)]
}

fn beside_naive(model: &ModelSummary) -> [(&'static str, Option<f64>); 6] {
    [
        ("mae_ratio", model.summary.mae_ratio),
        ("mae_ratio_low", model.ratio_interval.map(|i| i.low)),
        ("mae_ratio_high", model.ratio_interval.map(|i| i.high)),
        ("rmse_ratio", model.summary.rmse_ratio),
        ("dm_p", model.dm_absolute.map(|v| v.p)),
        ("sharpe", model.sharpe),
    ]
}

fn of_set(report: &mut Response, model: &str, set: &SetSummary) {
    let whole = [("pinball", set.pinball), ("pinball_ratio", set.pinball_ratio), ("crossed", set.crossed)];
    numbers(report, model, whole);
    for level in &set.levels {
        let name = format!("{model}/{}", level_name(level.level));
        numbers(report, &name, [("pinball", level.pinball), ("naive_pinball", level.naive_pinball), ("coverage", level.coverage)]);
    }
    for i in &set.intervals {
        let name = format!("{model}/{}_{}", level_name(i.lower), level_name(i.upper));
        numbers(
            report,
            &name,
            [("coverage", i.coverage), ("naive_coverage", i.naive_coverage), ("width", i.width), ("naive_width", i.naive_width)],
        );
    }
}

fn numbers<const N: usize>(report: &mut Response, model: &str, named: [(&str, Option<f64>); N]) {
    let known = named.into_iter().filter_map(|(measure, value)| Some((format!("{model}/{measure}"), value?)));
    report.metrics.extend(known);
}

/// The model with the smallest mean error, beside naive, and how sure that is.
fn best(all: &Segment) -> Option<String> {
    let measured = all.models.iter().filter_map(|m| Some((m, m.summary.model.mae?, m.summary.naive.mae?)));
    let (best, mae, naive) = measured.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let sure = match best.ratio_interval {
        None => ", too few for an interval".to_owned(),
        // That of a model that forecasts what naive does: it says nothing.
        Some(i) if i.low >= i.high => String::new(),
        Some(i) => format!(", ratio 95 % {:.3} to {:.3}", i.low, i.high),
    };
    let span = format!("{} forecasts, {} to {}", all.n, all.first_date, all.last_date);
    Some(format!("smallest mean error: {} with {mae:.4}, naive {naive:.4}{sure} ({span})", best.model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Future, Roll, Series};
    use crate::model::training::{Horizon, Label, LabelKind, PriceColumn, Split};

    #[test]
    fn a_judgement_on_a_future_begins_with_its_contract_and_what_its_rolls_do() {
        let [symbol, exchange, contract] = ["ZL", "CBOT", "front month"].map(str::to_owned);
        let frame = |roll| FrameRecord {
            features: Vec::new(),
            label: Label { kind: LabelKind::LogReturn, horizon: Horizon::Rows(5) },
            price: PriceColumn {
                table: "zl.markets".into(),
                column: "price".into(),
                series: Series::Future(Future { symbol: symbol.clone(), exchange: exchange.clone(), contract: contract.clone(), roll }),
            },
            split: Split { train: None, valid: None, test: None },
            weight: None,
            folds: None,
            joined: Vec::new(),
            past: None,
        };
        let unadjusted = "zl.markets.price, 5 rows ahead\n\nPrices: ZL (CBOT) front month, unadjusted: a change over a roll holds the gap";
        assert!(heading(&frame(Roll::Unadjusted)).starts_with(unadjusted), "{}", heading(&frame(Roll::Unadjusted)));
        assert!(heading(&frame(Roll::RatioAdjusted)).contains("ratio-adjusted: levels before the newest roll were never paid"));
    }
}
