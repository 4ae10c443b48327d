//! Owns the pinning of sources and engines. Invariant: an identity is the digest of bytes that were there in this build; nothing is taken
//! from a name or a time alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::app::index::Watch;
use crate::app::texts::Texts;
use crate::app::workspace::Workspace;
use crate::base::diagnostic::ExitCode;
use crate::engine::native;
use crate::exec::environment::PROGRAM_PATH;
use crate::exec::failure::Failure;
use crate::graph::build::{NodeId, TargetGraph};
use crate::io::fs;
use crate::io::process::find_program;
use crate::model::action::Input;
use crate::model::recipe::Source;
use crate::plan::key::{Identities, platform};
use crate::store::action_cache::Session;
use crate::store::error::StoreError;

/// Pins what builds read from outside the store.
pub struct Sources<'a> {
    session: &'a Session,
    texts: &'a Texts,
    tables: &'a BTreeMap<String, PathBuf>,
    pinned: RefCell<BTreeMap<Source, (Input, PathBuf)>>,
    /// Whether tables are those of a past build, and no others.
    past: bool,
}

impl<'a> Sources<'a> {
    /// The sources of a workspace, hashed through the session's memory of files.
    #[must_use]
    pub fn new(session: &'a Session, workspace: &'a Workspace) -> Self {
        Self { session, texts: &workspace.texts, tables: &workspace.tables, pinned: RefCell::default(), past: false }
    }

    /// The sources of a past build: its tables as they were then, and its files.
    #[must_use]
    pub fn then(session: &'a Session, workspace: &'a Workspace, tables: BTreeMap<Source, (Input, PathBuf)>) -> Self {
        Self { session, texts: &workspace.texts, tables: &workspace.tables, pinned: RefCell::new(tables), past: true }
    }

    /// Everything that was pinned, and where it is.
    #[must_use]
    pub fn pinned(&self) -> Vec<(Source, (Input, PathBuf))> {
        self.pinned.borrow().iter().map(|(source, pinned)| (source.clone(), pinned.clone())).collect()
    }

    /// The content of a file or warehouse table, the same for the whole build, and where it is.
    ///
    /// # Errors
    /// When it cannot be read, or leads out of the workspace.
    pub fn pin(&self, source: &Source) -> Result<(Input, PathBuf), Failure> {
        if let Some(known) = self.pinned.borrow().get(source) {
            return Ok(known.clone());
        }
        let path = match source {
            Source::File(file) => self.texts.inside(file).map_err(|why| refuse(format!("cannot read the file '{file}': {why}")))?,
            Source::WarehouseTable(table) if self.past => {
                return Err(refuse(format!("that build did not read the table '{table}', so what it held then is not known")));
            }
            Source::WarehouseTable(table) => {
                let found = self.tables.get(table).cloned();
                found.ok_or_else(|| refuse(format!("the warehouse has no table '{table}'")))?
            }
            Source::Target { name, artifact } => {
                return Err(Failure { code: ExitCode::Bug, ..refuse(format!("'{name}' has no artifact '{artifact}'")) });
            }
        };
        let blob = self.session.hash_file(&path).map_err(|e| Failure::of_store(&e))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let executable =
            matches!(source, Source::File(_)) && fs::stat(&path).map_err(|e| Failure::of_store(&e.into()))?.is_some_and(|s| s.executable());
        let pinned = (Input::File { blob, name, executable }, path);
        self.pinned.borrow_mut().insert(source.clone(), pinned.clone());
        Ok(pinned)
    }

    /// Where everything pinned is, with its content, so that a change of it can be noticed. A file of the workspace by its own name: a link
    /// may come to lead elsewhere.
    #[must_use]
    pub fn watched(&self) -> Watch {
        let of = |(source, (input, path)): (&Source, &(Input, PathBuf))| {
            let path = if let Source::File(file) = source { self.texts.root().join(file) } else { path.clone() };
            let content = if let Input::File { blob, .. } = input { Some(blob.0) } else { None };
            (path, content)
        };
        self.pinned.borrow().iter().map(of).collect()
    }
}

/// What runs the actions of these targets on this machine, and the files that are part of it.
///
/// # Errors
/// When an engine's library is not there or cannot be read.
pub fn identities(session: &Session, graph: &TargetGraph, wanted: &[NodeId]) -> Result<(Identities, BTreeSet<PathBuf>), Failure> {
    let mut engines = BTreeMap::new();
    let mut files = BTreeSet::new();
    let names: BTreeSet<&str> = wanted.iter().flat_map(|id| graph[*id].declared.engines.iter().map(String::as_str)).collect();
    for name in names {
        let identity = match native::library(name) {
            Some(path) => {
                let digest = digest(session, &path).map_err(|error| match error.io_kind() {
                    Some(ErrorKind::NotFound) => missing_engine(name, &path),
                    _ => Failure::of_store(&error),
                })?;
                files.insert(path);
                digest
            }
            None => native::compiled_version(name).unwrap_or("absent").to_owned(),
        };
        engines.insert(name.to_owned(), identity);
    }
    let programs: BTreeSet<&str> = wanted.iter().flat_map(|id| graph[*id].declared.programs.iter().map(String::as_str)).collect();
    for program in programs {
        // One that is absent makes its own action fail, and says so there.
        let found = find_program(program, PROGRAM_PATH);
        // Those places, too, where it was not: it may come to be there.
        let places = PROGRAM_PATH.split(':').map(|folder| Path::new(folder).join(program));
        files.extend(places.take_while(|place| Some(place) != found.as_ref()));
        files.extend(found.clone());
        let identity = match found.map(|path| fs::real_path(&path)).transpose().map_err(|e| Failure::of_store(&e.into()))? {
            Some(path) => {
                let digest = digest(session, &path).map_err(|e| Failure::of_store(&e))?;
                files.insert(path);
                digest
            }
            None => "absent".to_owned(),
        };
        engines.insert(format!("program:{program}"), identity);
    }
    Ok((Identities { platform: platform(), engines }, files))
}

/// What `name`, an engine or `program:<name>`, is on this machine now; `None` where it is not there.
#[must_use]
pub fn identity(session: &Session, name: &str) -> Option<String> {
    let path = match name.strip_prefix("program:") {
        Some(program) => Some(find_program(program, PROGRAM_PATH).and_then(|path| fs::real_path(&path).ok())?),
        None => native::library(name),
    };
    match path {
        Some(path) => digest(session, &path).ok(),
        None => native::compiled_version(name).map(str::to_owned),
    }
}

fn digest(session: &Session, path: &Path) -> Result<String, StoreError> {
    session.hash_file(path).map(|blob| blob.to_string())
}

fn missing_engine(name: &str, path: &Path) -> Failure {
    Failure {
        error: format!("the engine '{name}' is not at '{}'", path.display()),
        hint: Some("scripts/native brings it; CBI_NATIVE_DIR says where it is".into()),
        log_tail: Vec::new(),
        code: ExitCode::ActionFailed,
    }
}

fn refuse(error: String) -> Failure {
    Failure { error, hint: None, log_tail: Vec::new(), code: ExitCode::Invalid }
}
