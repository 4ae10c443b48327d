//! Owns `cbi key` and who is trusted. Invariant: a secret key never leaves its folder, and nothing here prints one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::app::problem::Outcome;
use crate::app::workspace::{Options, SETTINGS_FILE, Workspace};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::io::file;
use crate::mirror::keys::{self, KeysError, OwnKey};
use crate::mirror::sign::PublicKey;
use crate::mirror::trust::{Policy, Trust};
use crate::syntax::insert::into_list;
use crate::syntax::settings;

/// A key that is here, or that the workspace names.
#[derive(Debug, Clone, Serialize)]
pub struct Known {
    /// The public key.
    pub key: PublicKey,
    /// The name of its secret key, where that is on this machine.
    pub own: Option<String>,
    /// What the workspace calls it.
    pub name: Option<String>,
    /// `trusted`, `revoked`, or `foreign`: the workspace does not name it.
    pub state: &'static str,
    /// Whether this machine signs with it.
    pub signs: bool,
}

/// A key that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Generated {
    /// Its name.
    pub name: String,
    /// What others know it by.
    pub key: PublicKey,
    /// Where its secret is.
    pub path: PathBuf,
}

/// A key that the settings name now.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// The key.
    pub key: PublicKey,
    /// `keys` or `revoked`.
    pub list: &'static str,
    /// Whether the settings were changed: they may have named it before.
    pub changed: bool,
}

/// Where secret keys are: `CBI_KEYS`, else `cbi/keys` in the user's folder of settings.
fn folder() -> Outcome<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = || of("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| Some(of("HOME")?.join(".config")));
    of("CBI_KEYS").or_else(|| Some(config()?.join("cbi/keys"))).ok_or_else(|| {
        let problem = Diagnostic::new(ExitCode::Usage, "it is not known where keys are kept: neither CBI_KEYS nor HOME is set");
        vec![problem.hint("export CBI_KEYS=FOLDER")]
    })
}

fn own() -> Outcome<Vec<OwnKey>> {
    keys::all(&folder()?).map_err(unusable)
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn unusable(error: KeysError) -> Vec<Diagnostic> {
    let mut problem = Diagnostic::of(ExitCode::Usage, &error);
    problem.hint = error.hint();
    vec![problem]
}

/// Whose word counts in the workspace's mirror, and the key that this machine signs with.
///
/// # Errors
/// When the settings name what is no key, or a secret key could be read by others.
pub fn trust(workspace: &Workspace, mirror: &str) -> Outcome<Trust> {
    let Some(policy) = policy(workspace)? else { return Ok(Trust::default()) };
    Ok(Trust::new(mirror, policy, own()?.into_iter().map(|own| own.key).collect()))
}

fn policy(workspace: &Workspace) -> Outcome<Option<Policy>> {
    let Some(trust) = &workspace.settings.trust else { return Ok(None) };
    let set = |list: &[String]| list.iter().map(|text| Ok(named(text)?.0)).collect::<Outcome<BTreeSet<PublicKey>>>();
    Ok(Some(Policy { keys: set(&trust.keys)?, revoked: set(&trust.revoked)?, required: trust.required }))
}

/// A key as the settings write it: the key, and a name where there is one.
fn named(text: &str) -> Outcome<(PublicKey, Option<String>)> {
    let (key, name) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let key =
        key.parse().map_err(|error| vec![Diagnostic::of(ExitCode::Invalid, &error).hint(format!("look at [trust] in {SETTINGS_FILE}"))])?;
    Ok((key, Some(name.trim().to_owned()).filter(|name| !name.is_empty())))
}

/// Makes a key on this machine.
///
/// # Errors
/// When there is one of this name, or it cannot be kept.
pub fn generate(name: &str) -> Outcome<Generated> {
    let made = keys::generate(&folder()?, name).map_err(unusable)?;
    Ok(Generated { name: made.name, key: made.key.public(), path: made.path })
}

/// All keys of this machine and of the workspace.
///
/// # Errors
/// When there is no workspace, or a key cannot be used.
pub fn list(options: &Options) -> Outcome<Vec<Known>> {
    let workspace = Workspace::open(options)?;
    let (own, policy) = (own()?, policy(&workspace)?);
    let policy = policy.unwrap_or_default();
    let settings = workspace.settings.trust.clone().unwrap_or_default();
    let mut known: Vec<(PublicKey, Option<String>)> = Vec::new();
    for text in settings.keys.iter().chain(&settings.revoked) {
        let (key, name) = named(text)?;
        match known.iter_mut().find(|(other, _)| *other == key) {
            Some((_, before)) => *before = before.take().or(name),
            None => known.push((key, name)),
        }
    }
    for key in own.iter().map(|own| own.key.public()) {
        if !known.iter().any(|(other, _)| *other == key) {
            known.push((key, None));
        }
    }
    let signs = own.iter().map(|own| own.key.public()).find(|key| policy.trusts(key));
    let told = known.into_iter().map(|(key, name)| Known {
        own: own.iter().find(|own| own.key.public() == key).map(|own| own.name.clone()),
        state: if policy.revoked.contains(&key) {
            "revoked"
        } else if policy.keys.contains(&key) {
            "trusted"
        } else {
            "foreign"
        },
        signs: signs == Some(key),
        name,
        key,
    });
    Ok(told.collect())
}

/// Adds a key to those that the workspace trusts: a public key, or the name of one of this machine.
///
/// # Errors
/// When there is no such key, it is revoked, or the settings cannot be changed.
pub fn trust_key(options: &Options, text: &str, name: Option<&str>) -> Outcome<Named> {
    let workspace = Workspace::open(options)?;
    let (key, own) = find(&workspace, text)?;
    let policy = policy(&workspace)?.unwrap_or_default();
    if policy.revoked.contains(&key) {
        let problem = Diagnostic::new(ExitCode::Usage, format!("{key} is revoked in this workspace"));
        return Err(vec![problem.hint("make another key: cbi key generate NAME")]);
    }
    if policy.keys.contains(&key) {
        return Ok(Named { key, list: "keys", changed: false });
    }
    write(&workspace, key, "keys", name.or(own.as_deref()))
}

/// Adds a key to those that the workspace does not trust any more: a public key, the name of one of this machine, or what the workspace calls it.
///
/// # Errors
/// When there is no such key, or the settings cannot be changed.
pub fn revoke(options: &Options, text: &str) -> Outcome<Named> {
    let workspace = Workspace::open(options)?;
    let (key, name) = find(&workspace, text)?;
    let policy = policy(&workspace)?;
    if policy.as_ref().is_some_and(|policy| policy.revoked.contains(&key)) {
        return Ok(Named { key, list: "revoked", changed: false });
    }
    if policy.is_none_or(|policy| !policy.keys.contains(&key)) {
        let problem = Diagnostic::new(ExitCode::Usage, format!("{key} is not trusted in this workspace"));
        return Err(vec![problem.hint("cbi key list")]);
    }
    write(&workspace, key, "revoked", name.as_deref())
}

/// The key that a text means, and its name.
fn find(workspace: &Workspace, text: &str) -> Outcome<(PublicKey, Option<String>)> {
    let settings = workspace.settings.trust.iter().flat_map(|trust| trust.keys.iter().chain(&trust.revoked));
    let listed = settings.map(|entry| named(entry)).collect::<Outcome<Vec<_>>>()?;
    if let Ok(key) = text.parse() {
        let name = listed.into_iter().find(|(other, _)| *other == key).and_then(|(_, name)| name);
        return Ok((key, name));
    }
    let own = own()?.into_iter().map(|own| (own.key.public(), Some(own.name)));
    let called: Vec<_> = own.chain(listed).filter(|(_, name)| name.as_deref() == Some(text)).collect();
    let different: BTreeSet<PublicKey> = called.iter().map(|(key, _)| *key).collect();
    match (called.into_iter().next(), different.len()) {
        (Some(one), 1) => Ok(one),
        (None, _) => {
            Err(vec![Diagnostic::new(ExitCode::Usage, format!("'{text}' is no public key and no key's name")).hint("cbi key list")])
        }
        _ => Err(vec![Diagnostic::new(ExitCode::Usage, format!("several keys are called '{text}'")).hint("give the public key")]),
    }
}

/// Writes a key into a list of the settings, and leaves all else there as it is.
fn write(workspace: &Workspace, key: PublicKey, list: &'static str, name: Option<&str>) -> Outcome<Named> {
    let path = workspace.root.join(SETTINGS_FILE);
    let usage = |why: String| vec![Diagnostic::new(ExitCode::Usage, why)];
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    if name.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(usage("a key's name takes no quotes and no control characters".to_owned()));
    }
    let entry = format!("{key}{name}");
    let text = workspace.texts.text(SETTINGS_FILE).map_err(usage)?;
    // What is written must say what was meant, and nothing else may have changed.
    let says = |text: &String| {
        let before = workspace.settings.trust.clone().unwrap_or_default();
        let after = settings::parse(SETTINGS_FILE, text, None).ok().and_then(|settings| settings.trust).unwrap_or_default();
        let (was, is) = if list == "keys" { (before.keys, after.keys) } else { (before.revoked, after.revoked) };
        is.len() == was.len() + 1 && is.contains(&entry) && was.iter().all(|key| is.contains(key))
    };
    let Some(changed) = into_list(&text, "trust", list, &entry).filter(says) else {
        let problem = Diagnostic::new(ExitCode::Usage, format!("{SETTINGS_FILE} is written in a way that is not changed by program"));
        return Err(vec![problem.hint(format!("add it by hand: [trust] {list} = [\"{entry}\"]"))]);
    };
    let scratch = workspace.root.join(format!(".{SETTINGS_FILE}.{}", std::process::id()));
    file::replace(&path, changed.as_bytes(), &scratch).map_err(|error| vec![Diagnostic::of(ExitCode::ActionFailed, &error)])?;
    Ok(Named { key, list, changed: true })
}
