//! Promises about the JSON Schemas: what the checks take, the schema takes, and what the checks refuse for its form, the schema refuses.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cbi::kinds::registry::KINDS;
use cbi::kinds::schema;
use cbi::model::recipe::{Place, Spot};
use cbi::syntax::recipe::COMMON_KEYS;
use cbi::syntax::settings_keys::SECTIONS;
use cbi::syntax::shape::{Key, Want, check};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Whether a schema, of the few words that ours use, takes a value. The only text made here that has no certain form is `x`.
fn takes(schema: &Value, value: &Value) -> bool {
    let typed = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("type {other}"),
    };
    let any = schema["anyOf"].as_array().is_none_or(|forms| forms.iter().any(|form| takes(form, value)));
    let word = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    let least = schema["minimum"].as_i64().is_none_or(|least| value.as_i64().is_none_or(|n| n >= least));
    let formed = (schema["pattern"].is_null() && schema["format"].is_null()) || *value != json!("x");
    typed && any && word && least && formed && takes_items(schema, value) && takes_entries(schema, value)
}

fn takes_items(schema: &Value, value: &Value) -> bool {
    let Some(items) = value.as_array() else { return true };
    let filled = schema["minItems"].as_u64().is_none_or(|least| items.len() as u64 >= least);
    filled && (schema["items"].is_null() || items.iter().all(|item| takes(&schema["items"], item)))
}

fn takes_entries(schema: &Value, value: &Value) -> bool {
    let Some(map) = value.as_object() else { return true };
    let count = map.len() as u64;
    let counted =
        schema["minProperties"].as_u64().is_none_or(|n| count >= n) && schema["maxProperties"].as_u64().is_none_or(|n| count <= n);
    let required = schema["required"].as_array().into_iter().flatten().all(|key| map.contains_key(key.as_str().unwrap_or_default()));
    let entry = |(key, value): (&String, &Value)| match schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]) {
        Value::Bool(allowed) => *allowed,
        Value::Null => true,
        schema => takes(schema, value),
    };
    counted && required && map.iter().all(entry)
}

/// Values of about this form: mostly right ones.
fn about(want: &'static Want) -> BoxedStrategy<Value> {
    let junk =
        || select(vec![json!(1), json!(-7), json!(0.5), json!("x"), json!(true), json!([]), json!([1]), json!({}), json!({ "x": 1 })]);
    let right: BoxedStrategy<Value> = match want {
        Want::Any => junk().boxed(),
        Want::Text | Want::Target => Just(json!("x")).boxed(),
        Want::TableName => Just(json!("a.b")).boxed(),
        Want::Date => Just(json!("2019-01-03")).boxed(),
        Want::Bytes => Just(json!("2GiB")).boxed(),
        Want::Duration => Just(json!("30m")).boxed(),
        Want::OneOf(words) => select(words.to_vec()).prop_map(Value::from).boxed(),
        Want::Int(_) => select(vec![json!(0), json!(1), json!(5)]).boxed(),
        Want::Number => select(vec![json!(1), json!(0.5)]).boxed(),
        Want::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Want::List(inner, _) => proptest::collection::vec(about(inner), 0..3).prop_map(Value::from).boxed(),
        Want::Table(keys) | Want::Choice(keys) => table(keys).prop_map(Value::Object).boxed(),
        Want::Map(inner) => about(inner).prop_map(|value| json!({ "x": value })).boxed(),
        Want::Either(forms) => proptest::strategy::Union::new(forms.iter().map(about)).boxed(),
    };
    prop_oneof![20 => right, 1 => junk()].boxed()
}

/// A table with most of these keys, and now and then another.
fn table(keys: &'static [Key]) -> BoxedStrategy<Map<String, Value>> {
    let entry = |key: &'static Key| {
        let there = if key.required { 0.97 } else { 0.5 };
        (proptest::bool::weighted(there), about(&key.want)).prop_map(|(there, value)| there.then(|| (key.name.to_owned(), value)))
    };
    let mut entries: Vec<_> = keys.iter().map(|key| entry(key).boxed()).collect();
    entries.push(proptest::bool::weighted(0.03).prop_map(|odd| odd.then(|| ("odd".to_owned(), json!(1)))).boxed());
    entries.prop_map(|entries| entries.into_iter().flatten().collect()).boxed()
}

fn agree(keys: &'static [Key], schema: &Value, body: Map<String, Value>) -> Result<(), TestCaseError> {
    let value = Value::Object(body.clone());
    let errors = check("it", &body.into_iter().collect::<BTreeMap<_, _>>(), keys, &|_| Spot::both(Place::default()));
    prop_assert_eq!(errors.is_empty(), takes(schema, &value), "{}\n{:?}", value, errors);
    Ok(())
}

/// The schema of a table of keys in a recipe, without the alternative that a placeholder may stand for the value.
fn without_placeholders(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let alternatives = map.get("anyOf").and_then(Value::as_array);
            if let Some([plain, placeholder]) = alternatives.map(Vec::as_slice)
                && placeholder["pattern"].as_str().is_some_and(|p| p.contains("\\{"))
            {
                return without_placeholders(plain);
            }
            Value::Object(map.iter().map(|(key, value)| (key.clone(), without_placeholders(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_placeholders).collect(),
        other => other.clone(),
    }
}

static PLAIN: LazyLock<Value> = LazyLock::new(|| without_placeholders(&schema::recipes()));

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn schema_and_checks_agree_on_stanzas(
        (index, body) in (0..KINDS.len()).prop_flat_map(|index| (Just(index), table(KINDS[index].keys))),
    ) {
        agree(KINDS[index].keys, &PLAIN["$defs"][KINDS[index].name], body)?;
    }

    #[test]
    fn schema_and_checks_agree_on_the_settings(body in table(SECTIONS)) {
        agree(SECTIONS, &schema::settings(), body)?;
    }
}

#[test]
fn the_keys_of_every_stanza_are_in_the_schema_of_each() {
    for kind in KINDS {
        let properties = &schema::recipes()["$defs"][kind.name]["properties"];
        assert!(COMMON_KEYS.iter().all(|key| properties[key.name].is_object()), "{}", kind.name);
    }
}
