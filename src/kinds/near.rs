//! Compares what an action made on one kind of machine with what it makes on another, for `cbi reproduce`: no recipe kind, for nothing is built. Invariant: a
//! model is compared by what it forecasts, everything else by what it holds; what cannot be compared is told as other.
//!
//! `view:near`: slots `old`, `new`, and for a model `frame`, the rows it learnt from. The answer is `view/view.json`: file → `Nearness`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::engine::frame_file::{self, iso_date};
use crate::engine::nearness::{self, Nearness};
use crate::engine::table_file;
use crate::io::{fs, tree};
use crate::kinds::learner::FRAME_SLOT;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, RECORD_FILE};
use crate::kinds::view::{ARTIFACT, FILE};

/// What the forecasts of a model are called among the files.
const FORECASTS: &str = "forecasts";

/// Answers with how far each file of two artifacts is apart.
///
/// # Errors
/// When a file or a model cannot be read.
pub fn near(request: &Request) -> Result<Response, RunError> {
    let (old, new) = (request.input("old")?, request.input("new")?);
    let found = match request.inputs.get(FRAME_SLOT) {
        Some(frame) if is_there(&old.join(RECORD_FILE))? && is_there(&new.join(RECORD_FILE))? => {
            BTreeMap::from([(FORECASTS.to_owned(), models(old, new, frame)?)])
        }
        _ => files(old, new)?,
    };
    let bytes = serde_json::to_vec(&found).map_err(|error| RunError::failed(&error))?;
    fs::write(&request.output(ARTIFACT)?.join(FILE), &bytes).map_err(|error| RunError::failed(&error))?;
    Ok(Response::default())
}

fn is_there(path: &Path) -> Result<bool, RunError> {
    fs::stat(path).map(|found| found.is_some()).map_err(|error| RunError::failed(&error))
}

/// Two models, by what they forecast from every row that they learnt from.
fn models(old: &Path, new: &Path, frame: &Path) -> Result<Nearness, RunError> {
    let failed = |error: trained::TrainedError| RunError::failed(&error);
    let frame = frame_file::read(frame).map_err(|error| RunError::failed(&error))?;
    let rows: Vec<usize> = (0..frame.len()).collect();
    let (before, after) = (trained::read(old).map_err(failed)?, trained::read(new).map_err(failed)?);
    let mut found = Nearness::default();
    let mut beside = |what: &str, before: &[f64], after: &[f64]| {
        for (row, (a, b)) in rows.iter().zip(before.iter().zip(after)) {
            found.number(*a, *b, || format!("{what} of {}", iso_date(frame.dates[*row])));
        }
    };
    beside("the forecast", &before.predict(&frame, &rows).map_err(failed)?, &after.predict(&frame, &rows).map_err(failed)?);
    let quantiles = (before.quantiles(&frame, &rows).map_err(failed)?, after.quantiles(&frame, &rows).map_err(failed)?);
    if let (Some(before), Some(after)) = quantiles {
        for (level, (a, b)) in before.levels.iter().zip(before.predicted.iter().zip(&after.predicted)) {
            beside(&format!("the quantile {level}"), a, b);
        }
    }
    Ok(found)
}

fn files(old: &Path, new: &Path) -> Result<BTreeMap<String, Nearness>, RunError> {
    let named = |folder: &Path| -> Result<BTreeSet<String>, RunError> {
        let found = tree::files(folder).map_err(|error| RunError::failed(&error))?;
        Ok(found.into_iter().collect())
    };
    let (before, after) = (named(old)?, named(new)?);
    let mut found = BTreeMap::new();
    for name in before.union(&after) {
        let nearness = if before.contains(name) && after.contains(name) {
            file(&old.join(name), &new.join(name))?
        } else {
            Nearness { other: Some("only one has it".to_owned()), ..Nearness::default() }
        };
        found.insert(name.clone(), nearness);
    }
    Ok(found)
}

fn file(old: &Path, new: &Path) -> Result<Nearness, RunError> {
    let io = |error: fs::FsError| RunError::failed(&error);
    let (before, after) = (fs::read(old).map_err(io)?, fs::read(new).map_err(io)?);
    if before == after {
        return Ok(Nearness::default());
    }
    let ending = old.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    if ending == "parquet" {
        let table = |path: &Path| table_file::read(path).map_err(|error| RunError::failed(&error));
        return Ok(nearness::tables(&table(old)?, &table(new)?));
    }
    Ok(match (String::from_utf8(before), String::from_utf8(after)) {
        (Ok(before), Ok(after)) => {
            let json = if ending == "json" { nearness::json(&before, &after) } else { None };
            json.unwrap_or_else(|| nearness::texts(&before, &after, matches!(ending.as_str(), "txt" | "md")))
        }
        _ => Nearness { other: Some("its bytes are others, and it is neither a table nor text".to_owned()), ..Nearness::default() },
    })
}
