//! Owns what `regime_classifier` leaves behind: a table of days, JSON, a readable text and the numbers of its report. Invariant: no share of days named
//! rightly stands without those of saying that the newest regime goes on, and without the days on which nobody could be right.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::engine::classes::{ClassErrors, ClassFigures, Day};
use crate::engine::frame_file::iso_date;
use crate::engine::judging::text::{aligned, figure};
use crate::engine::numbers::count;
use crate::engine::table_columns::{Values, table};
use crate::engine::table_file;
use crate::io::fs;
use crate::kinds::evaluate_report::{ReportError, write_json};
use crate::kinds::request::Response;

/// The readable text in the artifact.
pub const TEXT_FILE: &str = "regimes.md";

/// Which of the regimes before its own the newest day looks like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Likeness {
    /// The newest day, days since 1970-01-01.
    #[serde(skip)]
    pub date: i32,
    /// Its own regime, which is none of those below.
    pub own: String,
    /// The others, the likeliest first.
    pub regimes: Vec<(String, f64)>,
}

/// What there is to tell.
pub struct Told<'a> {
    /// When each day was.
    pub dates: &'a [i32],
    /// What was said of each day.
    pub days: &'a [Day],
    /// How that went.
    pub figures: &'a ClassFigures,
    /// Of the newest day.
    pub likeness: Option<&'a Likeness>,
}

/// Writes the artifact.
///
/// # Errors
/// When a file cannot be written.
pub fn write(told: &Told, out: &Path) -> Result<(), ReportError> {
    fs::create_folders(out)?;
    let texts = |value: fn(&Day) -> &String| Values::Strings(told.days.iter().map(|day| Some(value(day).clone())).collect());
    let floats = |value: fn(&Day) -> Option<f64>| Values::Floats(told.days.iter().map(value).collect());
    let columns = [
        ("date", Values::Dates(told.dates.iter().copied().map(Some).collect())),
        ("regime", texts(|day| &day.class)),
        ("predicted", texts(|day| &day.predicted)),
        ("probability", floats(|day| day.probability)),
        ("newest", texts(|day| &day.newest)),
        ("majority", texts(|day| &day.majority)),
        ("share", floats(|day| day.share)),
    ];
    let days = table(columns.map(|(name, values)| (name.to_owned(), values)))?;
    table_file::write(&out.join("days.parquet"), &days, &["date".to_owned()])?;
    let mut all = json!(told.figures);
    all["likeness"] = json!(told.likeness);
    if let Some(likeness) = told.likeness {
        all["likeness"]["date"] = json!(iso_date(likeness.date));
    }
    write_json(out, "regimes.json", &all)?;
    Ok(fs::write(&out.join(TEXT_FILE), text(told).as_bytes())?)
}

fn text(told: &Told) -> String {
    let f = told.figures;
    let mut text = "# Which regime a day looks like\n".to_owned();
    let (first, last) = (told.dates.iter().min().copied().unwrap_or(0), told.dates.iter().max().copied().unwrap_or(0));
    let _ = write!(
        text,
        "\n{} days, {} to {}, each judged by what was learnt before its fold. On {} of them the regime had not been seen before: nothing that\n\
         learns from the past can name it, and those days count as wrong. Regimes follow each other and were named afterwards, so on the other\n\
         days the newest one mostly goes on: that is the yardstick.\n\n",
        f.n,
        iso_date(first),
        iso_date(last),
        f.unseen
    );
    let line =
        |name: &str, e: &ClassErrors| vec![name.to_owned(), figure(e.accuracy, 3), figure(e.accuracy_seen, 3), figure(e.log_loss_seen, 3)];
    let header = ["named by", "right", "right, of seen", "log loss, of seen"].map(ToOwned::to_owned);
    let rows =
        [line("the classifier", &f.model), line("the newest regime goes on", &f.newest), line("the most frequent regime", &f.majority)];
    text.push_str(&aligned(&header, &rows));
    text.push_str("\n## What was named on the days of each regime\n\n");
    let named = |(regime, named): (&String, &BTreeMap<String, usize>)| {
        let all: Vec<String> = named.iter().map(|(name, days)| format!("{name} {days}")).collect();
        vec![regime.clone(), all.join(", ")]
    };
    text.push_str(&aligned(&["regime", "named, days"].map(ToOwned::to_owned), &f.confusion.iter().map(named).collect::<Vec<_>>()));
    if let Some(likeness) = told.likeness {
        let _ = write!(text, "\n## What {} looks like, of the regimes before its own ({})\n\n", iso_date(likeness.date), likeness.own);
        let rows: Vec<Vec<String>> = likeness.regimes.iter().map(|(regime, p)| vec![regime.clone(), figure(Some(*p), 3)]).collect();
        text.push_str(&aligned(&["regime", "probability"].map(ToOwned::to_owned), &rows));
    }
    text
}

/// The figures as numbers, and in sentences.
#[must_use]
pub fn response(told: &Told) -> Response {
    let f = told.figures;
    let mut response = Response::default();
    response.metrics.insert("n".to_owned(), count(f.n));
    response.metrics.insert("unseen".to_owned(), count(f.unseen));
    for (name, errors) in [("model", &f.model), ("newest", &f.newest), ("majority", &f.majority)] {
        let all = [("accuracy", errors.accuracy), ("accuracy_seen", errors.accuracy_seen), ("log_loss_seen", errors.log_loss_seen)];
        response.metrics.extend(all.into_iter().filter_map(|(measure, value)| Some((format!("{name}/{measure}"), value?))));
    }
    let percent = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", 100.0 * share));
    response.notes.push(format!(
        "right on {} of {} days, saying that the newest regime goes on is right on {}; on {} days the regime was new, and nobody can be right",
        percent(f.model.accuracy),
        f.n,
        percent(f.newest.accuracy),
        f.unseen
    ));
    if let Some((regime, probability)) = told.likeness.and_then(|likeness| likeness.regimes.first()) {
        response
            .notes
            .push(format!("of the regimes before its own the newest day looks most like {regime} ({})", percent(Some(*probability))));
    }
    response
}
