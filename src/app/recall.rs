//! Owns bringing here what the mirror knows of a hash that is unknown here. Invariant: what is known here is taken from here, and nothing that is brought
//! changes what the workspace is now.

use crate::app::mirroring::{self, problems};
use crate::app::problem::{self, Outcome};
use crate::app::remote_builds::{self, Search};
use crate::app::resolve::Records;
use crate::app::workspace::Options;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::DigestPrefix;
use crate::mirror::builds::Told;

/// How much is brought of what a hash stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// What made it and its inputs.
    Inputs,
    /// All beneath it.
    Sources,
}

/// The workspace with what is recorded in it; where `text` begins the hash of what only the mirror knows, with that as well, and with the build, where it
/// is one.
///
/// # Errors
/// When nothing was ever built in it and it has no mirror, it cannot be read, or the mirror does not answer.
pub fn open(options: &Options, text: &str, reach: Reach) -> Outcome<(Records, Option<Told>)> {
    let records = Records::open(options, text)?;
    let name = text.split_once('#').map_or(text, |(name, _)| name);
    let Ok(prefix) = name.parse::<DigestPrefix>() else { return Ok((records, None)) };
    if records.workspace.settings.mirror.is_none() || records.state.contains_key(name) || !records.knows_none(&prefix)? {
        return Ok((records, None));
    }
    let session = &records.session;
    let Some(bucket) = mirroring::bucket(&records.workspace, session.root(), None)?.transpose().map_err(problems)? else {
        return Ok((records, None));
    };
    session.release().map_err(problem::stores)?;
    let _building = session.root().building().map_err(problem::stores)?;
    match remote_builds::beginning(&bucket, session, &prefix).map_err(problems)? {
        Search::None => Ok((records, None)),
        Search::Many(count) => {
            let message = format!("'{name}' is the beginning of {count} hashes in the mirror");
            Err(vec![Diagnostic::new(ExitCode::Usage, message).hint("type more of it")])
        }
        Search::One(found) if found.by.is_none() => Ok((records, Some(found.told))),
        Search::One(found) => {
            remote_builds::recall(&bucket, session, &found, reach == Reach::Sources).map_err(problems)?;
            session.release().map_err(problem::stores)?;
            drop(records);
            Ok((Records::open(options, text)?, None))
        }
    }
}
