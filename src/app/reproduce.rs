//! Owns `cbi reproduce`. Invariant: what runs is what was recorded, never today's recipe; and nothing is recorded of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::app::adapters;
use crate::app::bits;
use crate::app::mirroring;
use crate::app::near;
use crate::app::problem::{self, Outcome};
use crate::app::recall::{self, Reach};
use crate::app::remote_builds;
use crate::app::resolve::{Records, Thing};
use crate::app::sources;
use crate::app::workspace::Options;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::exec::alone;
use crate::exec::runner::{Job, Ran};
use crate::graph::implicit::whole_of;
use crate::kinds::publish;
use crate::kinds::registry;
use crate::mirror::snapshots;
use crate::model::action::{Action, Input};
use crate::model::manifest::Manifest;
use crate::model::result::{ActionResult, Cost};
use crate::plan::key;
use crate::store::content::ContentStore;

/// What came of a reproduction.
#[derive(Debug, Serialize)]
pub struct Reproduction {
    /// The target it was made for.
    pub target: String,
    /// The action that was run again.
    pub action: ActionKey,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Artifact → hash, as recorded.
    pub artifacts: BTreeMap<String, ManifestId>,
    /// Targets made again before it, because what they made was gone.
    pub also: Vec<String>,
    /// The kind of machine that it was made on, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_on: Option<String>,
    /// Targets below it that were equal within their tolerances, and not bit for bit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// Actions that were run again and compared, this one included.
    pub compared: u64,
    /// Targets below it that were observed in a remote warehouse: they were taken as recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<String>,
    /// What this run cost.
    pub cost: Option<Cost>,
}

/// The outcome.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Verdict {
    /// The same bits.
    Identical,
    /// Made on another kind of machine, or on an adapter: other bits, and numbers within the tolerance that the recipe declares.
    Within {
        /// The tolerance.
        tolerance: f64,
        /// How each file differs.
        how: Vec<String>,
    },
    /// Other bits.
    Differs {
        /// Files that differ: `artifact/path`.
        files: Vec<String>,
        /// How each of them does.
        how: Vec<String>,
    },
    /// It cannot be made again.
    NotReproducible {
        /// Why.
        reason: String,
    },
}

/// Why an action cannot be run again: a reason to tell, or an end of everything.
enum Stop {
    Because(String),
    Failed(Vec<Diagnostic>),
}

/// How far the errors of what an adapter trained may lie from those recorded, where the recipe does not say.
const ON_AN_ADAPTER: f64 = 0.01;

/// One attempt, with what it has brought back so far.
struct Attempt<'a> {
    records: &'a Records,
    timeout: Option<Duration>,
    cancel: &'a AtomicBool,
    also: Vec<String>,
    compared: u64,
    observed: Vec<String>,
    within: Vec<String>,
}

impl Reproduction {
    /// 0 for the same bits and for what is within a declared tolerance, else 4.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        match self.verdict {
            Verdict::Identical | Verdict::Within { .. } => ExitCode::Ok,
            _ => ExitCode::Differs,
        }
    }
}

/// Makes what `text` stands for again and compares bits; an action that takes longer than `timeout` is ended. With `deep` all that it was made from is made
/// again before, beginning with the sources, each action from the inputs that are recorded of it; the first that differs is told.
///
/// # Errors
/// When it stands for nothing that an action made, or the store cannot be used.
pub fn reproduce(options: &Options, text: &str, deep: bool, timeout: Option<Duration>, cancel: &AtomicBool) -> Outcome<Reproduction> {
    let (records, _) = recall::open(options, text, if deep { Reach::Sources } else { Reach::Inputs })?;
    let (made, only) = match records.find(text)? {
        Thing::Target { made, .. } | Thing::Action(made) => (*made, None),
        _ => {
            let artifact = records.artifact(text)?;
            (artifact.made, Some(artifact.name))
        }
    };
    // What it reads must not be collected meanwhile.
    let _reading = records.session.root().building().map_err(problem::stores)?;
    let mut attempt =
        Attempt { records: &records, timeout, cancel, also: Vec::new(), compared: 0, observed: Vec::new(), within: Vec::new() };
    for below in if deep { lineage(&records, &made) } else { Vec::new() } {
        if is_observed(&below.action) {
            attempt.observed.push(below.target);
            continue;
        }
        let done = attempt.compare(below, None)?;
        match done.verdict {
            Verdict::Identical => {}
            Verdict::Within { .. } => attempt.within.push(done.target),
            _ => return Ok(done),
        }
    }
    attempt.compare(made, only.as_deref())
}

/// All results that one was made from, each after those that it was made from.
fn lineage(records: &Records, made: &ActionResult) -> Vec<ActionResult> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::from([made.key]));
    let below = |result: &ActionResult| -> Vec<&ActionResult> {
        let inputs = result.action.inputs.values().filter_map(Input::artifact);
        inputs.filter_map(|id| records.maker(id).map(|(made, _)| made)).collect()
    };
    // Each with whether what is below it was gone into.
    let mut open: Vec<(&ActionResult, bool)> = below(made).into_iter().map(|result| (result, false)).collect();
    while let Some((result, entered)) = open.pop() {
        if entered {
            found.push(result.clone());
        } else if seen.insert(result.key) {
            open.push((result, true));
            open.extend(below(result).into_iter().map(|result| (result, false)));
        }
    }
    found
}

/// Whether another kind of machine made it.
fn is_foreign(action: &Action) -> bool {
    action.processor() != key::platform()
}

/// Whether that machine has another processor or system, and not only other instructions.
fn other_processor(action: &Action) -> bool {
    let begins = |platform: &str| platform.rsplit_once('-').map_or_else(String::new, |(begin, _)| begin.to_owned());
    begins(action.processor()) != begins(&key::platform())
}

/// Whether an action looked at a remote warehouse: what it saw was recorded once.
fn is_observed(action: &Action) -> bool {
    registry::observes(&action.kind, &action.params)
}

fn own((name, files): (&String, &Manifest)) -> (String, Manifest) {
    (name.clone(), files.clone())
}

impl Attempt<'_> {
    /// Runs a recorded action again and compares what it makes, or one artifact of it.
    fn compare(&mut self, made: ActionResult, only: Option<&str>) -> Outcome<Reproduction> {
        self.compared += 1;
        let wanted: BTreeMap<String, Manifest> = made.outputs.iter().filter(|(name, _)| only.is_none_or(|o| o == *name)).map(own).collect();
        let (verdict, cost) = match self.run(&made) {
            Ok(ran) => (self.verdict(&made, &wanted, &ran)?, Some(ran.result.cost)),
            Err(Stop::Because(reason)) => (Verdict::NotReproducible { reason }, None),
            Err(Stop::Failed(problems)) => return Err(problems),
        };
        let artifacts = wanted.iter().map(|(name, files)| (name.clone(), files.id())).collect();
        let (also, observed) = (std::mem::take(&mut self.also), std::mem::take(&mut self.observed));
        let (target, action, compared, within) = (made.target, made.key, self.compared, self.within.clone());
        let made_on = is_foreign(&made.action).then_some(made.action.platform);
        Ok(Reproduction { target, action, verdict, artifacts, also, made_on, within, compared, observed, cost })
    }

    /// Bit for bit; of what another kind of machine made, or an adapter, where bits differ, by the tolerance that today's recipe of its target declares.
    fn verdict(&self, made: &ActionResult, wanted: &BTreeMap<String, Manifest>, ran: &Ran) -> Outcome<Verdict> {
        let (files, how) = bits::compare(self.records, wanted, ran);
        if files.is_empty() {
            return Ok(Verdict::Identical);
        }
        if made.action.adapter().is_some() && !is_foreign(&made.action) {
            let tolerance = self.tolerance(&made.target).unwrap_or(ON_AN_ADAPTER);
            return Ok(match near::errors(made, &ran.result) {
                Some((by, at)) if by <= tolerance => Verdict::Within { tolerance, how: vec![format!("{at}: {by:.1e} from what it was")] },
                _ => Verdict::Differs { files, how },
            });
        }
        if !is_foreign(&made.action) {
            return Ok(Verdict::Differs { files, how });
        }
        let compared = near::compare(self.records, made, wanted, ran, self.cancel)?;
        let declared = self.tolerance(&made.target);
        let tolerance = declared.unwrap_or(0.0);
        let mut how = compared.told(tolerance);
        if declared.is_some() && compared.is_within(tolerance) {
            return Ok(Verdict::Within { tolerance, how });
        }
        how.extend(declared.is_none().then(|| "its recipe declares no `tolerance`".to_owned()));
        Ok(Verdict::Differs { files: compared.apart.into_keys().collect(), how })
    }

    fn tolerance(&self, target: &str) -> Option<f64> {
        let graph = self.records.workspace.graph().ok()?;
        let id = graph.find(target).or_else(|| graph.find(whole_of(target)?))?;
        graph[id].stanza.common.tolerance
    }

    /// Runs a recorded action again, after bringing back inputs that are gone.
    fn run(&mut self, made: &ActionResult) -> Result<Ran, Stop> {
        self.same_machinery(&made.action)?;
        let mut job = Job {
            target: made.target.clone(),
            key: made.key,
            action: made.action.clone(),
            artifacts: BTreeMap::new(),
            files: BTreeMap::new(),
            timeout: self.timeout,
        };
        for (slot, input) in &made.action.inputs {
            match input {
                Input::Artifact(id) => _ = job.artifacts.insert(slot.clone(), self.artifact(slot, id)?),
                Input::File { blob, name, .. } => {
                    if let Some(path) = self.file(slot, blob, name)? {
                        job.files.insert(slot.clone(), path);
                    }
                }
            }
        }
        self.records.session.release().map_err(stores)?;
        alone::run(&self.records.session, &job, self.cancel).map_err(|failure| {
            if self.cancel.load(Ordering::Relaxed) || failure.code == ExitCode::Interrupted {
                return Stop::Failed(vec![Diagnostic::new(ExitCode::Interrupted, "stopped")]);
            }
            Stop::Because(format!("running '{}' again failed: {}", made.target, failure.error))
        })
    }

    /// Refuses where other code would run than was recorded.
    fn same_machinery(&self, action: &Action) -> Result<(), Stop> {
        if let Some(adapter) = action.adapter() {
            match adapters::list() {
                Ok(there) if there.iter().any(|one| one.name == adapter) => {}
                Ok(_) => return Err(Stop::Because(format!("it was computed on {adapter}, and no driver here names that"))),
                Err(why) => return Err(Stop::Because(format!("it was computed on {adapter}: {why}"))),
            }
        }
        match registry::find(&action.kind) {
            None => return Err(Stop::Because(format!("this cbi has no kind '{}'", action.kind))),
            Some(kind) if kind.name == publish::NAME => {
                return Err(Stop::Because("a delivery is an effect, and not made again: reproduce what it delivers".into()));
            }
            Some(_) if is_observed(action) => {
                return Err(Stop::Because(
                    "it is an observation of BigQuery, recorded once; what it read may be gone, and float sums differ there".into(),
                ));
            }
            Some(kind) if kind.version != action.version => {
                let (was, is) = (action.version, kind.version);
                return Err(Stop::Because(format!("kind {} was version {was}, is version {is}", action.kind)));
            }
            Some(_) => {}
        }
        for (name, was) in &action.engines {
            let is = sources::identity(&self.records.session, name).unwrap_or_else(|| "absent".to_owned());
            // The same engine for another processor is another file.
            if is != *was && (is == "absent" || !other_processor(action)) {
                let what = name.strip_prefix("program:").map_or_else(|| format!("engine {name}"), |p| format!("program {p}"));
                return Err(Stop::Because(format!("{what} was {}, is {}", short(was), short(&is))));
            }
        }
        Ok(())
    }

    /// An input's files: from the store, else by running again what made them.
    fn artifact(&mut self, slot: &str, id: &ManifestId) -> Result<Manifest, Stop> {
        let Some((made, name)) = self.records.maker(id) else {
            return Err(Stop::Because(format!("nothing is recorded of what made its input {slot} ({})", id.0.short())));
        };
        let files = made.outputs[name].clone();
        if self.records.is_whole(&files) {
            return Ok(files);
        }
        let ran = self.run(made)?;
        if ran.result.outputs.get(name).map(Manifest::id) != Some(*id) {
            let message = format!("its input {slot} is gone, and running '{}' again gave other bits", made.target);
            return Err(Stop::Because(message));
        }
        // Bytes under their own digest are no record: they only come back to where they were.
        self.records.session.content().commit(&ran.batch).map_err(stores)?;
        self.also.push(made.target.clone());
        Ok(files)
    }

    /// Where a single file is, if not in the store: today's file serves if its bytes are the same; else the mirror may have it, as some build read it.
    fn file(&self, slot: &str, blob: &BlobId, name: &str) -> Result<Option<PathBuf>, Stop> {
        if self.records.session.content().size_of(blob).map_err(stores)?.is_some() {
            return Ok(None);
        }
        let workspace = &self.records.workspace;
        let table = workspace.tables.values().find(|p| p.file_name().is_some_and(|f| f.to_string_lossy() == name)).cloned();
        let file = slot.strip_prefix("file:").and_then(|path| workspace.texts.inside(path).ok());
        for path in [table, file].into_iter().flatten() {
            if matches!(self.records.session.hash_file(&path), Ok(found) if found == *blob) {
                return Ok(Some(path));
            }
        }
        if self.in_mirror(blob, name).map_err(Stop::Failed)? {
            return Ok(None);
        }
        Err(Stop::Because(format!("the file '{name}' as it was ({}) is gone", blob.0.short())))
    }

    /// Brings a file that some build read from the mirror into the store, where there is one and it has it.
    fn in_mirror(&self, blob: &BlobId, name: &str) -> Outcome<bool> {
        let session = &self.records.session;
        let Some(bucket) = mirroring::bucket(&self.records.workspace, session.root(), None)? else { return Ok(false) };
        session.release().map_err(problem::stores)?;
        // One that does not answer has nothing.
        let found = bucket.and_then(|bucket| {
            // A release keeps it, or a build that is still there read it.
            Ok(snapshots::bring(&bucket, session, name, blob)? || remote_builds::source(&bucket, session, blob)?)
        });
        Ok(found.unwrap_or(false))
    }
}

fn stores(error: crate::store::error::StoreError) -> Stop {
    Stop::Failed(problem::stores(error))
}

fn short(identity: &str) -> String {
    identity.chars().take(12).collect()
}
