//! Owns the log of releases as a use-case sees it. Invariant: with a mirror the mirror's log is the truth and the one here a copy of it; an entry counts
//! only when it is there.

use std::collections::BTreeSet;

use crate::app::mirroring::{bucket, problems};
use crate::app::problem::{self, Outcome, Problems};
use crate::app::workspace::Workspace;
use crate::base::diagnostic::{Diagnostic, ExitCode, in_one_line};
use crate::base::digest::ActionKey;
use crate::exec::deliver::delivers;
use crate::io::fs;
use crate::mirror::client::Mirror;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::MirrorError;
use crate::mirror::push;
use crate::mirror::records;
use crate::mirror::releases;
use crate::mirror::snapshots;
use crate::model::release::{Entry, History};
use crate::model::result::ActionResult;
use crate::registry::releases::{Releases, ReleasesError};
use crate::store::action_cache::Session;

/// The log.
pub struct Book<'a> {
    session: &'a Session,
    local: Releases,
    mirror: Option<Mirror>,
    /// Whether it is to be written, so that the mirror must answer.
    strict: bool,
    /// Why the mirror's log was not read, where it was not.
    pub unread: Option<String>,
}

/// Why the log here and the mirror's cannot be one.
enum Apart {
    Mirror(MirrorError),
    Local(ReleasesError),
    /// They differ from this entry on.
    Differ(u64),
}

impl<E: Into<MirrorError>> From<E> for Apart {
    fn from(error: E) -> Self {
        Self::Mirror(error.into())
    }
}

impl<'a> Book<'a> {
    /// The log to add to.
    ///
    /// # Errors
    /// When it cannot be opened, or there is a mirror and it is not there.
    pub fn to_write(workspace: &Workspace, session: &'a Session) -> Outcome<Self> {
        let mirror = bucket(workspace, session.root(), None)?.transpose().map_err(problems)?.map(Mirror::new);
        Ok(Self { session, local: open(session)?, mirror, strict: true, unread: None })
    }

    /// The log to look into: where the mirror does not answer, or is not to be asked, as it was known here.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn to_read(workspace: &Workspace, session: &'a Session, ask_mirror: bool) -> Outcome<Self> {
        let mut book = Self { session, local: open(session)?, mirror: None, strict: false, unread: None };
        match if ask_mirror { bucket(workspace, session.root(), None)? } else { None } {
            Some(Ok(bucket)) => book.mirror = Some(Mirror::new(bucket)),
            Some(Err(error)) => book.unread = Some(in_one_line(&error)),
            None => {}
        }
        Ok(book)
    }

    /// The mirror, where there is one.
    #[must_use]
    pub fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_ref()
    }

    /// The releases there are.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn names(&mut self) -> Outcome<BTreeSet<String>> {
        let mut names = self.local.names().map_err(|error| unusable(&error))?;
        match self.mirror.as_ref().map(|mirror| releases::names(mirror.bucket())) {
            Some(Ok(found)) => names.extend(found.into_iter().map(|(name, _)| name)),
            Some(Err(error)) => self.unread = Some(in_one_line(&error)),
            None => {}
        }
        Ok(names)
    }

    /// Puts beside what is not believed in the mirror what this machine vouches for, of every release that it knows: entries, and the source files they
    /// stand on. Says how many entries.
    ///
    /// # Errors
    /// When the log here cannot be read, or the mirror does not answer.
    pub fn vouch(&mut self) -> Outcome<u64> {
        let Some(mirror) = &self.mirror else { return Ok(0) };
        let (bucket, mut vouched) = (mirror.bucket(), 0);
        for release in self.local.names().map_err(|error| unusable(&error))? {
            for (sequence, bytes) in (1..).zip(self.local.entries(&release).map_err(|error| unusable(&error))?) {
                vouched += u64::from(releases::vouch(bucket, &release, sequence, &bytes).map_err(problems)?);
                let Ok(entry) = serde_json::from_slice::<Entry>(&bytes) else { continue };
                let mut sources = snapshots::results_of(self.session.content(), &entry.sources, entry.at_ms).map_err(problem::stores)?;
                let epochs = Epochs::of(bucket).map_err(problems)?;
                sources.retain(|source| !records::is_there(bucket, &epochs, &source.key).unwrap_or(false));
                push::push(bucket, self.session.content(), &sources).map_err(problems)?;
            }
        }
        Ok(vouched)
    }

    /// What happened to a release so far.
    ///
    /// # Errors
    /// When the log cannot be read, or that of the mirror is another.
    pub fn history(&mut self, release: &str) -> Outcome<History> {
        match self.catch_up(release) {
            Err(Apart::Mirror(error)) if !self.strict => self.unread = Some(in_one_line(&error)),
            Err(Apart::Mirror(error)) => return Err(problems(error)),
            Err(Apart::Local(error)) => return Err(unusable(&error)),
            Err(Apart::Differ(sequence)) => {
                let message = format!("the log of release '{release}' here and that of the mirror differ from entry {sequence} on");
                let hint =
                    format!("both were begun apart: move {} away, and the mirror's is used", self.session.root().releases_log().display());
                return Err(vec![Diagnostic::new(ExitCode::Refused, message).hint(hint)]);
            }
            Ok(()) => {}
        }
        self.local.history(release).map_err(|error| unusable(&error))
    }

    /// Takes over what the mirror's log has more; puts there what was added here before there was a mirror.
    fn catch_up(&mut self, release: &str) -> Result<(), Apart> {
        let Some(bucket) = self.mirror.as_ref().map(Mirror::bucket) else { return Ok(()) };
        let here = self.local.entries(release).map_err(Apart::Local)?;
        let (known, there) = (here.len() as u64, releases::length(bucket, release)?);
        // Each entry names the one before it, so the last that both have stands for all before.
        let common = known.min(there);
        if let Some(last) = usize::try_from(common).ok().and_then(|common| here.get(common.checked_sub(1)?))
            && releases::read(bucket, release, common)?.as_ref() != Some(last)
        {
            return Err(Apart::Differ(common));
        }
        let mut news = Vec::new();
        for sequence in known + 1..=there {
            news.push(releases::read(bucket, release, sequence)?.ok_or(Apart::Differ(sequence))?);
        }
        if !news.is_empty() {
            // Where somebody else took them over meanwhile, they are there.
            self.local.append(release, here.len(), &news).map_err(Apart::Local)?;
        }
        for (sequence, bytes) in (1..).zip(&here).skip(usize::try_from(there).unwrap_or(usize::MAX)).filter(|_| self.strict) {
            if let Ok(entry) = serde_json::from_slice::<Entry>(bytes) {
                self.secure(&entry)?;
            }
            let bucket = self.mirror.as_ref().map(Mirror::bucket);
            if bucket.is_some_and(|bucket| !matches!(releases::append(bucket, release, sequence, bytes), Ok(true))) {
                return Err(Apart::Differ(sequence));
            }
        }
        Ok(())
    }

    /// Adds an entry after a history; says whether it did, and not somebody else another one before. What it stands on is in the mirror by then, pinned.
    ///
    /// # Errors
    /// When the disk refuses, or the mirror does not answer.
    pub fn append(&mut self, history: &History, entry: &Entry) -> Outcome<bool> {
        let bytes =
            entry.to_bytes().map_err(|error| vec![Diagnostic::new(ExitCode::Bug, format!("an entry cannot be written: {error}"))])?;
        let known = history.entries().len();
        if let Some(mirror) = &self.mirror {
            self.secure(entry).map_err(problems)?;
            step("release.secured", self.session)?;
            if !releases::append(mirror.bucket(), &entry.release, entry.sequence, &bytes).map_err(problems)? {
                return Ok(false);
            }
            step("release.logged", self.session)?;
            // What is missing here after a crash is taken over from there.
            self.local.append(&entry.release, known, &[bytes]).map_err(|error| unusable(&error))?;
            return Ok(true);
        }
        let done = self.local.append(&entry.release, known, &[bytes]).map_err(|error| unusable(&error))?;
        step("release.logged", self.session)?;
        Ok(done)
    }

    /// Puts the result that an entry names and all it stands on into the mirror, sources included, as far as it is here, each pinned before.
    fn secure(&self, entry: &Entry) -> Result<(), MirrorError> {
        let Some(mirror) = &self.mirror else { return Ok(()) };
        let keys: Vec<ActionKey> = entry.lineage.iter().chain([&entry.action]).copied().collect();
        // The files from outside stay as well, as they were.
        let mut results = snapshots::results_of(self.session.content(), &entry.sources, entry.at_ms)?;
        let pinned: Vec<ActionKey> = keys.iter().copied().chain(results.iter().map(|source| source.key)).collect();
        push::pin(mirror.bucket(), &pinned)?;
        for key in &keys {
            results.extend(self.session.lookup(key)?.filter(|result| !delivers(&result.action)));
        }
        match mirror.store(self.session, &results) {
            Some(_) => Ok(()),
            None => Err(MirrorError::Record { why: mirror.failure().unwrap_or_else(|| "the mirror failed".to_owned()) }),
        }
    }

    /// The recorded result of a version, with its files: from here, else from the mirror.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn result(&self, action: &ActionKey) -> Outcome<Option<ActionResult>> {
        if let Some(result) = self.session.lookup(action).map_err(problem::stores)? {
            return Ok(Some(result));
        }
        // The index is not held while the mirror is asked.
        self.session.release().map_err(problem::stores)?;
        Ok(self.mirror.as_ref().and_then(|mirror| mirror.fetch(self.session, action)))
    }
}

/// A step of the order that a crash must not break.
///
/// # Errors
/// Where a test injects a fault.
pub fn step(name: &'static str, session: &Session) -> Outcome<()> {
    fs::step(name, &session.root().releases_log()).map_err(|error| vec![Diagnostic::of(ExitCode::ActionFailed, &error)])
}

fn open(session: &Session) -> Outcome<Releases> {
    Releases::open(session.root()).map_err(|error| unusable(&error))
}

/// A log that cannot be used, as the end of a use-case.
#[must_use]
pub fn unusable(error: &ReleasesError) -> Problems {
    match error {
        ReleasesError::Store(error) => vec![problem::store(error)],
        error => {
            vec![Diagnostic::of(ExitCode::Damaged, error).hint("cbi fsck --repair keeps what is whole; a mirror brings the rest back")]
        }
    }
}
