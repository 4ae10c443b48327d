//! Owns `cbi rollback` where tables are published into BigQuery. Invariant: what is put back is put together from artifacts of this workspace's store, and
//! is a delivery of its own.

use std::collections::BTreeMap;
use std::path::Path;

use crate::app::problem::{self, Outcome};
use crate::app::rollback_choice::{Line, To, chosen, listed, no_such, usage};
use crate::app::workspace::Workspace;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::ManifestId;
use crate::engine::table_file;
use crate::exec::deliver_bigquery::Project;
use crate::kinds::publish::Spec;
use crate::kinds::publish_bigquery::{Asked, Part, PutBack, Told, made_of};
use crate::model::delivery::Delivered;
use crate::model::manifest::Manifest;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::store::materialize;
use crate::ui::table::Table;

/// Puts an earlier delivery back, and lists all of them with a sentence about what was done.
///
/// # Errors
/// When the target delivered nothing, there is no such delivery, its rows are no longer in the store, or BigQuery refuses.
pub fn rollback(workspace: &Workspace, project: &Project, target: &str, to: To) -> Outcome<(Table, String)> {
    let told = project.ask(&Asked::Target(target.to_owned())).map_err(problem::engines)?;
    let never = || usage(format!("'{target}' never delivered anything here"), "name a target of kind 'publish' that did");
    let Told { table: Some(table), deliveries, .. } = told else { return Err(never()) };
    if to == To::List {
        let name = project.name(&table);
        return Ok((list(&deliveries), format!("{table} is {name}")));
    }
    let said = put_back(workspace, project, (target, &table), (&deliveries, to))?;
    let after = project.ask(&Asked::Table(table)).map_err(problem::engines)?;
    Ok((list(&after.deliveries), said))
}

fn list(deliveries: &[Delivered]) -> Table {
    listed(&deliveries.iter().map(Line::of_bigquery).collect::<Vec<_>>(), None)
}

fn put_back(workspace: &Workspace, project: &Project, (target, table): (&str, &str), (done, to): (&[Delivered], To)) -> Outcome<String> {
    let number = chosen(&done.iter().map(Line::of_bigquery).collect::<Vec<_>>(), target, to)?;
    let chosen = done.iter().find(|delivery| delivery.sequence == number).ok_or_else(|| no_such(target, number))?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    // Nothing is collected meanwhile.
    let _building = session.root().building().map_err(problem::stores)?;
    let folder = tempfile::tempdir().map_err(|error| vec![Diagnostic::of(ExitCode::ActionFailed, &error)])?;
    let parts = parts(&session, table, &made_of(done, number), folder.path())?;
    let puts_back = Some(chosen.puts_back.unwrap_or(number));
    let delivery = Delivered { sequence: 0, target: target.to_owned(), puts_back, ..chosen.clone() };
    let back = project.put_back(&PutBack { table: table.to_owned(), delivery, parts }).map_err(problem::engines)?;
    session.release().map_err(problem::stores)?;
    Ok(format!("{table} is as delivery {number} left it, {} rows; this is delivery {}", back.rows, back.sequence))
}

/// The rows of the deliveries, as files in `folder`.
fn parts(session: &Session, table: &str, deliveries: &[&Delivered], folder: &Path) -> Outcome<Vec<Part>> {
    let mut wanted: BTreeMap<ManifestId, Option<Manifest>> = deliveries.iter().map(|delivery| (delivery.artifact, None)).collect();
    let keep = |result: crate::model::result::ActionResult| {
        for files in result.outputs.into_values() {
            wanted.entry(files.id()).and_modify(|found| *found = Some(files));
        }
        true
    };
    session.each_result(keep).map_err(problem::stores)?;
    let mut parts = Vec::new();
    for delivery in deliveries {
        let entry = wanted.get(&delivery.artifact).and_then(|found| found.as_ref()?.files.get(table_file::FILE_NAME));
        let whole = |entry: &&crate::model::manifest::FileEntry| session.content().size_of(&entry.blob).ok().flatten() == Some(entry.size);
        let Some(entry) = entry.filter(whole) else {
            let message = format!("the rows of delivery {}, which the table was made of then, are not in this store", delivery.sequence);
            let hint = "they are in the store of the workspace that delivered them, until its cbi gc lets go of them";
            return Err(vec![Diagnostic::new(ExitCode::ActionFailed, message).hint(hint)]);
        };
        let file = folder.join(format!("{}.parquet", delivery.sequence));
        materialize::place_file(session.content(), entry, &file).map_err(problem::stores)?;
        let (to, mode, columns) = (table.to_owned(), delivery.mode.clone(), delivery.columns.clone());
        parts.push(Part { file, spec: Spec { to, mode, columns, allow_schema_change: true } });
    }
    Ok(parts)
}
