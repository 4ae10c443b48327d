//! Owns how a build is shown on a terminal. Invariant: between two writes the cursor stands visible at the start of an empty line below
//! what is drawn, so that whatever ends the program, even SIGKILL, leaves the terminal usable.

use std::fmt::Write as _;
use std::time::Instant;

use crate::base::clock;
use crate::model::event::{Event, EventSink, TimeLeft};
use crate::ui::live::{self, Drawn};
use crate::ui::output::{self, Output, Palette};
use crate::ui::sink::Verbosity;
use crate::ui::tally::Tally;
use crate::ui::words;

/// Least time between two drawings: ten a second.
const PAUSE_MS: u64 = 100;
/// Rows of the terminal that running steps may not take.
const ROWS_LEFT: usize = 3;

/// Live lines of what runs and a bar; finished lines scroll away above.
pub struct Fancy {
    output: Output,
    palette: Palette,
    verbosity: Verbosity,
    tally: Tally,
    made: Instant,
    size: fn() -> (usize, usize),
    /// What is drawn now, to be drawn over.
    drawn: Vec<Drawn>,
    drawn_at_ms: Option<u64>,
    /// Finished lines that wait for the next drawing.
    above: String,
    over: bool,
}

impl Fancy {
    /// Reports to `output`, which is a terminal.
    #[must_use]
    pub fn new(output: Output, palette: Palette, verbosity: Verbosity) -> Self {
        Self::sized(output, palette, verbosity, output::size)
    }

    fn sized(output: Output, palette: Palette, verbosity: Verbosity, size: fn() -> (usize, usize)) -> Self {
        let made = clock::start();
        let (tally, drawn) = (Tally::default(), Vec::new());
        Self { output, palette, verbosity, tally, made, size, drawn, drawn_at_ms: None, above: String::new(), over: false }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn take(&mut self, event: &Event, now: u64) {
        self.tally.take(event, now);
        let busy = matches!(event, Event::Started { .. } | Event::Progress { .. } | Event::Waiting { .. } | Event::Reused { .. });
        let drawn = matches!(event, Event::Pushing { .. });
        if !drawn && (!busy || self.verbosity == Verbosity::Verbose) {
            for line in words::lines(event, &self.tally, &self.palette, self.verbosity) {
                self.above.push_str(&line);
                self.above.push('\n');
            }
        }
        match event {
            Event::Finished { .. } => self.end(),
            Event::Failed { .. } => self.draw(now),
            _ => self.draw_if_due(now),
        }
    }

    fn draw_if_due(&mut self, now: u64) {
        if self.drawn_at_ms.is_none_or(|at| now.saturating_sub(at) >= PAUSE_MS) {
            self.draw(now);
        }
    }

    fn draw(&mut self, now: u64) {
        if self.over || self.verbosity == Verbosity::Quiet && self.above.is_empty() {
            return;
        }
        let (columns, rows) = (self.size)();
        let mut next = Vec::new();
        if self.verbosity != Verbosity::Quiet && self.tally.total > 0 {
            // The last column stays free: a character in it makes some terminals wrap.
            next = live::frame(&self.tally, now, columns.saturating_sub(1), rows.saturating_sub(ROWS_LEFT).max(1), &self.palette);
        }
        self.paint(next, columns);
        self.drawn_at_ms = Some(now);
    }

    /// Draws what waits for its place above, then `next`, over what is drawn now.
    fn paint(&mut self, next: Vec<Drawn>, columns: usize) {
        let mut text = String::new();
        let up = rows_taken(&self.drawn, columns);
        if up > 0 {
            let _ = write!(text, "\x1b[{up}A\r");
        }
        if !self.above.is_empty() {
            // Lines of any length are written over the old drawing: clear it first, for they may wrap.
            text.push_str(if up > 0 { "\x1b[J" } else { "" });
            text.push_str(&self.above);
            self.above.clear();
        }
        for line in &next {
            text.push_str(&line.text);
            text.push_str("\x1b[K\n");
        }
        if up > 0 {
            text.push_str("\x1b[J");
        }
        self.drawn = next;
        self.output.text(&text);
        self.output.flush();
    }

    /// Leaves only finished lines on the screen.
    fn end(&mut self) {
        if !self.over {
            self.over = true;
            let (columns, _) = (self.size)();
            self.paint(Vec::new(), columns);
        }
    }
}

impl EventSink for Fancy {
    fn event(&mut self, event: &Event) {
        let now = self.now_ms();
        self.take(event, now);
    }

    fn tick(&mut self) {
        let now = self.now_ms();
        self.draw_if_due(now);
    }

    fn left(&mut self, left: Option<TimeLeft>) {
        let now = self.now_ms();
        self.tally.left(left, now);
    }
}

impl Drop for Fancy {
    fn drop(&mut self) {
        self.end();
    }
}

/// Rows the lines take now, if the terminal was made narrower since and wrapped them.
fn rows_taken(lines: &[Drawn], columns: usize) -> usize {
    lines.iter().map(|line| line.columns.div_ceil(columns.max(1)).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{self, Shared};

    fn sink(shared: &Shared, verbosity: Verbosity) -> Fancy {
        Fancy::sized(Output::new(shared.clone()), Palette::plain(), verbosity, || (80, 24))
    }

    /// What a terminal shows after `text`: lines, with the cursor movements that `Fancy` uses.
    fn screen(text: &str) -> Vec<String> {
        let mut lines: Vec<String> = vec![String::new()];
        let mut row = 0;
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix("\x1b[K") {
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("\x1b[J") {
                lines.truncate(row);
                lines.push(String::new());
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("\x1b[") {
                let (count, tail) = tail.split_once('A').unwrap();
                row -= count.parse::<usize>().unwrap();
                rest = tail.strip_prefix('\r').unwrap();
            } else {
                let (line, tail) = rest.split_once('\n').unwrap();
                lines[row] = line.strip_suffix("\x1b[K").unwrap_or(line).to_owned();
                row += 1;
                if row == lines.len() {
                    lines.push(String::new());
                }
                rest = tail;
            }
        }
        assert_eq!(row, lines.len() - 1, "the cursor stands below everything");
        lines.pop();
        lines
    }

    #[test]
    fn when_it_is_over_only_finished_lines_are_left() {
        let shared = Shared::default();
        let mut fancy = sink(&shared, Verbosity::Normal);
        for (at, event) in samples::succeeds().iter().enumerate() {
            fancy.take(event, at as u64 * 150);
        }
        insta::assert_snapshot!(screen(&shared.text()).join("\n"), @r#"
        4 steps to build or check, 19 fresh; up to 40 s
        [20/23] ran     fred.dcoilwtico in 230ms
                8,322 rows, 290 without a value
        [21/23] ran     wti.daily in 340ms, same result as before
        [23/23] ran     forecast/wti/1m in 20.9s
        done: 3 ran, 20 reused, in 21.5s
        "#);
    }

    #[test]
    fn while_it_runs_the_bar_stands_below_the_finished_lines() {
        let shared = Shared::default();
        let mut fancy = sink(&shared, Verbosity::Normal);
        for (at, event) in samples::fails().iter().take(5).enumerate() {
            fancy.take(event, at as u64 * 150);
        }
        fancy.draw_if_due(2_000);
        insta::assert_snapshot!(screen(&shared.text()).join("\n"), @r#"
        5 steps to build or check, 1 fresh
        [2/6] ran     model/wti/naive/1m in 40ms
        FAILED model/wti/lightgbm/1m
          error: the label is constant: all 6,012 rows are 17.45
            the frame is frame/wti/1m
            --> recipes/wti/models.toml:4:1
          hint: cbi cat 'frame/wti/1m#fit'
          its log ended:
          | [LightGBM] [Info] 6,012 rows
          | bad
          rerun alone: cbi build model/wti/lightgbm/1m
          model/wti/xgboost/1m  xgboost    1.7s of about 4.0s
        [===============>            ]  3/6  1 ran  1 reused  1 failed  1 running  2.0s
        "#);
        drop(fancy);
        assert!(screen(&shared.text()).last().unwrap().contains("rerun alone"), "dropped, it takes its live lines away");
    }

    #[test]
    fn it_draws_at_most_ten_times_a_second_and_loses_no_line() {
        let shared = Shared::default();
        let mut fancy = sink(&shared, Verbosity::Normal);
        fancy.take(&Event::Planned { total: 2_000, reused: 0, expected_ms: None }, 0);
        for step in 0..1_000 {
            let target = format!("t/{step}");
            fancy.take(&samples::started(&target, "command", "new", None), step);
            fancy.take(&samples::ran(&target, 10, false, &[]), step);
            fancy.draw_if_due(step);
        }
        assert!(shared.text().matches("\x1b[J").count() <= 22, "{}", shared.text().matches("\x1b[J").count());
        drop(fancy);
        assert_eq!(screen(&shared.text()).iter().filter(|line| line.contains(" ran ")).count(), 1_000);
    }

    #[test]
    fn quiet_draws_nothing_but_failures() {
        let shared = Shared::default();
        let mut fancy = sink(&shared, Verbosity::Quiet);
        for event in samples::succeeds() {
            fancy.event(&event);
            fancy.tick();
        }
        drop(fancy);
        assert_eq!(shared.text(), "");
    }

    #[test]
    fn a_line_wrapped_by_a_narrower_terminal_is_taken_away_whole() {
        let line = |columns| Drawn { text: "x".repeat(columns), columns };
        assert_eq!(rows_taken(&[line(79), line(40), line(0)], 40), 2 + 1 + 1);
    }
}
