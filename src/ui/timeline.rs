//! Owns how a build that is over is drawn against time. Invariant: no two bars of a lane overlap, and there are as many lanes as steps ever ran at once.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::units;
use crate::ui::graph::colour;
use crate::ui::output::{Palette, paint};
use crate::ui::table::{Cell, Table, Tone};
use crate::ui::words;

/// Columns of the text drawing where the terminal does not say.
const WIDE: usize = 100;
/// Columns beside the bars of a lane.
const BESIDE: usize = 10;
/// Pixels that all of the time takes in a picture.
const PIXELS: f64 = 1200.0;
const LANE_HEIGHT: usize = 26;
const MARGIN: usize = 16;
const LETTER: f64 = 7.3;

const STYLE: &str = "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#24292f}.dim{fill:#6e7781}\
.bar{fill-opacity:.3;stroke-width:1}.tick{stroke:#8c959f;stroke-opacity:.35}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill-opacity:.45}}";

/// One run of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Its target.
    pub target: String,
    /// Its kind; empty where nothing was recorded of it.
    pub kind: String,
    /// The lane it is drawn in, from 0.
    pub lane: usize,
    /// When it began, milliseconds after the build did.
    pub start_ms: u64,
    /// When it ended.
    pub end_ms: u64,
    /// `ran`, `failed`, or `outgrew`: ended for its memory and run again.
    pub outcome: String,
    /// CPU it used, milliseconds, where that is known.
    pub cpu_ms: Option<u64>,
    /// The most memory it held, bytes, where that is known.
    pub peak_bytes: Option<u64>,
}

/// A build as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Its hash.
    pub build: String,
    /// When it began.
    pub started: String,
    /// How long it took, milliseconds.
    pub wall_ms: u64,
    /// Its steps, in the order in which they began.
    pub bars: Vec<Bar>,
}

impl Timeline {
    /// Puts each run into the first lane that is free when it begins.
    #[must_use]
    pub fn new(build: String, started: String, wall_ms: u64, mut bars: Vec<Bar>) -> Self {
        bars.sort_by(|a, b| (a.start_ms, a.end_ms, &a.target).cmp(&(b.start_ms, b.end_ms, &b.target)));
        let mut free_at: Vec<u64> = Vec::new();
        for bar in &mut bars {
            let found = free_at.iter().position(|free| *free <= bar.start_ms);
            bar.lane = found.unwrap_or(free_at.len());
            if found.is_none() {
                free_at.push(0);
            }
            free_at[bar.lane] = bar.end_ms;
        }
        let last = bars.iter().map(|bar| bar.end_ms).max().unwrap_or(0);
        Self { build, started, wall_ms: wall_ms.max(last), bars }
    }

    /// How many ran at once.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.bars.iter().map(|bar| bar.lane + 1).max().unwrap_or(0)
    }

    /// CPU of all steps, milliseconds.
    #[must_use]
    pub fn cpu_ms(&self) -> u64 {
        self.bars.iter().filter_map(|bar| bar.cpu_ms).sum()
    }

    /// The lanes as lines, then the steps with what each used.
    #[must_use]
    pub fn text(&self, palette: &Palette, width: Option<usize>) -> String {
        let columns = width.unwrap_or(WIDE).saturating_sub(BESIDE).max(10);
        let mut text = format!("{} {}  {}\n", paint(palette.strong, "build"), &self.build[..self.build.len().min(12)], self.started);
        for lane in 0..self.lanes() {
            _ = writeln!(text, "lane {:<3} {}", lane + 1, self.lane(lane, columns));
        }
        let end = words::elapsed(self.wall_ms);
        _ = writeln!(text, "{}0{end:>width$}", " ".repeat(9), width = columns.saturating_sub(1));
        let mut table = Table::new().right("lane", "lane").right("start_ms", "began").right("ms", "took").right("cpu_ms", "cpu");
        table = table.right("peak_bytes", "memory").left("target", "target").left("outcome", "");
        for bar in &self.bars {
            let ended = if bar.outcome == "ran" { Cell::text("") } else { Cell::text(bar.outcome.as_str()).tone(Tone::Bad) };
            table.row(vec![
                Cell::count(bar.lane as u64 + 1),
                Cell::millis(bar.start_ms),
                Cell::millis(bar.end_ms - bar.start_ms),
                bar.cpu_ms.map_or_else(Cell::none, Cell::millis),
                bar.peak_bytes.map_or_else(Cell::none, Cell::bytes),
                Cell::text(bar.target.as_str()).tone(Tone::Name),
                ended,
            ]);
        }
        text.push_str(&table.text(palette, width));
        let (steps, cpu) = (self.bars.len(), words::elapsed(self.cpu_ms()));
        _ = writeln!(text, "{} in {end}, {cpu} of CPU", if steps == 1 { "1 run".to_owned() } else { format!("{steps} runs") });
        text
    }

    /// One lane: neighbouring steps in different shades, dots where nothing ran.
    fn lane(&self, lane: usize, columns: usize) -> String {
        let mut cells = vec!['·'; columns];
        let at = |ms: u64| usize::try_from(u128::from(ms) * columns as u128 / u128::from(self.wall_ms.max(1))).unwrap_or(columns);
        for (index, bar) in self.bars.iter().filter(|bar| bar.lane == lane).enumerate() {
            let first = at(bar.start_ms).min(columns - 1);
            let last = at(bar.end_ms).clamp(first + 1, columns);
            let shade = match (bar.outcome.as_str(), index % 2) {
                ("ran", 0) => '█',
                ("ran", _) => '▒',
                _ => '×',
            };
            cells[first..last].fill(shade);
        }
        cells.into_iter().collect()
    }

    /// A picture: a row a lane, time from left to right.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    pub fn svg(&self) -> String {
        let x = |ms: u64| MARGIN as f64 + ms as f64 / self.wall_ms.max(1) as f64 * PIXELS;
        let (width, axis) = (PIXELS + 2.0 * MARGIN as f64, MARGIN * 2 + self.lanes() * LANE_HEIGHT);
        let height = axis + 3 * MARGIN;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" viewBox=\"0 0 {width:.0} {height}\" role=\"img\">\n\
             <title>A build as it went</title>\n<style>{STYLE}</style>\n",
        );
        for tick in 0..=10 {
            let ms = self.wall_ms * tick / 10;
            let (at, said) = (x(ms), words::elapsed(ms));
            _ = writeln!(text, "<line class=\"tick\" x1=\"{at:.1}\" y1=\"{MARGIN}\" x2=\"{at:.1}\" y2=\"{axis}\"/>");
            let anchor = ["start", "middle", "end"][usize::from(tick > 0) + usize::from(tick == 10)];
            _ = writeln!(text, "<text class=\"dim\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{said}</text>", axis + MARGIN);
        }
        for bar in &self.bars {
            let (left, wide) = (x(bar.start_ms), (x(bar.end_ms) - x(bar.start_ms)).max(1.0));
            let (top, tall) = (MARGIN + bar.lane * LANE_HEIGHT, LANE_HEIGHT - 4);
            let colour = if bar.outcome == "ran" { colour(&bar.kind) } else { "#d1242f" };
            let about = escape(&Self::about(bar));
            _ = writeln!(
                text,
                "<g><title>{about}</title><rect class=\"bar\" x=\"{left:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"{tall}\" rx=\"3\" fill=\"{colour}\" stroke=\"{colour}\"/>"
            );
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred letters")]
            let room = ((wide - 8.0) / LETTER).max(0.0) as usize;
            if room >= 3 {
                let name = crate::ui::output::cut(&bar.target, room);
                _ = write!(text, "<text x=\"{:.1}\" y=\"{}\">{}</text>", left + 4.0, top + 15, escape(&name));
            }
            text.push_str("</g>\n");
        }
        text.push_str("</svg>\n");
        text
    }

    fn about(bar: &Bar) -> String {
        let mut about =
            format!("{}: {} {} after {}", bar.target, bar.outcome, words::elapsed(bar.end_ms - bar.start_ms), words::elapsed(bar.start_ms));
        if let Some(bytes) = bar.peak_bytes {
            _ = write!(about, ", {}", units::bytes(bytes));
        }
        about
    }

    /// The trace event format of Chrome's `about:tracing` and of Perfetto: complete events (`X`), a lane a thread; times in microseconds.
    #[must_use]
    pub fn trace(&self) -> Value {
        let process = json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": format!("cbi build {}", self.build) } });
        let lanes = (0..self.lanes()).map(
            |lane| json!({ "ph": "M", "pid": 1, "tid": lane + 1, "name": "thread_name", "args": { "name": format!("lane {}", lane + 1) } }),
        );
        let steps = self.bars.iter().map(|bar| {
            json!({
                "ph": "X", "pid": 1, "tid": bar.lane + 1, "name": bar.target, "cat": if bar.kind.is_empty() { "step" } else { &bar.kind },
                "ts": bar.start_ms * 1000, "dur": (bar.end_ms - bar.start_ms) * 1000,
                "args": { "outcome": bar.outcome, "cpu_ms": bar.cpu_ms, "peak_bytes": bar.peak_bytes },
            })
        });
        let events: Vec<Value> = std::iter::once(process).chain(lanes).chain(steps).collect();
        json!({ "displayTimeUnit": "ms", "traceEvents": events })
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bar(target: &str, start_ms: u64, end_ms: u64, outcome: &str) -> Bar {
        let known = outcome == "ran";
        Bar {
            target: target.into(),
            kind: if known { "lightgbm".into() } else { String::new() },
            lane: 0,
            start_ms,
            end_ms,
            outcome: outcome.into(),
            cpu_ms: known.then_some(end_ms - start_ms),
            peak_bytes: known.then_some(88_500_000),
        }
    }

    fn timeline() -> Timeline {
        let bars = vec![
            bar("model/b", 400, 2000, "ran"),
            bar("wti.daily", 0, 400, "ran"),
            bar("model/<a>", 400, 1000, "outgrew"),
            bar("model/<a>", 2000, 3000, "ran"),
        ];
        Timeline::new("3f9a77c1d0e2b4".into(), "2026-11-22T06:45:00Z".into(), 3000, bars)
    }

    #[test]
    fn text_shows_what_ran_beside_what() {
        insta::assert_snapshot!(timeline().text(&Palette::plain(), Some(70)), @r#"
        build 3f9a77c1d0e2  2026-11-22T06:45:00Z
        lane 1   ████████××××××××××××····················████████████████████
        lane 2   ········████████████████████████████████····················
                 0                                                       3.0s
        lane  began   took    cpu    memory  target
           1    0ms  400ms  400ms  84.4 MiB  wti.daily
           1  400ms  600ms      -         -  model/<a>  outgrew
           2  400ms   1.6s   1.6s  84.4 MiB  model/b
           1   2.0s   1.0s   1.0s  84.4 MiB  model/<a>
        4 runs in 3.0s, 3.0s of CPU
        "#);
    }

    #[test]
    fn a_trace_has_a_complete_event_for_each_run() {
        let trace = timeline().trace();
        let all = trace["traceEvents"].as_array().unwrap();
        let complete: Vec<&Value> = all.iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(complete.len(), 4);
        assert_eq!((&complete[0]["ts"], &complete[0]["dur"], &complete[0]["tid"]), (&json!(0), &json!(400_000), &json!(1)));
        assert_eq!(all.iter().filter(|e| e["name"] == "thread_name").count(), 2);
    }

    #[test]
    fn a_picture_names_every_run_and_escapes_it() {
        let svg = timeline().svg();
        assert_eq!(svg.matches("<rect").count(), 4);
        assert!(svg.contains("model/&lt;a&gt;: outgrew 600ms after 400ms") && !svg.contains("<a>"), "{svg}");
    }

    #[test]
    fn a_build_that_ran_nothing_is_drawn_too() {
        let empty = Timeline::new("3f9a".into(), "?".into(), 0, Vec::new());
        assert!(empty.text(&Palette::plain(), None).ends_with("0 runs in 0ms, 0ms of CPU\n"));
        assert!(empty.svg().contains("</svg>"));
    }

    proptest! {
        #[test]
        fn no_two_bars_of_a_lane_overlap(runs in prop::collection::vec((0u64..1000, 1u64..200), 0..40)) {
            let bars = runs.iter().map(|(start, took)| bar("x", *start, start + took, "ran")).collect();
            let drawn = Timeline::new(String::new(), String::new(), 0, bars);
            let most = drawn.bars.iter().map(|b| drawn.bars.iter().filter(|o| o.start_ms <= b.start_ms && o.end_ms > b.start_ms).count()).max();
            for (at, a) in drawn.bars.iter().enumerate() {
                for b in drawn.bars[at + 1..].iter().filter(|b| b.lane == a.lane) {
                    prop_assert!(a.end_ms <= b.start_ms || b.end_ms <= a.start_ms);
                }
            }
            prop_assert!(drawn.lanes() <= most.unwrap_or(0).max(1));
        }
    }
}
