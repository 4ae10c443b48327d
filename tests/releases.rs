//! Versions of a model, from candidate to what is current and back. Invariant: everything is done with the program, as a person would, on real prices.
#![allow(missing_docs, clippy::unwrap_used)]

mod s3_kit;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeSet;
use std::path::Path;

use cbi::mirror::bucket::Bucket;
use cbi::mirror::releases;
use cbi::mirror::stores::Address;
use serde_json::{Value, json};
use space::TestSpace;

const NAME: &str = "release/oil";

/// A model that says what the price did half a year ago, its evaluation and its release, and a forecast with whatever is current.
const OIL: &str = r#"
[seasonal_naive."model/oil"]
frame = "frame/wti/1w"
params = { seasonal_periods = 126 }

[evaluate."evaluate/oil"]
frame = "frame/wti/1w"
models = ["model/oil"]

[release."release/oil"]
model = "model/oil"
evaluation = "evaluate/oil"
gates = ["mape <= 50"]

[forecast."forecast/oil"]
frame = "frame/wti/1w"
model = "release:release/oil@current"
calendar = { table = "calendar.us_trading_days", column = "date" }
"#;

const RECIPE: &str = "recipes/oil.toml";

fn oil() -> TestSpace {
    let space = TestSpace::wti();
    space.write(RECIPE, OIL);
    space
}

/// The mirror of a workspace from here on.
fn mirrored(space: &TestSpace, mirror: &str) {
    let settings = space.read("cbi.toml");
    space.write("cbi.toml", format!("{settings}\n[mirror]\n{mirror}\n"));
}

fn folder_at(path: &Path) -> String {
    format!("url = \"file://{}\"", path.display())
}

/// Runs `cbi` with `--json`, which must end with this code.
fn json(space: &TestSpace, arguments: &[&str], code: i32) -> Value {
    let output = space.command(&[arguments, &["--json"]].concat()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// Runs `cbi`, which must end with this code, and returns what it complained about.
fn refused(space: &TestSpace, arguments: &[&str], code: i32) -> String {
    let output = space.command(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
    said
}

fn forecast(space: &TestSpace) -> String {
    let output = space.command(&["cat", "forecast/oil", "--json", "-n", "0"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What one gate said.
fn gate<'v>(moved: &'v Value, gate: &str) -> &'v Value {
    moved["gates"].as_array().unwrap().iter().find(|g| g["gate"] == gate).unwrap_or_else(|| panic!("no gate '{gate}': {moved}"))
}

/// The versions, the newest first, with the channels that are at each.
fn versions(space: &TestSpace) -> Vec<(String, Vec<String>)> {
    let said = json(space, &["models", NAME], 0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let channels = |model: &Value| model["channels"].as_array().unwrap().iter().map(text).collect();
    said["models"].as_array().unwrap().iter().map(|model| (text(&model["version"]), channels(model))).collect()
}

fn current(space: &TestSpace) -> String {
    let all = versions(space);
    all.into_iter().find(|(_, channels)| channels.iter().any(|c| c == "current")).unwrap().0
}

#[test]
fn a_model_goes_from_candidate_to_version_and_back_and_its_forecast_with_it() {
    let space = oil();
    let failed = space.build(&["forecast/oil"]);
    assert_eq!(failed.code, 3, "{failed:?}");
    assert!(failed.stdout.contains("the release 'release/oil' has no version on 'current'"), "{}", failed.stdout);
    // Who does not name it asks for nothing that is not there yet.
    let all = oil().build(&["oil"]).ok();
    assert!(!all.targets.contains("forecast/oil"), "{:?}", all.targets);
    assert!(refused(&space, &["models", NAME], 2).contains("hint: cbi build release/oil, then cbi promote release/oil"));

    // A candidate: the model as it is, and what is said of it.
    space.build(&[NAME]).ok();
    refused(&space, &["get", NAME, "-o", "got"], 0);
    let said: Value = serde_json::from_str(&space.read("got/metadata.json")).unwrap();
    assert_eq!((&said["model"], &said["hyperparameters"]["seasonal_periods"]), (&json!("model/oil"), &json!(126)));
    assert!(
        said["metrics"]["mae_interval"]["low"].is_f64() && said["data"]["to"].is_string() && said["figures"]["skill"].is_f64(),
        "{said}"
    );
    assert_eq!(said["newest_test_forecasts"].as_array().unwrap().len(), 20);
    assert!(space.path("got/series.json").exists() && space.path("got/model.json").exists());

    // It becomes a version, once.
    let first = json(&space, &["promote", NAME, "--dry-run"], 0);
    assert_eq!((&first["outcome"], &first["version"]), (&json!("would be promoted"), &json!("v001")));
    assert_eq!(json(&space, &["promote", NAME], 0)["outcome"], "promoted");
    assert_eq!(json(&space, &["promote", NAME], 0)["outcome"], "unchanged");
    assert_eq!(versions(&space), [("v001".to_owned(), vec!["current".to_owned()])]);
    space.build(&["forecast/oil"]).ok();
    let of_the_first = forecast(&space);
    space.build(&["forecast/oil"]).ran(&[]);

    // A year ago instead, and it must be a tenth better than what is in use.
    space.edit(RECIPE, "seasonal_periods = 126", "seasonal_periods = 252");
    space.edit(RECIPE, "gates = [\"mape <= 50\"]", "gates = [\"mape <= 50\", \"better_than_current by 10%\"]");
    space.build(&[NAME]).ok();
    space.build(&["forecast/oil"]).ran(&[]);
    let refusal = json(&space, &["promote", NAME], 8);
    let better = gate(&refusal, "better_than_current by 10%");
    assert_eq!((&refusal["outcome"], &better["holds"], &refusal["was"]), (&json!("refused"), &json!(false), &json!("v001")));
    let look = |gate: &Value| gate["what"].as_str().unwrap().rsplit("look number ").next().unwrap()[..1].parse::<u32>().unwrap();
    let looked = look(better);
    assert_eq!(look(gate(&json(&space, &["promote", NAME], 8), "better_than_current by 10%")), looked, "the same look is one look");
    assert_eq!(versions(&space).len(), 1);

    // A ridge over features is better by far.
    space.edit(RECIPE, "[seasonal_naive.\"model/oil\"]", "[ridge.\"model/oil\"]");
    space.edit(RECIPE, "params = { seasonal_periods = 252 }", "params = { alpha = 100.0 }");
    space.build(&[NAME]).ok();
    let second = json(&space, &["promote", NAME], 0);
    let better = gate(&second, "better_than_current by 10%");
    assert_eq!((&second["version"], &second["was"], &better["holds"]), (&json!("v002"), &json!("v001"), &json!(true)));
    assert_eq!(look(better), looked + 2, "its own evaluation and the comparison");
    assert!(gate(&second, "checks fresh")["holds"] == true && gate(&second, "no leakage")["holds"] == true, "{second}");
    space.build(&["forecast/oil"]).ran(&["forecast/oil"]);
    let of_the_second = forecast(&space);
    assert_ne!(of_the_second, of_the_first);
    let then = json(&space, &["log", "-n", "1"], 0)[0]["build"].as_str().unwrap().to_owned();

    // Against its gates, and recorded so.
    assert!(refused(&space, &["promote", NAME, "--force"], 2).contains("--reason"));
    space.edit(RECIPE, "alpha = 100.0", "alpha = 200.0");
    space.build(&[NAME]).ok();
    json(&space, &["promote", NAME], 8);
    let forced = json(&space, &["promote", NAME, "--force", "--reason", "a trial"], 0);
    assert_eq!((&forced["version"], &forced["reason"]), (&json!("v003"), &json!("a trial")));
    let models = json(&space, &["models", NAME], 0);
    assert_eq!(models["models"][0]["remark"], "against its gates: a trial");

    // Back, and back again: the former forecasts are there, and nothing is trained.
    assert_eq!(json(&space, &["rollback", NAME], 0)["version"], "v002");
    space.build(&["forecast/oil"]).ran(&[]);
    assert_eq!(forecast(&space), of_the_second);
    assert_eq!(json(&space, &["rollback", NAME, "--reason", "worse in practice"], 0)["version"], "v001");
    space.build(&["forecast/oil"]).ran(&[]);
    assert_eq!(forecast(&space), of_the_first);
    // A build of when the second was in use goes back to it, wherever the channel is now.
    let back = space.build(&["--at", &then, "forecast/oil"]).ran(&[]);
    assert!(back.events.iter().any(|event| event["event"] == "went_back" && event["same"] == true), "{}", back.stdout);
    assert_eq!(forecast(&space), of_the_first);
    assert!(refused(&space, &["rollback", NAME], 2).contains("no other version"));
    refused(&space, &["rollback", NAME, "--list"], 2);
    assert_eq!(json(&space, &["rollback", NAME, "v003"], 0)["was"], "v001");

    // What was current is known of any day.
    let today = chrono::Utc::now().date_naive().to_string();
    let on = |day: &str| {
        let said = json(&space, &["models", NAME, "--on", day], 0);
        let all = said["models"].as_array().unwrap().iter();
        all.map(|model| model["version"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(on("2000-01-01"), Vec::<String>::new());
    let days: BTreeSet<String> = on(&today).into_iter().collect();
    assert!(days.contains("v003"), "{days:?}");
    assert_eq!(on("2100-01-01"), ["v003"]);

    // Other channels, and two versions side by side.
    assert_eq!(json(&space, &["channel", NAME, "shadow", "v002"], 0)["outcome"], "moved");
    refused(&space, &["channel", NAME, "current", "v001"], 2);
    space.edit(RECIPE, "release:release/oil@current", "release:release/oil@shadow");
    space.build(&["forecast/oil"]).ran(&[]);
    assert_eq!(forecast(&space), of_the_second, "what follows the channel follows it to the same version");
    let compared = json(&space, &["compare", NAME, "v001", "shadow"], 0);
    assert_eq!((&compared["a"]["version"], &compared["b"]["kind"]), (&json!("v001"), &json!("ridge")));
    let row = |part: &str, name: &str| compared[part].as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap();
    assert_eq!(row("parameters", "alpha")["b"], 100.0);
    assert!(row("metrics", "mae_interval.low")["a"].as_f64() > row("metrics", "mae_interval.high")["b"].as_f64(), "{compared}");
    assert_eq!(compared["test_forecasts"].as_array().unwrap().len(), 20);
    assert_eq!(compared["newest_forecasts"].as_array().unwrap().len(), 2, "{compared}");

    // What is a version stays, whatever is thrown away.
    space.edit(RECIPE, "release:release/oil@shadow", "release:release/oil@v001");
    refused(&space, &["build", "wti.daily"], 0);
    refused(&space, &["gc", "--keep-builds", "1", "--keep-days", "0"], 0);
    let built = space.build(&["forecast/oil"]).ok();
    assert!(built.targets.iter().all(|target| !target.starts_with("model/") && !target.starts_with("release/")), "{:?}", built.targets);
    assert_eq!(forecast(&space), of_the_first);
    refused(&space, &["fsck"], 0);
}

#[test]
fn a_promotion_killed_at_any_step_is_there_or_not_and_the_next_one_puts_all_in_order() {
    let space = oil();
    space.build(&[NAME]).ok();
    let steps = ["release.secured", "records.before", "records.written", "records.synced", "release.logged", "release.shown"];
    for (mirror, step) in [false, true].into_iter().flat_map(|mirror| steps.map(|step| (mirror, step))) {
        let (struck, bucket) = (space.twin(), tempfile::tempdir().unwrap());
        if mirror {
            mirrored(&struck, &folder_at(bucket.path()));
        }
        let what = if step == "records.written" { "tear" } else { "kill" };
        let killed = struck.command(&["promote", NAME]).env("CBI_FAILPOINT", format!("at={step}:{what}")).output().unwrap();
        let met = killed.status.code().is_none();
        assert!(met || !mirror && matches!(step, "release.secured" | "release.shown"), "{mirror} {step}: {killed:?}");
        // It was promoted, or it was not; whoever asks again has it promoted, and once.
        let again = json(&struck, &["promote", NAME], 0);
        assert_eq!(again["version"], "v001", "{mirror} {step}: {again}");
        assert_eq!(versions(&struck), [("v001".to_owned(), vec!["current".to_owned()])], "{mirror} {step}");
        assert_eq!(json(&struck, &["promote", NAME], 0)["outcome"], "unchanged");
        if mirror {
            assert_shown(bucket.path(), &["v001"], step);
            json(&struck, &["mirror", "verify", "--deep"], 0);
        }
    }
}

/// What people find in a mirror: each version with its files, and the list.
fn assert_shown(bucket: &Path, versions: &[&str], at: &str) {
    let read = |path: String| -> Value {
        let bytes = std::fs::read(bucket.join(NAME).join(&path)).unwrap_or_else(|error| panic!("{at}: {path}: {error}"));
        serde_json::from_slice(&bytes).unwrap()
    };
    let list = read("metadata.json".into());
    let listed: Vec<&str> = list["versions"].as_array().unwrap().iter().map(|version| version["version"].as_str().unwrap()).collect();
    assert_eq!(listed, versions, "{at}");
    assert_eq!(list["current"], *versions.last().unwrap(), "{at}");
    for version in versions {
        let said = read(format!("{version}/metadata.json"));
        assert_eq!((&said["version"], &said["release"]), (&json!(version), &json!(NAME)));
        assert!(said["lineage"]["sources"]["fred.dcoilwtico.csv"].is_string() && said["promoted"]["by"].is_string(), "{at}: {said}");
        assert!(bucket.join(NAME).join(version).join("series.json").exists(), "{at}: the native file");
    }
    let log = std::fs::read_dir(bucket.join("releases").join(NAME)).unwrap().count();
    assert_eq!(log, versions.len(), "{at}");
}

#[test]
fn of_machines_that_promote_at_once_each_has_a_number_and_a_machine_without_anything_uses_what_is_current() {
    let bucket = tempfile::tempdir().unwrap();
    let space = oil();
    mirrored(&space, &folder_at(bucket.path()));
    space.build(&[NAME]).ok();
    // The same model with other gates is another candidate.
    let machines: Vec<TestSpace> = (51..55)
        .map(|bound| {
            let machine = space.twin();
            machine.edit(RECIPE, "mape <= 50", &format!("mape <= {bound}"));
            machine.build(&[NAME]).ok();
            machine
        })
        .collect();
    let running: Vec<_> = machines
        .iter()
        .map(|machine| {
            machine
                .command(&["promote", NAME, "--json"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut told = BTreeSet::new();
    for one in running {
        let output = one.wait_with_output().unwrap();
        let moved: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!((output.status.code(), &moved["outcome"], &moved["note"]), (Some(0), &json!("promoted"), &Value::Null), "{moved}");
        told.insert((moved["version"].as_str().unwrap().to_owned(), moved["candidate"].as_str().unwrap().to_owned()));
    }
    let numbers: Vec<&str> = told.iter().map(|(version, _)| version.as_str()).collect();
    assert_eq!(numbers, ["v001", "v002", "v003", "v004"], "each has one, and no number is lost");
    assert_shown(bucket.path(), &numbers, "after all");
    let seen: Vec<_> = machines.iter().map(|machine| json(machine, &["models", NAME], 0)["models"].clone()).collect();
    assert!(seen.iter().all(|models| *models == seen[0]), "all machines see one history");

    // One that has built nothing forecasts with it, and trains nothing.
    let other = oil();
    mirrored(&other, &folder_at(bucket.path()));
    assert_eq!(current(&other), "v004");
    let built = other.build(&["forecast/oil"]).ok();
    let own = ["calendar.us_trading_days", "forecast/oil"].map(str::to_owned);
    assert_eq!(built.targets, BTreeSet::from(own), "which no machine had made");
    // Offline it goes on with what it knew; a mirror that is gone moves nothing.
    drop(bucket);
    assert_eq!(current(&other), "v004");
    other.build(&["forecast/oil"]).ran(&[]);
    assert!(refused(&other, &["rollback", NAME], 6).contains("is not there"));
    assert_eq!(current(&other), "v004");
}

#[test]
fn of_processes_that_promote_at_once_without_a_mirror_each_has_a_number() {
    let space = oil();
    let mut candidates = Vec::new();
    for bound in 50..53 {
        if bound > 50 {
            space.edit(RECIPE, &format!("mape <= {}", bound - 1), &format!("mape <= {bound}"));
        }
        space.build(&[NAME]).ok();
        candidates.push(json(&space, &["promote", NAME, "--dry-run"], 0)["candidate"].as_str().unwrap().to_owned());
    }
    let start = |candidate: &String| {
        space.command(&["promote", NAME, &candidate[..12], "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = candidates.iter().map(start).collect();
    let said: Vec<Value> =
        running.into_iter().map(|one| serde_json::from_slice(&one.wait_with_output().unwrap().stdout).unwrap()).collect();
    let numbers: BTreeSet<&str> = said.iter().map(|moved| moved["version"].as_str().unwrap()).collect();
    assert_eq!(numbers, BTreeSet::from(["v001", "v002", "v003"]), "{said:?}");
    assert_eq!(versions(&space).len(), 3);
}

/// Many threads, each with a connection of its own, each with entries of its own to put.
fn race(address: &Address) {
    const THREADS: u64 = 8;
    const EACH: u64 = 3;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let bucket = Bucket::open(address).unwrap();
                for n in 0..EACH {
                    let entry = format!("{thread}/{n}");
                    while !releases::append(&bucket, NAME, releases::length(&bucket, NAME).unwrap() + 1, entry.as_bytes()).unwrap() {}
                }
            });
        }
    });
    let bucket = Bucket::open(address).unwrap();
    let length = releases::length(&bucket, NAME).unwrap();
    let all: Vec<Vec<u8>> = (1..=length).map(|n| releases::read(&bucket, NAME, n).unwrap().unwrap()).collect();
    let each: BTreeSet<&Vec<u8>> = all.iter().collect();
    assert_eq!((length, each.len() as u64), (THREADS * EACH, THREADS * EACH), "none is lost, and none has two numbers");
}

#[test]
fn entries_of_the_log_are_put_once_each_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    race(&Address { url: format!("file://{}", folder.path().display()), ..Address::default() });
}

#[test]
fn entries_of_the_log_are_put_once_each_into_a_bucket_of_an_s3_server() {
    let Some(server) = s3_kit::S3::start() else { return };
    race(&server.bucket("team"));
}
