//! Owns what `signal` leaves behind: its table, and in `trial` every past day's signal and what acting on them came to. Invariant: no figure of a rule is told
//! without that of buying every day.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use serde_json::json;

use crate::base::json;
use crate::engine::judging::bootstrap::Interval;
use crate::engine::judging::policy::{Acted, Decision, OfPolicy, OfSignal, Signal};
use crate::engine::judging::text::aligned;
use crate::engine::numbers::count;
use crate::engine::past_forecasts::Prediction;
use crate::engine::table_columns::{self, Values};
use crate::engine::table_file;
use crate::io::fs;
use crate::kinds::request::Response;
use crate::kinds::signal_days::{Day, SignalError};
use crate::kinds::signal_rules::Said;

/// The readable text of a trial.
pub const TEXT_FILE: &str = "trial.md";
/// Every day of the trial.
pub const ROWS_FILE: &str = "trial.parquet";
/// The figures, for programs.
pub const FIGURES_FILE: &str = "trial.json";

/// What there is to tell.
#[derive(Debug)]
pub struct Signals {
    /// The days.
    pub days: Vec<Day>,
    /// What the rules say of each.
    pub said: Vec<Said>,
    /// What they would have said, where that was asked.
    pub tried: Option<Tried>,
}

/// The rules, tried out.
#[derive(Debug)]
pub struct Tried {
    /// The forecasts of the backtest.
    pub predictions: Vec<Prediction>,
    /// What the rules say of each.
    pub said: Vec<Said>,
    /// What acting on it came to.
    pub acted: Acted,
}

/// Writes the table, and says what holds today.
///
/// # Errors
/// When a file cannot be written.
pub fn write(signals: &Signals, digests: &BTreeMap<String, String>, out: &Path) -> Result<Response, SignalError> {
    fs::create_folders(out)?;
    table_file::write(&out.join(table_file::FILE_NAME), &table(signals, digests)?, &["date".to_owned()])?;
    let Some((day, said)) = signals.days.iter().zip(&signals.said).find(|(day, _)| day.newest) else { return Ok(Response::default()) };
    let expected = day.change().map(|change| format!(" ({} expected by {})", percent(change), day.target_date));
    let word = said.signal.map_or("undecided", Signal::word);
    let note = format!("{}: {word}, {}{}", day.date, said.reason, expected.unwrap_or_default());
    let metrics = day.change().map(|change| ("change".to_owned(), change)).into_iter().collect();
    Ok(Response { metrics, notes: vec![note], ..Response::default() })
}

fn table(signals: &Signals, digests: &BTreeMap<String, String>) -> Result<RecordBatch, ArrowError> {
    let (days, said) = (&signals.days, &signals.said);
    let dates = |date: fn(&Day) -> NaiveDate| Values::Dates(days.iter().map(|day| Some(date(day).to_epoch_days())).collect());
    let floats = |value: &dyn Fn(&Day) -> Option<f64>| Values::Floats(days.iter().map(value).collect());
    let bools = |value: fn(&Day) -> bool| Values::Bools(days.iter().map(|day| Some(value(day))).collect());
    let hash = |slot: &str| Values::Strings(vec![digests.get(slot).cloned(); days.len()]);
    let mut columns = vec![
        ("date", dates(|day| day.date)),
        ("target_date", dates(|day| day.target_date)),
        ("newest", bools(|day| day.newest)),
        ("complete", bools(|day| day.complete)),
    ];
    columns.extend(spoken(said));
    columns.extend([
        ("price", floats(&|day| Some(day.price))),
        ("predicted", floats(&|day| Some(day.predicted))),
        ("change", floats(&Day::change)),
        ("lower_80", floats(&|day| day.intervals[0])),
        ("upper_80", floats(&|day| day.intervals[1])),
        ("lower_95", floats(&|day| day.intervals[2])),
        ("upper_95", floats(&|day| day.intervals[3])),
        ("forecast_hash", hash("forecast")),
        ("features_hash", hash("features")),
    ]);
    table_columns::table(columns.into_iter().map(|(name, values)| (name.to_owned(), values)))
}

/// The columns that say what the rules say.
fn spoken(said: &[Said]) -> [(&'static str, Values); 4] {
    let texts = |value: &dyn Fn(&Said) -> Option<String>| Values::Strings(said.iter().map(value).collect());
    let rule = |said: &Said| said.rule.and_then(|rule| i64::try_from(rule).ok());
    [
        ("signal", texts(&|said| said.signal.map(|signal| signal.word().to_owned()))),
        ("rule", Values::Ints(said.iter().map(rule).collect())),
        ("reason", texts(&|said| Some(said.reason.clone()))),
        ("figures", texts(&|said| Some(json!(said.figures).to_string()))),
    ]
}

/// Writes the trial, and says how it went.
///
/// # Errors
/// When a file cannot be written.
pub fn write_trial(tried: &Tried, out: &Path) -> Result<Response, SignalError> {
    fs::create_folders(out)?;
    table_file::write(&out.join(ROWS_FILE), &rows(tried)?, &["date".to_owned()])?;
    fs::write(&out.join(FIGURES_FILE), json::pretty(&tried.acted)?.as_bytes())?;
    fs::write(&out.join(TEXT_FILE), text(&tried.acted).as_bytes())?;
    Ok(response(&tried.acted))
}

fn rows(tried: &Tried) -> Result<RecordBatch, ArrowError> {
    let all = &tried.predictions;
    let decision = |at: usize| Some(Decision { row: all[at].row, predicted: all[at].predicted, signal: tried.said[at].signal? });
    let dates = |date: fn(&Prediction) -> NaiveDate| Values::Dates(all.iter().map(|p| Some(date(p).to_epoch_days())).collect());
    let floats = |value: &dyn Fn(usize) -> Option<f64>| Values::Floats((0..all.len()).map(value).collect());
    let share = |of: f64, price: f64| (price > 0.0).then(|| of / price - 1.0);
    let mut columns = vec![("date", dates(|p| p.row.date)), ("outcome_date", dates(|p| p.row.outcome_date))];
    columns.extend(spoken(&tried.said));
    columns.extend([
        ("price", floats(&|at| Some(all[at].row.price))),
        ("predicted", floats(&|at| Some(all[at].predicted))),
        ("actual", floats(&|at| Some(all[at].row.actual))),
        ("change", floats(&|at| share(all[at].predicted, all[at].row.price))),
        ("realised_change", floats(&|at| share(all[at].row.actual, all[at].row.price))),
        ("cost", floats(&|at| Some(decision(at)?.cost()))),
        ("saved", floats(&|at| Some(all[at].row.price - decision(at)?.cost()))),
    ]);
    table_columns::table(columns.into_iter().map(|(name, values)| (name.to_owned(), values)))
}

fn response(acted: &Acted) -> Response {
    let mut metrics = BTreeMap::from([
        ("trial/n".to_owned(), count(acted.n)),
        ("trial/effective_n".to_owned(), acted.effective_n),
        ("trial/undecided".to_owned(), count(acted.undecided)),
    ]);
    for of in &acted.signals {
        let name = |figure: &str| format!("trial/{}/{figure}", of.signal.word());
        metrics.insert(name("n"), count(of.n));
        metrics.insert(name("apart"), count(of.apart));
        metrics.extend([("change", of.change), ("hit", of.hit)].into_iter().filter_map(|(figure, value)| Some((name(figure), value?))));
    }
    for of in &acted.policies {
        metrics.extend(of.saved_share.map(|share| (format!("trial/{}/saved_share", of.policy), share)));
    }
    let told = |policy: &str| acted.policies.iter().find(|of| of.policy == policy).and_then(|of| of.saved_share);
    let note = told("rule").zip(told("wait every day")).map(|(rule, wait)| {
        let (from, to) = (acted.first_date, acted.last_date);
        let share = percent;
        format!("{from} to {to}: saved {} against buying every day; waiting every day {} ({} days)", share(rule), share(wait), acted.n)
    });
    Response { metrics, notes: note.into_iter().collect(), ..Response::default() }
}

fn text(acted: &Acted) -> String {
    let Acted { n, undecided, first_date, last_date, open_at_once, effective_n, block, bootstrap, .. } = acted;
    let mut text = format!(
        "# What acting on these signals would have come to\n\n\
         {n} days, {first_date} to {last_date}, each by a forecast that the model had not seen; up to {open_at_once} decisions are open at once, so they tell as\n\
         much as about {effective_n:.0} that do not overlap. One unit is needed each day: WAIT buys it at the outcome, BUY and MONITOR buy it today. Intervals are\n\
         95 % (blocks of {block} rows, {} resamples, seed {}). No storage, interest or roll is counted.\n",
        bootstrap.resamples, bootstrap.seed
    );
    if *undecided > 0 {
        let _ = writeln!(text, "{undecided} more days are left out: a figure that the rules read was missing.");
    }
    let header = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let policy = |of: &OfPolicy| {
        let saved = between(of.saved_interval, |value| format!("{value:.4}"));
        vec![of.policy.to_owned(), format!("{:.4}", of.cost), format!("{:.4}", of.saved), saved, shown(of.saved_share)]
    };
    let policies =
        aligned(&header(&["policy", "cost of a unit", "saved", "95 %", "share"]), &acted.policies.iter().map(policy).collect::<Vec<_>>());
    let signal = |of: &OfSignal| {
        let figures =
            [shown(of.change), between(of.change_interval, percent), shown(of.change_of_all), shown(of.hit), shown(of.hit_of_all)];
        [of.signal.word().to_owned(), of.n.to_string(), of.apart.to_string()].into_iter().chain(figures).collect()
    };
    let names = ["signal", "days", "apart", "change after", "95 %", "after any day", "hit", "if every day"];
    let signals = aligned(&header(&names), &acted.signals.iter().map(signal).collect::<Vec<_>>());
    let _ = write!(text, "\n## Cost\n\n{policies}\n## What came after each signal\n\n{signals}");
    text
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn shown(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), percent)
}

fn between(interval: Option<Interval>, shown: impl Fn(f64) -> String) -> String {
    interval.map_or_else(|| "–".to_owned(), |i| format!("{} to {}", shown(i.low), shown(i.high)))
}
