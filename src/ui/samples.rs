//! Owns the builds that the reporters' tests show. Invariant: the same events for every reporter.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::base::digest::{ActionKey, Digest};
use crate::model::build::Counts;
use crate::model::event::Event;
use crate::model::result::Cost;

/// A writer whose text can be read while the sink holds it.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    /// All that was written.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn key(target: &str) -> ActionKey {
    ActionKey(Digest::of(target.as_bytes()))
}

/// `target` begins.
pub fn started(target: &str, kind: &str, why: &str, expected_ms: Option<u64>) -> Event {
    Event::Started { target: target.into(), kind: kind.into(), key: key(target), why: why.into(), expected_ms }
}

/// `target` ends well after `wall_ms`.
pub fn ran(target: &str, wall_ms: u64, unchanged: bool, notes: &[&str]) -> Event {
    let cost = Cost { wall_ms, cpu_ms: wall_ms - wall_ms / 10, peak_bytes: 88_500_000, ..Cost::default() };
    Event::Ran { target: target.into(), key: key(target), cost, unchanged, notes: notes.iter().map(ToString::to_string).collect() }
}

/// New rows arrived after the fit split's end: tables and the forecast run, training does not.
pub fn succeeds() -> Vec<Event> {
    vec![
        Event::Planned { total: 23, reused: 19, expected_ms: Some(32_460) },
        started("fred.dcoilwtico", "table", "fred.dcoilwtico.csv changed", Some(210)),
        ran("fred.dcoilwtico", 230, false, &["8,322 rows, 290 without a value"]),
        started("wti.daily", "sql", "input table:fred.dcoilwtico changed", Some(350)),
        ran("wti.daily", 340, true, &[]),
        started("model/wti/lightgbm/1m", "lightgbm", "its result is not in the store", Some(12_000)),
        Event::Waiting { target: "model/wti/lightgbm/1m".into(), adapter: None },
        Event::Reused { target: "model/wti/lightgbm/1m".into(), key: key("model/wti/lightgbm/1m") },
        started("forecast/wti/1m", "forecast", "input frame changed", Some(19_900)),
        ran("forecast/wti/1m", 20_910, false, &[]),
        Event::Finished { counts: Counts { ran: 3, reused: 20, failed: 0 }, outcome: "ok".into(), wall_ms: 21_480 },
    ]
}

/// Two models fail, one with escape sequences in its log.
pub fn fails() -> Vec<Event> {
    vec![
        Event::Planned { total: 6, reused: 1, expected_ms: None },
        started("model/wti/lightgbm/1m", "lightgbm", "params.learning_rate changed: 0.05 -> 0.1", None),
        started("model/wti/xgboost/1m", "xgboost", "never built", Some(4_000)),
        ran("model/wti/naive/1m", 40, false, &[]),
        Event::Failed {
            target: "model/wti/lightgbm/1m".into(),
            error: "the label is constant: all 6,012 rows are 17.45\nthe frame is frame/wti/1m".into(),
            place: Some("recipes/wti/models.toml:4:1".into()),
            hint: Some("cbi cat 'frame/wti/1m#fit'".into()),
            log_tail: vec!["[LightGBM] [Info] 6,012 rows".into(), "\u{1b}[31mbad\u{1b}[0m\r".into()],
            code: 8,
        },
        Event::Failed {
            target: "model/wti/xgboost/1m".into(),
            error: "killed by signal 9".into(),
            place: None,
            hint: None,
            log_tail: Vec::new(),
            code: 1,
        },
        Event::Blocked { target: "model/wti/ensemble/1m".into(), by: "model/wti/lightgbm/1m".into() },
        Event::Blocked { target: "forecast/wti/1m".into(), by: "model/wti/lightgbm/1m".into() },
        Event::Finished { counts: Counts { ran: 1, reused: 1, failed: 2 }, outcome: "failed".into(), wall_ms: 4_120 },
    ]
}

/// Everything is fresh.
pub fn nothing() -> Vec<Event> {
    vec![
        Event::Planned { total: 23, reused: 23, expected_ms: None },
        Event::Finished { counts: Counts { ran: 0, reused: 23, failed: 0 }, outcome: "ok".into(), wall_ms: 18 },
    ]
}
