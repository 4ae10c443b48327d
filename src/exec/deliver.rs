//! Owns delivering: the one step with an effect outside the store. Invariant: what is to happen stands in the destination's ledger before it happens, and
//! that it happened after; so whatever ends a delivery, the next one finishes it first, and what was delivered is not delivered again.

use crate::base::clock;
use crate::base::diagnostic::{ExitCode, in_one_line};
use crate::base::digest::{BlobId, ManifestId};
use crate::exec::deliver_bigquery::Project;
use crate::exec::failure::Failure;
use crate::exec::runner::{Job, Ran, Runner, Workplace};
use crate::io::fs;
use crate::kinds::publish::{ARTIFACT, FROM_SLOT, NAME, Spec, TABLE_SLOT};
use crate::model::action::{Action, Input};
use crate::model::manifest::FileEntry;
use crate::model::result::ActionResult;
use crate::plan::explain;
use crate::registry::destination::{Desk, Destination};
use crate::registry::ledger::{Delivery, LedgerError};
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;

/// Where steps deliver to; nothing of it where the workspace names no place.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// The place.
    pub outlet: Option<Outlet>,
}

/// A place that takes tables.
#[derive(Debug)]
pub enum Outlet {
    /// A folder of published tables.
    Folder(Destination),
    /// A project of BigQuery.
    BigQuery(Box<Project>),
}

impl Deliveries {
    /// The folder of published tables, where it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Destination> {
        if let Some(Outlet::Folder(folder)) = &self.outlet { Some(folder) } else { None }
    }

    /// The recorded result of an action. One that delivers counts only where the destination says that it holds what was delivered.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn lookup(&self, session: &Session, target: &str, action: &Action) -> Result<Option<ActionResult>, StoreError> {
        let key = action.key();
        match spec(action) {
            None => session.lookup(&key),
            Some(spec) if matches!(self.stands(session, target, &spec, action), Ok(None)) => session.lookup(&key),
            // The step itself says what is wrong with the destination.
            Some(_) => Ok(None),
        }
    }

    /// Why an action runs, in words; `before` is the action of its target's last build where that is known, and whether there was one.
    #[must_use]
    pub fn reason(&self, session: &Session, target: &str, before: (Option<&Action>, bool), action: &Action) -> String {
        let same = before.0.is_none_or(|before| before.key() == action.key());
        let why = if same { self.why(session, target, action).ok().flatten() } else { None };
        why.unwrap_or_else(|| explain::reason(before.0, before.1, action))
    }

    /// Why an action must deliver although its result is there, or may not; nothing where the destination holds what it delivers, or for one that
    /// delivers nothing.
    ///
    /// # Errors
    /// With what keeps it from delivering.
    pub fn why(&self, session: &Session, target: &str, action: &Action) -> Result<Option<String>, Failure> {
        spec(action).map_or(Ok(None), |spec| self.stands(session, target, &spec, action))
    }

    /// Why the destination does not hold what the action delivers; nothing where it does.
    fn stands(&self, session: &Session, target: &str, spec: &Spec, action: &Action) -> Result<Option<String>, Failure> {
        let destination = match self.outlet()? {
            Outlet::Folder(folder) => folder,
            Outlet::BigQuery(project) => return project.stands(target, &spec.to, action),
        };
        let ledger = destination.ledger(&spec.to).map_err(|e| of_ledger(&e))?;
        if ledger.pending().is_some() {
            return Ok(Some("a delivery into its table was begun and not finished".into()));
        }
        let last = ledger.standing().into_iter().rev().find(|delivery| delivery.target == target);
        let Some(last) = last else { return Ok(Some(format!("it was never delivered into {}", spec.to))) };
        let path = destination.file(&spec.to);
        held_against(digest_at(session, &path)?, ledger.done().last(), &path.display().to_string(), target)?;
        Ok((last.key != action.key()).then(|| format!("{} holds an earlier delivery, number {}", spec.to, last.sequence)))
    }

    fn outlet(&self) -> Result<&Outlet, Failure> {
        self.outlet.as_ref().ok_or_else(|| Failure {
            error: "the workspace names no folder to publish into".into(),
            hint: Some("published = \"FOLDER\" under [workspace] in cbi.toml, or a warehouse = \"bigquery\"".into()),
            log_tail: Vec::new(),
            code: ExitCode::Invalid,
        })
    }

    /// Makes the table as it will be, in a process of its own, and delivers it.
    ///
    /// # Errors
    /// With what a person should know. What was begun then is finished, or given up, by the next delivery into the table.
    pub fn deliver(&self, session: &Session, runner: &Runner, job: &Job, place: &mut Workplace) -> Result<Ran, Failure> {
        let Some(spec) = spec(&job.action) else { return runner.run(job, place) };
        let folder = match self.outlet()? {
            Outlet::Folder(folder) => folder,
            Outlet::BigQuery(project) => return project.deliver(runner, &spec.to, job, place),
        };
        let mut desk = folder.hold(&spec.to).map_err(|e| of_ledger(&e))?;
        finish(session, &mut desk, &job.target)?;
        let path = desk.file().to_owned();
        let before = digest_at(session, &path)?;
        held_against(before, desk.ledger.done().last(), &path.display().to_string(), &job.target)?;
        let mut whole = job.clone();
        if let Some(blob) = before {
            let name = format!("{}.parquet", spec.to);
            whole.action.inputs.insert(TABLE_SLOT.to_owned(), Input::File { blob, name, executable: false });
            whole.files.insert(TABLE_SLOT.to_owned(), path);
        }
        let mut ran = runner.run(&whole, place)?;
        // The table so far decides what is made, and not whether it is: that is the ledger's to say.
        ran.result.action = job.action.clone();
        session.content().commit(&ran.batch).map_err(|e| Failure::of_store(&e))?;
        let delivery = delivery(&desk, job, &ran.result, before);
        let stands = desk.ledger.standing().into_iter().rev().find(|d| d.target == job.target).is_some_and(|d| d.key == job.key);
        match delivery {
            // It is all there: only this workspace did not know.
            Some(delivery) if stands && before == Some(delivery.file) => {}
            Some(delivery) => carry_out(session, &mut desk, delivery)?,
            None => return Err(Failure { code: ExitCode::Bug, ..refused("it made no table".into(), None) }),
        }
        Ok(ran)
    }
}

/// Whether an action delivers: then a result of it says nothing about what the destination holds.
#[must_use]
pub fn delivers(action: &Action) -> bool {
    spec(action).is_some()
}

/// What a publishing action wants; `None` for any other.
fn spec(action: &Action) -> Option<Spec> {
    (action.kind == NAME).then(|| serde_json::from_value(action.params.clone()).ok()).flatten()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
fn delivery(desk: &Desk, job: &Job, result: &ActionResult, before: Option<BlobId>) -> Option<Delivery> {
    let file = result.outputs.get(ARTIFACT)?.files.values().next()?;
    let Some(Input::Artifact(artifact)) = job.action.inputs.get(FROM_SLOT) else { return None };
    Some(Delivery {
        sequence: desk.ledger.next(),
        target: job.target.clone(),
        key: job.key,
        artifact: ManifestId(artifact.0),
        before,
        file: file.blob,
        size: file.size,
        rows: result.metrics.get("rows").map_or(0, |rows| *rows as u64),
        puts_back: None,
        at_ms: clock::now_ms(),
    })
}

/// Says what will be done, does it, and says that it was.
///
/// # Errors
/// When it could not be done; the ledger then says that it was begun.
pub fn carry_out(session: &Session, desk: &mut Desk, delivery: Delivery) -> Result<(), Failure> {
    let there = delivery.before == Some(delivery.file);
    let entry = FileEntry { blob: delivery.file, size: delivery.size, executable: false };
    desk.ledger.intend(delivery).map_err(|e| of_ledger(&e))?;
    if !there {
        desk.put(session.content(), &entry).map_err(|e| Failure::of_store(&e))?;
    }
    desk.ledger.settle(true).map_err(|e| of_ledger(&e))
}

/// Finishes what a publisher had begun that died; what cannot be finished any more is given up.
///
/// # Errors
/// When the disk refuses, or somebody else changed the table meanwhile.
pub fn finish(session: &Session, desk: &mut Desk, target: &str) -> Result<(), Failure> {
    let Some(pending) = desk.ledger.pending().cloned() else { return Ok(()) };
    let now = digest_at(session, desk.file())?;
    if now != Some(pending.file) {
        held_against(now, desk.ledger.done().last(), &desk.file().display().to_string(), target)?;
        let entry = FileEntry { blob: pending.file, size: pending.size, executable: false };
        if session.content().size_of(&entry.blob).map_err(|e| Failure::of_store(&e))? != Some(entry.size) {
            // Another workspace began it, or it was collected. The table is as it was before.
            return desk.ledger.settle(false).map_err(|e| of_ledger(&e));
        }
        desk.put(session.content(), &entry).map_err(|e| Failure::of_store(&e))?;
    }
    desk.ledger.settle(true).map_err(|e| of_ledger(&e))
}

/// The digest of a table's file, where there is one.
///
/// # Errors
/// When it cannot be read.
pub fn digest_at(session: &Session, path: &std::path::Path) -> Result<Option<BlobId>, Failure> {
    let there = fs::stat(path).map_err(|e| Failure::of_store(&e.into()))?.is_some();
    let digest = there.then(|| session.hash_file(path)).transpose();
    digest.map_err(|e| Failure::of_store(&e))
}

/// Refuses to go on where the table is not what was delivered last: somebody else writes there.
fn held_against(now: Option<BlobId>, last: Option<&Delivery>, path: &str, target: &str) -> Result<(), Failure> {
    match last {
        _ if now == last.map(|delivery| delivery.file) => Ok(()),
        None => Err(refused(
            format!("'{path}' is there already, and was not published"),
            Some("move it away, or publish into another table".into()),
        )),
        Some(last) => {
            let (number, what) = (last.sequence, if now.is_some() { "was changed since" } else { "is gone since" });
            Err(refused(
                format!("'{path}' {what} it was published (delivery {number}, {})", clock::rfc3339(last.at_ms)),
                Some(format!("cbi rollback {target} --to {number} puts back what was published")),
            ))
        }
    }
}

fn refused(error: String, hint: Option<String>) -> Failure {
    Failure { error, hint, log_tail: Vec::new(), code: ExitCode::Refused }
}

/// A ledger that cannot be used.
#[must_use]
pub fn of_ledger(error: &LedgerError) -> Failure {
    match error {
        LedgerError::Store(error) => Failure::of_store(error),
        LedgerError::Damaged { .. } => Failure {
            error: in_one_line(error),
            hint: Some("move the ledger and the table away; the next delivery begins anew".into()),
            log_tail: Vec::new(),
            code: ExitCode::Damaged,
        },
    }
}
