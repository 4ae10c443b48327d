//! Owns which past build is meant. Invariant: what this workspace knows goes before what the mirror has, and a prefix that fits two things is never taken for
//! one of them.

use crate::app::mirroring::problems;
use crate::app::problem::{self, Outcome, Problems};
use crate::app::remote_builds::{self, Found, Search};
use crate::app::resolve::{Records, Thing};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BuildId, DigestPrefix, ManifestId};
use crate::mirror::bucket::Bucket;
use crate::mirror::builds::Told;
use crate::model::build::{Build, BuiltTarget};
use crate::registry::journal::{BuiltTargets, Journal};

/// Which past build is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The last one that had ended by then, milliseconds since 1970 UTC.
    Time(u64),
    /// The one whose hash begins so; or the first that has what this hash or name stands for.
    Hash(String),
}

/// A past build, and what is to be built of it where nothing is named.
#[derive(Debug)]
pub struct Past {
    /// Its hash.
    pub id: BuildId,
    /// Its record.
    pub build: Build,
    /// What it left.
    pub targets: BuiltTargets,
    /// The target that the hash stood for.
    pub target: Option<String>,
    /// What the mirror says of it, where it was found there.
    pub told: Option<Told>,
}

impl From<Found> for Past {
    fn from(found: Found) -> Self {
        let target = found.by.map(|(name, _)| name);
        Self { id: found.told.id, build: found.told.build.clone(), targets: found.targets, target, told: Some(found.told) }
    }
}

/// The build that is meant: one of this workspace; where it has none, one in the mirror.
///
/// # Errors
/// When there is none, the journal cannot be read, or the mirror does not answer.
pub fn find(records: &Records, bucket: Option<&Bucket>, at: &At) -> Outcome<Past> {
    match here(records, at) {
        Ok(Some(past)) => Ok(past),
        Ok(None) => {
            let there = bucket.map(|bucket| in_mirror(records, bucket, at)).transpose()?.flatten();
            there.ok_or_else(|| nowhere(records, at, bucket.is_some()))
        }
        Err(problems) => Err(problems),
    }
}

/// The build of this workspace; nothing where it has none, and the mirror may.
fn here(records: &Records, at: &At) -> Outcome<Option<Past>> {
    let session = &records.session;
    let builds = Journal::open(session.root()).and_then(|mut journal| journal.newest_first()).map_err(problem::journal)?;
    let targets = |id, build: &Build| Journal::targets(session.content(), id, build).map_err(problem::journal);
    let past = |id, build: Build, target| Ok(Some(Past { id, targets: targets(id, &build)?, build, target, told: None }));
    let (key, artifact) = match at {
        At::Time(ms) => {
            let found = builds.into_iter().find(|(_, build)| build.ended_ms <= *ms);
            return found.map_or(Ok(None), |(id, build)| past(id, build, None));
        }
        At::Hash(text) => match records.find(text) {
            Ok(Thing::Build(id, build)) => return past(id, *build, None),
            Ok(Thing::Artifact(artifact)) => (artifact.made.key, Some(artifact.id)),
            Ok(Thing::Target { made, .. } | Thing::Action(made)) => (made.key, None),
            Ok(Thing::Blob(..) | Thing::Source { .. }) => return Err(usage(format!("'{text}' is neither a build nor what one made"))),
            Err(problems) => match text.parse::<DigestPrefix>() {
                Ok(prefix) if records.knows_none(&prefix)? => return Ok(None),
                _ => return Err(problems),
            },
        },
    };
    // The one that made it: in later ones it may stand beside recipes that have changed.
    for (id, build) in builds.into_iter().rev() {
        let Ok(targets) = Journal::targets(session.content(), id, &build) else { continue };
        if let Some(name) = holder(&targets, &key, artifact.as_ref()) {
            return Ok(Some(Past { id, build, target: Some(name), targets, told: None }));
        }
    }
    Ok(None)
}

/// The target that a build made by this action, or that has this artifact.
fn holder(targets: &BuiltTargets, key: &ActionKey, artifact: Option<&ManifestId>) -> Option<String> {
    let has = |built: &BuiltTarget| built.key == *key || artifact.is_some_and(|id| built.artifacts.values().any(|made| made == id));
    targets.iter().find(|(_, built)| has(built)).map(|(name, _)| name.clone())
}

fn in_mirror(records: &Records, bucket: &Bucket, at: &At) -> Outcome<Option<Past>> {
    let session = &records.session;
    // The index is not held while the mirror is asked.
    session.release().map_err(problem::stores)?;
    match at {
        At::Time(ms) => Ok(remote_builds::ended_by(bucket, session, *ms).map_err(problems)?.map(Past::from)),
        At::Hash(text) => {
            // What is recorded here and in no build that is still known stands for its whole hash.
            let text = match records.find(text) {
                Ok(Thing::Artifact(artifact)) => artifact.id.to_string(),
                Ok(Thing::Target { made, .. } | Thing::Action(made)) => made.key.to_string(),
                _ => text.clone(),
            };
            let Ok(prefix) = text.parse::<DigestPrefix>() else { return Ok(None) };
            match remote_builds::beginning(bucket, session, &prefix).map_err(problems)? {
                Search::None => Ok(None),
                Search::One(found) => Ok(Some(Past::from(*found))),
                Search::Many(count) => {
                    let message = format!("'{text}' is the beginning of {count} hashes in the mirror");
                    Err(vec![Diagnostic::new(ExitCode::Usage, message).hint("type more of it")])
                }
            }
        }
    }
}

fn nowhere(records: &Records, at: &At, asked: bool) -> Problems {
    let place = if asked { "neither here nor in the mirror" } else { "here" };
    match at {
        At::Time(ms) if asked => usage(format!("no build had ended by {}, {place}", clock::rfc3339(*ms))),
        At::Time(ms) => usage(format!("no build had ended {place} by {}", clock::rfc3339(*ms))),
        At::Hash(text) => match records.find(text) {
            Ok(_) => usage("no build that is still recorded has it".to_owned()),
            Err(_) if asked => usage(format!("a build, an action or an artifact whose hash begins with '{text}' is {place}")),
            Err(problems) => problems,
        },
    }
}

fn usage(message: String) -> Problems {
    vec![Diagnostic::new(ExitCode::Usage, message).hint("cbi log lists builds")]
}
