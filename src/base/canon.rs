//! Owns the canonical encoding. Invariant: one walk over a value's fields feeds every sink, so what is explained is what was hashed.
//!
//! A field is written as tag, length and bytes, so no two different sequences of fields give the same byte stream.

use serde_json::Value;

use crate::base::digest::Digest;

/// Takes the fields of a value in a fixed order.
pub trait Sink {
    /// Opens a group of fields called `name`; groups nest.
    fn open(&mut self, name: &str);
    /// Opens a list called `name`, whose items are fields named by their position.
    fn open_list(&mut self, name: &str);
    /// Closes the group opened last.
    fn close(&mut self);
    /// Takes one field.
    fn field(&mut self, name: &str, value: &str);
}

/// Hashes the fields under a `derive_key` context.
pub struct HashSink(blake3::Hasher);

impl HashSink {
    /// An empty sink for one type's context, for example `"cbi 1 action"`.
    #[must_use]
    pub fn new(context: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(context))
    }

    /// The digest of all fields taken.
    #[must_use]
    pub fn finish(&self) -> Digest {
        self.0.finalize().into()
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.0.update(&[tag]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

impl Sink for HashSink {
    fn open(&mut self, name: &str) {
        self.bytes(1, name.as_bytes());
    }

    fn open_list(&mut self, name: &str) {
        self.bytes(5, name.as_bytes());
    }

    fn close(&mut self) {
        self.bytes(2, &[]);
    }

    fn field(&mut self, name: &str, value: &str) {
        self.bytes(3, name.as_bytes());
        self.bytes(4, value.as_bytes());
    }
}

/// Writes the fields down as `path → value`, for people and for comparison.
#[derive(Default)]
pub struct ExplainSink {
    path: Vec<String>,
    fields: Vec<(String, String)>,
}

impl ExplainSink {
    /// Every field taken: its dotted path and its value, in the order of the walk.
    #[must_use]
    pub fn finish(self) -> Vec<(String, String)> {
        self.fields
    }
}

impl Sink for ExplainSink {
    fn open(&mut self, name: &str) {
        self.path.push(name.to_owned());
    }

    fn open_list(&mut self, name: &str) {
        self.open(name);
    }

    fn close(&mut self) {
        self.path.pop();
    }

    fn field(&mut self, name: &str, value: &str) {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        self.fields.push((path.join("."), value.to_owned()));
    }
}

/// Walks a JSON value: objects by sorted key, arrays by index, leaves with their type, so `1`, `1.0` and `"1"` differ.
pub fn walk_json(sink: &mut dyn Sink, name: &str, value: &Value) {
    match value {
        Value::Object(map) if map.is_empty() => sink.field(name, "{}"),
        Value::Array(items) if items.is_empty() => sink.field(name, "[]"),
        Value::Object(map) => {
            sink.open(name);
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            for key in keys {
                walk_json(sink, key, &map[key]);
            }
            sink.close();
        }
        Value::Array(items) => {
            sink.open_list(name);
            for (index, item) in items.iter().enumerate() {
                walk_json(sink, &index.to_string(), item);
            }
            sink.close();
        }
        leaf => sink.field(name, &leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn digest(value: &Value) -> Digest {
        let mut sink = HashSink::new("test");
        walk_json(&mut sink, "v", value);
        sink.finish()
    }

    #[test]
    fn the_type_of_a_leaf_counts() {
        let all = [json!(1), json!(1.0), json!("1"), json!(true), json!(null), json!([1]), json!({"0": 1}), json!([]), json!({})];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(digest(a), digest(b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn explaining_lists_every_leaf_by_its_path() {
        let mut sink = ExplainSink::default();
        walk_json(&mut sink, "params", &json!({"b": {"c": [1, "x"]}, "a": 2.5}));
        let expected = [("params.a", "2.5"), ("params.b.c.0", "1"), ("params.b.c.1", "\"x\"")];
        let found = sink.finish();
        assert_eq!(found.iter().map(|(p, v)| (p.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn moving_a_boundary_between_fields_changes_the_hash(a in "[a-c]{0,4}", b in "[a-c]{0,4}", c in "[a-c]{0,4}", d in "[a-c]{0,4}") {
            let hash = |x: &str, y: &str| { let mut s = HashSink::new("t"); s.field(x, y); s.finish() };
            prop_assert_eq!(hash(&a, &b) == hash(&c, &d), a == c && b == d);
        }
    }
}
