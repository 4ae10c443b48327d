//! Owns the opening of a workspace. Invariant: what a `Workspace` says of recipes comes from one reading of the files, and nothing was written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::app::account;
use crate::app::index;
use crate::app::problem::{self, Outcome, Problems};
use crate::app::publishing;
use crate::app::texts::Texts;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::Digest;
use crate::base::name::TargetName;
use crate::engine::bigquery::account::Account;
use crate::engine::warehouse;
use crate::exec::deliver::{Deliveries, Outlet};
use crate::exec::deliver_bigquery::Project;
use crate::exec::pool::Budget;
use crate::graph::adapters;
use crate::graph::build::{self, TargetGraph};
use crate::graph::expand::expand;
use crate::graph::implicit::{self, Tables};
use crate::graph::learning;
use crate::graph::select::{self, Selection};
use crate::io::{fs, machine};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::export::Reach;
use crate::kinds::pinned::{self, ENGINE, WAREHOUSE};
use crate::kinds::registry;
use crate::kinds::tuned::TUNE;
use crate::model::recipe::Stanza;
use crate::plan::judge::Judge;
use crate::registry::destination::Destination;
use crate::syntax::recipe;
use crate::syntax::settings::{self, BIGQUERY, Settings};

/// The settings file, whose folder is the workspace.
pub const SETTINGS_FILE: &str = "cbi.toml";

/// The cache folder's name.
pub const CACHE_FOLDER: &str = ".cbi-cache";

const RECIPE_FOLDER: &str = "recipes";

/// How a workspace is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A folder in the workspace.
    pub directory: PathBuf,
    /// The profile of the settings.
    pub profile: Option<String>,
    /// The warehouse folder, instead of the settings' one.
    pub warehouse: Option<PathBuf>,
    /// The date that `@as_of` means, instead of the settings' one.
    pub as_of: Option<String>,
    /// How a remote warehouse is read.
    pub reading: Reading,
}

/// How a remote warehouse is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// The instant that its tables are read at, milliseconds since 1970; now where it is not said.
    pub instant_ms: Option<i64>,
    /// Whether what was seen last counts, and nobody is asked.
    pub offline: bool,
}

/// What a command asks of the machine; the settings and the machine say the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Threads for steps side by side.
    pub jobs: Option<u32>,
    /// Bytes of memory for steps side by side.
    pub memory: Option<u64>,
}

/// An open workspace.
#[derive(Debug)]
pub struct Workspace {
    /// Its real path.
    pub root: PathBuf,
    /// What `cbi.toml` says.
    pub settings: Settings,
    /// Its text files.
    pub texts: Texts,
    /// The warehouse folder.
    pub warehouse: PathBuf,
    /// The digest of its list of names.
    pub warehouse_names: Option<Digest>,
    /// The warehouse's tables and their files.
    pub tables: BTreeMap<String, PathBuf>,
    /// The project that is the warehouse, instead of the folder.
    pub remote: Option<Account>,
    /// How it is read.
    pub reading: Reading,
    /// The date that `@as_of` means.
    pub as_of: Option<String>,
    /// Why stanzas were refused, by target.
    refused: RefCell<BTreeMap<String, Problems>>,
}

impl Workspace {
    /// Finds the workspace that `options.directory` is in and reads its settings.
    ///
    /// # Errors
    /// When there is none, or its settings or warehouse cannot be read.
    pub fn open(options: &Options) -> Outcome<Self> {
        let root = find_root(&options.directory)?;
        Self::read(options, Texts::new(root.clone()), root, None)
    }

    /// The same workspace with the recipes, queries and settings that lie in this folder, and these tables.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_then(options: &Options, folder: PathBuf, tables: BTreeMap<String, PathBuf>) -> Outcome<Self> {
        Self::read(options, Texts::new(folder), find_root(&options.directory)?, Some(tables))
    }

    fn read(options: &Options, texts: Texts, root: PathBuf, then: Option<BTreeMap<String, PathBuf>>) -> Outcome<Self> {
        let settings = match texts.text(SETTINGS_FILE) {
            Ok(text) => settings::parse(SETTINGS_FILE, &text, options.profile.as_deref())
                .map_err(|errors| errors.iter().map(|e| problem::syntax(e, &texts)).collect::<Vec<_>>())?,
            Err(why) => return Err(vec![Diagnostic::new(ExitCode::Invalid, format!("cannot read {SETTINGS_FILE}: {why}"))]),
        };
        let warehouse = match &options.warehouse {
            Some(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.clone()),
            None => root.join(&settings.warehouse),
        };
        let remote = match (&options.warehouse, &settings.bigquery) {
            (None, Some(bigquery)) if settings.is_remote() => Some(account::of(bigquery, &root)?),
            _ => None,
        };
        if remote.is_none() && (options.reading.instant_ms.is_some() || options.reading.offline) {
            let problem =
                Diagnostic::new(ExitCode::Usage, "the warehouse is a folder: it has its tables as they are now, and is always there");
            return Err(vec![problem.hint("--offline, and --as-of with a time of day, are for warehouse = \"bigquery\"")]);
        }
        if remote.is_none() && options.warehouse.is_none() && settings.published.as_deref() == Some(BIGQUERY) {
            let problem = Diagnostic::new(ExitCode::Invalid, "published = \"bigquery\" goes with warehouse = \"bigquery\"");
            return Err(vec![problem.hint("name a folder: published = \"FOLDER\" under [workspace] in cbi.toml")]);
        }
        let warehouse_names = if remote.is_some() { None } else { index::names_of(&warehouse) };
        let tables = match then {
            Some(then) => Ok(then),
            None if remote.is_some() => Ok(BTreeMap::new()),
            None => warehouse::tables(&warehouse),
        };
        let tables = tables.map_err(|e| {
            let hint = "name it with --warehouse DIR, or as 'warehouse' in cbi.toml";
            vec![Diagnostic::of(ExitCode::Usage, &e).hint(hint)]
        })?;
        let as_of = options.as_of.clone().or_else(|| settings.as_of.clone());
        let refused = RefCell::default();
        Ok(Self { root, settings, texts, warehouse, warehouse_names, tables, remote, reading: options.reading, as_of, refused })
    }

    /// The cache folder.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join(CACHE_FOLDER)
    }

    /// What steps may use together: what is asked, else what the settings say, else the machine's CPUs and three quarters of its memory.
    #[must_use]
    pub fn budget(&self, limits: Limits) -> Budget {
        let cpus = limits.jobs.or(self.settings.jobs).unwrap_or_else(machine::cpus);
        let memory = limits.memory.or(self.settings.memory).unwrap_or_else(|| machine::memory() / 4 * 3);
        Budget { cpus, memory }
    }

    /// How steps and questions reach this account as things are now, with the limits of the graph's targets.
    #[must_use]
    pub fn reach(&self, account: &Account, graph: &TargetGraph) -> Reach {
        Reach { work: account::work(&self.settings, graph, &self.cache()), ..account::reach(account, None, self.reading.offline) }
    }

    /// Where steps deliver to.
    #[must_use]
    pub fn deliveries(&self) -> Deliveries {
        let outlet = match (&self.settings.published, &self.remote) {
            (Some(folder), _) if folder != BIGQUERY => Some(Outlet::Folder(Destination::new(self.root.join(folder)))),
            (_, Some(account)) => {
                let reach = self.reach(account, &TargetGraph::default());
                Some(Outlet::BigQuery(Box::new(Project::new(Reach { instant_ms: self.reading.instant_ms, ..reach }))))
            }
            _ => None,
        };
        Deliveries { outlet }
    }

    /// How verdicts of checks are taken: on the workspace's date, else today.
    ///
    /// # Errors
    /// When its date is none.
    pub fn judge(&self, allow_stale: bool) -> Outcome<Judge> {
        let day = match &self.as_of {
            None => clock::today(),
            Some(date) => date.parse().map_err(|_| vec![Diagnostic::new(ExitCode::Usage, format!("as_of is '{date}', not a date"))])?,
        };
        Ok(Judge { day, allow_stale })
    }

    /// Reads all recipes into the graph of targets. A stanza that its kind refuses is a matter for those who select it.
    ///
    /// # Errors
    /// Everything that is wrong with the graph.
    pub fn graph(&self) -> Outcome<TargetGraph> {
        let stanzas = self.stanzas();
        self.all_seen()?;
        let stanzas = registry::with_parts(stanzas?);
        let tunes = stanzas.iter().filter(|s| s.kind == TUNE).map(|s| (s.name.to_string(), s.clone()));
        let tunes: BTreeMap<String, Stanza> = tunes.collect();
        let tables_written: BTreeMap<String, Stanza> =
            stanzas.iter().filter(|s| s.name.is_table()).map(|s| (s.name.to_string(), s.clone())).collect();
        let kinds: BTreeMap<String, String> = stanzas.iter().map(|s| (s.name.to_string(), s.kind.clone())).collect();
        let context = DeclareContext {
            text: &|path| self.texts.text(path),
            files: &|pattern| self.texts.files(pattern),
            env: &|name| std::env::var(name).ok(),
            kind_of: &|name| kinds.get(name).cloned(),
            tune_of: &|name| tunes.get(name),
            as_of: self.as_of.as_deref(),
        };
        let names = self.tables.keys().cloned().collect();
        let refuse = |name: &TargetName, errors: Vec<KindError>| {
            let problems = errors.iter().map(|e| problem::kind(e, &self.texts)).collect();
            self.refused.borrow_mut().insert(name.to_string(), problems);
        };
        let tables = if self.remote.is_some() { Tables::Remote } else { Tables::Here(&names) };
        let tested = self.tested(&stanzas, tables, &context);
        let declare = |stanza: &Stanza| {
            let (version, mut declared) = registry::declare(stanza, &context)?;
            let pushed = declared.params[ENGINE] == WAREHOUSE;
            if self.remote.is_some() {
                if pushed {
                    pinned::push(&mut declared, &|name| tables_written.get(name), tested.contains(stanza.name.as_str()));
                }
                implicit::from_exports(&mut declared);
            } else if pushed {
                // The warehouse is a folder, and the engine that reads it is here.
                declared.params.as_object_mut().map(|params| params.remove(ENGINE));
            }
            Ok((version, declared))
        };
        let graph = build::build_around(stanzas, tables, declare, refuse);
        self.all_seen()?;
        let mut graph = graph.map_err(|errors| errors.iter().map(|e| problem::graph(e, &self.texts)).collect::<Problems>())?;
        learning::mark(&mut graph);
        adapters::share(&mut graph);
        let clashes = publishing::clashes(&graph, &self.texts);
        if clashes.is_empty() { Ok(graph) } else { Err(clashes) }
    }

    /// The queries that run in a remote warehouse and that frames stand on. What they read there they need here too, and what that is only shows where it
    /// is known on which targets a frame stands.
    fn tested(&self, stanzas: &[Stanza], tables: Tables, context: &DeclareContext) -> BTreeSet<String> {
        let pushed: BTreeSet<&str> =
            stanzas.iter().filter(|s| s.body.get(ENGINE).is_some_and(|e| e == WAREHOUSE)).map(|s| s.name.as_str()).collect();
        if self.remote.is_none() || pushed.is_empty() {
            return BTreeSet::new();
        }
        // What is wrong with it is told of the graph that is built.
        let Ok(graph) = build::build_around(stanzas.to_vec(), tables, |stanza| registry::declare(stanza, context), |_, _| {}) else {
            return BTreeSet::new();
        };
        let learnt = learning::learnt(&graph).into_iter().map(|id| graph[id].name().to_string());
        learnt.filter(|name| pushed.contains(name.as_str())).collect()
    }

    /// A folder that could not be listed is a failure of the machine, not an empty folder.
    fn all_seen(&self) -> Outcome<()> {
        let unseen = self.texts.take_unseen();
        if unseen.is_empty() { Ok(()) } else { Err(unseen.iter().map(|e| Diagnostic::of(ExitCode::ActionFailed, e)).collect()) }
    }

    fn stanzas(&self) -> Outcome<Vec<Stanza>> {
        let mut problems = Vec::new();
        let mut stanzas = Vec::new();
        for path in self.texts.under(RECIPE_FOLDER, ".toml") {
            match self.texts.text(&path) {
                Err(why) => problems.push(Diagnostic::new(ExitCode::Invalid, format!("cannot read {path}: {why}"))),
                Ok(text) => {
                    let (raw, mut errors) = recipe::parse(&path, &text);
                    expand(raw, &self.settings.lets, &mut stanzas, &mut errors);
                    problems.extend(errors.iter().map(|e| problem::syntax(e, &self.texts)));
                }
            }
        }
        if problems.is_empty() { Ok(stanzas) } else { Err(problems) }
    }

    /// The targets that these names and globs choose; the workspace's defaults where there are none.
    ///
    /// # Errors
    /// When one matches nothing, needs what is not there, or its stanza or one below it is wrong.
    pub fn select(&self, graph: &TargetGraph, patterns: &[String]) -> Outcome<Selection> {
        let patterns = if patterns.is_empty() { &self.settings.default } else { patterns };
        let selection = select::select(graph, patterns)
            .map_err(|errors| errors.iter().map(|e| problem::graph(e, &self.texts)).collect::<Problems>())?;
        let refused = self.refused.borrow();
        let names = selection.closure.iter().filter(|id| graph[**id].refused).map(|id| graph[*id].name().as_str());
        let problems = names.flat_map(|name| refused.get(name).into_iter().flatten().map(move |problem| (name, problem)));
        let problems = once_for_all(problems);
        if problems.is_empty() { Ok(selection) } else { Err(problems) }
    }
}

/// What is wrong with several targets of one stanza in the same way is told of the first.
fn once_for_all<'a>(problems: impl Iterator<Item = (&'a str, &'a Diagnostic)>) -> Problems {
    let mut told: Vec<(Diagnostic, u32)> = Vec::new();
    let mut first: BTreeMap<_, usize> = BTreeMap::new();
    for (name, problem) in problems {
        let place = problem.snippets.first().map(|snippet| (snippet.file.clone(), snippet.span.start));
        let at = *first.entry((problem.message.replace(name, "*"), place)).or_insert(told.len());
        match told.get_mut(at) {
            Some((_, more)) => *more += 1,
            None => told.push((problem.clone(), 0)),
        }
    }
    let told = told.into_iter().map(|(mut problem, more)| {
        if more > 0 {
            let targets = if more == 1 { "target" } else { "targets" };
            problem.message = format!("{}, and in {more} more {targets} of its stanza", problem.message);
        }
        problem
    });
    told.collect()
}

/// The cache folder of the workspace that `directory` is in, whatever state its recipes are in.
///
/// # Errors
/// When there is no workspace.
pub fn cache_of(directory: &Path) -> Outcome<PathBuf> {
    Ok(find_root(directory)?.join(CACHE_FOLDER))
}

/// The real path of the workspace that `directory` is in.
///
/// # Errors
/// When it is in none.
pub fn find_root(directory: &Path) -> Outcome<PathBuf> {
    let usage = |message: String| vec![Diagnostic::new(ExitCode::Usage, message)];
    let start = fs::real_path(directory).map_err(|_| usage(format!("'{}' is not a folder", directory.display())))?;
    let found = start.ancestors().find(|folder| matches!(fs::stat(&folder.join(SETTINGS_FILE)), Ok(Some(_))));
    found.map(Path::to_owned).ok_or_else(|| {
        let message = format!("'{}' is not in a workspace: no {SETTINGS_FILE} in it or above it", start.display());
        vec![Diagnostic::new(ExitCode::Usage, message).hint("cbi init, or name the folder with -C DIR")]
    })
}
