//! Owns the running of one action. Invariant: a result exists only when the child succeeded, wrote exactly the declared outputs, left its
//! inputs as they were, and every output is safely in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::clock;
use crate::base::diagnostic::ExitCode;
use crate::base::digest::ActionKey;
use crate::exec::environment::{PROGRAM_PATH, SYSTEM, action_program, base_env, driver_env};
use crate::exec::failure::{self, Failure, RunError};
use crate::exec::meter::{Allowance, Meter};
use crate::exec::sandbox::{REQUEST, RESPONSE, Sandbox, blobs};
use crate::io::fs;
use crate::io::jail::{Cell, Jail};
use crate::io::process::{Children, Spawn, find_program};
use crate::kinds::publish_bigquery::DELIVERY;
use crate::kinds::reach::BILLED;
use crate::kinds::registry;
use crate::model::action::{Action, Input};
use crate::model::check::Verdict;
use crate::model::manifest::Manifest;
use crate::model::result::{ActionResult, Cost};
use crate::store::content::{Batch, ContentStore};
use crate::store::error::StoreError;
use crate::store::local::LocalStore;
use crate::store::materialize;
use crate::store::root::Root;

/// An action with what is needed to run it.
#[derive(Debug, Clone)]
pub struct Job {
    /// The target it runs for; for people.
    pub target: String,
    /// Its key.
    pub key: ActionKey,
    /// The action.
    pub action: Action,
    /// Slots fed by artifacts: their files.
    pub artifacts: BTreeMap<String, Manifest>,
    /// Slots fed by single files: where they are on this disk. A slot without one is taken from the store.
    pub files: BTreeMap<String, PathBuf>,
    /// It is killed after this long.
    pub timeout: Option<Duration>,
}

impl Job {
    /// Bytes that it reads; a file that cannot be looked at counts as nothing.
    #[must_use]
    pub fn input_bytes(&self) -> u64 {
        let files = self.files.values().filter_map(|path| fs::stat(path).ok().flatten()).map(|stat| stat.size);
        self.artifacts.values().map(Manifest::size).chain(files).sum()
    }
}

/// What a successful run left, to be recorded.
#[derive(Debug)]
pub struct Ran {
    /// The result.
    pub result: ActionResult,
    /// Its blobs, on their way into the store.
    pub batch: Batch,
}

/// What an engine reports beside its outputs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    metrics: BTreeMap<String, f64>,
    notes: Vec<String>,
    checks: Vec<Verdict>,
}

/// Where actions run, one after another: kept between them, for making it costs more than many an action.
#[derive(Debug, Default)]
pub struct Workplace {
    sandbox: Option<Sandbox>,
    cell: Option<Cell>,
}

/// Runs actions one at a time for each thread that asks.
#[derive(Debug)]
pub struct Runner<'a> {
    /// The cache folder.
    pub root: &'a Root,
    /// Its blobs.
    pub store: &'a LocalStore,
    /// The children running now.
    pub children: &'a Children,
    /// How steps that read from outside reach it.
    pub reach: Option<&'a Value>,
    /// What their queries may be charged for.
    pub meter: &'a Meter,
}

impl Runner<'_> {
    /// Runs the action and puts what it made; nothing is recorded yet.
    ///
    /// # Errors
    /// With what a person should know, when there is no result.
    pub fn run(&self, job: &Job, place: &mut Workplace) -> Result<Ran, Failure> {
        let (mut log, mut batch) = (Vec::new(), Batch::new());
        match self.try_run(job, place, &mut log, &mut batch) {
            Ok(result) => Ok(Ran { result, batch }),
            Err(error) => {
                // What stays behind is removed with the work area.
                batch.waiting().for_each(|(_, waiting)| _ = fs::remove_file(&waiting.path));
                Err(failure::describe(&error, &log))
            }
        }
    }

    fn try_run(&self, job: &Job, place: &mut Workplace, log: &mut Vec<u8>, batch: &mut Batch) -> Result<ActionResult, RunError> {
        let mut sandbox = match place.sandbox.take() {
            Some(sandbox) => sandbox,
            None => Sandbox::create(self.root.scratch()?)?,
        };
        let ran = self.run_in(job, &mut sandbox, &mut place.cell, log, batch);
        // One that cannot be cleared is removed, and the next action gets another.
        place.sandbox = sandbox.clear().is_ok().then_some(sandbox);
        ran
    }

    fn run_in(
        &self,
        job: &Job,
        sandbox: &mut Sandbox,
        cell: &mut Option<Cell>,
        log: &mut Vec<u8>,
        batch: &mut Batch,
    ) -> Result<ActionResult, RunError> {
        let command = job.action.kind == "command";
        let mut allowance = if registry::charges(&job.action.kind, &job.action.params) { self.meter.take() } else { None };
        let left = allowance.as_ref().map(Allowance::bytes);
        let (spawn, placed) = if command { self.command(job, sandbox)? } else { self.engine(job, sandbox, left)? };
        let (ended, usage) = self.children.run(&spawn, cell)?;
        let ended_ms = clock::now_ms();
        *log = fs::read_if_any(&spawn.log)?.unwrap_or_default();
        let names = (!command).then(|| names(job, sandbox));
        failure::judge(ended, job.timeout, names.as_deref(), log)?;
        let outputs = if command {
            let paths = texts(&job.action.params["outputs"]);
            let out = sandbox.capture_files(self.store, &paths, &placed, batch)?;
            job.action.outputs.iter().map(|name| (name.clone(), out.clone())).collect()
        } else {
            sandbox.capture_artifacts(self.store, &job.action.outputs, batch)?
        };
        let response = response(sandbox)?;
        if let (Some(allowance), Some(billed)) = (&mut allowance, response.metrics.get(BILLED)) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
            allowance.spend(*billed as u64);
        }
        drop(allowance);
        let log = if log.is_empty() { None } else { Some(self.store.put_bytes(log, batch)?) };
        self.recheck_inputs(job)?;
        if !command {
            fs::remove_tree(&self.root.partial(&job.key))?;
        }
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Ok(ActionResult {
            key: job.key,
            action: job.action.clone(),
            target: job.target.clone(),
            outputs,
            metrics: response.metrics,
            notes: response.notes,
            checks: response.checks,
            log,
            cost: Cost {
                wall_ms: millis(usage.wall),
                cpu_ms: millis(usage.cpu),
                peak_bytes: usage.peak_bytes,
                input_bytes: job.input_bytes(),
            },
            ended_ms,
        })
    }

    /// A program of the user's: inputs where it expects them, an empty environment, a jail.
    fn command(&self, job: &Job, sandbox: &mut Sandbox) -> Result<(Spawn, BTreeSet<String>), RunError> {
        let params = &job.action.params;
        let work = sandbox.work();
        let inputs = self.inputs_of_command(job)?;
        let placed: BTreeSet<String> = inputs.files.keys().cloned().collect();
        sandbox.lay_out(self.store, &inputs, &texts(&params["outputs"]))?;
        let (program, args) = if let Some(line) = params["shell"].as_str() {
            ("sh".to_owned(), vec!["-c".into(), line.into()])
        } else {
            let mut argv = params["run"].as_array().into_iter().flatten().filter_map(Value::as_str);
            (argv.next().unwrap_or_default().to_owned(), argv.map(Into::into).collect())
        };
        // A relative path names a file that was placed; anything else is of the machine.
        let found = match program.contains('/') && !program.starts_with('/') {
            true => Some(work.join(&program)),
            false => find_program(&program, PROGRAM_PATH),
        };
        let program = found.ok_or(RunError::NoProgram { program })?;
        let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        read.extend(program.parent().map(Path::to_owned));
        let jail = Jail { read, write: vec![work.clone(), sandbox.tmp(), "/dev/null".into()] };
        let mut env = base_env(sandbox);
        for table in ["env", "pass_env"] {
            let given = params[table].as_object().into_iter().flatten();
            env.extend(given.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))));
        }
        let (name, log, timeout) = (job.target.clone(), sandbox.log(), job.timeout);
        Ok((Spawn { name, program, args, cwd: work, env, log, timeout, jail: Some(jail) }, placed))
    }

    /// All that a command reads, by its path in the working folder.
    fn inputs_of_command(&self, job: &Job) -> Result<Manifest, RunError> {
        let mut all = BTreeMap::new();
        for (slot, input) in &job.action.inputs {
            let place = job.action.params["place"][slot].as_str().unwrap_or("./");
            for (name, entry) in self.files_of(job, slot, input)?.files {
                let path = match place.strip_suffix('/') {
                    Some(".") => name,
                    Some(folder) => format!("{folder}/{name}"),
                    None => place.to_owned(),
                };
                if all.contains_key(&path) {
                    return Err(RunError::InputTwice { path });
                }
                all.insert(path, entry);
            }
        }
        Ok(Manifest { files: all })
    }

    /// One of our own kinds: the program beside this one, told by a request file.
    fn engine(&self, job: &Job, sandbox: &Sandbox, left: Option<u64>) -> Result<(Spawn, BTreeSet<String>), RunError> {
        let mut inputs = BTreeMap::new();
        fs::create_folder(&sandbox.inputs())?;
        fs::create_folder(&sandbox.outputs())?;
        for (index, (slot, input)) in job.action.inputs.iter().enumerate() {
            let folder = sandbox.inputs().join(index.to_string());
            materialize::place(self.store, &self.files_of(job, slot, input)?, &folder)?;
            inputs.insert(slot.clone(), folder);
        }
        let mut request = json!({
            "kind": job.action.kind, "params": job.action.params, "threads": job.action.threads,
            "adapter": job.action.adapter(), "inputs": inputs, "digests": job.action.digests(), "out": sandbox.outputs(), "response": sandbox.file(RESPONSE),
            "scratch": self.root.partial(&job.key),
        });
        let outside = |reach: &&Value| registry::observes(&job.action.kind, &job.action.params) || reach.get(DELIVERY).is_some();
        if let Some(reach) = self.reach.filter(outside) {
            request["reach"] = reach.clone();
            request["reach"]["step"] = json!({ "target": job.target, "key": job.key, "left": left });
        }
        let file = sandbox.file(REQUEST);
        fs::write(&file, request.to_string().as_bytes())?;
        let mut env = base_env(sandbox);
        // Idle threads of the learners sleep instead of spinning; see ARCHITECTURE.md.
        env.push(("OMP_WAIT_POLICY".into(), "passive".into()));
        env.push(("OMP_NUM_THREADS".into(), job.action.threads.to_string()));
        env.extend(std::env::var("CBI_NATIVE_DIR").ok().map(|v| ("CBI_NATIVE_DIR".into(), v)));
        env.extend(driver_env());
        let program = action_program().map_err(|path| RunError::NoActionProgram { path })?;
        let (name, log, timeout) = (job.target.clone(), sandbox.log(), job.timeout);
        let spawn = Spawn { name, program, args: vec![file.into()], cwd: sandbox.work(), env, log, timeout, jail: None };
        Ok((spawn, BTreeSet::new()))
    }

    /// The files that feed a slot; a file of this disk is put into the store first, so that the child sees exactly what the key says.
    fn files_of(&self, job: &Job, slot: &str, input: &Input) -> Result<Manifest, RunError> {
        match input {
            Input::Artifact(_) => Ok(job.artifacts.get(slot).cloned().unwrap_or_default()),
            Input::File { blob, name, executable } => {
                let size = match (self.store.size_of(blob)?, job.files.get(slot)) {
                    (Some(size), _) => size,
                    (None, Some(path)) => {
                        let mut batch = Batch::new();
                        let (found, size) = self.store.put_file(path, &mut batch)?;
                        if found != *blob {
                            return Err(RunError::InputChanged { slot: slot.to_owned() });
                        }
                        self.store.commit(&batch)?;
                        size
                    }
                    (None, None) => return Err(StoreError::Missing { blob: *blob }.into()),
                };
                let entry = crate::model::manifest::FileEntry { blob: *blob, size, executable: *executable };
                Ok(Manifest { files: BTreeMap::from([(name.clone(), entry)]) })
            }
        }
    }

    /// A child with enough rights can write through its read-only inputs; then nothing it made is believed.
    fn recheck_inputs(&self, job: &Job) -> Result<(), RunError> {
        for (slot, input) in &job.action.inputs {
            let whole = match input {
                Input::Artifact(_) => {
                    blobs(job.artifacts.get(slot)).try_fold(true, |ok, b| Ok::<_, StoreError>(ok && self.store.size_of(&b)?.is_some()))?
                }
                Input::File { blob, .. } => self.store.size_of(blob)?.is_some(),
            };
            if !whole {
                return Err(RunError::InputWritten { slot: slot.clone() });
            }
        }
        Ok(())
    }
}

/// What an engine calls its inputs, folder by folder, and what the user calls them.
fn names(job: &Job, sandbox: &Sandbox) -> Vec<(String, String)> {
    let name = |(index, slot): (usize, &String)| {
        let here = sandbox.inputs().join(index.to_string());
        let known = match job.files.get(slot).and_then(|path| path.parent()) {
            Some(folder) => format!("{}/", folder.display()),
            None => String::new(),
        };
        (format!("{}/", here.display()), known)
    };
    job.action.inputs.keys().enumerate().map(name).collect()
}

/// What an engine reported; nothing where it had nothing to say.
fn response(sandbox: &Sandbox) -> Result<Response, RunError> {
    let Some(bytes) = fs::read_if_any(&sandbox.file(RESPONSE))? else { return Ok(Response::default()) };
    serde_json::from_slice(&bytes).map_err(|e| RunError::Ended {
        message: format!("its response cannot be read: {e}"),
        hint: None,
        code: ExitCode::Bug,
    })
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
