//! Promises of the commands that look at results, on a small workspace of the crude oil that is in the repository.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use assert_cmd::Command;
use cbi::base::digest::Digest;
use serde_json::Value;
use tempfile::TempDir;

const TARGETS: [&str; 2] = ["model/wti/naive/1m", "evaluate/wti/quick"];

/// One workspace, built once, that tests only look at.
static BUILT: LazyLock<TempDir> = LazyLock::new(built);

/// A fresh copy of the repository's oil recipes.
fn workspace() -> TempDir {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for part in ["warehouse", "recipes/wti", "sql/wti"] {
        let to = folder.path().join(part);
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(here.join(part)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    fs::copy(here.join("cbi.toml"), folder.path().join("cbi.toml")).unwrap();
    let quick = "[evaluate.\"evaluate/wti/quick\"]\nframe = \"frame/wti/1m\"\nmodels = [\"model/wti/naive/1m\"]\n";
    fs::write(folder.path().join("recipes/quick.toml"), quick).unwrap();
    folder
}

fn built() -> TempDir {
    let folder = workspace();
    let done = cbi(folder.path(), &[&["build"], TARGETS.as_slice()].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    folder
}

struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

fn cbi(folder: &Path, args: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_cbi")).arg("-C").arg(folder).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn look(args: &[&str]) -> Done {
    cbi(BUILT.path(), args)
}

fn hash_of(folder: &Path, artifact: &str) -> String {
    let shown = cbi(folder, &["show", artifact, "--json"]).json();
    let (_, main) = shown["artifacts"].as_object().unwrap().iter().find(|(name, _)| *name != "checks").unwrap();
    main["hash"].as_str().unwrap().to_owned()
}

#[test]
fn show_says_of_a_target_what_it_was_made_from_with_and_what_it_is() {
    let shown = look(&["show", "wti.daily", "--json"]).json();
    assert_eq!((shown["what"].as_str(), shown["kind"].as_str()), (Some("target"), Some("sql")));
    assert_eq!(shown["inputs"]["table:fred.dcoilwtico"]["from"], "fred.dcoilwtico");
    assert_eq!(shown["metrics"]["rows"], 8321.0);
    assert!(shown["artifacts"]["table"]["files"]["table.parquet"]["size"].as_u64() > Some(1000));
    let text = look(&["show", "wti.daily"]).out;
    for word in ["wti.daily (sql)", "made", "artifact table", "inputs", "parameters", "ran with", "duckdb", "rows = 8321"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

#[test]
fn show_finds_artifacts_actions_builds_and_files_by_the_beginning_of_their_hash() {
    let target = look(&["show", "wti.daily", "--json"]).json();
    let build = look(&["log", "--json"]).json()[0]["build"].as_str().unwrap().to_owned();
    let artifact = target["artifacts"]["table"]["hash"].as_str().unwrap();
    let blob = target["artifacts"]["table"]["files"]["table.parquet"]["blob"].as_str().unwrap();
    let action = target["action"].as_str().unwrap();
    for (hash, what) in [(artifact, "artifact"), (action, "action"), (build.as_str(), "build"), (blob, "blob")] {
        assert_eq!(look(&["show", &hash[..16], "--json"]).json()["what"], what);
    }
    assert_eq!(look(&["show", blob, "--json"]).json()["found_in"][0], "wti.daily#table/table.parquet");
    assert!(look(&["show", &build, "--json"]).json()["targets"]["wti.daily"]["key"] == action);
}

#[test]
fn an_evaluation_is_shown_as_its_table_with_how_often_its_rows_were_looked_at() {
    let folder = built();
    let looks = |target: &str| cbi(folder.path(), &["show", target, "--json"]).json()["looks"].as_u64();
    assert_eq!((looks("evaluate/wti/quick"), looks("wti.daily")), (Some(1), None));
    let text = cbi(folder.path(), &["show", "evaluate/wti/quick"]).out;
    for part in ["# wti.daily.price, 21 rows ahead", "| model/wti/naive/1m |", "these test rows were judged once, by this evaluation"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }

    // Another model, another way of measuring: other looks at the same rows. Another horizon's rows are others.
    let stanza = |name: &str, horizon: &str, seed: u8| {
        format!(
            "[evaluate.\"evaluate/wti/{name}\"]\nframe = \"frame/wti/{horizon}\"\nmodels = [\"model/wti/naive/{horizon}\"]\n\
             bootstrap = {{ seed = {seed} }}\n"
        )
    };
    let more = [stanza("quick", "1m", 7), stanza("slow", "1m", 8), stanza("week", "1w", 7)].concat();
    fs::write(folder.path().join("recipes/quick.toml"), more).unwrap();
    let build = || cbi(folder.path(), &["build", "evaluate/wti/quick", "evaluate/wti/slow", "evaluate/wti/week"]);
    for _ in 0..2 {
        assert_eq!(build().code, 0);
        assert_eq!(["quick", "slow", "week"].map(|name| looks(&format!("evaluate/wti/{name}"))), [Some(3), Some(3), Some(1)]);
    }
    assert!(cbi(folder.path(), &["show", "evaluate/wti/slow"]).out.contains("judged 3 times, this evaluation included"));
}

#[test]
fn a_beginning_that_two_hashes_share_is_taken_for_neither() {
    let folder = built();
    let hash = hash_of(folder.path(), "wti.daily");
    let twin = (0..10_000_000_u32).map(|n| (n, Digest::of(&n.to_le_bytes()).to_string())).find(|(_, d)| d[..4] == hash[..4]).unwrap();
    let shard = folder.path().join(".cbi-cache/blobs").join(&hash[..2]);
    fs::create_dir_all(&shard).unwrap();
    fs::write(shard.join(&twin.1), twin.0.to_le_bytes()).unwrap();
    let done = cbi(folder.path(), &["show", &hash[..4]]);
    assert_eq!(done.code, 2);
    for word in ["is the beginning of", &hash[..12], &twin.1[..12], "artifact table of wti.daily"] {
        assert!(done.err.contains(word), "{word}: {}", done.err);
    }
    assert_eq!(cbi(folder.path(), &["show", &twin.1, "--json"]).json()["what"], "blob");
}

#[test]
fn a_name_that_is_nothing_is_told_with_the_way_out() {
    for (what, said, hint) in [
        ("wti.dialy", "no target matches 'wti.dialy'", "did you mean 'wti.daily'?"),
        ("model/wti/lightgbm/1m", "'model/wti/lightgbm/1m' was never built here", "cbi build model/wti/lightgbm/1m"),
        ("0123456789abcdef", "nothing here has a hash that begins with '0123456789abcdef'", "cbi log"),
        ("wti.daily#model", "'wti.daily' has no artifact 'model'", "it has: checks, table"),
    ] {
        for command in [&["show", what][..], &["cat", what], &["reproduce", what], &["diff", what, "wti.daily"], &["log", what]] {
            if command == ["log", "wti.daily#model"] {
                continue;
            }
            let done = look(command);
            assert_eq!(done.code, 2, "{command:?}: {}{}", done.out, done.err);
            assert!(done.err.contains(said) && done.err.contains(hint) && done.out.is_empty(), "{command:?}: {}", done.err);
        }
    }
}

#[test]
fn looking_at_a_workspace_where_nothing_was_built_writes_nothing() {
    let folder = workspace();
    assert_eq!(cbi(folder.path(), &["log"]).out, "nothing was built here yet\n");
    assert_eq!(cbi(folder.path(), &["log", "--json"]).json(), Value::Array(Vec::new()));
    for command in ["show", "cat", "reproduce"] {
        let done = cbi(folder.path(), &[command, "wti.daily"]);
        assert_eq!(done.code, 2);
        assert!(done.err.contains("cbi build wti.daily"), "{}", done.err);
    }
    assert!(!folder.path().join(".cbi-cache").exists());
}

#[test]
fn cat_prints_the_newest_rows_of_targets_warehouse_tables_and_hashes() {
    let done = look(&["cat", "wti.daily", "--rows", "2"]);
    assert_eq!(done.out, "date        price\n2019-01-02  46.31\n2019-01-03  46.92\nthe last 2 of 8321 rows\n");
    let hash = hash_of(BUILT.path(), "wti.daily");
    assert_eq!(look(&["cat", &hash[..12], "-n", "1", "--json"]).out, "{\"date\":\"2019-01-03\",\"price\":46.92}\n");
    assert_eq!(look(&["cat", "wti.daily", "-n", "0", "--json"]).out.lines().count(), 8321);
    let fresh = workspace();
    assert_eq!(cbi(fresh.path(), &["cat", "fred.cpilfesl", "-n", "3", "--json"]).out.lines().count(), 3);
    let several = look(&["cat", "frame/wti/1m"]);
    assert_eq!(several.code, 2);
    assert!(several.err.contains("frame/wti/1m#fit"), "{}", several.err);
    let model = look(&["cat", "model/wti/naive/1m"]);
    assert!(model.code == 2 && model.err.contains("is not a table"), "{}", model.err);
}

#[test]
fn get_copies_out_and_never_over_anything() {
    let folder = tempfile::tempdir().unwrap();
    let to = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let model = look(&["get", "model/wti/naive/1m", "-o", &to("a/model")]);
    assert_eq!(model.code, 0, "{}", model.err);
    let file = folder.path().join("a/model/model.json");
    assert!(fs::read_to_string(&file).unwrap().contains("naive"));
    // It is a copy: writing to it changes nothing in the store.
    fs::write(&file, "mine").unwrap();
    assert_eq!(look(&["reproduce", "model/wti/naive/1m"]).code, 0);

    let got = look(&["get", "-q", "frame/wti/1m#fit", "-o", &to("b"), "--json"]).json();
    assert_eq!((got["target"].as_str(), got["folder"].as_str()), (Some("frame/wti/1m"), Some(to("b").as_str())), "{got}");
    let size: u64 = got["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| fs::metadata(folder.path().join("b").join(f.as_str().unwrap())).unwrap().len())
        .sum();
    assert!(size > 0 && got["size"] == size, "{got}");

    let again = look(&["get", "model/wti/naive/1m", "-o", &to("a/model")]);
    assert!(again.code == 2 && again.err.contains("is not empty"), "{}", again.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    fs::write(to("file"), "x").unwrap();
    assert_eq!(look(&["get", "wti.daily", "-o", &to("file")]).code, 2);

    fs::create_dir(to("empty")).unwrap();
    assert_eq!(look(&["get", "frame/wti/1m", "-o", &to("empty")]).code, 0);
    assert!(folder.path().join("empty/fit/table.parquet").is_file());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{names:?}");
}

#[test]
fn a_change_shows_in_log_and_in_diff_and_the_old_result_can_still_be_made() {
    let folder = built();
    let old = hash_of(folder.path(), "wti.daily");
    let sql = folder.path().join("sql/wti/daily.sql");
    let text = fs::read_to_string(&sql).unwrap();
    fs::write(&sql, text.replace("!= '.'", "!= '.' AND Date NOT LIKE '%/2018'")).unwrap();
    assert_eq!(cbi(folder.path(), &["build", "wti.daily"]).code, 0);

    let log = cbi(folder.path(), &["log", "wti.daily", "--json"]).json();
    assert_eq!(log.as_array().unwrap().len(), 2);
    assert_eq!((&log[0]["current"], &log[1]["current"]), (&Value::Bool(true), &Value::Bool(false)));
    assert!(log[0]["why"].as_str().unwrap().starts_with("SQL token") || log[0]["why"].as_str().unwrap().contains("query"), "{log}");
    assert_eq!(cbi(folder.path(), &["log", "--json"]).json().as_array().unwrap().len(), 2);
    assert_eq!(cbi(folder.path(), &["log", "-n", "1", "--json"]).json().as_array().unwrap().len(), 1);

    let diff = cbi(folder.path(), &["diff", &old[..16], "wti.daily", "--json"]).json();
    assert_eq!((&diff["same"], &diff["table"]["key"][0]), (&Value::Bool(false), &Value::from("date")));
    let removed = diff["table"]["removed"]["count"].as_u64().unwrap();
    assert!((240..260).contains(&removed), "{removed}");
    assert_eq!((&diff["table"]["added"]["count"], &diff["table"]["changed"]["count"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(diff["metrics"]["rows"][0], 8321.0);
    assert!(diff["made_with"].as_array().unwrap().iter().any(|d| d["field"].as_str().unwrap().starts_with("params.")));
    assert_eq!(cbi(folder.path(), &["diff", "wti.daily", "wti.daily", "--json"]).json()["same"], true);

    // From what was recorded, not from today's recipe, and without recording it.
    let made = cbi(folder.path(), &["reproduce", &old[..16], "--json"]).json();
    assert_eq!((&made["outcome"], &made["artifacts"]["table"]), (&Value::from("identical"), &Value::from(old)));
    assert_eq!(cbi(folder.path(), &["log", "wti.daily", "--json"]).json().as_array().unwrap().len(), 2);
}

#[test]
fn reproduce_brings_back_inputs_that_are_gone_and_says_when_it_cannot() {
    let folder = built();
    let blobs = folder.path().join(".cbi-cache/blobs");
    let remove = |blob: &Value| fs::remove_file(blobs.join(&blob.as_str().unwrap()[..2]).join(blob.as_str().unwrap()));
    let daily = cbi(folder.path(), &["show", "wti.daily", "--json"]).json();
    remove(&daily["artifacts"]["table"]["files"]["table.parquet"]["blob"]).unwrap();
    assert_eq!(cbi(folder.path(), &["cat", "wti.daily"]).code, 5);
    let done = cbi(folder.path(), &["reproduce", "wti.features", "--json"]).json();
    assert_eq!((&done["outcome"], &done["also"][0]), (&Value::from("identical"), &Value::from("wti.daily")));

    // The source's bytes are in neither the store nor the warehouse.
    let source = cbi(folder.path(), &["show", "fred.dcoilwtico", "--json"]).json();
    assert!(remove(&source["inputs"]["source"]["hash"]).is_err(), "what was only read lies in packs");
    fs::remove_dir_all(folder.path().join(".cbi-cache/packs")).unwrap();
    fs::write(folder.path().join("warehouse/fred.dcoilwtico.csv"), "Date,DCOILWTICO\n1/2/2019,1.0\n").unwrap();
    let done = cbi(folder.path(), &["reproduce", "fred.dcoilwtico"]);
    assert_eq!(done.code, 4, "{}{}", done.out, done.err);
    assert!(done.out.contains("not reproducible") && done.out.contains("fred.dcoilwtico.csv"), "{}", done.out);
}

#[test]
fn reproduce_names_the_engine_that_is_another_one_now() {
    let native = tempfile::tempdir().unwrap();
    for (folder, file) in [("duckdb", "libduckdb.so"), ("duckdb", "libduckdb.dylib")] {
        fs::create_dir_all(native.path().join(folder)).unwrap();
        fs::write(native.path().join(folder).join(file), "another version").unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_cbi"));
    command.env("CBI_NATIVE_DIR", native.path()).arg("-C").arg(BUILT.path()).args(["reproduce", "wti.daily"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.starts_with("not reproducible wti.daily: engine duckdb was "), "{said}");
}

#[test]
fn reproduce_names_the_files_that_came_out_otherwise() {
    let folder = workspace();
    let noise = "[command.\"noise\"]\nshell = \"date +%s%N > when.txt; echo always > same.txt\"\noutputs = [\"when.txt\", \"same.txt\"]\n";
    fs::write(folder.path().join("recipes/noise.toml"), noise).unwrap();
    assert_eq!(cbi(folder.path(), &["build", "noise"]).code, 0);
    let done = cbi(folder.path(), &["reproduce", "noise", "--json"]);
    let said: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((done.code, &said["outcome"], &said["files"]), (4, &Value::from("differs"), &serde_json::json!(["out/when.txt"])));
}

#[test]
fn reproduce_ends_what_takes_longer_than_it_was_given() {
    let folder = workspace();
    let slow = "[command.\"slow\"]\nshell = \"sleep 1; echo 1 > o\"\noutputs = [\"o\"]\n";
    fs::write(folder.path().join("recipes/slow.toml"), slow).unwrap();
    assert_eq!(cbi(folder.path(), &["build", "slow"]).code, 0);
    let done = cbi(folder.path(), &["reproduce", "slow", "--timeout", "100ms"]);
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(done.out.contains("running 'slow' again failed: it took longer than its timeout of 100ms"), "{}", done.out);
    assert_eq!(cbi(folder.path(), &["reproduce", "slow", "--timeout", "10m"]).code, 0);
    assert_eq!(cbi(folder.path(), &["reproduce", "slow", "--timeout", "soon"]).code, 2);
}
