//! Owns why two actions differ. Invariant: it compares exactly the fields that made the keys, so it can never disagree with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::action::Action;

/// One field that differs between two actions.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The field's path, for example `params.params.learning_rate`.
    pub field: String,
    /// Its value in the earlier action.
    pub before: Option<String>,
    /// Its value in the later one.
    pub after: Option<String>,
}

/// All fields that differ, by path. Empty exactly when the keys are equal.
#[must_use]
pub fn differences(before: &Action, after: &Action) -> Vec<Difference> {
    let mut fields: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    for (path, value) in before.explain() {
        fields.entry(path).or_default().0 = Some(value);
    }
    for (path, value) in after.explain() {
        fields.entry(path).or_default().1 = Some(value);
    }
    let differing = fields.into_iter().filter(|(_, (b, a))| b != a);
    differing.map(|(field, (before, after))| Difference { field, before, after }).collect()
}

impl Difference {
    /// The difference in words, for one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        if let Some(slot) = self.slot() {
            return match (&self.before, &self.after) {
                (None, Some(_)) => format!("new input {slot}"),
                (Some(_), None) => format!("input {slot} is gone"),
                _ => format!("input {slot} changed"),
            };
        }
        if let Some(engine) = self.field.strip_prefix("engines.") {
            return format!(
                "{} changed",
                engine.strip_prefix("program:").map_or_else(|| format!("engine {engine}"), |p| format!("program {p}"))
            );
        }
        let name = self.field.strip_prefix("params.").unwrap_or(&self.field);
        let name = name.strip_prefix("params.").unwrap_or(name);
        if let Some((table, _)) = name.strip_prefix("reads.").and_then(|read| read.split_once(".version.")) {
            return format!("the table {table} was changed");
        }
        if let Some(partition) = name.strip_prefix("part.partitions.") {
            let partition = partition.split('.').next().unwrap_or_default();
            return match (&self.before, &self.after) {
                (None, Some(_)) => format!("partition {partition} is new"),
                (Some(_), None) => format!("partition {partition} is gone"),
                _ => format!("partition {partition} was changed"),
            };
        }
        if name.starts_with("version.") {
            return "the table was changed".to_owned();
        }
        match (&self.before, &self.after) {
            (Some(b), Some(a)) if is_sql(&self.field) => match token_change(b, a) {
                Some((at, before, after)) => format!("SQL token {at}: {before} → {after}"),
                None => "SQL changed".to_owned(),
            },
            (Some(b), Some(a)) => format!("{name}: {} → {}", clip(b), clip(a)),
            (None, Some(a)) => format!("{name} is new: {}", clip(a)),
            (Some(b), None) => format!("{name} is gone (was {})", clip(b)),
            (None, None) => name.to_owned(),
        }
    }

    /// The input slot the field belongs to, where it is one.
    #[must_use]
    pub fn slot(&self) -> Option<&str> {
        let rest = self.field.strip_prefix("inputs.")?;
        ["artifact", "file", "name", "executable"].iter().find_map(|leaf| rest.strip_suffix(leaf)?.strip_suffix('.'))
    }
}

/// The reason in words for running an action whose target last had `before`: at most three differences. Where nobody knows that one, it matters
/// whether the target `was_built`.
#[must_use]
pub fn reason(before: Option<&Action>, was_built: bool, after: &Action) -> String {
    let Some(before) = before else {
        return if was_built { "its last result is not in the store" } else { "never built" }.to_owned();
    };
    let all = differences(before, after);
    if all.is_empty() {
        return "its result is not in the store".to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    for sentence in all.iter().map(Difference::sentence) {
        if !words.contains(&sentence) {
            words.push(sentence);
        }
    }
    let more = words.len().saturating_sub(3);
    words.truncate(3);
    let mut text = words.join("; ");
    if more > 0 {
        _ = write!(text, "; and {more} more");
    }
    text
}

fn is_sql(field: &str) -> bool {
    field == "params.sql"
}

/// The first token at which two SQL texts part: its number from 1, and both tokens.
fn token_change(before: &str, after: &str) -> Option<(usize, String, String)> {
    let unquote = |text: &str| serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
    let (before, after) = (unquote(before), unquote(after));
    let (mut b, mut a) = (before.split(' '), after.split(' '));
    let mut at = 1;
    loop {
        match (b.next(), a.next()) {
            (None, None) => return None,
            (x, y) if x == y => at += 1,
            (x, y) => return Some((at, x.unwrap_or("(end)").to_owned(), y.unwrap_or("(end)").to_owned())),
        }
    }
}

fn clip(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MOST).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::base::digest::{BlobId, Digest};
    use crate::model::action::Input;

    fn action(params: serde_json::Value, input: &str) -> Action {
        let file = Input::File { blob: BlobId(Digest::of(input.as_bytes())), name: "x.csv".into(), executable: false };
        Action {
            kind: "sql".into(),
            version: 1,
            engines: BTreeMap::new(),
            platform: String::new(),
            threads: 1,
            params,
            inputs: BTreeMap::from([("source".into(), file)]),
            outputs: BTreeSet::new(),
        }
    }

    #[test]
    fn the_reason_names_the_parameter_the_token_and_the_input() {
        let before = action(json!({"sql": "SELECT a FROM t", "rate": 0.05}), "1");
        let after = action(json!({"sql": "SELECT b FROM t", "rate": 0.03}), "2");
        assert_eq!(reason(Some(&before), true, &after), "input source changed; rate: 0.05 → 0.03; SQL token 2: a → b");
        assert_eq!(reason(None, false, &after), "never built");
        assert_eq!(reason(None, true, &after), "its last result is not in the store");
        assert_eq!(reason(Some(&after), true, &after), "its result is not in the store");
    }

    #[test]
    fn whatever_tells_a_tables_versions_apart_is_one_reason() {
        let before = action(json!({"version": {"etag": "a", "modified": "1", "schema": []}}), "1");
        let after = action(json!({"version": {"etag": "b", "modified": "2", "schema": [{"name": "x"}]}}), "1");
        assert_eq!(reason(Some(&before), true, &after), "the table was changed");
    }

    #[test]
    fn a_partition_that_changed_came_or_went_is_named() {
        let part = |partitions: serde_json::Value| action(json!({"part": {"restriction": "x", "partitions": partitions}}), "1");
        let before = part(json!({"20240101": {"modified": 1, "rows": 2}, "20240102": {"modified": 1, "rows": 2}}));
        let after = part(json!({"20240102": {"modified": 2, "rows": 3}, "20240103": {"modified": 2, "rows": 1}}));
        let words = "partition 20240101 is gone; partition 20240102 was changed; partition 20240103 is new";
        assert_eq!(reason(Some(&before), true, &after), words);
    }

    #[test]
    fn no_difference_means_the_same_key() {
        let (a, b) = (action(json!({"x": 1}), "1"), action(json!({"x": 1.0}), "1"));
        assert!(differences(&a, &a).is_empty());
        assert_eq!(differences(&a, &b).is_empty(), a.key() == b.key());
    }
}
