//! Owns how a build is shown to programs. Invariant: one JSON object a line, one line an event, the last one `finished`.

use crate::model::event::{Event, EventSink};
use crate::ui::output::Output;

/// Writes each event as one line of JSON.
pub struct JsonLines {
    output: Output,
}

impl JsonLines {
    /// Reports to `output`.
    #[must_use]
    pub fn new(output: Output) -> Self {
        Self { output }
    }
}

impl EventSink for JsonLines {
    fn event(&mut self, event: &Event) {
        // Events hold text and numbers: a figure that is none is written as null.
        if let Ok(line) = serde_json::to_string(event) {
            self.output.line(&line);
            self.output.flush();
        }
    }

    fn tick(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{self, Shared};

    fn shown(events: &[Event]) -> String {
        let shared = Shared::default();
        let mut sink = JsonLines::new(Output::new(shared.clone()));
        for event in events {
            sink.event(event);
            sink.tick();
        }
        shared.text()
    }

    #[test]
    fn the_last_line_counts_what_ran_what_was_reused_and_what_failed() {
        let text = shown(&samples::succeeds());
        let last = text.lines().last().unwrap();
        assert_eq!(last, r#"{"event":"finished","ran":3,"reused":20,"failed":0,"outcome":"ok","wall_ms":21480}"#);
    }

    #[test]
    fn every_line_is_one_event() {
        insta::assert_snapshot!(shown(&samples::fails()), @r#"
        {"event":"planned","total":6,"reused":1}
        {"event":"started","target":"model/wti/lightgbm/1m","kind":"lightgbm","key":"d8227b899e9f2c5d19e86d6a6326c6fb5e9a75b5070ac517a4b87e78a31f5d37","why":"params.learning_rate changed: 0.05 -> 0.1"}
        {"event":"started","target":"model/wti/xgboost/1m","kind":"xgboost","key":"386301e18ee2bde09b60a7b68986e8b06013916b1a594429ccd2cb3aa4f6a386","why":"never built","expected_ms":4000}
        {"event":"ran","target":"model/wti/naive/1m","key":"67092591eaa542513c34e9bd2336f2b95fb9e8e78ae91812968e1907eec901f3","cost":{"wall_ms":40,"cpu_ms":36,"peak_bytes":88500000},"unchanged":false}
        {"event":"failed","target":"model/wti/lightgbm/1m","error":"the label is constant: all 6,012 rows are 17.45\nthe frame is frame/wti/1m","place":"recipes/wti/models.toml:4:1","hint":"cbi cat 'frame/wti/1m#fit'","log_tail":["[LightGBM] [Info] 6,012 rows","\u001b[31mbad\u001b[0m\r"],"code":8}
        {"event":"failed","target":"model/wti/xgboost/1m","error":"killed by signal 9","log_tail":[],"code":1}
        {"event":"blocked","target":"model/wti/ensemble/1m","by":"model/wti/lightgbm/1m"}
        {"event":"blocked","target":"forecast/wti/1m","by":"model/wti/lightgbm/1m"}
        {"event":"finished","ran":1,"reused":1,"failed":2,"outcome":"failed","wall_ms":4120}
        "#);
    }
}
