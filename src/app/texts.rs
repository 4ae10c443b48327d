//! Owns the text files of a workspace. Invariant: each is read once, through here, so what errors show is what was read, and what was read
//! is known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::app::index::{self, Watch};
use crate::base::diagnostic::Snippet;
use crate::base::digest::Digest;
use crate::io::fs::{self, FsError, FsResult, What};
use crate::model::recipe::Place;

/// The workspace's text files, as far as they were asked for.
#[derive(Debug)]
pub struct Texts {
    root: PathBuf,
    read: RefCell<BTreeMap<String, Result<Arc<str>, String>>>,
    /// Folders whose list of names decided something.
    listed: RefCell<BTreeMap<String, Arc<[String]>>>,
    /// The digests of those lists.
    names: RefCell<BTreeMap<String, Option<Digest>>>,
    /// Paths whose being there decided something.
    looked: RefCell<BTreeMap<String, bool>>,
    /// What could not be looked at. It must not count as absent: an input would be missing and nobody would know.
    unseen: RefCell<Vec<FsError>>,
}

impl Texts {
    /// The files under `root`, the workspace's real path.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            read: RefCell::default(),
            listed: RefCell::default(),
            names: RefCell::default(),
            looked: RefCell::default(),
            unseen: RefCell::default(),
        }
    }

    /// The text of the file at a relative path, or why there is none, in words.
    ///
    /// # Errors
    /// When it is not there, not text, or not inside the workspace.
    pub fn text(&self, path: &str) -> Result<Arc<str>, String> {
        if let Some(known) = self.read.borrow().get(path) {
            return known.clone();
        }
        let text = self.load(path);
        self.read.borrow_mut().insert(path.to_owned(), text.clone());
        text
    }

    fn load(&self, path: &str) -> Result<Arc<str>, String> {
        let full = self.inside(path)?;
        let bytes = fs::read_if_any(&full).map_err(|e| e.to_string())?.ok_or("no such file")?;
        String::from_utf8(bytes).map(Into::into).map_err(|_| "not UTF-8 text".to_owned())
    }

    /// The real path of a workspace file.
    ///
    /// # Errors
    /// When it is not there, or a link leads out of the workspace.
    pub fn inside(&self, path: &str) -> Result<PathBuf, String> {
        let full = self.root.join(path);
        match fs::stat(&full) {
            Ok(Some(stat)) if stat.what == What::Folder => return Err("a folder".to_owned()),
            Ok(Some(_)) => {}
            _ => return Err("no such file".to_owned()),
        }
        let real = fs::real_path(&full).map_err(|e| e.to_string())?;
        if real.starts_with(&self.root) {
            Ok(real)
        } else {
            Err(format!("a link out of the workspace, to '{}' (a copy would do)", real.display()))
        }
    }

    /// The workspace files that a glob matches, sorted; `*` stays within a folder, `**` crosses folders.
    #[must_use]
    pub fn files(&self, pattern: &str) -> Vec<String> {
        let Some(wild) = pattern.find(['*', '?', '[', '{']) else {
            let there = *self.looked.borrow_mut().entry(pattern.to_owned()).or_insert_with(|| self.is_file(pattern));
            return if there { vec![pattern.to_owned()] } else { Vec::new() };
        };
        let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).build() else { return Vec::new() };
        let folder = pattern[..wild].rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut found = Vec::new();
        self.search(folder, &glob.compile_matcher(), pattern[wild..].contains('/'), &mut found);
        found.sort();
        found
    }

    fn is_file(&self, path: &str) -> bool {
        self.seen(fs::stat(&self.root.join(path))).flatten().is_some_and(|s| s.what == What::File)
    }

    fn seen<T>(&self, result: FsResult<T>) -> Option<T> {
        result.map_err(|error| self.unseen.borrow_mut().push(error)).ok()
    }

    /// What could not be looked at since this was last asked: while there is any, nothing that was found can be relied on.
    #[must_use]
    pub fn take_unseen(&self) -> Vec<FsError> {
        self.unseen.take()
    }

    fn search(&self, folder: &str, glob: &GlobMatcher, deep: bool, found: &mut Vec<String>) {
        for name in self.list(folder).iter() {
            let path = join(folder, name.trim_end_matches('/'));
            if name.ends_with('/') {
                if deep {
                    self.search(&path, glob, deep, found);
                }
            } else if glob.is_match(&path) {
                found.push(path);
            }
        }
    }

    /// The names in a folder, sorted; those of folders end in `/`. Hidden ones are left out, and build folders of the workspace's root.
    pub fn list(&self, folder: &str) -> Arc<[String]> {
        if let Some(known) = self.listed.borrow().get(folder) {
            return known.clone();
        }
        let path = self.root.join(folder);
        // Before the list itself: a change between the two is then one that the next build sees.
        self.names.borrow_mut().insert(folder.to_owned(), index::names_of(&path));
        let entries = self.seen(fs::list_if_any(&path)).unwrap_or_default();
        let mut names: Vec<String> = entries
            .iter()
            .filter_map(|entry| {
                let name = entry.name.to_str()?;
                let is_folder = entry.what == What::Folder;
                let hidden = name.starts_with('.') || (is_folder && folder.is_empty() && name == "target");
                (!hidden).then(|| if is_folder { format!("{name}/") } else { name.to_owned() })
            })
            .collect();
        names.sort();
        let names: Arc<[String]> = names.into();
        self.listed.borrow_mut().insert(folder.to_owned(), names.clone());
        names
    }

    /// Every file under `folder` whose name ends in `ending`, sorted.
    #[must_use]
    pub fn under(&self, folder: &str, ending: &str) -> Vec<String> {
        self.files(&format!("{folder}/**/*{ending}"))
    }

    /// What an error shows of a place.
    #[must_use]
    pub fn snippet(&self, place: &Place, label: &str) -> Option<Snippet> {
        let text = self.text(&place.file).ok()?;
        Some(Snippet { file: place.file.to_string(), text: text.to_string(), span: place.span.clone(), label: label.to_owned() })
    }

    /// Every text that was read.
    #[must_use]
    pub fn all_read(&self) -> Vec<(String, Arc<str>)> {
        self.read.borrow().iter().filter_map(|(path, text)| Some((path.clone(), text.clone().ok()?))).collect()
    }

    /// Everything that was read or listed, with what was there.
    #[must_use]
    pub fn watched(&self) -> Watch {
        let digest = |text: &Result<Arc<str>, String>| text.as_ref().ok().map(|t| Digest::of(t.as_bytes()));
        let mut all: Watch = self.read.borrow().iter().map(|(path, text)| (self.root.join(path), digest(text))).collect();
        all.extend(self.names.borrow().iter().map(|(folder, names)| (self.root.join(folder), *names)));
        all
    }

    /// The workspace's real path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
