//! Owns how a build is shown in a pipe or a file. Invariant: whole lines in the order of events; nothing is ever redrawn.

use crate::base::clock;
use crate::model::event::{Event, EventSink};
use crate::ui::output::{Output, Palette};
use crate::ui::sink::Verbosity;
use crate::ui::tally::Tally;
use crate::ui::words;

/// One line for each thing that happens, then a summary.
pub struct Plain {
    output: Output,
    palette: Palette,
    verbosity: Verbosity,
    tally: Tally,
    made: std::time::Instant,
    /// When it was last told how far results are on their way into the mirror.
    pushing_ms: Option<u64>,
}

/// Milliseconds between two lines about results on their way into the mirror.
const PUSHING_EVERY_MS: u64 = 10_000;

impl Plain {
    /// Reports to `output`.
    #[must_use]
    pub fn new(output: Output, palette: Palette, verbosity: Verbosity) -> Self {
        Self { output, palette, verbosity, tally: Tally::default(), made: clock::start(), pushing_ms: None }
    }
}

impl EventSink for Plain {
    fn event(&mut self, event: &Event) {
        let now = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tally.take(event, now);
        if let Event::Pushing { .. } = event {
            if self.pushing_ms.is_some_and(|last| now.saturating_sub(last) < PUSHING_EVERY_MS) {
                return;
            }
            self.pushing_ms = Some(now);
        }
        for line in words::lines(event, &self.tally, &self.palette, self.verbosity) {
            self.output.line(&line);
        }
        self.output.flush();
    }

    fn tick(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::build::Counts;
    use crate::ui::samples::{self, Shared};

    fn shown(events: &[Event], palette: Palette, verbosity: Verbosity) -> String {
        let shared = Shared::default();
        let mut sink = Plain::new(Output::new(shared.clone()), palette, verbosity);
        for event in events {
            sink.event(event);
            sink.tick();
        }
        shared.text()
    }

    #[test]
    fn a_build_that_succeeds_is_one_line_for_each_start_and_end_and_a_summary() {
        insta::assert_snapshot!(shown(&samples::succeeds(), Palette::plain(), Verbosity::Normal), @r#"
        4 steps to build or check, 19 fresh; up to 40 s
        [19/23] start   fred.dcoilwtico (table): fred.dcoilwtico.csv changed
        [20/23] ran     fred.dcoilwtico in 230ms
                8,322 rows, 290 without a value
        [20/23] start   wti.daily (sql): input table:fred.dcoilwtico changed
        [21/23] ran     wti.daily in 340ms, same result as before
        [21/23] start   model/wti/lightgbm/1m (lightgbm): its result is not in the store
        [21/23] waiting model/wti/lightgbm/1m: another build runs it
        [22/23] reused  model/wti/lightgbm/1m
        [22/23] start   forecast/wti/1m (forecast): input frame changed
        [23/23] ran     forecast/wti/1m in 20.9s
        done: 3 ran, 20 reused, in 21.5s
        "#);
    }

    #[test]
    fn a_build_that_fails_shows_target_error_hint_log_and_how_to_rerun_it_alone() {
        insta::assert_snapshot!(shown(&samples::fails(), Palette::plain(), Verbosity::Normal), @r#"
        5 steps to build or check, 1 fresh
        [1/6] start   model/wti/lightgbm/1m (lightgbm): params.learning_rate changed: 0.05 -> 0.1
        [1/6] start   model/wti/xgboost/1m (xgboost): never built
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
        FAILED model/wti/xgboost/1m
          error: killed by signal 9
          rerun alone: cbi build model/wti/xgboost/1m
        failed:
          model/wti/lightgbm/1m: the label is constant: all 6,012 rows are 17.45
          model/wti/xgboost/1m: killed by signal 9
        blocked:
          model/wti/ensemble/1m: needs model/wti/lightgbm/1m
          forecast/wti/1m: needs model/wti/lightgbm/1m
        failed: 1 ran, 1 reused, 2 failed, 2 blocked, in 4.1s
        "#);
    }

    #[test]
    fn verbose_adds_keys_costs_and_what_is_blocked() {
        insta::assert_snapshot!(shown(&samples::fails(), Palette::plain(), Verbosity::Verbose), @r#"
        5 steps to build or check, 1 fresh
        [1/6] start   model/wti/lightgbm/1m (lightgbm) d8227b899e9f: params.learning_rate changed: 0.05 -> 0.1
        [1/6] start   model/wti/xgboost/1m (xgboost) 386301e18ee2: never built
        [2/6] ran     model/wti/naive/1m 67092591eaa5 in 40ms (cpu 36ms, peak 84.4 MiB)
        FAILED model/wti/lightgbm/1m
          error: the label is constant: all 6,012 rows are 17.45
            the frame is frame/wti/1m
            --> recipes/wti/models.toml:4:1
          hint: cbi cat 'frame/wti/1m#fit'
          its log ended:
          | [LightGBM] [Info] 6,012 rows
          | bad
          rerun alone: cbi build model/wti/lightgbm/1m
        FAILED model/wti/xgboost/1m
          error: killed by signal 9
          rerun alone: cbi build model/wti/xgboost/1m
        [5/6] blocked model/wti/ensemble/1m: needs model/wti/lightgbm/1m
        [6/6] blocked forecast/wti/1m: needs model/wti/lightgbm/1m
        failed:
          model/wti/lightgbm/1m: the label is constant: all 6,012 rows are 17.45
          model/wti/xgboost/1m: killed by signal 9
        blocked:
          model/wti/ensemble/1m: needs model/wti/lightgbm/1m
          forecast/wti/1m: needs model/wti/lightgbm/1m
        failed: 1 ran, 1 reused, 2 failed, 2 blocked, in 4.1s
        "#);
    }

    #[test]
    fn a_build_that_is_stopped_says_how_much_is_left() {
        let events = [
            Event::Planned { total: 9, reused: 4, expected_ms: None },
            samples::started("wti.daily", "sql", "never built", None),
            Event::Finished { counts: Counts { ran: 0, reused: 4, failed: 0 }, outcome: "interrupted".into(), wall_ms: 900 },
        ];
        let shown = shown(&events, Palette::plain(), Verbosity::Normal);
        assert_eq!(shown.lines().last(), Some("interrupted: 0 ran, 4 reused, 5 not done, in 900ms"));
    }

    #[test]
    fn a_warning_is_shown_when_its_table_is_made_and_later_only_on_request() {
        let warned = |reused| Event::Warned { target: "wti.daily".into(), warnings: vec!["'unique date': 1 row too many".into()], reused };
        let line = "        warning wti.daily: 'unique date': 1 row too many\n";
        assert_eq!(shown(&[warned(false)], Palette::plain(), Verbosity::Normal), line);
        assert_eq!(shown(&[warned(true)], Palette::plain(), Verbosity::Normal), "");
        assert_eq!(shown(&[warned(true)], Palette::plain(), Verbosity::Verbose), line);
        assert_eq!(shown(&[warned(false)], Palette::plain(), Verbosity::Quiet), "");
    }

    #[test]
    fn what_went_to_the_mirror_and_what_did_not_is_told_at_the_end() {
        let mirrored = |pulled, pushed, unpushed, failure: Option<&str>| {
            let failure = failure.map(str::to_owned);
            let refused = (pulled == 2).then(|| ("not signed".to_owned(), 1)).into_iter().collect();
            let (pulled_bytes, pushed_bytes) = (pulled << 20, pushed << 10);
            let event = Event::Mirrored { pulled, pulled_bytes, pushed, pushed_bytes, unpushed, failure, refused };
            shown(&[event], Palette::plain(), Verbosity::Normal)
        };
        let pushing = Event::Pushing { pushed: 2, of: 7, bytes: 3 << 20 };
        let line = "mirror: 2 of 7 results are there, 3.0 MiB went up\n";
        assert_eq!(shown(&[pushing.clone(), pushing], Palette::plain(), Verbosity::Normal), line, "not a line a second");
        assert_eq!(mirrored(3, 1, 0, None), "mirror: took 3 results (3.0 MiB), put 1 result (1.0 KiB)\n");
        let left = "warning mirror: no answer\n1 result is not in the mirror; cbi mirror push brings what is missing there\n";
        assert_eq!(mirrored(0, 0, 1, Some("no answer")), left);
        assert!(mirrored(2, 0, 0, None).ends_with("warning mirror: refused 1 result: not signed\n"));
    }

    #[test]
    fn quiet_shows_failures_only() {
        assert_eq!(shown(&samples::succeeds(), Palette::plain(), Verbosity::Quiet), "");
        let shown = shown(&samples::fails(), Palette::plain(), Verbosity::Quiet);
        assert_eq!(shown.lines().filter(|line| line.starts_with("FAILED")).count(), 2);
        assert!(!shown.contains("ran "));
    }

    #[test]
    fn a_build_with_nothing_to_do_says_so_in_one_line() {
        insta::assert_snapshot!(shown(&samples::nothing(), Palette::plain(), Verbosity::Normal), @"nothing to do: 0 ran, 23 reused, in 18ms");
    }

    #[test]
    fn colour_adds_codes_and_changes_no_word() {
        let coloured = shown(&samples::fails(), Palette::coloured(), Verbosity::Verbose);
        assert!(coloured.contains("\u{1b}[1m\u{1b}[31mFAILED\u{1b}[0m"));
        let plain = shown(&samples::fails(), Palette::plain(), Verbosity::Verbose);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }
}
