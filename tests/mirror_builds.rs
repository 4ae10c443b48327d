//! Builds in the mirror: another machine, or the same person on a new one, lists them and goes back to them.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/space.rs"]
mod space;

use std::fs;
use std::path::Path;

use cbi::base::digest::BlobId;
use cbi::mirror::bucket::Bucket;
use cbi::mirror::snapshots;
use cbi::mirror::stores::Address;
use cbi::store::action_cache::Session;
use serde_json::Value;
use space::{Built, TestSpace, run};

const MODEL: &str = "model/wti/lightgbm/1w";
const PRICES: &str = "warehouse/fred.dcoilwtico.csv";

/// A clone of the repository's workspace on a machine that has built nothing, with this folder as its mirror, source files included.
fn machine(mirror: &Path) -> TestSpace {
    let space = TestSpace::wti();
    join(&space, mirror);
    space
}

fn join(space: &TestSpace, mirror: &Path) {
    space.write("cbi.toml", format!("{}\n[mirror]\nurl = \"file://{}\"\nsources = true\n", space.read("cbi.toml"), mirror.display()));
}

fn model(space: &TestSpace) -> String {
    run(space, &["show", MODEL], 0).0["artifacts"]["model"]["hash"].as_str().unwrap().to_owned()
}

/// What went back, and how many steps ran.
fn went_back(built: Built) -> (Value, u64) {
    let built = built.ok();
    let found = built.events.iter().find(|event| event["event"] == "went_back");
    let found = found.unwrap_or_else(|| panic!("it went nowhere:\n{}\n{}", built.stdout, built.stderr));
    (found.clone(), built.counts.unwrap().0)
}

/// A machine that built the model, changed what it is made of and built it again, and the hash of the first one.
fn twice(mirror: &Path) -> (TestSpace, String) {
    let laptop = machine(mirror);
    laptop.build(&[MODEL]).ok();
    let first = model(&laptop);
    change(&laptop);
    laptop.build(&[MODEL]).ok();
    (laptop, first)
}

/// Changes query, parameters and prices, as a day's work does.
fn change(space: &TestSpace) {
    std::thread::sleep(std::time::Duration::from_millis(1100));
    space.edit("sql/wti/features.sql", "EXTRACT(DAY FROM date) AS cal_day", "2 * EXTRACT(DAY FROM date) AS cal_day");
    space.edit("recipes/wti/models.toml", "learning_rate = 0.02", "learning_rate = 0.05");
    let text = space.read(PRICES);
    space.write(PRICES, text.trim_end().rsplit_once('\n').unwrap().0);
}

/// A new machine whose clone has neither data nor the recipes of any build.
fn bare(mirror: &Path) -> TestSpace {
    let space = machine(mirror);
    for folder in ["warehouse", "recipes", "sql"] {
        fs::remove_dir_all(space.path(folder)).unwrap();
        fs::create_dir(space.path(folder)).unwrap();
    }
    space
}

/// Takes the records of all results out of a mirror, and leaves those of builds.
fn forget_results(mirror: &Path) {
    let builds: Vec<String> = fs::read_dir(mirror.join("builds")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let mut gone = 0;
    for shard in fs::read_dir(mirror.join("00000001/results")).unwrap() {
        for record in fs::read_dir(shard.unwrap().path()).unwrap() {
            let record = record.unwrap();
            let name = record.file_name().into_string().unwrap();
            if !builds.iter().any(|build| build.ends_with(&name)) {
                fs::remove_file(record.path()).unwrap();
                gone += 1;
            }
        }
    }
    assert!(gone > 5);
}

#[test]
fn builds_of_a_lost_laptop_are_listed_and_gone_back_to_from_an_empty_clone() {
    let mirror = tempfile::tempdir().unwrap();
    let (laptop, first) = twice(mirror.path());
    let (second, verified) = (model(&laptop), run(&laptop, &["mirror", "verify", "--deep"], 0).0);
    assert_eq!((first == second, &verified["findings"]), (false, &serde_json::json!([])));
    let status = run(&laptop, &["mirror", "status"], 0).0;
    assert_eq!((status["builds"].as_u64(), status["builds_unpushed"].as_u64(), status["unpushed"].as_u64()), (Some(2), Some(0), Some(0)));
    let own = run(&laptop, &["log"], 0).0;
    assert!(own.as_array().unwrap().iter().all(|build| build["by"].is_null()), "each is told once, as the workspace's own: {own}");
    drop(laptop);

    let other = bare(mirror.path());
    let builds = run(&other, &["log"], 0).0;
    let [newer, older] = builds.as_array().unwrap().as_slice() else { panic!("{builds}") };
    assert!(older["by"].as_str().is_some_and(|by| by.contains('@')) && older["requested"] == serde_json::json!([MODEL]), "{older}");
    assert_eq!(run(&other, &["log", "--no-remote"], 0).0, serde_json::json!([]));
    let (past, began) = (older["build"].as_str().unwrap(), newer["started"].as_str().unwrap());
    // By its hash, by the day, and by what it made; and no byte of a table is brought for it.
    for at in [&past[..12], began, &first[..12]] {
        let (back, ran) = went_back(other.build(&["--at", at, MODEL]));
        assert_eq!(
            (back["same"].as_bool(), back["artifacts"]["model"].as_str(), ran),
            (Some(true), Some(first.as_str()), 0),
            "{at}: {back}"
        );
    }
    let shown = run(&other, &["show", past], 0).0;
    assert_eq!(
        (shown["what"].as_str(), shown["targets"][MODEL]["artifacts"]["model"].as_str()),
        (Some("build"), Some(first.as_str())),
        "{shown}"
    );
    let there = other.path("there").display().to_string();
    run(&other, &["checkout", &format!("{MODEL}#model"), "--at", past, "-o", &there], 0);
    assert!(Path::new(&there).join("model.txt").exists());
    // What this machine is now, which is nothing yet, stays as it is.
    assert_eq!(run(&other, &["log", "--no-remote"], 0).0, serde_json::json!([]));
    assert!(run(&other, &["build", "--at", "2001-01-01"], 2).1.contains("neither here nor in the mirror"));
    assert!(run(&other, &["build", "--at", "000000000000"], 2).1.contains("neither here nor in the mirror"));
}

#[test]
fn without_source_files_a_build_is_gone_back_to_by_what_was_made_of_them() {
    let mirror = tempfile::tempdir().unwrap();
    let laptop = machine(mirror.path());
    laptop.edit("cbi.toml", "sources = true\n", "");
    laptop.build(&[MODEL]).ok();
    let (first, past) = (model(&laptop), run(&laptop, &["log"], 0).0[0]["build"].as_str().unwrap().to_owned());
    let verified = run(&laptop, &["mirror", "verify", "--deep"], 0).0;
    drop(laptop);
    let other = bare(mirror.path());
    let (back, ran) = went_back(other.build(&["--at", &past, MODEL]));
    assert_eq!((back["same"].as_bool(), back["artifacts"]["model"].as_str(), ran), (Some(true), Some(first.as_str()), 0), "{back}");
    // A build with its sources says more of the same.
    let again = tempfile::tempdir().unwrap();
    machine(again.path()).build(&[MODEL]).ok();
    let with = run(
        &{
            let space = TestSpace::wti();
            join(&space, again.path());
            space
        },
        &["mirror", "verify", "--deep"],
        0,
    )
    .0;
    let bytes = |report: &Value| report["bytes"].as_u64().unwrap();
    assert!(bytes(&verified) + 100_000 < bytes(&with), "{verified} and {with}");
    forget_results(mirror.path());
    let refused = bare(mirror.path()).command(&["build", "--at", &past, MODEL]).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&refused.stdout), String::from_utf8_lossy(&refused.stderr));
    assert!(refused.status.code() == Some(1) && told.contains("fred.dcoilwtico as it was"), "{told}");
}

#[test]
fn what_the_mirror_lost_is_made_again_from_the_tables_that_it_has() {
    let mirror = tempfile::tempdir().unwrap();
    let (laptop, first) = twice(mirror.path());
    let past = run(&laptop, &["log"], 0).0[1]["build"].as_str().unwrap().to_owned();
    forget_results(mirror.path());
    let other = bare(mirror.path());
    let (back, ran) = went_back(other.build(&["--at", &past, MODEL]));
    assert_eq!((back["same"].as_bool(), back["artifacts"]["model"].as_str()), (Some(true), Some(first.as_str())), "{back}");
    assert!(ran > 5);
}

#[test]
fn a_hash_is_shown_and_reproduced_from_its_sources_on_a_machine_that_never_had_it() {
    let mirror = tempfile::tempdir().unwrap();
    let laptop = machine(mirror.path());
    laptop.build(&[MODEL]).ok();
    let hash = model(&laptop);
    drop(laptop);
    let other = bare(mirror.path());
    let shown = run(&other, &["show", &hash[..12]], 0).0;
    assert_eq!((shown["what"].as_str(), shown["target"].as_str()), (Some("artifact"), Some(MODEL)), "{shown}");
    let third = bare(mirror.path());
    let done = run(&third, &["reproduce", &hash[..12], "--deep"], 0).0;
    assert_eq!((done["outcome"].as_str(), done["target"].as_str()), (Some("identical"), Some(MODEL)), "{done}");
    assert!(done["compared"].as_u64() > Some(4), "{done}");
}

#[test]
fn builds_made_without_the_mirror_are_brought_there_by_a_push() {
    let mirror = tempfile::tempdir().unwrap();
    let laptop = TestSpace::wti();
    laptop.build(&["wti.daily"]).ok();
    join(&laptop, mirror.path());
    laptop.build(&["wti.daily", "--no-remote"]).ok();
    assert_eq!(run(&laptop, &["mirror", "status"], 0).0["builds_unpushed"], 1);
    assert_eq!(run(&laptop, &["mirror", "push"], 0).0["builds"], 1);
    assert_eq!(run(&laptop, &["mirror", "push"], 0).0["builds"], 0);
    let other = bare(mirror.path());
    assert_eq!(run(&other, &["log"], 0).0.as_array().map(Vec::len), Some(1));
}

#[test]
fn a_prune_keeps_the_last_builds_of_everybody_with_what_they_left_and_takes_the_older_ones() {
    let mirror = tempfile::tempdir().unwrap();
    let (laptop, other) = (machine(mirror.path()), machine(mirror.path()));
    laptop.build(&[MODEL]).ok();
    let first = run(&laptop, &["log"], 0).0[0]["build"].as_str().unwrap().to_owned();
    change(&laptop);
    laptop.build(&[MODEL]).ok();
    let second = run(&laptop, &["log"], 0).0[0]["build"].as_str().unwrap().to_owned();
    let hash = model(&laptop);
    // Another machine, which has built nothing of it, prunes.
    other.build(&["wti.daily"]).ok();
    let prune = ["mirror", "prune", "--keep-builds", "2", "--keep-days", "0", "--grace", "0s"];
    let plan = run(&other, &prune, 0).0;
    assert_eq!((plan["builds_stay"].as_u64(), plan["builds_go"].as_u64()), (Some(2), Some(1)), "{plan}");
    run(&other, &[&prune[..], &["--apply"]].concat(), 0);
    assert_eq!(run(&other, &["mirror", "verify", "--deep"], 0).0["findings"], serde_json::json!([]));
    let third = bare(mirror.path());
    let left = run(&third, &["log"], 0).0;
    assert!(left.as_array().unwrap().iter().any(|build| build["build"] == second.as_str()), "{left}");
    assert!(!left.as_array().unwrap().iter().any(|build| build["build"] == first.as_str()), "{left}");
    let (back, ran) = went_back(third.build(&["--at", &second, MODEL]));
    assert_eq!((back["artifacts"]["model"].as_str(), ran), (Some(hash.as_str()), 0));
    assert!(run(&third, &["build", "--at", &first], 2).1.contains("neither here nor in the mirror"));
}

#[test]
fn looks_at_test_rows_of_all_machines_add_up() {
    let mirror = tempfile::tempdir().unwrap();
    let (laptop, other) = (machine(mirror.path()), machine(mirror.path()));
    let evaluation = "evaluate/wti/1w";
    let looks = |space: &TestSpace| run(space, &["show", evaluation], 0).0["looks"].as_u64();
    laptop.build(&[evaluation]).ok();
    assert_eq!(looks(&laptop), Some(1));
    // The same evaluation taken from the mirror is the same look.
    other.build(&[evaluation]).ran(&[]);
    other.edit("recipes/wti/models.toml", "learning_rate = 0.02", "learning_rate = 0.05");
    other.build(&[evaluation]).ok();
    assert_eq!(looks(&other), Some(2));
    // The laptop learns of it with its next push or build.
    run(&laptop, &["mirror", "push"], 0);
    assert_eq!(looks(&laptop), Some(2));
    // Nothing that is thrown away makes a look undone.
    run(&laptop, &["mirror", "prune", "--keep-builds", "1", "--keep-days", "0", "--grace", "0s", "--apply"], 0);
    let third = machine(mirror.path());
    third.edit("recipes/wti/models.toml", "learning_rate = 0.02", "learning_rate = 0.07");
    third.build(&[evaluation]).ok();
    assert_eq!(looks(&third), Some(3));
}

#[test]
fn what_somebody_pinned_stays_in_the_mirror_whoever_prunes() {
    let mirror = tempfile::tempdir().unwrap();
    let (laptop, other) = (machine(mirror.path()), machine(mirror.path()));
    laptop.build(&["wti.daily"]).ok();
    let first = run(&laptop, &["log"], 0).0[0]["build"].as_str().unwrap().to_owned();
    let pinned = run(&laptop, &["pin", &first], 0).0;
    assert_eq!((pinned["changed"].as_bool(), &pinned["note"]), (Some(true), &Value::Null));
    change(&laptop);
    laptop.build(&["wti.daily"]).ok();
    let prune = ["mirror", "prune", "--keep-builds", "1", "--keep-days", "0", "--grace", "0s", "--apply"];
    other.build(&["wti.features"]).ok();
    run(&other, &prune, 0);
    let third = bare(mirror.path());
    let (_, ran) = went_back(third.build(&["--at", &first, "wti.daily"]));
    assert_eq!(ran, 0, "all that it left is there as well");
    // Pinned again from another machine of the same person, and let go there.
    assert_eq!(run(&third, &["pin", &first[..12]], 0).0["what"], "build");
    run(&laptop, &["pin", &first, "--remove"], 0);
    run(&other, &prune, 0);
    let left = run(&bare(mirror.path()), &["log"], 0).0;
    assert!(!left.as_array().unwrap().iter().any(|build| build["build"] == first.as_str()), "{left}");
    // Without the mirror a pin is one here, says so, and a push tells the mirror.
    let second = run(&laptop, &["log", "--no-remote"], 0).0[0]["build"].as_str().unwrap().to_owned();
    let away = mirror.path().with_extension("away");
    fs::rename(mirror.path(), &away).unwrap();
    assert!(run(&laptop, &["pin", &second], 0).0["note"].as_str().is_some_and(|why| why.contains("is not there")));
    fs::rename(&away, mirror.path()).unwrap();
    run(&laptop, &["mirror", "push"], 0);
    let pins: Vec<_> = fs::read_dir(mirror.path().join("pins")).unwrap().collect();
    assert!(pins.len() > 1, "the build and what it left");
}

#[test]
fn a_release_keeps_the_files_that_it_stands_on_in_the_mirror_whatever_is_pruned() {
    let mirror = tempfile::tempdir().unwrap();
    let laptop = machine(mirror.path());
    laptop.build(&["release/wti/1m"]).ok();
    run(&laptop, &["promote", "release/wti/1m", "--force", "--reason", "a test"], 0);
    let other = machine(mirror.path());
    other.build(&["wti.daily"]).ok();
    run(&other, &["mirror", "prune", "--keep-builds", "1", "--keep-days", "0", "--grace", "0s", "--apply"], 0);
    assert_eq!(run(&other, &["mirror", "verify", "--deep"], 0).0["findings"], serde_json::json!([]));
    // What the mirror still has is enough to make the release from its sources.
    let entry = fs::read_to_string(mirror.path().join("releases/release/wti/1m/00000001")).unwrap();
    let entry: Value = serde_json::from_str(&entry).unwrap();
    let sources = entry["sources"].as_object().unwrap();
    assert!(sources.len() > 1, "{entry}");
    let third = tempfile::tempdir().unwrap();
    let session = Session::open(&third.path().join("cache")).unwrap();
    let bucket = Bucket::open(&Address { url: format!("file://{}", mirror.path().display()), ..Address::default() }).unwrap();
    for (name, blob) in sources {
        let blob = BlobId(blob.as_str().unwrap().parse().unwrap());
        assert!(snapshots::bring(&bucket, &session, name, &blob).unwrap(), "{name}");
    }
    assert!(!snapshots::bring(&bucket, &session, "another", &BlobId(cbi::base::digest::Digest::of(b"x"))).unwrap());
}

#[test]
fn a_day_is_gone_back_to_though_its_last_build_was_asked_for_something_else() {
    let mirror = tempfile::tempdir().unwrap();
    let laptop = machine(mirror.path());
    laptop.build(&[MODEL, "release/wti/1m"]).ok();
    let hash = model(&laptop);
    run(&laptop, &["promote", "release/wti/1m", "--force", "--reason", "a test"], 0);
    // The last build of the day reads one table of three, which the others do not, and no release.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    laptop.build(&["calendar.us_trading_days"]).ran(&["calendar.us_trading_days"]);
    let day = run(&laptop, &["log"], 0).0[0]["started"].as_str().unwrap()[..10].to_owned();
    let other = bare(mirror.path());
    let (back, ran) = went_back(other.build(&["--at", &day, MODEL]));
    assert_eq!((back["same"].as_bool(), back["artifacts"]["model"].as_str(), ran), (Some(true), Some(hash.as_str()), 0), "{back}");
    // What follows a channel uses what was current then.
    let followed = other.build(&["--at", &day, "forecast/wti/in_use/1m"]).ok();
    assert!(followed.counts.unwrap().0 <= 1, "{:?}", followed.targets);
}

#[test]
fn a_limited_pull_of_many_small_files_takes_as_long_as_their_bytes_and_not_as_long_as_they_might_have_been() {
    let mirror = tempfile::tempdir().unwrap();
    machine(mirror.path()).build(&["wti.daily"]).ok();
    let other = machine(mirror.path());
    let began = std::time::Instant::now();
    // A few hundred kilobytes, in a dozen objects that may have 4 MiB each.
    assert!(run(&other, &["mirror", "pull", "wti.daily", "--limit", "500KiB"], 0).0["bytes"].as_u64() > Some(10_000));
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn a_build_that_nobody_trusted_signed_is_not_there_where_keys_are_required() {
    let mirror = tempfile::tempdir().unwrap();
    let stranger = machine(mirror.path());
    stranger.build(&["wti.daily"]).ok();
    let build = run(&stranger, &["log"], 0).0[0]["build"].as_str().unwrap().to_owned();
    let laptop = machine(mirror.path());
    run(&laptop, &["key", "generate"], 0);
    run(&laptop, &["key", "trust", "default"], 0);
    assert_eq!(run(&laptop, &["log"], 0).0, serde_json::json!([]));
    assert!(run(&laptop, &["build", "--at", &build], 2).1.contains("neither here nor in the mirror"));
    // Its own are signed, and believed by who trusts it.
    laptop.build(&["wti.daily"]).ok();
    let other = bare(mirror.path());
    other.write("cbi.toml", laptop.read("cbi.toml"));
    assert_eq!(run(&other, &["log"], 0).0.as_array().map(Vec::len), Some(1));
    went_back(other.build(&["--at", &run(&other, &["log"], 0).0[0]["build"].as_str().unwrap()[..12]]));
    // An announcement without a record is nothing, and a look is not undone by it.
    let name = format!("builds/{:014}-{}.{}", 4_000_000_000_000_u64, "a".repeat(64), "b".repeat(64));
    fs::write(mirror.path().join(name), "").unwrap();
    assert_eq!(run(&other, &["log"], 0).0.as_array().map(Vec::len), Some(1));
    assert_eq!(run(&other, &["mirror", "verify"], 5).0["findings"].as_array().map(Vec::is_empty), Some(false));
}

#[test]
fn a_name_that_announces_another_build_than_its_record_tells_is_taken_for_none() {
    let mirror = tempfile::tempdir().unwrap();
    let laptop = machine(mirror.path());
    laptop.build(&["wti.daily"]).ok();
    let build = run(&laptop, &["log"], 0).0[0]["build"].as_str().unwrap().to_owned();
    // Another hash that begins alike, with the first one's record under it.
    let own = fs::read_dir(mirror.path().join("builds")).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let twin = own.replace(&build, &format!("{}{}", &build[..8], "0".repeat(56)));
    fs::write(mirror.path().join("builds").join(&twin), "").unwrap();
    let other = bare(mirror.path());
    // A record that is another build's is no record of it: the one that is left is meant.
    went_back(other.build(&["--at", &build[..8]]));
    assert_eq!(run(&other, &["log"], 0).0.as_array().map(Vec::len), Some(1));
}
