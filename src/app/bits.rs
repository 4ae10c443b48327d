//! Owns telling how the bits of what was made again differ from those recorded. Invariant: what is not listed has the same bits.

use std::collections::BTreeMap;

use crate::app::resolve::Records;
use crate::exec::alone;
use crate::exec::runner::Ran;
use crate::model::manifest::{FileEntry, Manifest};
use crate::store::content::ContentStore;

/// Files that are not what was recorded, `artifact/path`, and how each of them differs.
#[must_use]
pub fn compare(records: &Records, recorded: &BTreeMap<String, Manifest>, ran: &Ran) -> (Vec<String>, Vec<String>) {
    let made = &ran.result.outputs;
    let (mut files, mut how) = (Vec::new(), Vec::new());
    for (artifact, before) in recorded {
        let nothing = Manifest::default();
        let after = made.get(artifact).unwrap_or(&nothing);
        if before.id() == after.id() {
            continue;
        }
        let mut paths: Vec<&String> = before.files.keys().chain(after.files.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let differing = paths.into_iter().filter(|path| before.files.get(*path) != after.files.get(*path));
        for path in differing {
            files.push(format!("{artifact}/{path}"));
            let said = said(records, ran, (artifact, path), before.files.get(path), after.files.get(path));
            how.push(format!("{artifact}/{path}: {said}"));
        }
    }
    (files, how)
}

/// How a file differs from what was recorded of it.
fn said(records: &Records, ran: &Ran, (artifact, path): (&str, &str), before: Option<&FileEntry>, after: Option<&FileEntry>) -> String {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, _) => return "was not there".to_owned(),
        (_, None) => return "is not made any more".to_owned(),
    };
    if before.blob == after.blob {
        return "only who may execute it is another".to_owned();
    }
    let sizes = if before.size == after.size {
        format!("{} bytes, as before", after.size)
    } else {
        format!("{} bytes, were {}", after.size, before.size)
    };
    let then = records.session.content().read(&before.blob).ok().flatten();
    let now = alone::file_of(&records.session, ran, artifact, path).ok();
    match then.zip(now) {
        Some((then, now)) => {
            let same = then.iter().zip(&now).take_while(|(a, b)| a == b).count();
            format!("{sizes}; the first that differs is byte {same}")
        }
        None => format!("{sizes}; what was recorded is no longer in the store"),
    }
}
