//! Owns the lines of a build that are redrawn. Invariant: a pure function of tally, time and size; never wider or taller than asked.

use std::fmt::Write as _;

use crate::ui::output::{Palette, cut, paint, tame};
use crate::ui::tally::{Running, Tally};
use crate::ui::words::{elapsed, far, left, pushing};

/// A line with colour codes and its length without them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The line with colour codes, without line end.
    pub text: String,
    /// Columns it takes.
    pub columns: usize,
}

impl Drawn {
    fn new(plain: &str, columns: usize, style: anstyle::Style) -> Self {
        let plain = cut(plain, columns);
        Self { columns: plain.chars().count(), text: paint(style, &plain) }
    }
}

/// The running steps, then a bar with totals, in at most `rows` lines of at most `columns`.
#[must_use]
pub fn frame(tally: &Tally, now_ms: u64, columns: usize, rows: usize, palette: &Palette) -> Vec<Drawn> {
    if columns == 0 || rows == 0 {
        return Vec::new();
    }
    let running = tally.in_order();
    let room = rows - 1;
    let shown = if running.len() > room { room.saturating_sub(1) } else { running.len() };
    let name_width = running.iter().take(shown).map(|(target, _)| target.len()).max().unwrap_or(0).min(columns / 2);
    let mut lines: Vec<Drawn> =
        running.iter().take(shown).map(|(target, step)| step_line(target, step, now_ms, name_width, columns, palette)).collect();
    if running.len() > shown && room > 0 {
        lines.push(Drawn::new(&format!("  and {} more", running.len() - shown), columns, palette.dim));
    }
    if let Some(push) = tally.pushing.filter(|_| lines.len() < room) {
        lines.push(Drawn::new(&format!("  {}", pushing(push.pushed, push.of, push.bytes)), columns, palette.dim));
    }
    lines.push(bar(tally, &running, now_ms, columns, palette));
    lines
}

fn step_line(target: &str, step: &Running, now_ms: u64, name_width: usize, columns: usize, palette: &Palette) -> Drawn {
    let spent = now_ms.saturating_sub(step.since_ms);
    let time = match (&step.waits, step.expected_ms) {
        (Some(waits), _) => format!("{} {}", elapsed(seconds(spent)), tame(waits)),
        (None, Some(expected)) => format!("{} of about {}", elapsed(seconds(spent)), elapsed(expected)),
        (None, None) => elapsed(seconds(spent)),
    };
    let far = step.progress.as_ref().map(|progress| format!("  {}", tame(&far(progress)))).unwrap_or_default();
    let kind = &step.kind;
    let name = cut(target, name_width);
    let rest = cut(&format!("  {kind:<9}  {time}{far}"), columns.saturating_sub(2 + name_width));
    let name = cut(&format!("  {name:<name_width$}"), columns);
    Drawn { columns: name.chars().count() + rest.chars().count(), text: format!("{}{rest}", paint(palette.name, &name)) }
}

/// Elapsed time is shown in tenths of a second, so that the line does not flicker.
fn seconds(ms: u64) -> u64 {
    if ms < 1000 { ms / 100 * 100 } else { ms }
}

fn bar(tally: &Tally, running: &[(&str, &Running)], now_ms: u64, columns: usize, palette: &Palette) -> Drawn {
    let mut totals = format!("{}/{}", tally.done, tally.total);
    for (count, what) in
        [(tally.ran, "ran"), (tally.reused, "reused"), (tally.failed.len() as u64, "failed"), (running.len() as u64, "running")]
    {
        if count > 0 {
            let _ = write!(totals, "  {count} {what}");
        }
    }
    let _ = write!(totals, "  {}", elapsed(seconds(now_ms)));
    if let Some(time) = tally.left_at(now_ms) {
        let _ = write!(totals, ", {}", left(time));
    }
    let room = columns.saturating_sub(totals.len() + 4).min(40);
    if room < 8 {
        return Drawn::new(&totals, columns, palette.strong);
    }
    let filled = filled(tally, running, now_ms, room);
    let head = if filled < room { ">" } else { "" };
    let plain = format!("[{}{head}{}]  {totals}", "=".repeat(filled), " ".repeat(room - filled - head.len()));
    let style = if tally.failed.is_empty() { palette.good } else { palette.bad };
    let (bar, rest) = plain.split_at(room + 2);
    Drawn { columns: plain.len(), text: format!("{}{rest}", paint(style, bar)) }
}

/// How much of the bar is full: steps done, and of the running ones the part of their expected time that has passed.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a bar of 40")]
fn filled(tally: &Tally, running: &[(&str, &Running)], now_ms: u64, room: usize) -> usize {
    let part = |step: &Running| {
        let spent = now_ms.saturating_sub(step.since_ms) as f64;
        step.expected_ms.map_or(0.0, |expected| (spent / expected.max(1) as f64).min(0.95))
    };
    let done = tally.done as f64 + running.iter().map(|(_, step)| part(step)).sum::<f64>();
    ((done / tally.total.max(1) as f64).min(1.0) * room as f64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::event::{Event, TimeLeft};
    use crate::ui::samples::{ran, started};

    fn training() -> Tally {
        let mut tally = Tally::default();
        let events = [
            (0, Event::Planned { total: 23, reused: 11, expected_ms: None }),
            (10, started("wti.features", "sql", "", Some(300))),
            (350, ran("wti.features", 340, false, &[])),
            (400, started("model/wti/lightgbm/1m", "lightgbm", "", Some(40_000))),
            (410, started("model/wti/xgboost/1m", "xgboost", "", None)),
            (490, started("model/wti/lightgbm/3m", "lightgbm", "", Some(38_000))),
            (500, Event::Waiting { target: "model/wti/lightgbm/3m".into(), adapter: None }),
        ];
        for (at, event) in events {
            tally.take(&event, at);
        }
        tally
    }

    fn text(lines: &[Drawn]) -> String {
        lines.iter().map(|line| line.text.clone() + "\n").collect()
    }

    #[test]
    fn running_steps_show_elapsed_and_expected_time_above_a_bar_with_totals() {
        insta::assert_snapshot!(text(&frame(&training(), 12_700, 100, 24, &Palette::plain())), @r#"
          model/wti/lightgbm/1m  lightgbm   12.3s of about 40.0s
          model/wti/xgboost/1m   xgboost    12.3s
          model/wti/lightgbm/3m  lightgbm   12.2s in another build
        [=====================>                  ]  12/23  1 ran  11 reused  3 running  12.7s
        "#);
    }

    #[test]
    fn what_still_goes_into_the_mirror_stands_above_the_bar_until_it_is_there() {
        let mut tally = Tally::default();
        tally.take(&Event::Planned { total: 1, reused: 0, expected_ms: None }, 0);
        tally.take(&ran("wti.features", 340, false, &[]), 350);
        tally.take(&Event::Pushing { pushed: 2, of: 7, bytes: 3 << 20 }, 1400);
        let drawn = text(&frame(&tally, 1500, 100, 24, &Palette::plain()));
        assert!(drawn.starts_with("  mirror: 2 of 7 results are there, 3.0 MiB went up\n["), "{drawn}");
        assert_eq!(frame(&tally, 1500, 100, 1, &Palette::plain()).len(), 1, "the bar comes first where there is no room");
        let done = Event::Mirrored {
            pulled: 0,
            pulled_bytes: 0,
            pushed: 7,
            pushed_bytes: 9,
            unpushed: 0,
            failure: None,
            refused: BTreeMap::new(),
        };
        tally.take(&done, 1600);
        assert!(!text(&frame(&tally, 1700, 100, 24, &Palette::plain())).contains("mirror"));
    }

    #[test]
    fn a_narrow_terminal_keeps_the_totals_and_drops_the_bar() {
        insta::assert_snapshot!(text(&frame(&training(), 12_700, 44, 24, &Palette::plain())), @r#"
          model/wti/lightgbm/1m  lightgbm   12.3s ..
          model/wti/xgboost/1m   xgboost    12.3s
          model/wti/lightgbm/3m  lightgbm   12.2s ..
        12/23  1 ran  11 reused  3 running  12.7s
        "#);
    }

    #[test]
    fn a_low_terminal_counts_the_steps_that_do_not_fit() {
        insta::assert_snapshot!(text(&frame(&training(), 12_700, 80, 3, &Palette::plain())), @r#"
          model/wti/lightgbm/1m  lightgbm   12.3s of about 40.0s
          and 2 more
        [===================>               ]  12/23  1 ran  11 reused  3 running  12.7s
        "#);
    }

    #[test]
    fn the_time_left_counts_down_and_is_not_shown_once_it_is_over() {
        let mut tally = training();
        let last = |tally: &Tally, now| frame(tally, now, 100, 24, &Palette::plain()).pop().unwrap().text;
        tally.left(Some(TimeLeft { ms: 200_000, sure: false }), 12_700);
        assert!(last(&tally, 12_700).ends_with("12.7s, up to 4 min left"), "{}", last(&tally, 12_700));
        tally.left(Some(TimeLeft { ms: 38_000, sure: true }), 20_000);
        assert!(last(&tally, 20_000).ends_with("20.0s, about 40 s left"));
        assert!(last(&tally, 49_000).ends_with("49.0s, about 10 s left"));
        assert!(last(&tally, 58_000).ends_with("3 running  58.0s"));
        tally.left(None, 20_000);
        assert!(last(&tally, 20_000).ends_with("3 running  20.0s"));
    }

    proptest! {
        #[test]
        fn a_frame_fits_the_terminal_it_is_drawn_for(columns in 0usize..140, rows in 0usize..12, now in 0u64..10_000_000) {
            let mut tally = training();
            tally.left(Some(TimeLeft { ms: 400_000, sure: false }), now / 2);
            let lines = frame(&tally, now, columns, rows, &Palette::coloured());
            prop_assert!(lines.len() <= rows);
            for line in lines {
                let plain = anstream::adapter::strip_str(&line.text).to_string();
                prop_assert_eq!(plain.chars().count(), line.columns);
                prop_assert!(line.columns <= columns);
            }
        }
    }
}
