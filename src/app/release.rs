//! Owns `cbi promote`, `cbi channel` and the rolling back of releases. Invariant: a channel moves by one entry of the log and by nothing else; what the
//! gates said stands in it, and so does why somebody did not heed them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

use crate::app::problem::{self, Outcome, Problems};
use crate::app::release_judge::{self, Candidate, InUse, Judged};
use crate::app::release_log::Book;
use crate::app::release_views;
use crate::app::resolve::Records;
use crate::app::workspace::{Options, Workspace};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, Digest, DigestPrefix, ManifestId};
use crate::io::machine;
use crate::kinds::release::NAME as KIND;
use crate::mirror::client::Mirror;
use crate::model::release::{Act, CURRENT, Entry, Gated, History, is_channel_name, parse_version, version_name};
use crate::store::action_cache::Session;

/// What `cbi promote` was asked.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The release.
    pub release: String,
    /// A version, or the beginning of a candidate's hash; the candidate of the last build where it is not said.
    pub what: Option<String>,
    /// Why it is promoted although gates refuse it; it is not where nothing is said.
    pub force: Option<String>,
    /// Whether nothing is moved.
    pub dry_run: bool,
}

/// What became of a channel.
#[derive(Debug, Clone, Serialize)]
pub struct Move {
    /// The release.
    pub release: String,
    /// The channel.
    pub channel: String,
    /// `promoted`, `refused`, `would be promoted`, `rolled back`, `moved`, or `unchanged`.
    pub outcome: String,
    /// The version that the channel is at now, or would be at.
    pub version: String,
    /// The version that it was at before.
    pub was: Option<String>,
    /// The artifact of that version.
    pub candidate: ManifestId,
    /// What the gates said, where they were asked.
    pub gates: Vec<Gated>,
    /// Why, where somebody said.
    pub reason: Option<String>,
    /// What was left undone and is no failure.
    pub note: Option<String>,
}

impl Move {
    /// 8 where gates refuse, else 0.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        let refused = self.reason.is_none() && self.gates.iter().any(|gate| !gate.holds);
        if refused { ExitCode::Refused } else { ExitCode::Ok }
    }
}

/// Judges a candidate and makes it current if its gates hold.
///
/// # Errors
/// When there is no such candidate, the log cannot be read or written, or a comparison was stopped. A refusal by gates is none.
pub fn promote(options: &Options, ask: &Ask, cancel: &AtomicBool) -> Outcome<Move> {
    let records = Records::open(options, &ask.release)?;
    let session = &records.session;
    let _building = session.root().building().map_err(problem::stores)?;
    let mut book = Book::to_write(&records.workspace, session)?;
    loop {
        let history = book.history(&ask.release)?;
        let candidate = chosen(&records, &book, &history, ask)?;
        let now = history.at(CURRENT).cloned();
        let mut moved = Move {
            release: ask.release.clone(),
            channel: CURRENT.to_owned(),
            outcome: "unchanged".to_owned(),
            version: version_name(history.version_for(&candidate.id)),
            was: now.as_ref().map(|entry| version_name(entry.version)),
            candidate: candidate.id,
            gates: Vec::new(),
            reason: None,
            note: None,
        };
        if now.as_ref().is_some_and(|entry| entry.candidate == candidate.id) {
            moved.note = if ask.dry_run { None } else { release_views::show(&mut book, session, &history) };
            return Ok(moved);
        }
        let in_use = in_use(&book, now.as_ref())?;
        let judged = release_judge::judge(&records, book.mirror().map(Mirror::bucket), &candidate, &in_use, cancel)?;
        moved.gates.clone_from(&judged.gates);
        let refused = judged.gates.iter().any(|gate| !gate.holds);
        moved.reason = ask.force.clone().filter(|_| refused);
        if refused && moved.reason.is_none() {
            "refused".clone_into(&mut moved.outcome);
            return Ok(moved);
        }
        if ask.dry_run {
            "would be promoted".clone_into(&mut moved.outcome);
            return Ok(moved);
        }
        let entry = entry_of(&history, (Act::Promoted, CURRENT), &candidate, judged, moved.reason.clone());
        if append(&mut book, &history, &entry, cancel)? {
            "promoted".clone_into(&mut moved.outcome);
            moved.note = shown(&mut book, session, &ask.release);
            return Ok(moved);
        }
    }
}

/// Puts a channel back to an earlier version: the one before the last where none is named.
///
/// # Errors
/// When there is no such version, or the log cannot be read or written.
pub fn rollback(options: &Options, release: &str, version: Option<&str>, reason: Option<&str>, cancel: &AtomicBool) -> Outcome<Move> {
    let to = |history: &History| match version {
        Some(text) => named_version(history, text),
        None => history.before(CURRENT).ok_or_else(|| {
            let message = format!("no other version of '{release}' was current before");
            vec![Diagnostic::new(ExitCode::Usage, message).hint(format!("cbi models {release}"))]
        }),
    };
    shift(options, release, (Act::RolledBack, CURRENT), reason, to, cancel)
}

/// Moves a channel other than `current` to a version: the current one where none is named.
///
/// # Errors
/// When there is no such version, the channel may not be called so, or the log cannot be read or written.
pub fn channel(options: &Options, release: &str, channel: &str, version: &str, cancel: &AtomicBool) -> Outcome<Move> {
    if channel == CURRENT {
        let hint = format!("cbi promote {release} {version}, or cbi rollback {release} {version}");
        return Err(usage("'current' moves by promote, which asks the gates, and by rollback".into(), hint));
    }
    if !is_channel_name(channel) {
        return Err(usage(format!("'{channel}' is no name of a channel"), "letters, digits, '_' and '-', and not like v002".into()));
    }
    let to = |history: &History| match (parse_version(version), history.at(version)) {
        (None, Some(entry)) => Ok(entry.version),
        _ => named_version(history, version),
    };
    shift(options, release, (Act::Moved, channel), None, to, cancel)
}

/// Whether there are versions of this release, as far as it is known here.
///
/// # Errors
/// When the log cannot be read.
pub fn is_release(options: &Options, name: &str) -> Outcome<bool> {
    let workspace = Workspace::open(options)?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    let here = Book::to_read(&workspace, &session, false)?.history(name)?;
    let there = || Ok::<_, Problems>(!Book::to_read(&workspace, &session, true)?.history(name)?.entries().is_empty());
    Ok(!here.entries().is_empty() || there()?)
}

/// Moves a channel to a version that there is.
fn shift(
    options: &Options,
    release: &str,
    (act, channel): (Act, &str),
    reason: Option<&str>,
    to: impl Fn(&History) -> Outcome<u32>,
    cancel: &AtomicBool,
) -> Outcome<Move> {
    let workspace = Workspace::open(options)?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    let _building = session.root().building().map_err(problem::stores)?;
    let mut book = Book::to_write(&workspace, &session)?;
    loop {
        let history = book.history(release)?;
        if history.entries().is_empty() {
            return Err(usage(format!("'{release}' has no version yet"), format!("cbi promote {release}")));
        }
        let version = to(&history)?;
        let of = history
            .versions()
            .get(&version)
            .map(|entry| Entry::clone(entry))
            .ok_or_else(|| no_version(&history, &version_name(version)))?;
        let now = history.at(channel).map(|entry| entry.version);
        let mut moved = Move {
            release: release.to_owned(),
            channel: channel.to_owned(),
            outcome: "unchanged".to_owned(),
            version: version_name(version),
            was: now.map(version_name),
            candidate: of.candidate,
            gates: Vec::new(),
            reason: reason.map(str::to_owned),
            note: None,
        };
        if now == Some(version) {
            return Ok(moved);
        }
        let entry = Entry {
            sequence: history.next_sequence(),
            before: history.last(),
            act,
            channel: channel.to_owned(),
            gates: Vec::new(),
            reason: reason.map(str::to_owned),
            by: machine::who(),
            at_ms: clock::now_ms(),
            nonce: nonce(),
            ..of
        };
        if append(&mut book, &history, &entry, cancel)? {
            act.word().clone_into(&mut moved.outcome);
            moved.note = shown(&mut book, &session, release);
            return Ok(moved);
        }
    }
}

fn append(book: &mut Book, history: &History, entry: &Entry, cancel: &AtomicBool) -> Outcome<bool> {
    if cancel.load(Ordering::Relaxed) {
        return Err(vec![Diagnostic::new(ExitCode::Interrupted, "stopped")]);
    }
    book.append(history, entry)
}

fn shown(book: &mut Book, session: &Session, release: &str) -> Option<String> {
    // It is moved, whatever becomes of what people see of it.
    let history = book.history(release).ok()?;
    release_views::show(book, session, &history)
}

fn entry_of(history: &History, (act, channel): (Act, &str), candidate: &Candidate, judged: Judged, reason: Option<String>) -> Entry {
    Entry {
        release: history.release().to_owned(),
        sequence: history.next_sequence(),
        before: history.last(),
        act,
        channel: channel.to_owned(),
        version: history.version_for(&candidate.id),
        candidate: candidate.id,
        action: candidate.result.key,
        figures: candidate.result.metrics.clone(),
        gates: judged.gates,
        reason,
        by: machine::who(),
        at_ms: clock::now_ms(),
        lineage: judged.lineage,
        sources: judged.sources,
        nonce: nonce(),
    }
}

/// Differs in every call of every process.
fn nonce() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let text = format!("{} {} {} {call}", machine::who(), std::process::id(), clock::now_ns());
    Digest::derive("cbi 1 release nonce", text.as_bytes()).to_string()
}

fn in_use(book: &Book, now: Option<&Entry>) -> Outcome<InUse> {
    let Some(entry) = now else { return Ok(None) };
    Ok(Some((version_name(entry.version), book.result(&entry.action)?.and_then(Candidate::of))))
}

/// The candidate that was asked for.
fn chosen(records: &Records, book: &Book, history: &History, ask: &Ask) -> Outcome<Candidate> {
    let action = match &ask.what {
        None => {
            let built = records.state.get(&ask.release);
            built.map(|built| built.key).ok_or_else(|| never_built(records, ask))?
        }
        Some(text) => match parse_version(text) {
            Some(_) => {
                let version = named_version(history, text)?;
                history.versions().get(&version).map(|entry| entry.action).ok_or_else(|| no_version(history, text))?
            }
            None => by_prefix(records, ask, text)?,
        },
    };
    let result = book.result(&action)?.ok_or_else(|| usage("the files of the candidate are not here any more".into(), build_hint(ask)))?;
    Candidate::of(result).ok_or_else(|| usage(format!("'{}' is no release", ask.release), "docs/recipes.md#release".into()))
}

/// A release that waits to be built, or a name that is none.
fn never_built(records: &Records, ask: &Ask) -> Problems {
    let known =
        records.workspace.graph().and_then(|graph| records.workspace.select(&graph, std::slice::from_ref(&ask.release)).map(|_| ()));
    known.err().unwrap_or_else(|| usage(format!("'{}' was never built here", ask.release), build_hint(ask)))
}

fn build_hint(ask: &Ask) -> String {
    format!("cbi build {}", ask.release)
}

fn by_prefix(records: &Records, ask: &Ask, text: &str) -> Outcome<ActionKey> {
    let list = format!("cbi log {}", ask.release);
    let prefix: DigestPrefix =
        text.parse().map_err(|_| usage(format!("'{text}' is neither a version nor the beginning of a hash"), list.clone()))?;
    let own = records.results.iter().filter(|result| result.action.kind == KIND && result.target == ask.release);
    let mut found: Vec<_> =
        own.filter(|result| result.outputs.values().any(|files| prefix.matches(&files.id().0))).map(|result| result.key).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(usage(format!("no candidate of '{}' begins with '{text}'", ask.release), list)),
        more => Err(usage(format!("{} candidates of '{}' begin with '{text}'", more.len(), ask.release), list)),
    }
}

fn named_version(history: &History, text: &str) -> Outcome<u32> {
    let version = parse_version(text).filter(|version| history.versions().contains_key(version));
    version.ok_or_else(|| no_version(history, text))
}

fn no_version(history: &History, text: &str) -> Problems {
    usage(format!("'{}' has no version '{text}'", history.release()), format!("cbi models {}", history.release()))
}

fn usage(message: String, hint: String) -> Problems {
    vec![Diagnostic::new(ExitCode::Usage, message).hint(hint)]
}
