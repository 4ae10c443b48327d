//! Owns `cbi models` and `cbi compare`. Invariant: they look and move nothing; what was current on a day is read from the log, as everything is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate, NaiveTime};
use serde_json::{Map, Value, json};

use crate::app::problem::{self, Outcome, Problems};
use crate::app::release_log::Book;
use crate::app::status::Said;
use crate::app::workspace::{Options, Workspace};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::kinds::release::{ARTIFACT, METADATA_FILE};
use crate::mirror::releases;
use crate::model::release::{CURRENT, Entry, History, version_name};
use crate::model::result::ActionResult;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::ui::table::{Cell, Table, Tone};

/// Figures that are listed of each version, and their decimals.
const FIGURES: [(&str, usize); 4] = [("mape", 3), ("mae", 4), ("skill", 4), ("direction", 4)];

/// Two versions side by side.
pub struct Compared {
    /// What is compared, under titles.
    pub parts: Vec<(&'static str, Table)>,
    /// The same for programs.
    pub json: Value,
}

/// What is known of releases: all, or the versions of one; with `on`, what was current on that day (UTC).
///
/// # Errors
/// When the log cannot be read, or tells of no such release.
pub fn models(options: &Options, release: Option<&str>, on: Option<NaiveDate>) -> Outcome<Said> {
    let workspace = Workspace::open(options)?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    let mut book = Book::to_read(&workspace, &session, true)?;
    let names = match release {
        Some(name) => BTreeSet::from([name.to_owned()]),
        None => book.names()?,
    };
    let histories = names.iter().map(|name| book.history(name)).collect::<Outcome<Vec<_>>>()?;
    if let (Some(name), [history]) = (release, histories.as_slice())
        && history.entries().is_empty()
    {
        return Err(unknown(name));
    }
    let (table, total) = match (on, release, histories.as_slice()) {
        (Some(day), ..) => on_day(&histories, day),
        (None, Some(_), [history]) => versions(history),
        _ => overview(&histories),
    };
    let total = match &book.unread {
        Some(why) => format!("{total}\nas it was known here, for the mirror was not read: {why}"),
        None => total,
    };
    let json = json!({ "models": table.json(), "said": total });
    Ok(Said { table, total, json })
}

fn unknown(release: &str) -> Problems {
    let message = format!("'{release}' has no version yet");
    vec![Diagnostic::new(ExitCode::Usage, message).hint(format!("cbi build {release}, then cbi promote {release}"))]
}

fn with_figures(table: Table) -> Table {
    FIGURES.iter().fold(table, |table, (name, _)| table.right(name, name))
}

fn figures(entry: Option<&Entry>) -> impl Iterator<Item = Cell> + '_ {
    let cell = move |(name, decimals): &(&str, usize)| {
        let figure = entry.and_then(|entry| entry.figures.get(*name));
        figure.map_or_else(Cell::none, |figure| Cell::number(*figure, *decimals))
    };
    FIGURES.iter().map(cell)
}

fn candidate(entry: &Entry) -> Cell {
    Cell::pair(entry.candidate.to_string()[..12].to_owned(), json!(entry.candidate)).tone(Tone::Dim)
}

/// Every release.
fn overview(histories: &[History]) -> (Table, String) {
    let mut table = Table::new().left("release", "release").left("current", "current").right("versions", "versions");
    table = with_figures(table).left("since", "since").left("by", "by");
    for history in histories {
        let now = history.at(CURRENT);
        let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::text);
        let mut row = vec![
            Cell::text(history.release()).tone(Tone::Name),
            text(now.map(|entry| version_name(entry.version))),
            Cell::count(history.versions().len() as u64),
        ];
        row.extend(figures(now));
        row.extend([text(now.map(|entry| clock::rfc3339(entry.at_ms))), text(now.map(|entry| entry.by.clone()))]);
        table.row(row);
    }
    let total = if histories.is_empty() { "no release was promoted yet".to_owned() } else { many(histories.len()) };
    (table, total)
}

fn many(releases: usize) -> String {
    if releases == 1 { "1 release".to_owned() } else { format!("{releases} releases") }
}

/// Every version of a release, the newest first.
fn versions(history: &History) -> (Table, String) {
    let mut table = Table::new().left("version", "version").left("channels", "channels");
    table = with_figures(table).left("promoted", "promoted").left("by", "by").left("candidate", "candidate").left("remark", "remark");
    for (version, entry) in history.versions().into_iter().rev() {
        let channels = history.channels().into_iter().filter(|(_, at)| at.version == version);
        let channels: Vec<&str> = channels.map(|(channel, _)| channel).collect();
        let tone = if channels.contains(&CURRENT) { Tone::Good } else { Tone::Plain };
        let mut row = vec![Cell::text(version_name(version)).tone(Tone::Name), Cell::pair(channels.join(", "), json!(channels)).tone(tone)];
        row.extend(figures(Some(entry)));
        row.extend([Cell::text(clock::rfc3339(entry.at_ms)), Cell::text(entry.by.clone()), candidate(entry), Cell::text(remark(entry))]);
        table.row(row);
    }
    let now = history.at(CURRENT).map(|entry| {
        format!("current is {} since {}, {} by {}", version_name(entry.version), clock::rfc3339(entry.at_ms), entry.act.word(), entry.by)
    });
    (table, now.unwrap_or_else(|| "none is current".to_owned()))
}

fn remark(entry: &Entry) -> String {
    let reason = entry.reason.clone().unwrap_or_default();
    if entry.forced() { format!("against its gates: {reason}") } else { reason }
}

/// What was current on a day: at its beginning, and from each move on.
fn on_day(histories: &[History], day: NaiveDate) -> (Table, String) {
    let instant = |day: NaiveDate| u64::try_from(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis()).unwrap_or(0);
    let (begin, end) = (instant(day), instant(day + Days::new(1)));
    let mut table = Table::new().left("release", "release").left("version", "version");
    table = with_figures(table).left("since", "since").left("what", "what").left("by", "by").left("candidate", "candidate");
    for history in histories {
        let before = history.at_instant(CURRENT, begin);
        let during = history.entries().iter().filter(|entry| entry.channel == CURRENT && entry.at_ms > begin && entry.at_ms < end);
        for entry in before.into_iter().chain(during) {
            let mut row = vec![Cell::text(history.release()).tone(Tone::Name), Cell::text(version_name(entry.version))];
            row.extend(figures(Some(entry)));
            row.extend([
                Cell::text(clock::rfc3339(entry.at_ms)),
                Cell::text(entry.act.word()),
                Cell::text(entry.by.clone()),
                candidate(entry),
            ]);
            table.row(row);
        }
    }
    let total = if table.is_empty() { format!("nothing was current on {day}") } else { format!("current on {day} (UTC)") };
    (table, total)
}

/// Two versions of a release side by side. Each is named by its number, or by a channel.
///
/// # Errors
/// When there is no such version, or what is said of it is nowhere to be found.
pub fn compare(options: &Options, release: &str, names: [&str; 2]) -> Outcome<Compared> {
    let workspace = Workspace::open(options)?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    let mut book = Book::to_read(&workspace, &session, true)?;
    let history = book.history(release)?;
    if history.entries().is_empty() {
        return Err(unknown(release));
    }
    let mut sides = Vec::new();
    for name in names {
        let entry = history.named(name).ok_or_else(|| {
            vec![Diagnostic::new(ExitCode::Usage, format!("'{release}' has no version '{name}'")).hint(format!("cbi models {release}"))]
        })?;
        sides.push((version_name(entry.version), said_of(&book, &session, entry)?, entry));
    }
    let [a, b] = [&sides[0], &sides[1]];
    let titles = [a.0.as_str(), b.0.as_str()];
    let pair = |pointer: &str| [a, b].map(|side| side.1.pointer(pointer).cloned().unwrap_or_default());
    let mut parts = vec![
        ("parameters", beside(titles, flat(&pair("/hyperparameters")), Only::Different)),
        ("features", features(titles, &pair("/features"))),
        ("data", beside(titles, flat(&pair("/data")), Only::All)),
        ("metrics", beside(titles, flat(&metrics(&pair("/metrics"))), Only::All)),
        ("test forecasts", forecasts(titles, &pair("/newest_test_forecasts"))),
    ];
    parts.push(("newest forecasts", newest(&session, [a, b].map(|side| (side.0.as_str(), side.2)))?));
    let mut json = json!({ "release": release, "a": side(a), "b": side(b) });
    for (title, table) in &parts {
        json[title.replace(' ', "_")] = table.json();
    }
    Ok(Compared { parts, json })
}

fn side((version, said, entry): &(String, Value, &Entry)) -> Value {
    json!({ "version": version, "candidate": entry.candidate, "promoted": clock::rfc3339(entry.at_ms), "by": entry.by, "kind": said["kind"] })
}

/// What is said of a version: in its artifact, else where people find it in the mirror.
fn said_of(book: &Book, session: &Session, entry: &Entry) -> Outcome<Value> {
    let file = book.result(&entry.action)?.and_then(|result| Some(result.outputs.get(ARTIFACT)?.files.get(METADATA_FILE)?.blob));
    let mut bytes = file.map(|blob| session.content().read(&blob)).transpose().map_err(problem::stores)?.flatten();
    if let (None, Some(mirror)) = (&bytes, book.mirror()) {
        bytes = releases::shown(mirror.bucket(), &entry.release, entry.version).ok().flatten();
    }
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
        let message = format!("what was said of {} of '{}' is not here any more", version_name(entry.version), entry.release);
        vec![Diagnostic::new(ExitCode::ActionFailed, message)]
    })
}

/// Which lines are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    All,
    Different,
}

/// The numbers and texts in two values, by where they stand.
fn flat(values: &[Value; 2]) -> [BTreeMap<String, Value>; 2] {
    [0, 1].map(|index| {
        let mut leaves = BTreeMap::new();
        leaves_of(&values[index], "", &mut leaves);
        leaves
    })
}

fn leaves_of(value: &Value, at: &str, leaves: &mut BTreeMap<String, Value>) {
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(name, value)| leaves_of(value, &inner(name), leaves)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| leaves_of(value, &inner(&index.to_string()), leaves)),
        leaf => _ = leaves.insert(at.to_owned(), leaf.clone()),
    }
}

/// The measures without those of parts.
fn metrics(values: &[Value; 2]) -> [Value; 2] {
    let plain = |value: &Value| {
        let mut all: Map<String, Value> = value.as_object().cloned().unwrap_or_default();
        for left_out in ["model", "set", "quantile"] {
            all.remove(left_out);
        }
        Value::Object(all)
    };
    [plain(&values[0]), plain(&values[1])]
}

fn cell(value: Option<&Value>) -> Cell {
    match value {
        None | Some(Value::Null) => Cell::none(),
        Some(Value::String(text)) => Cell::text(text),
        Some(Value::Number(number)) if number.is_f64() => Cell::number(number.as_f64().unwrap_or_default(), 4),
        Some(other) => Cell::pair(other.to_string(), other.clone()),
    }
}

fn beside([a, b]: [&str; 2], [left, right]: [BTreeMap<String, Value>; 2], only: Only) -> Table {
    let mut table = Table::new().left("name", "").right("a", a).right("b", b);
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names.into_iter().filter(|name| only == Only::All || left.get(*name) != right.get(*name)) {
        table.row(vec![Cell::text(name.clone()).tone(Tone::Name), cell(left.get(name)), cell(right.get(name))]);
    }
    table
}

/// Features that one of the two reads and the other does not.
fn features([a, b]: [&str; 2], values: &[Value; 2]) -> Table {
    let [left, right] = [0, 1].map(|side| values[side].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<BTreeSet<_>>());
    let mut table = Table::new().left("name", "").right("a", a).right("b", b);
    let count = |names: &BTreeSet<&str>| Cell::count(names.len() as u64);
    table.row(vec![Cell::text("how many"), count(&left), count(&right)]);
    let reads = |reads: bool| if reads { Cell::text("reads it") } else { Cell::none() };
    for name in left.symmetric_difference(&right) {
        table.row(vec![Cell::text(*name).tone(Tone::Name), reads(left.contains(name)), reads(right.contains(name))]);
    }
    table
}

/// What both forecast on their newest test rows, by the day on which they did.
fn forecasts([a, b]: [&str; 2], values: &[Value; 2]) -> Table {
    let by_day = |value: &Value| -> BTreeMap<String, Value> {
        value.as_array().into_iter().flatten().filter_map(|row| Some((row["date"].as_str()?.to_owned(), row.clone()))).collect()
    };
    let [left, right] = [by_day(&values[0]), by_day(&values[1])];
    let mut table = Table::new().left("date", "date").left("outcome_date", "comes due").right("price", "price").right("actual", "came");
    table = table.right("a", a).right("b", b);
    let days: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for day in days {
        let known = |name: &str| left.get(day).or(right.get(day)).map(|row| row[name].clone());
        let said = |side: &BTreeMap<String, Value>| cell(side.get(day).map(|row| &row["predicted"]));
        let row = ["outcome_date", "price", "actual"].map(|name| cell(known(name).as_ref()));
        table.row(std::iter::once(Cell::text(day.clone())).chain(row).chain([said(&left), said(&right)]).collect());
    }
    table
}

/// What forecasts made with the two say of their newest day, as far as they are on record here.
fn newest(session: &Session, sides: [(&str, &Entry); 2]) -> Outcome<Table> {
    let mut table = Table::new().left("version", "version").left("target", "target").left("said", "forecast");
    let mut rows = Vec::new();
    let each = |result: ActionResult| {
        let uses = |entry: &Entry| result.action.inputs.get("model").and_then(|input| input.artifact()) == Some(&entry.candidate);
        if let Some((version, _)) = sides.iter().find(|(_, entry)| result.action.kind == "forecast" && uses(entry)) {
            rows.extend(result.notes.first().map(|note| ((*version).to_owned(), result.target.clone(), note.clone())));
        }
        true
    };
    session.each_result(each).map_err(problem::stores)?;
    rows.sort();
    rows.dedup();
    for (version, target, said) in rows {
        table.row(vec![Cell::text(version).tone(Tone::Name), Cell::text(target), Cell::text(said)]);
    }
    Ok(table)
}
