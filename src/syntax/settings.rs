//! Owns the workspace settings, `cbi.toml`. Invariant: a profile changes only what it names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Number, Value};
use toml::de::{DeTable, DeValue};

use crate::base::name::nearest;
use crate::base::units;
use crate::model::recipe::Spot;
use crate::syntax::error::{Fault, SyntaxError};
use crate::syntax::interpolate::{Resolver, Scope};
use crate::syntax::lets::{self, Lets};
use crate::syntax::recipe::{SourceText, document};
use crate::syntax::settings_keys::SECTIONS;
use crate::syntax::shape;

/// The word in place of a warehouse's folder, or of the folder of published tables.
pub const BIGQUERY: &str = "bigquery";

/// What `cbi.toml` says, after its profile.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The workspace's name.
    pub name: String,
    /// Globs of the targets that are built when none is named.
    pub default: Vec<String>,
    /// The warehouse folder.
    pub warehouse: String,
    /// What is said of BigQuery; there where the warehouse is in it.
    pub bigquery: Option<BigQuery>,
    /// The bucket that results are shared through.
    pub mirror: Option<Mirror>,
    /// Whose records in it are believed.
    pub trust: Option<Trust>,
    /// The date that `@as_of` means.
    pub as_of: Option<String>,
    /// Values for every recipe file.
    pub lets: Lets,
    /// Threads that steps may use together.
    pub jobs: Option<u32>,
    /// Memory that steps may use together.
    pub memory: Option<u64>,
    /// Who is told when an unattended run fails.
    pub notify: Notify,
    /// The folder that tables are published into; [`BIGQUERY`] for the warehouse.
    pub published: Option<String>,
    /// The targets that an unattended run publishes.
    pub daily_publish: Vec<String>,
}

/// Who is told when an unattended run fails.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    /// A program with its arguments; empty where there is none.
    pub command: Vec<String>,
    /// A web address, or `env:` and the variable that holds it.
    pub webhook: Option<String>,
    /// Header → the variable that holds its value.
    pub headers: BTreeMap<String, String>,
}

impl Settings {
    /// Whether the warehouse is a project of BigQuery, instead of a folder.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.warehouse == BIGQUERY
    }
}

/// What `[bigquery]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BigQuery {
    /// The project that the tables are in.
    pub project: String,
    /// The project that pays.
    pub billing_project: Option<String>,
    /// A file with credentials.
    pub credentials: Option<String>,
    /// A program that prints a token; empty where there is none.
    pub token_command: Vec<String>,
    /// The workspace's own dataset.
    pub dataset: Option<String>,
    /// Where it is made, and queries run.
    pub location: Option<String>,
    /// What a TiB costs that a query is charged for.
    pub price_per_tib: Option<Number>,
    /// The most that the queries of one build may be charged for together, in bytes.
    pub budget: Option<u64>,
    /// Whether no token is sent.
    pub anonymous: bool,
    /// Another address of the REST interface.
    pub endpoint: Option<String>,
    /// Another address of the Storage interface.
    pub storage_endpoint: Option<String>,
    /// Where models are exported to, `gs://…`.
    pub bucket: Option<String>,
    /// Another address of Cloud Storage's JSON interface.
    pub storage_json_endpoint: Option<String>,
}

/// What `[mirror]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Where it is.
    pub url: String,
    /// Another server than the vendor's own.
    pub endpoint: Option<String>,
    /// Whether requests go without an account.
    pub anonymous: bool,
    /// The most bytes that travel in a second.
    pub limit: Option<u64>,
    /// How long one request may take.
    pub timeout: Option<Duration>,
    /// What it is called in signatures.
    pub name: String,
    /// Whether the files of the warehouse that builds read are put there.
    pub sources: bool,
}

/// What `[trust]` says: keys as they are written there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Keys that are believed.
    pub keys: Vec<String>,
    /// Keys that are not, any more.
    pub revoked: Vec<String>,
    /// Whether what is not signed is refused.
    pub required: bool,
}

/// Reads `cbi.toml`.
///
/// # Errors
/// Everything that is wrong with it, and a profile it has not.
pub fn parse(path: &str, text: &str, profile: Option<&str>) -> Result<Settings, Vec<SyntaxError>> {
    let source = SourceText { path: path.into(), text };
    let (mut root, mut errors) = document(&source);
    if !errors.is_empty() {
        return Err(errors); // What was recovered may not be what was meant.
    }
    let profile_lets = profile.map(|name| profile_lets(&mut root, name)).unwrap_or_default();
    let (lets, body, spots) = resolve(&source, &root, &profile_lets, &mut errors);
    let spot = |path: &str| {
        let mut paths = std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(outer, _)| outer));
        paths.find_map(|path| spots.get(path)).cloned().unwrap_or_else(|| Spot::both(source.place(0..0)))
    };
    errors.extend(shape::check(path, &body, SECTIONS, &spot));
    let empty = Value::Null;
    let chosen = match profile {
        None => &empty,
        Some(name) => body.get("profile").and_then(|all| all.get(name)).unwrap_or_else(|| {
            errors.push(unknown_profile(&body, name).at(spot("profile").key()));
            &empty
        }),
    };
    if errors.is_empty() { Ok(settings(&body, chosen, lets)) } else { Err(errors) }
}

/// Resolves all sections: `[let]` first, the profile's values before the common ones.
fn resolve(
    source: &SourceText,
    root: &DeTable,
    profile: &DeTable,
    errors: &mut Vec<SyntaxError>,
) -> (Lets, BTreeMap<String, Value>, BTreeMap<String, Spot>) {
    let mut table = DeTable::new();
    if let Some(DeValue::Table(common)) = root.get("let").map(toml::Spanned::get_ref) {
        table.extend(common.clone());
    }
    for (key, value) in profile {
        table.remove(key.get_ref().as_ref());
        table.insert(key.clone(), value.clone());
    }
    let lets = lets::resolve(source, &table, &Lets::default(), errors);
    let mut resolver = Resolver { source, scope: Scope(&[&lets.values]), errors };
    let mut spots = BTreeMap::new();
    let mut body = BTreeMap::new();
    for (key, value) in root {
        let name = key.get_ref().to_string();
        // A [let] was resolved above, and mistakes in it were reported there.
        let is_let = name == "let" && matches!(value.get_ref(), DeValue::Table(_));
        let value = if is_let { Value::Object(serde_json::Map::new()) } else { resolver.entry(&name, key, value, &mut spots) };
        body.insert(name, value);
    }
    (lets, body, spots)
}

/// The `[profile.NAME.let]` table, taken out so that it is resolved with the other `[let]` values.
fn profile_lets<'a>(root: &mut DeTable<'a>, name: &str) -> DeTable<'a> {
    fn table<'t, 'a>(of: &'t mut DeTable<'a>, name: &str) -> Option<&'t mut DeTable<'a>> {
        match of.get_mut(name)?.get_mut() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        }
    }
    let lets = table(root, "profile").and_then(|all| table(all, name)).and_then(|profile| table(profile, "let"));
    lets.map(std::mem::take).unwrap_or_default()
}

fn unknown_profile(body: &BTreeMap<String, Value>, name: &str) -> Fault {
    let known: Vec<_> = body.get("profile").and_then(Value::as_object).into_iter().flat_map(|all| all.keys().cloned()).collect();
    Fault::UnknownProfile { name: name.to_owned(), nearest: nearest(name, known.iter().map(String::as_str)).map(str::to_owned), known }
}

/// Reads checked sections.
fn settings(body: &BTreeMap<String, Value>, profile: &Value, lets: Lets) -> Settings {
    let find = |section: &str, key: &str| profile.get(key).or_else(|| body.get(section)?.get(key));
    let text = |section, key| find(section, key).and_then(Value::as_str).map(str::to_owned);
    let globs = find("workspace", "default").and_then(Value::as_array);
    let texts =
        |list: Option<&Value>| list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Settings {
        published: text("workspace", "published"),
        daily_publish: texts(body.get("daily").and_then(|daily| daily.get("publish"))),
        notify: notify(body.get("notify").unwrap_or(&Value::Null)),
        name: text("workspace", "name").unwrap_or_default(),
        default: globs.map_or_else(|| vec!["**".to_owned()], |all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        warehouse: text("workspace", "warehouse").unwrap_or_else(|| "warehouse".to_owned()),
        bigquery: (text("workspace", "warehouse").as_deref() == Some(BIGQUERY) || body.contains_key("bigquery"))
            .then(|| bigquery(body.get("bigquery"))),
        mirror: mirror(body.get("mirror"), profile.get("mirror")),
        trust: body.get("trust").map(|section| Trust {
            keys: texts(section.get("keys")),
            revoked: texts(section.get("revoked")),
            required: section.get("required").and_then(Value::as_bool).unwrap_or(true),
        }),
        as_of: text("workspace", "as_of"),
        lets,
        jobs: find("limits", "jobs").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()),
        memory: text("limits", "memory").and_then(|t| units::parse_bytes(&t)),
    }
}

fn notify(section: &Value) -> Notify {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let headers = section["headers"].as_object().into_iter().flatten();
    Notify {
        command: section["command"].as_array().into_iter().flatten().filter_map(text).collect(),
        webhook: text(&section["webhook"]),
        headers: headers.filter_map(|(name, variable)| Some((name.clone(), text(variable)?))).collect(),
    }
}

fn mirror(section: Option<&Value>, profile: Option<&Value>) -> Option<Mirror> {
    let find = |key: &str| section.and_then(|section| section.get(key));
    let url = profile.or_else(|| find("url")).and_then(Value::as_str).filter(|url| !url.is_empty())?;
    let text = |key: &str| find(key).and_then(Value::as_str);
    // The name is that of the section's own mirror.
    let name = text("name").filter(|_| profile.is_none()).unwrap_or_else(|| url.trim_end_matches('/'));
    Some(Mirror {
        url: url.to_owned(),
        endpoint: text("endpoint").map(str::to_owned),
        sources: find("sources").and_then(Value::as_bool).unwrap_or_default(),
        anonymous: find("anonymous").and_then(Value::as_bool).unwrap_or_default(),
        limit: text("limit").and_then(units::parse_bytes),
        timeout: text("timeout").and_then(units::parse_duration),
        name: name.to_owned(),
    })
}

fn bigquery(section: Option<&Value>) -> BigQuery {
    let find = |key: &str| section.and_then(|section| section.get(key));
    let text = |key: &str| find(key).and_then(Value::as_str).map(str::to_owned);
    let words = find("token_command").and_then(Value::as_array).into_iter().flatten();
    BigQuery {
        project: text("project").unwrap_or_default(),
        billing_project: text("billing_project"),
        credentials: text("credentials"),
        token_command: words.filter_map(Value::as_str).map(str::to_owned).collect(),
        dataset: text("dataset"),
        location: text("location"),
        price_per_tib: find("price_per_tib").and_then(Value::as_number).cloned(),
        budget: text("budget").and_then(|size| units::parse_bytes(&size)),
        anonymous: find("anonymous").and_then(Value::as_bool).unwrap_or_default(),
        endpoint: text("endpoint"),
        storage_endpoint: text("storage_endpoint"),
        bucket: text("bucket"),
        storage_json_endpoint: text("storage_json_endpoint"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = r#"
[workspace]
name = "wti"
default = ["forecast/wti/*"]
as_of = 2019-01-03

[let]
market = "wti"
prices = "{market}.daily"

[limits]
jobs = 2
memory = "2GiB"

[profile.zl]
warehouse = "../shared/warehouse"
jobs = 4
let = { market = "zl" }
"#;

    #[test]
    fn a_profile_changes_only_what_it_names() {
        let plain = parse("cbi.toml", TEXT, None).unwrap();
        assert_eq!((plain.name.as_str(), plain.warehouse.as_str(), plain.jobs, plain.memory), ("wti", "warehouse", Some(2), Some(2 << 30)));
        assert_eq!(plain.as_of.as_deref(), Some("2019-01-03"));
        assert_eq!(plain.default, ["forecast/wti/*"]);
        assert_eq!(plain.lets.values["prices"], json!("wti.daily"));
        let zl = parse("cbi.toml", TEXT, Some("zl")).unwrap();
        assert_eq!((zl.name.as_str(), zl.warehouse.as_str(), zl.jobs, zl.memory), ("wti", "../shared/warehouse", Some(4), Some(2 << 30)));
        assert_eq!(zl.lets.values["prices"], json!("zl.daily"));
    }

    #[test]
    fn a_profile_may_name_another_mirror_or_none() {
        let text = "[workspace]\nname = \"x\"\n[mirror]\nurl = \"gs://a/b\"\nanonymous = true\nlimit = \"2MiB\"\n\
                    [profile.other]\nmirror = \"s3://c\"\n[profile.alone]\nmirror = \"\"\n";
        let mirror = |profile| parse("cbi.toml", text, profile).unwrap().mirror;
        let first = Mirror { url: "gs://a/b".into(), anonymous: true, limit: Some(2 << 20), name: "gs://a/b".into(), ..Mirror::default() };
        assert_eq!(mirror(None), Some(first));
        assert_eq!(mirror(Some("other")).unwrap().url, "s3://c");
        assert_eq!(mirror(Some("alone")), None);
        assert_eq!(parse("cbi.toml", "[workspace]\nname = \"x\"\n", None).unwrap().mirror, None);
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "[workspace]\nnam = \"x\"\nas_of = \"soon\"\n[limts]\n[limits]\nmemory = 5\n";
        let errors = parse("cbi.toml", text, Some("x")).unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| format!("{}: {e}", &text[e.place.span.clone()])).collect();
        assert_eq!(
            found,
            [
                "5: 'limits.memory' must be a size such as \"2GiB\", found the number 5",
                "limts: unknown key 'limts' in cbi.toml",
                "\"soon\": 'workspace.as_of' must be a date such as 2019-01-03, found the string \"soon\"",
                "nam: unknown key 'workspace.nam' in cbi.toml",
                "workspace: cbi.toml needs the key 'workspace.name'",
                ": there is no profile 'x'",
            ]
        );
    }

    #[test]
    fn what_is_not_toml_is_told_once() {
        let errors = parse("cbi.toml", "[workspace\nname = \"x\"\n", None).unwrap_err();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), ["not valid TOML: unclosed table, expected `]`"]);
    }

    #[test]
    fn a_key_that_means_nothing_is_shown_at_the_key() {
        for (section, key) in [
            ("[workspace]\nname = \"x\"\nnam = \"x\"", "nam"),
            ("[workspace]\nname = \"x\"\n[limits]\njobbs = 2", "jobbs"),
            ("[workspace]\nname = \"x\"\n[profile.a]\njobbs = 2", "jobbs"),
            ("workspace.name = \"x\"\nworkspace.nam = \"x\"", "nam"),
            ("workspace = { name = \"x\", nam = \"x\" }", "nam"),
            ("[workspace]\nname = \"x\"\n[limits.memry]\nx = 1", "memry"),
            ("[workspace]\nname = \"x\"\n[limts]\njobs = 1", "limts"),
        ] {
            let errors = parse("cbi.toml", section, None).unwrap_err();
            let found: Vec<_> = errors.iter().map(|e| (&section[e.place.span.clone()], e.fault.hint().is_some())).collect();
            assert_eq!(found, [(key, true)], "{section}");
        }
    }
}
