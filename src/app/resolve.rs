//! Owns what a person means by a name or a hash. Invariant: a prefix that fits two things is never taken for one of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::app::latest;
use crate::app::problem::{self, Outcome};
use crate::app::workspace::{Options, Workspace};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BlobId, BuildId, Digest, DigestPrefix, ManifestId};
use crate::io::fs;
use crate::model::build::Build;
use crate::model::check::is_main;
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;
use crate::registry::journal::{BuiltTargets, Journal};
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;

/// Things listed for an ambiguous prefix.
const LISTED: usize = 8;

/// A workspace and all that was recorded in it.
pub struct Records {
    /// The workspace.
    pub workspace: Workspace,
    /// Its store.
    pub session: Session,
    /// Every result, oldest first.
    pub results: Vec<ActionResult>,
    /// What the last build left of every target.
    pub state: BuiltTargets,
}

/// What a name or a hash stands for.
#[derive(Debug, Clone)]
pub enum Thing {
    /// A target's latest result.
    Target {
        /// Its name.
        name: String,
        /// The result.
        made: Box<ActionResult>,
    },
    /// One artifact.
    Artifact(Box<Artifact>),
    /// An action with its result.
    Action(Box<ActionResult>),
    /// A build.
    Build(BuildId, Box<Build>),
    /// Bytes.
    Blob(BlobId, u64),
    /// A table of the warehouse that no target holds.
    Source {
        /// Its name.
        name: String,
        /// Its file.
        path: PathBuf,
    },
}

/// One artifact with the result that made it.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// As it was asked for.
    pub asked: String,
    /// Its name among its action's artifacts.
    pub name: String,
    /// Its hash.
    pub id: ManifestId,
    /// Its files.
    pub files: Manifest,
    /// What made it.
    pub made: ActionResult,
}

impl Records {
    /// Opens the workspace to look for `what` in it.
    ///
    /// # Errors
    /// When nothing was ever built in it and `what` is no table of its warehouse, or it cannot be read.
    pub fn open(options: &Options, what: &str) -> Outcome<Self> {
        let workspace = Workspace::open(options)?;
        if is_new(&workspace) && !workspace.tables.contains_key(what) && workspace.settings.mirror.is_none() {
            return Err(unbuilt(&workspace, what));
        }
        Self::read(workspace)
    }

    /// Opens the workspace; `None` where nothing was ever built in it, and it has no mirror that may know more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open_if_any(options: &Options) -> Outcome<Option<Self>> {
        let workspace = Workspace::open(options)?;
        if is_new(&workspace) && workspace.settings.mirror.is_none() { Ok(None) } else { Self::read(workspace).map(Some) }
    }

    fn read(workspace: Workspace) -> Outcome<Self> {
        let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
        let state = latest::targets(&session).map_err(problem::journal)?;
        let mut results = Vec::new();
        let each = |result| {
            results.push(result);
            true
        };
        session.each_result(each).map_err(problem::stores)?;
        Ok(Self { workspace, session, results, state })
    }

    /// The newest result of an action.
    #[must_use]
    pub fn of_action(&self, key: &ActionKey) -> Option<&ActionResult> {
        self.results.iter().rev().find(|r| r.key == *key)
    }

    /// The newest result that made an artifact, and the artifact's name in it.
    #[must_use]
    pub fn maker(&self, id: &ManifestId) -> Option<(&ActionResult, &str)> {
        let named = |r: &ActionResult| r.outputs.iter().find(|(_, m)| m.id() == *id).map(|(name, _)| name.clone());
        let (result, name) = self.results.iter().rev().find_map(|r| Some((r, named(r)?)))?;
        let (name, _) = result.outputs.get_key_value(&name)?;
        Some((result, name))
    }

    /// Whether every file of an artifact is in the store.
    #[must_use]
    pub fn is_whole(&self, files: &Manifest) -> bool {
        files.files.values().all(|f| matches!(self.session.content().size_of(&f.blob), Ok(Some(size)) if size == f.size))
    }

    /// What `text` stands for: a target, `target#artifact`, a table of the warehouse, or the beginning of a hash.
    ///
    /// # Errors
    /// When it is nothing, or several things.
    pub fn find(&self, text: &str) -> Outcome<Thing> {
        let (name, artifact) = split(text);
        let thing = match self.state.get(name) {
            Some(built) => match self.of_action(&built.key) {
                Some(made) => Thing::Target { name: name.to_owned(), made: Box::new(made.clone()) },
                None => return Err(never_built(name)),
            },
            None => self.find_other(name)?,
        };
        match (artifact, thing) {
            (None, thing) => Ok(thing),
            (Some(artifact), Thing::Target { made, .. } | Thing::Action(made)) => pick(text, &made, artifact),
            (Some(_), _) => Err(usage(format!("'{name}' has no artifacts to choose from"))),
        }
    }

    /// The one artifact that `text` stands for.
    ///
    /// # Errors
    /// When it is none, or has several.
    pub fn artifact(&self, text: &str) -> Outcome<Artifact> {
        match self.find(text)? {
            Thing::Artifact(artifact) => Ok(*artifact),
            Thing::Target { made, .. } | Thing::Action(made) => only(text, &made),
            Thing::Build(..) => Err(usage(format!("'{text}' is a build, not an artifact"))),
            Thing::Blob(..) => Err(usage(format!("'{text}' is one file's bytes, not an artifact"))),
            Thing::Source { name, .. } => Err(never_built(&name)),
        }
    }

    /// Whether nothing recorded here has a hash that begins so.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn knows_none(&self, prefix: &DigestPrefix) -> Outcome<bool> {
        self.with_prefix(prefix).map(|found| found.is_empty())
    }

    fn find_other(&self, name: &str) -> Outcome<Thing> {
        if let Some(path) = self.workspace.tables.get(name) {
            return Ok(Thing::Source { name: name.to_owned(), path: path.clone() });
        }
        let Ok(prefix) = name.parse::<DigestPrefix>() else { return Err(unbuilt(&self.workspace, name)) };
        let mut found = self.with_prefix(&prefix)?;
        match found.len() {
            0 => Err(unbuilt(&self.workspace, name)),
            1 => Ok(found.remove(0).1),
            count => {
                let mut names: Vec<String> = found.iter().take(LISTED).map(|(digest, thing)| describe(digest, thing)).collect();
                if count > LISTED {
                    names.push(format!("and {} more", count - LISTED));
                }
                let message = format!("'{name}' is the beginning of {count} hashes");
                Err(vec![Diagnostic::new(ExitCode::Usage, message).hint(format!("type more of one of them: {}", names.join(", ")))])
            }
        }
    }

    fn with_prefix(&self, prefix: &DigestPrefix) -> Outcome<Vec<(Digest, Thing)>> {
        let mut found = BTreeMap::new();
        for result in self.results.iter().rev() {
            if prefix.matches(&result.key.0) {
                found.entry(result.key.0).or_insert_with(|| Thing::Action(Box::new(result.clone())));
            }
            for (name, files) in &result.outputs {
                let id = files.id();
                if prefix.matches(&id.0) {
                    let new = || Thing::Artifact(Box::new(artifact_of(&id.to_string(), result, name, files)));
                    found.entry(id.0).or_insert_with(new);
                }
            }
        }
        let builds = Journal::open(self.session.root()).and_then(|mut j| j.newest_first()).map_err(problem::journal)?;
        for (id, build) in builds.into_iter().filter(|(id, _)| prefix.matches(&id.0)) {
            found.insert(id.0, Thing::Build(id, Box::new(build)));
        }
        // Blobs stand in folders named by their first two digits.
        let shard = self.session.root().blobs().join(&prefix.as_str()[..2]);
        let files = fs::list_if_any(&shard).unwrap_or_default().into_iter();
        let files = files.filter_map(|entry| entry.name.to_str()?.parse::<Digest>().ok()).map(BlobId);
        let packed = self.session.content().packs().all().map_err(problem::stores)?.into_keys();
        for id in files.chain(packed).filter(|id| prefix.matches(&id.0)) {
            if let Some(size) = self.session.content().size_of(&id).map_err(problem::stores)? {
                found.insert(id.0, Thing::Blob(id, size));
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Whether the workspace has no store yet; looking at it makes none.
fn is_new(workspace: &Workspace) -> bool {
    matches!(fs::stat(&workspace.cache()), Ok(None))
}

/// `target#artifact` in two.
fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('#').map_or((text, None), |(name, artifact)| (name, Some(artifact)))
}

/// One artifact of a result.
fn artifact_of(asked: &str, made: &ActionResult, name: &str, files: &Manifest) -> Artifact {
    Artifact { asked: asked.to_owned(), name: name.to_owned(), id: files.id(), files: files.clone(), made: made.clone() }
}

fn pick(text: &str, made: &ActionResult, artifact: &str) -> Outcome<Thing> {
    if let Some(files) = made.outputs.get(artifact) {
        return Ok(Thing::Artifact(Box::new(artifact_of(text, made, artifact, files))));
    }
    let names: Vec<&str> = made.outputs.keys().map(String::as_str).collect();
    let message = format!("'{}' has no artifact '{artifact}'", split(text).0);
    Err(vec![Diagnostic::new(ExitCode::Usage, message).hint(format!("it has: {}", names.join(", ")))])
}

fn only(text: &str, made: &ActionResult) -> Outcome<Artifact> {
    let mut outputs = made.outputs.iter().filter(|(name, _)| is_main(name));
    if let (Some((name, files)), None) = (outputs.next(), outputs.next()) {
        return Ok(artifact_of(text, made, name, files));
    }
    let names: Vec<String> = made.outputs.keys().map(|name| format!("'{text}#{name}'")).collect();
    let message = format!("'{text}' has {} artifacts", names.len());
    Err(vec![Diagnostic::new(ExitCode::Usage, message).hint(format!("name one: {}", names.join(", ")))])
}

fn describe(digest: &Digest, thing: &Thing) -> String {
    let short = digest.short();
    match thing {
        Thing::Target { name, .. } => format!("{short} ({name})"),
        Thing::Artifact(a) => format!("{short} (artifact {} of {})", a.name, a.made.target),
        Thing::Action(made) => format!("{short} (action of {})", made.target),
        Thing::Build(..) => format!("{short} (build)"),
        Thing::Blob(..) => format!("{short} (file)"),
        Thing::Source { name, .. } => name.clone(),
    }
}

/// A name that nothing recorded has: a target that waits to be built, or a mistake.
fn unbuilt(workspace: &Workspace, text: &str) -> Vec<Diagnostic> {
    let (name, _) = split(text);
    let hash = name.parse::<DigestPrefix>().is_ok();
    match workspace.graph() {
        Ok(graph) if graph.find(name).is_some() => never_built(name),
        Ok(_) | Err(_) if hash => {
            vec![
                Diagnostic::new(ExitCode::Usage, format!("nothing here has a hash that begins with '{name}'")).hint("cbi log lists builds"),
            ]
        }
        Ok(graph) => match workspace.select(&graph, &[name.to_owned()]) {
            Err(problems) => problems,
            Ok(_) => usage(format!("'{name}' names several targets; name one")),
        },
        Err(problems) => problems,
    }
}

/// A target without a result.
fn never_built(name: &str) -> Vec<Diagnostic> {
    vec![Diagnostic::new(ExitCode::Usage, format!("'{name}' was never built here")).hint(format!("cbi build {name}"))]
}

fn usage(message: String) -> Vec<Diagnostic> {
    vec![Diagnostic::new(ExitCode::Usage, message)]
}
