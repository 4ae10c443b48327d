//! Housekeeping from the command line, on workspaces of small commands: collection, check and repair, doctor, beginning, schema.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// A workspace whose targets need no engine: `b` joins `a`, which copies `src.txt`, and `c`.
struct Space(tempfile::TempDir);

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Space {
    fn new() -> Self {
        let space = Self(tempfile::tempdir().unwrap());
        space.write("cbi.toml", "[workspace]\nname = \"t\"\ndefault = [\"b\"]\n");
        space.write("warehouse/README.md", "none");
        space.write("src.txt", "one");
        space.write(
            "recipes/t.toml",
            "[command.a]\nshell = \"cat src.txt > a.txt; echo copied\"\nfiles = [\"src.txt\"]\noutputs = [\"a.txt\"]\n\
             [command.c]\nshell = \"echo c > c.txt\"\noutputs = [\"c.txt\"]\n\
             [command.b]\nshell = \"cat a.txt c.txt > b.txt\"\nneeds = [\"a\", \"c\"]\noutputs = [\"b.txt\"]\n",
        );
        space
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn cache(&self, name: &str) -> PathBuf {
        self.path().join(".cbi-cache").join(name)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cbi(&self, args: &[&str]) -> Ran {
        let output = Command::cargo_bin("cbi").unwrap().current_dir(self.path()).env("NO_COLOR", "1").args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self, args: &[&str]) -> Value {
        let ran = self.cbi(args);
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
    }

    /// Builds; how many steps ran.
    fn build(&self) -> u64 {
        let ran = self.cbi(&["build", "--json"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        serde_json::from_str::<Value>(ran.out.lines().last().unwrap()).unwrap()["ran"].as_u64().unwrap()
    }

    fn built(&self) -> String {
        fs::read_to_string(self.cache("out/b/b.txt")).or_else(|_| fs::read_to_string(self.cache("out/b/out/b.txt"))).unwrap()
    }

    /// The blob that holds exactly these bytes.
    fn blob(&self, bytes: &[u8]) -> PathBuf {
        let name = blake3_of(bytes);
        self.cache("blobs").join(&name[..2]).join(&name)
    }
}

fn blake3_of(bytes: &[u8]) -> String {
    cbi::base::digest::Digest::of(bytes).to_string()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn gc_keeps_what_kept_builds_need_and_a_build_after_it_runs_only_what_was_dropped() {
    let space = Space::new();
    assert_eq!(space.build(), 3);
    space.write("src.txt", "two");
    assert_eq!(space.build(), 2);

    let keep_all = space.json(&["gc", "--json"]);
    assert_eq!(keep_all["deleted"]["results"], 0, "both builds are young: {keep_all}");
    space.write("src.txt", "one");
    assert_eq!(space.build(), 0, "the first state is still there");
    space.write("src.txt", "two");
    assert_eq!(space.build(), 0);

    let args = ["gc", "--keep-builds", "1", "--keep-days", "0"];
    let planned = space.json(&[&args[..], &["--dry-run", "--json"]].concat());
    assert_eq!((planned["dry_run"].as_bool(), planned["deleted"]["results"].as_u64()), (Some(true), Some(2)), "{planned}");
    assert!(space.blob(b"onec\n").exists(), "a dry run deletes nothing");
    let done = space.json(&[&args[..], &["--json"]].concat());
    assert_eq!(done["deleted"], planned["deleted"], "what was planned is what was done");
    assert!(!space.blob(b"onec\n").exists());
    assert!(space.blob(b"two").exists(), "what went into a kept result stays with it");
    assert_eq!(space.cbi(&["fsck"]).code, 0);

    assert_eq!(space.build(), 0, "what stays is whole");
    assert_eq!(space.built(), "twoc\n");
    space.write("src.txt", "one");
    assert_eq!(space.build(), 2, "only what was dropped runs: c stayed");
    assert_eq!(space.built(), "onec\n");
    let nothing = space.cbi(&["gc"]);
    assert!(nothing.out.contains("nothing to delete"), "{}", nothing.out);
}

#[test]
fn gc_never_drops_what_the_last_build_left() {
    let space = Space::new();
    space.build();
    let done = space.json(&["gc", "--keep-builds", "0", "--keep-days", "0", "--json"]);
    assert_eq!((done["deleted"]["blobs"].as_u64(), done["kept"]["builds"].as_u64()), (Some(0), Some(1)), "{done}");
    assert_eq!(space.build(), 0);
}

#[test]
fn gc_while_a_build_is_at_work_waits_a_while_and_ends_with_7() {
    let space = Space::new();
    space.build();
    let root = cbi::store::root::Root::open(&space.cache("")).unwrap();
    let building = root.building().unwrap();
    let busy = space.cbi(&["gc"]);
    assert_eq!(busy.code, 7, "{}", busy.err);
    assert!(busy.err.contains("in use") && busy.err.contains("hint:"), "{}", busy.err);
    assert_eq!(space.cbi(&["gc", "--dry-run"]).code, 0, "looking waits for nobody");
    drop(building);
    assert_eq!(space.cbi(&["gc"]).code, 0);
}

#[test]
fn gc_without_the_last_list_of_targets_deletes_nothing_and_says_the_way_out() {
    let space = Space::new();
    space.build();
    let blobs = || fs::read_dir(space.cache("blobs")).unwrap().flat_map(|d| fs::read_dir(d.unwrap().path()).unwrap()).count();
    let list = fs::read_dir(space.cache("blobs")).unwrap().flat_map(|d| fs::read_dir(d.unwrap().path()).unwrap());
    let list = list.map(|e| e.unwrap().path()).find(|p| fs::read(p).unwrap().starts_with(b"{\"a\":")).unwrap();
    fs::remove_file(list).unwrap();
    let left = blobs();
    let refused = space.cbi(&["gc", "--keep-builds", "1", "--keep-days", "0"]);
    assert_eq!((refused.code, blobs()), (5, left), "{}", refused.err);
    assert!(refused.err.contains("hint: cbi build"), "{}", refused.err);
}

#[test]
fn fsck_names_each_damage_and_after_repair_the_next_build_heals_it() {
    type Damage = fn(&Space);
    let damages: [(&str, &str, u64, Damage); 8] = [
        ("a changed blob", "blob", 1, |s| overwrite(&s.blob(b"c\n"), b"C\n")),
        ("a blob cut short", "blob", 1, |s| overwrite(&s.blob(b"onec\n"), b"on")),
        ("a removed blob", "missing_blob", 1, |s| fs::remove_file(s.blob(b"c\n")).unwrap()),
        ("a removed log of a step", "missing_blob", 1, |s| fs::remove_file(s.blob(b"copied\n")).unwrap()),
        ("a stranger among the blobs", "stranger", 0, |s| {
            // Whether some blob's hash begins with it differs from machine to machine.
            fs::create_dir_all(s.cache("blobs/00")).unwrap();
            fs::write(s.cache("blobs/00/notes"), "?").unwrap();
        }),
        ("a torn journal", "torn_log", 0, |s| {
            let path = s.cache("journal/builds.log");
            let mut bytes = fs::read(&path).unwrap();
            bytes.extend(b"half a rec");
            fs::write(&path, bytes).unwrap();
        }),
        ("a flipped bit in the journal of results", "damaged_log", 1, |s| {
            let path = s.cache("journal/actions.log");
            let mut bytes = fs::read(&path).unwrap();
            bytes[60] ^= 1;
            fs::write(&path, bytes).unwrap();
        }),
        ("a lost format", "format", 0, |s| fs::write(s.cache("format"), "").unwrap()),
    ];
    for (name, what, runs, damage) in damages {
        let space = Space::new();
        space.build();
        damage(&space);
        let found = space.json(&["fsck", "--json"]);
        let words: Vec<&str> = found["findings"].as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect();
        assert!(words.contains(&what), "{name}: {found}");
        let told = space.cbi(&["fsck"]);
        assert_eq!(told.code, 5, "{name}: {}", told.out);
        assert!(told.out.contains("damaged: ") && told.out.contains("cbi fsck --repair"), "{name}: {}", told.out);
        let repaired = space.cbi(&["fsck", "--repair"]);
        assert_eq!(repaired.code, 0, "{name}: {}{}", repaired.out, repaired.err);
        assert_eq!(space.build(), runs, "{name}");
        assert_eq!(space.built(), "onec\n", "{name}");
        let after = space.cbi(&["fsck"]);
        assert_eq!(after.code, 0, "{name}: {}", after.out);
    }
}

#[test]
fn fsck_of_a_cache_of_a_newer_cbi_touches_nothing_and_ends_with_5() {
    let space = Space::new();
    space.build();
    fs::write(space.cache("format"), "cbi-cache 99\n").unwrap();
    for args in [&["fsck"][..], &["fsck", "--repair"], &["gc"]] {
        let refused = space.cbi(args);
        assert_eq!(refused.code, 5, "{args:?}: {}", refused.err);
        assert!(refused.err.contains("format 99"), "{}", refused.err);
    }
    assert_eq!(fs::read_to_string(space.cache("format")).unwrap(), "cbi-cache 99\n");
}

#[test]
fn a_workspace_that_was_never_built_has_nothing_to_collect_or_check_and_gets_no_cache() {
    let space = Space::new();
    assert_eq!(space.cbi(&["gc"]).code, 0);
    assert_eq!(space.cbi(&["fsck", "--repair"]).code, 0);
    assert!(!space.cache("").exists());
    let outside = tempfile::tempdir().unwrap();
    for command in ["gc", "fsck"] {
        let refused = space.cbi(&["-C", outside.path().to_str().unwrap(), command]);
        assert_eq!(refused.code, 2, "{}", refused.err);
        assert!(refused.err.contains("cbi init"), "{}", refused.err);
    }
    assert_eq!(space.cbi(&["gc", "--keep-builds", "many"]).code, 2);
}

#[test]
fn doctor_tries_every_engine_and_says_what_is_bad() {
    let space = Space::new();
    let well = space.json(&["doctor", "--json"]);
    assert_eq!(well["ok"], true, "{well:#}");
    let state = |doctor: &Value, name: &str| {
        let checks = doctor["checks"].as_array().unwrap();
        checks.iter().find(|c| c["check"] == name).unwrap_or_else(|| panic!("{name} in {doctor:#}"))["state"].as_str().unwrap().to_owned()
    };
    for name in ["action program", "engine duckdb", "engine lightgbm", "engine xgboost", "machine", "cache", "recipes", "program sh"] {
        assert_eq!(state(&well, name), "ok", "{name}: {well:#}");
    }
    assert_eq!(state(&well, "warehouse"), "warn", "there is no table");
    assert!(!space.cache("").exists(), "looking makes nothing");

    space.write("recipes/bad.toml", "[command.x]\nrun = [\"no-such-program-anywhere\"]\noutputs = [\"x\"]\n");
    let ran = space.cbi(&["doctor"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("bad   program no-such-program-anywhere"), "{}", ran.out);
    space.write("recipes/bad.toml", "[nonsense.x]\n");
    let invalid = space.json(&["doctor", "--json"]);
    assert_eq!((invalid["ok"].as_bool(), state(&invalid, "recipes").as_str()), (Some(false), "bad"));
}

#[test]
fn doctor_names_an_engine_that_is_not_there() {
    let space = Space::new();
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("cbi").unwrap();
    let output = command.current_dir(space.path()).env("CBI_NATIVE_DIR", empty.path()).args(["doctor", "-q"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    for engine in ["duckdb", "lightgbm", "xgboost"] {
        assert!(out.contains(&format!("engine {engine}")), "{out}");
    }
    assert!(out.contains("scripts/native"), "{out}");
}

#[test]
fn init_begins_a_workspace_that_builds_and_never_writes_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let space = Space(folder);
    assert_eq!(space.cbi(&["init", "new"]).code, 0);
    let graph = space.cbi(&["-C", "new", "graph"]);
    assert_eq!((graph.code, graph.out.contains("first.calendar")), (0, true), "{}{}", graph.out, graph.err);
    let built = space.cbi(&["-C", "new", "build"]);
    assert_eq!(built.code, 0, "{}{}", built.out, built.err);
    assert!(built.out.contains("1 ran"), "{}", built.out);
    assert!(fs::read_to_string(space.path().join("new/.gitignore")).unwrap().contains(".cbi-cache"));

    let again = space.cbi(&["init", "new"]);
    assert_eq!(again.code, 2, "{}", again.err);
    assert!(again.err.contains("already there"), "{}", again.err);
    space.write("half/recipes/first.toml", "mine");
    assert_eq!(space.cbi(&["init", "half"]).code, 2);
    assert_eq!(fs::read_to_string(space.path().join("half/recipes/first.toml")).unwrap(), "mine");
    assert!(!space.path().join("half/cbi.toml").exists(), "nothing is written beside it");

    space.write("git/.gitignore", "target");
    assert_eq!(space.cbi(&["init", "git"]).code, 0);
    assert_eq!(fs::read_to_string(space.path().join("git/.gitignore")).unwrap(), "target\n/.cbi-cache/\n", "a line is added, none changed");
}

#[test]
fn schema_is_one_json_document_with_every_kind() {
    let space = Space::new();
    let schema = space.json(&["schema"]);
    for kind in ["table", "sql", "frame", "naive", "lightgbm", "xgboost", "ensemble", "evaluate", "forecast", "command"] {
        assert!(schema["properties"][kind].is_object(), "{kind}");
    }
}
