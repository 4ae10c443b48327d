//! The house rules, held by reading the source: floors, no circles, one door to the machine.

#[path = "architecture/code.rs"]
mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use code::{has_word, paths, without_comments_and_literals, without_tests};

/// The floors, lowest first. A module imports lower floors only; neighbours never import each other.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["io", "model"],
    &["engine", "syntax", "store"],
    &["graph", "kinds", "mirror", "registry"],
    &["plan"],
    &["exec", "ui"],
    &["app"],
    &["cli"],
    &["main", "bin"],
];

/// Who may touch the machine besides `io` and `base`: file, what, and why.
const MAY_TOUCH: &[(&str, &str, &str)] = &[
    ("engine/table_file.rs", "std::fs::File", "the Parquet library reads and writes through open files"),
    ("engine/table_sort.rs", "std::fs::File", "the Arrow library reads and writes through open files"),
];

/// Who may print besides `ui` and `cli`, and why.
const MAY_PRINT: &[(&str, &str)] = &[("bin/cbi-action.rs", "an action's standard error is its log and its error report")];

/// The only folder with `unsafe`: the learners' C interfaces.
const MAY_BE_UNSAFE: &str = "engine/gbdt/ffi/";

/// The most lines a file may have before its tests; long before it, a file does more than one thing.
const LONGEST: usize = 400;

/// Longer files, the lines they may have, and why.
const MAY_BE_LONG: &[(&str, usize, &str)] = &[("io/fs.rs", 520, "the one door to files: many small functions, no state")];

/// A source file, by its path below `src`.
struct File {
    path: String,
    text: String,
    code: String,
}

impl File {
    /// The part of the house it belongs to: the first folder, or the name of a file beside `lib.rs`.
    fn part(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    fn at(&self, line: usize) -> String {
        format!("src/{}:{line}", self.path)
    }
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open: Vec<PathBuf> = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source can be read");
                let code = without_comments_and_literals(&text);
                let path = path.strip_prefix(&root).expect("a path below src").to_string_lossy().replace('\\', "/");
                files.push(File { path, text, code });
            }
        }
    }
    let tests = test_files(&files);
    files.retain(|file| !tests.contains(&file.path));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Files that are there in tests only: their `mod` line says so.
fn test_files(files: &[File]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with("mod.rs")) {
        let folder = file.path.trim_end_matches("mod.rs");
        for part in file.code.split("#[cfg(test)]").skip(1) {
            let name = part.split(';').next().and_then(|line| line.trim().rsplit(' ').next()).unwrap_or_default();
            found.insert(format!("{folder}{name}.rs"));
        }
    }
    found
}

fn floor(part: &str) -> Option<usize> {
    FLOORS.iter().position(|parts| parts.contains(&part)).map(|index| index + 1)
}

/// Paths into this package that a file names: the segments after `crate::` or, in a program, `cbi::`.
fn imports(file: &File, code: &str) -> Vec<(usize, Vec<String>)> {
    let program = matches!(file.part(), "main" | "bin");
    let own = |(line, path): (usize, String)| {
        let inside = path.strip_prefix("crate::").or_else(|| path.strip_prefix("cbi::").filter(|_| program))?;
        Some((line, inside.split("::").map(str::to_owned).collect()))
    };
    paths(code).into_iter().filter_map(own).collect()
}

fn hold(broken: &[String]) {
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_part_of_the_house_stands_on_a_floor() {
    let parts: BTreeSet<String> = files().iter().map(|file| file.part().to_owned()).filter(|part| part != "lib").collect();
    let unknown: Vec<String> = parts.into_iter().filter(|part| floor(part).is_none()).collect();
    hold(&unknown);
}

#[test]
fn a_floor_imports_only_lower_floors() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.path != "lib.rs") {
        let own = floor(file.part()).unwrap_or(0);
        for (line, path) in imports(file, &file.code) {
            let Some(other) = floor(&path[0]) else { continue };
            if path[0] != file.part() && other >= own {
                broken.push(format!("{}: {} (floor {own}) imports {} (floor {other})", file.at(line), file.part(), path.join("::")));
            }
        }
    }
    hold(&broken);
}

#[test]
fn files_import_each_other_in_no_circle() {
    let files = files();
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let edges: BTreeMap<&str, BTreeSet<String>> = files.iter().map(|file| (file.path.as_str(), imported_files(file, &known))).collect();
    let mut done = BTreeSet::new();
    let mut broken = BTreeSet::new();
    for file in &files {
        walk(&file.path, &edges, &mut Vec::new(), &mut done, &mut broken);
    }
    hold(&broken.into_iter().collect::<Vec<_>>());
}

/// The files that a file's own code (tests aside) names, through `crate::` or `super::`.
fn imported_files(file: &File, known: &BTreeSet<&str>) -> BTreeSet<String> {
    let code = without_tests(&file.code);
    let folder: Vec<&str> = file.path.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect();
    let relative = paths(&code).into_iter().filter_map(|(_, path)| {
        let inside = path.strip_prefix("super::")?;
        Some(folder.iter().copied().chain(inside.split("::")).map(str::to_owned).collect::<Vec<_>>())
    });
    let absolute = imports(file, &code).into_iter().map(|(_, path)| path);
    let file_of = |path: Vec<String>| {
        let candidates = (1..=path.len()).rev().map(|length| format!("{}.rs", path[..length].join("/")));
        candidates.into_iter().find(|candidate| known.contains(candidate.as_str()))
    };
    absolute.chain(relative).filter_map(file_of).filter(|other| *other != file.path).collect()
}

fn walk(
    file: &str,
    edges: &BTreeMap<&str, BTreeSet<String>>,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
    broken: &mut BTreeSet<String>,
) {
    if let Some(start) = path.iter().position(|other| other == file) {
        broken.insert(format!("{} → {file}", path[start..].join(" → ")));
        return;
    }
    if !done.contains(file) {
        path.push(file.to_owned());
        for other in edges.get(file).into_iter().flatten() {
            walk(other, edges, path, done, broken);
        }
        path.pop();
        done.insert(file.to_owned());
    }
}

#[test]
fn mod_files_hold_docs_and_mod_lines_only() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with("/mod.rs") || file.path == "lib.rs") {
        let other = |line: &&str| {
            !(line.is_empty()
                || line.starts_with("pub mod ")
                || line.starts_with("mod ")
                || line.starts_with("#[cfg(")
                || line.starts_with("#!["))
        };
        let lines = file.code.lines().map(str::trim).enumerate().filter(|(_, line)| other(line));
        broken.extend(lines.map(|(index, line)| format!("{}: {line}", file.at(index + 1))));
    }
    hold(&broken);
}

#[test]
fn only_io_and_base_touch_files_processes_and_clocks() {
    const DOORS: &[&str] = &["std::fs", "std::process::Command", "std::time::SystemTime", "std::net"];
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| !matches!(file.part(), "io" | "base")) {
        for (line, path) in paths(&without_tests(&file.code)) {
            let path = path.trim_end_matches("::self");
            let door = DOORS.iter().find(|door| path == **door || path.starts_with(&format!("{door}::")));
            let clock = (path.ends_with("Instant::now") || path.ends_with("SystemTime::now") || path.ends_with("Utc::now")).then_some(());
            if door.is_none() && clock.is_none() {
                continue;
            }
            if !MAY_TOUCH.iter().any(|(allowed, what, _)| *allowed == file.path && path.starts_with(what)) {
                broken.push(format!("{}: {path}", file.at(line)));
            }
        }
    }
    hold(&broken);
}

#[test]
fn only_ui_and_cli_print() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| !matches!(file.part(), "ui" | "cli")) {
        let code = without_tests(&file.code);
        let words = ["println!", "print!", "eprintln!", "eprint!", "dbg!"];
        for (word, line) in words.iter().filter_map(|word| Some((word, has_word(&code, word)?))) {
            if !MAY_PRINT.iter().any(|(allowed, _)| *allowed == file.path) {
                broken.push(format!("{}: {word}", file.at(line)));
            }
        }
    }
    hold(&broken);
}

#[test]
fn unsafe_stands_in_one_file() {
    let files = files();
    let found = files.iter().filter(|file| !file.path.starts_with(MAY_BE_UNSAFE));
    hold(&found.filter_map(|file| has_word(&file.code, "unsafe").map(|line| file.at(line))).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_owns_and_stays_short() {
    let mut broken = Vec::new();
    for file in files() {
        if !file.text.starts_with("//!") {
            broken.push(format!("{}: opens without //!", file.at(1)));
        }
        let lines = without_tests(&file.code).trim_end().lines().count();
        let most = MAY_BE_LONG.iter().find(|(path, ..)| *path == file.path).map_or(LONGEST, |(_, most, _)| *most);
        if lines > most {
            broken.push(format!("{}: {lines} lines, more than {most}", file.at(1)));
        }
    }
    hold(&broken);
}

#[test]
fn only_the_program_of_actions_reaches_the_running_of_kinds() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.path != "bin/cbi-action.rs") {
        let found = imports(file, &file.code).into_iter().filter(|(_, path)| path.len() > 1 && path[..2] == ["kinds", "dispatch"]);
        broken.extend(found.map(|(line, path)| format!("{}: {}", file.at(line), path.join("::"))));
    }
    hold(&broken);
}

/// A no-op build must not pay for loading engines it does not use.
#[test]
#[cfg(target_os = "linux")]
fn the_program_that_plans_loads_no_engine() {
    let libraries = std::process::Command::new("ldd").arg(env!("CARGO_BIN_EXE_cbi")).output().expect("ldd lists libraries");
    let libraries = String::from_utf8_lossy(&libraries.stdout);
    assert!(libraries.contains("libc"), "{libraries}");
    let engines = libraries.lines().filter(|line| ["duckdb", "lightgbm", "xgboost"].iter().any(|engine| line.contains(engine)));
    hold(&engines.map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn an_exception_that_nobody_needs_is_taken_back() {
    let files = files();
    let exists = |path: &str| files.iter().any(|file| file.path == path);
    let gone = MAY_TOUCH
        .iter()
        .map(|(file, ..)| *file)
        .chain(MAY_PRINT.iter().map(|(file, _)| *file))
        .chain(MAY_BE_LONG.iter().map(|(file, ..)| *file))
        .filter(|file| !exists(file));
    hold(&gone.map(str::to_owned).collect::<Vec<_>>());
}
