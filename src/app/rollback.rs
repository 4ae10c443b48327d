//! Owns `cbi rollback`. Invariant: what is put back is what was delivered, bit for bit, and putting it back is a delivery of its own.

use serde_json::json;

use crate::app::problem::{self, Outcome, Problems};
use crate::app::rollback_bigquery;
use crate::app::rollback_choice::{Line, To, chosen, listed, no_such, usage};
use crate::app::status::Said;
use crate::app::workspace::{Options, Workspace};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::exec::deliver::{self, Outlet};
use crate::registry::destination::Destination;
use crate::registry::ledger::{Delivery, LedgerError};
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::ui::table::Table;

/// Puts an earlier delivery of the target's table back, and lists all of them. Recipes are not read: whatever is wrong with them, what readers see can
/// be put right.
///
/// # Errors
/// When the target delivered nothing, there is no such delivery, its rows are no longer in the store, or the destination cannot be used.
pub fn rollback(options: &Options, target: &str, to: To) -> Outcome<Said> {
    let workspace = Workspace::open(options)?;
    let (table, total) = match workspace.deliveries().outlet {
        None => return Err(usage("the workspace names no folder to publish into".into(), "published = \"FOLDER\" under [workspace]")),
        Some(Outlet::Folder(destination)) => in_folder(&workspace, &destination, target, to)?,
        Some(Outlet::BigQuery(project)) => rollback_bigquery::rollback(&workspace, &project, target, to)?,
    };
    let json = json!({ "target": target, "deliveries": table.json(), "said": total });
    Ok(Said { table, total, json })
}

fn in_folder(workspace: &Workspace, destination: &Destination, target: &str, to: To) -> Outcome<(Table, String)> {
    let table = table_of(destination, target)?;
    let total = match to {
        To::List => format!("{table} is at {}", destination.file(&table).display()),
        _ => put_back(workspace, destination, (target, &table), to)?,
    };
    let ledger = destination.ledger(&table).map_err(ledger_problem)?;
    let done = ledger.done().iter().map(Line::of).collect::<Vec<_>>();
    Ok((listed(&done, ledger.pending().map(Line::of)), total))
}

/// The table that the target delivered into last.
fn table_of(destination: &Destination, target: &str) -> Outcome<String> {
    let mut newest: Option<(u64, String)> = None;
    let mut unread = None;
    for table in destination.tables().map_err(problem::stores)? {
        match destination.ledger(&table) {
            Err(error) => unread = Some(error),
            Ok(ledger) => {
                let own = ledger.done().iter().chain(ledger.pending()).filter(|delivery| delivery.target == target);
                newest = newest.max(own.map(|delivery| (delivery.at_ms, table.clone())).max());
            }
        }
    }
    match (newest, unread) {
        (Some((_, table)), _) => Ok(table),
        // It may be the one that cannot be read.
        (None, Some(error)) => Err(ledger_problem(error)),
        (None, None) => Err(usage(format!("'{target}' never delivered anything here"), "name a target of kind 'publish' that did")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn ledger_problem(error: LedgerError) -> Problems {
    problem::engines(deliver::of_ledger(&error))
}

fn put_back(workspace: &Workspace, destination: &Destination, (target, table): (&str, &str), to: To) -> Outcome<String> {
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    // Nothing is collected meanwhile.
    let _building = session.root().building().map_err(problem::stores)?;
    let mut desk = destination.hold(table).map_err(ledger_problem)?;
    if deliver::finish(&session, &mut desk, target).is_err() {
        // What somebody else made of the table is what is to go.
        desk.ledger.settle(false).map_err(ledger_problem)?;
    }
    let done: Vec<Line> = desk.ledger.done().iter().map(Line::of).collect();
    let chosen = chosen(&done, target, to)?;
    let chosen = desk.ledger.done().iter().find(|delivery| delivery.sequence == chosen).cloned().ok_or_else(|| no_such(target, chosen))?;
    if session.content().size_of(&chosen.file).map_err(problem::stores)? != Some(chosen.size) {
        let message = format!("the rows of delivery {} are no longer in this store", chosen.sequence);
        return Err(vec![Diagnostic::new(ExitCode::ActionFailed, message).hint("cbi gc keeps what the last builds made: see its options")]);
    }
    let before = deliver::digest_at(&session, desk.file()).map_err(problem::engines)?;
    let sequence = desk.ledger.next();
    let puts_back = Some(chosen.puts_back.unwrap_or(chosen.sequence));
    let delivery = Delivery { sequence, target: target.to_owned(), before, puts_back, at_ms: clock::now_ms(), ..chosen.clone() };
    deliver::carry_out(&session, &mut desk, delivery).map_err(problem::engines)?;
    session.release().map_err(problem::stores)?;
    Ok(format!("{table} is as delivery {} left it, {} rows; this is delivery {sequence}", chosen.sequence, chosen.rows))
}
