//! Owns the JSON Schemas of recipe files and of `cbi.toml`, for editors. Invariant: they are made from the key tables that checks use, and a
//! recipe that the checks take, the schema takes.

use serde_json::{Map, Value, json};

use crate::kinds::kind::Kind;
use crate::kinds::registry::KINDS;
use crate::syntax::recipe::COMMON_KEYS;
use crate::syntax::settings_keys::SECTIONS;
use crate::syntax::shape::{Key, Want};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON Schema of a recipe file.
#[must_use]
pub fn recipes() -> Value {
    let mut sections = Map::new();
    let mut definitions = Map::new();
    sections.insert("let".into(), json!({ "type": "object", "description": "Values that this file's stanzas may name." }));
    for kind in KINDS {
        let reference = json!({ "$ref": format!("#/$defs/{}", kind.name) });
        sections.insert(kind.name.into(), json!({ "type": "object", "description": kind.about, "additionalProperties": reference }));
        definitions.insert(kind.name.into(), stanza(kind));
    }
    json!({
        "$schema": DIALECT, "title": "cbi recipe file", "type": "object",
        "properties": sections, "additionalProperties": false, "$defs": definitions,
    })
}

/// The JSON Schema of `cbi.toml`.
#[must_use]
pub fn settings() -> Value {
    let mut schema = Dialect { placeholders: false }.table(SECTIONS);
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!("cbi.toml");
    schema
}

fn stanza(kind: &Kind) -> Value {
    let keys: Vec<Key> = kind.keys.iter().chain(COMMON_KEYS).copied().collect();
    let mut schema = Dialect { placeholders: true }.table(&keys);
    schema["description"] = json!(kind.about);
    schema
}

/// How values are written: in recipes, a string that is one placeholder may stand for a value of any type.
#[derive(Clone, Copy)]
struct Dialect {
    placeholders: bool,
}

impl Dialect {
    fn table(self, keys: &[Key]) -> Value {
        let described = |key: &Key| {
            let mut schema = self.value(&key.want);
            schema["description"] = json!(key.about);
            schema
        };
        let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), described(key))).collect();
        let required: Vec<_> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    fn value(self, want: &Want) -> Value {
        match want {
            Want::Any => json!({}),
            Want::Text | Want::Target => json!({ "type": "string" }),
            Want::TableName => self.text(&json!({ "type": "string", "pattern": "^[A-Za-z0-9_]+\\.[A-Za-z0-9_]+$" })),
            Want::Bytes => self.text(&json!({ "type": "string", "pattern": "^[0-9.]+ ?([KkMmGg]([Ii][Bb])?|[Bb])?$" })),
            Want::Duration => self.text(&json!({ "type": "string", "pattern": "^[0-9.]+ ?(ms|s|m|h)$" })),
            Want::Date => self.text(&json!({ "type": "string", "format": "date" })),
            Want::OneOf(words) => self.text(&json!({ "enum": words })),
            Want::Int(i64::MIN) => self.other(json!({ "type": "integer" })),
            Want::Int(least) => self.other(json!({ "type": "integer", "minimum": least })),
            Want::Number => self.other(json!({ "type": "number" })),
            Want::Bool => self.other(json!({ "type": "boolean" })),
            Want::List(inner, filled) => {
                let mut schema = json!({ "type": "array", "items": self.value(inner) });
                if *filled {
                    schema["minItems"] = json!(1);
                }
                self.other(schema)
            }
            Want::Table(keys) => self.other(self.table(keys)),
            Want::Choice(keys) => {
                let mut schema = self.table(keys);
                schema["minProperties"] = json!(1);
                schema["maxProperties"] = json!(1);
                self.other(schema)
            }
            Want::Map(inner) => self.other(json!({ "type": "object", "additionalProperties": self.value(inner) })),
            Want::Either(forms) => json!({ "anyOf": forms.iter().map(|form| self.value(form)).collect::<Vec<_>>() }),
        }
    }

    /// A text of a certain form; in recipes, one with a placeholder anywhere in it as well.
    fn text(self, schema: &Value) -> Value {
        self.or_placeholder(schema, "\\{")
    }

    /// A value that is no text; in recipes, a text that is one placeholder as well.
    fn other(self, schema: Value) -> Value {
        if self.placeholders { self.or_placeholder(&schema, "^\\{[A-Za-z0-9_.-]+\\}$") } else { schema }
    }

    fn or_placeholder(self, schema: &Value, pattern: &str) -> Value {
        if self.placeholders { json!({ "anyOf": [schema, { "type": "string", "pattern": pattern }] }) } else { schema.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_every_kind_is_in_the_schema_with_its_meaning() {
        let schema = recipes();
        for kind in KINDS {
            let stanza = &schema["$defs"][kind.name];
            for key in kind.keys.iter().chain(COMMON_KEYS) {
                assert_eq!(stanza["properties"][key.name]["description"], json!(key.about), "{}.{}", kind.name, key.name);
            }
            assert_eq!(stanza["additionalProperties"], json!(false));
        }
        assert_eq!(settings()["properties"]["workspace"]["required"], json!(["name"]));
    }

    #[test]
    fn a_placeholder_may_stand_for_a_number_in_a_recipe_but_not_in_the_settings() {
        let threads = &recipes()["$defs"]["command"]["properties"]["threads"];
        assert_eq!(threads["anyOf"][0], json!({ "type": "integer", "minimum": 1 }));
        assert_eq!(threads["anyOf"][1]["type"], json!("string"));
        let jobs = &settings()["properties"]["limits"]["properties"]["jobs"];
        assert_eq!(jobs["type"], json!("integer"));
    }
}
