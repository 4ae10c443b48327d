//! Owns judgements as text for people, in Markdown whose columns also line up as they stand. Invariant: a figure stands beside naive's, and one that is
//! not defined is a dash.

use std::fmt::Write as _;

use chrono::NaiveDate;

use crate::engine::judging::bootstrap::Interval;
use crate::engine::judging::importance::Importance;
use crate::engine::judging::segments::{By, Judgement, ModelSummary, Segment};

/// What stands for a figure that is not defined.
const NONE: &str = "–";
/// Features shown of each model.
const TOP: usize = 10;

/// A table: the first column's cells begin at the left, the others' end at the right.
#[must_use]
pub fn aligned(header: &[String], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
    let width = |at: usize| rows.iter().map(|row| cell(row, at)).chain([cell(header, at)]).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(|at| width(at).max(3)).collect();
    let line = |row: &[String]| {
        let one = |(at, width): (usize, &usize)| match at {
            0 => format!("{:<width$}", cell(row, at)),
            _ => format!("{:>width$}", cell(row, at)),
        };
        format!("| {} |\n", widths.iter().enumerate().map(one).collect::<Vec<_>>().join(" | "))
    };
    let rule = |(at, width): (usize, &usize)| if at == 0 { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) };
    let rule: Vec<String> = widths.iter().enumerate().map(rule).collect();
    std::iter::once(line(header)).chain([line(&rule)]).chain(rows.iter().map(|row| line(row))).collect()
}

/// The whole judgement, under a heading that says what was forecast.
#[must_use]
pub fn text(what: &str, judgement: &Judgement) -> String {
    let mut text = format!("# {what}\n");
    let Some(all) = judgement.segments.iter().find(|segment| segment.by == By::All) else { return text };
    let Judgement { open_at_once, block, bootstrap, .. } = judgement;
    let _ = write!(
        text,
        "\n{} forecasts, made {} to {}; up to {open_at_once} are open at once, so they tell as much as about {:.0} that do not overlap.\n\
         Ratio: MAE over naive's, with its 95 % interval (blocks of {block} rows, {} resamples, seed {}). DM p: Diebold and Mariano's test\n\
         on absolute errors. Up: the share of moves that went up. Holding: the Sharpe ratio of holding throughout.\n",
        all.n, all.first_date, all.last_date, all.effective_n, bootstrap.resamples, bootstrap.seed
    );
    section(&mut text, "Errors", &errors(all));
    section(&mut text, "Fit, direction, position", &positions(all));
    if all.models.iter().any(|model| model.quantile.is_some()) {
        section(&mut text, "Quantiles", &quantiles(all));
    }
    for (by, title) in [(By::Regime, "Ratio by regime"), (By::Year, "Ratio by year"), (By::Quarter, "Ratio by quarter")] {
        let parts: Vec<&Segment> = judgement.segments.iter().filter(|segment| segment.by == by).collect();
        if !parts.is_empty() {
            section(&mut text, title, &ratios(by, &parts));
        }
    }
    for few in &judgement.too_few {
        let _ = write!(text, "\nRegime {}: {} rows, too few to be measured.\n", few.regime, few.n);
    }
    text
}

/// What moves the models of trees, by rows made from `first` to the newest.
#[must_use]
pub fn importance(all: &[Importance], first: NaiveDate) -> String {
    let mut text = String::new();
    for of_model in all.chunk_by(|a, b| a.model == b.model) {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let row = |i: &Importance| vec![i.feature.clone(), figure(Some(i.shap), 5), percent(i.shap_share), percent(i.gain_share)];
        let header = ["feature", "mean abs SHAP", "share", "gain"].map(ToOwned::to_owned);
        let rows: Vec<_> = of_model.iter().take(TOP).map(row).collect();
        let title = format!("What moves {} (SHAP values from {first}, gain over all trees)", of_model[0].model);
        section(&mut text, &title, &aligned(&header, &rows));
    }
    text
}

/// Adds a table under its title.
pub fn section(text: &mut String, title: &str, table: &str) {
    let _ = write!(text, "\n## {title}\n\n{table}");
}

fn errors(all: &Segment) -> String {
    let row = |m: &ModelSummary| {
        let (model, naive) = (&m.summary.model, &m.summary.naive);
        vec![
            m.model.clone(),
            figure(model.mae, 4),
            interval(m.mae_interval, 4),
            figure(naive.mae, 4),
            figure(m.summary.mae_ratio, 3),
            interval(m.ratio_interval, 3),
            figure(m.dm_absolute.map(|v| v.p), 3),
            figure(model.rmse, 4),
            figure(naive.rmse, 4),
            figure(model.mape, 2),
            figure(naive.mape, 2),
        ]
    };
    let header = ["model", "MAE", "95 %", "naive", "ratio", "95 %", "DM p", "RMSE", "naive", "MAPE %", "naive"];
    of_models(&header, all, row)
}

fn positions(all: &Segment) -> String {
    let row = |m: &ModelSummary| {
        let (model, naive) = (&m.summary.model, &m.summary.naive);
        let figures = [figure(model.r2, 3), figure(naive.r2, 3), figure(model.direction, 3), figure(all.up, 3)];
        let sharpes = [figure(m.sharpe, 2), figure(all.hold_sharpe, 2)];
        std::iter::once(m.model.clone()).chain(figures).chain(sharpes).collect()
    };
    of_models(&["model", "R²", "naive", "direction", "up", "Sharpe", "holding"], all, row)
}

fn quantiles(all: &Segment) -> String {
    let row = |m: &ModelSummary| {
        let of = |value: fn(&crate::engine::metrics::QuantileErrors) -> Option<f64>| figure(m.quantile.as_ref().and_then(value), 4);
        let figures = [of(|q| Some(q.level)), of(|q| q.pinball), of(|q| q.naive_pinball), of(|q| q.coverage), of(|q| q.naive_coverage)];
        std::iter::once(m.model.clone()).chain(figures).collect()
    };
    of_models(&["model", "quantile", "pinball", "naive", "coverage", "naive"], all, row)
}

fn of_models(header: &[&str], all: &Segment, row: impl Fn(&ModelSummary) -> Vec<String>) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    aligned(&header, &all.models.iter().map(row).collect::<Vec<_>>())
}

/// One line a segment: its rows, naive's error, and each model's error over it.
fn ratios(by: By, parts: &[&Segment]) -> String {
    let names = parts.first().map(|part| part.models.iter().map(|model| model.model.clone()).collect::<Vec<_>>());
    let header: Vec<String> = [by.word(), "n", "naive MAE"].map(ToOwned::to_owned).into_iter().chain(names.unwrap_or_default()).collect();
    let row = |part: &&Segment| {
        let naive = part.models.first().and_then(|model| model.summary.naive.mae);
        let ratios = part.models.iter().map(|model| figure(model.summary.mae_ratio, 3));
        [part.segment.clone(), part.n.to_string(), figure(naive, 4)].into_iter().chain(ratios).collect()
    };
    aligned(&header, &parts.iter().map(row).collect::<Vec<_>>())
}

/// A figure with so many digits; a dash where there is none.
#[must_use]
pub fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.digits$}"))
}

/// Both ends of an interval; a dash where there is none.
#[must_use]
pub fn interval(interval: Option<Interval>, digits: usize) -> String {
    interval.map_or_else(|| NONE.to_owned(), |i| format!("{:.digits$} to {:.digits$}", i.low, i.high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_stands_in_them() {
        let texts = |row: &[&str]| row.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
        let table = aligned(&texts(&["model", "R²"]), &[texts(&["a", "–"]), texts(&["longer", "0.125"])]);
        assert_eq!(table, "| model  |    R² |\n| ------ | ----: |\n| a      |     – |\n| longer | 0.125 |\n");
    }

    #[test]
    fn the_ten_features_that_move_a_model_most_are_shown() {
        let one = |model: &str, at: u32| Importance {
            model: model.into(),
            feature: format!("f{at}"),
            gain: 1.0,
            gain_share: 0.25,
            shap: 1.0 / f64::from(at),
            shap_share: 0.5,
        };
        let all: Vec<_> = (1..13).map(|at| one("a", at)).chain([one("b", 2)]).collect();
        let text = importance(&all, "2018-01-02".parse().unwrap());
        assert!(text.contains("\n## What moves b (SHAP values from 2018-01-02, gain over all trees)\n"));
        assert!(text.contains("| f10     |       0.10000 | 50.0 % | 25.0 % |") && !text.contains("f11"), "{text}");
    }
}
