//! Machines that share results through a mirror: what one has built, another takes.
#![allow(missing_docs, clippy::unwrap_used)]

mod s3_kit;
#[path = "common/space.rs"]
mod space;

use std::path::Path;

use serde_json::Value;
use space::{Built, TestSpace};

const FORECAST: &str = "forecast/wti/1w";

/// A clone of the repository's workspace on a machine that has built nothing, with this mirror.
fn machine(mirror: &str) -> TestSpace {
    let space = TestSpace::wti();
    let settings = space.read("cbi.toml");
    space.write("cbi.toml", format!("{settings}\n[mirror]\n{mirror}\n"));
    space
}

fn folder_at(path: &Path) -> String {
    format!("url = \"file://{}\"", path.display())
}

fn mirrored(built: &Built) -> Value {
    let found = built.events.iter().find(|event| event["event"] == "mirrored");
    found.unwrap_or_else(|| panic!("nothing is said of the mirror:\n{}\n{}", built.stdout, built.stderr)).clone()
}

/// Runs `cbi` with `--json`, which must end with this code.
fn json(space: &TestSpace, arguments: &[&str], code: i32) -> Value {
    let output = space.command(&[arguments, &["--json"]].concat()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap()
}

fn cat(space: &TestSpace, target: &str) -> String {
    let output = space.command(&["cat", target, "--json", "-n", "0"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_second_machine_builds_the_forecast_of_the_first_without_running_anything() {
    let mirror = tempfile::tempdir().unwrap();
    let (first, second) = (machine(&folder_at(mirror.path())), machine(&folder_at(mirror.path())));
    let built = first.build(&[FORECAST]).ok();
    let (ran, said) = (built.counts.unwrap().0, mirrored(&built));
    assert!(ran > 5, "{:?}", built.counts);
    assert_eq!((said["pushed"].as_u64(), said["unpushed"].as_u64(), said["pulled"].as_u64()), (Some(ran), Some(0), Some(0)));
    assert_eq!(json(&first, &["mirror", "verify", "--deep"], 0)["findings"], serde_json::json!([]));
    assert_eq!(json(&first, &["mirror", "status"], 0)["unpushed"], 0);

    let taken = second.build(&[FORECAST]).ran(&[]);
    assert_eq!(mirrored(&taken)["pulled"].as_u64(), Some(ran));
    assert_eq!(cat(&second, FORECAST), cat(&first, FORECAST));
    assert!(!taken.events.iter().any(|event| event["event"] == "mirrored" && event["pushed"] != 0), "what was taken is not put back");

    // From here on it has its own: the mirror may go.
    drop(mirror);
    second.build(&[FORECAST]).ran(&[]);
}

#[test]
fn a_mirror_that_is_not_there_does_not_stop_a_build_and_a_push_catches_up() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("mirror");
    let (first, second) = (machine(&folder_at(&place)), machine(&folder_at(&place)));
    let said = mirrored(&first.build(&["wti.daily"]).ok());
    assert!(said["failure"].as_str().unwrap().contains("is not there") && said["unpushed"].as_u64() > Some(0), "{said}");
    let refused = first.command(&["mirror", "push"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(6), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: mkdir -p"));

    std::fs::create_dir(&place).unwrap();
    let before = json(&first, &["mirror", "status"], 0);
    assert_eq!((before["unpushed"].as_u64(), before["results"].as_u64()), (said["unpushed"].as_u64(), Some(0)));
    assert_eq!(json(&first, &["mirror", "push"], 0)["pushed"], said["unpushed"]);
    assert_eq!(json(&first, &["mirror", "push"], 0)["pushed"], 0, "again there is nothing to put");

    let pulled = json(&second, &["mirror", "pull", "wti.daily"], 0);
    assert_eq!((pulled["pulled"].as_u64(), pulled["missing"].as_array().map(Vec::len)), (said["unpushed"].as_u64(), Some(0)));
    second.build(&["wti.daily"]).ran(&[]);
    let more = json(&second, &["mirror", "pull", FORECAST], 0);
    assert!(more["above"].as_u64() > Some(0) && more["missing"].as_array().is_some_and(|missing| !missing.is_empty()), "{more}");
}

#[test]
fn a_build_without_its_mirror_takes_and_puts_nothing() {
    let mirror = tempfile::tempdir().unwrap();
    let space = machine(&folder_at(mirror.path()));
    let built = space.build(&["wti.daily", "--no-remote"]).ok();
    assert!(built.counts.unwrap().0 > 0);
    assert!(!built.stdout.contains("mirrored"), "{}", built.stdout);
    assert_eq!(std::fs::read_dir(mirror.path()).unwrap().count(), 0);
}

#[test]
fn what_is_damaged_in_the_mirror_is_built_again_and_verify_names_it() {
    let mirror = tempfile::tempdir().unwrap();
    let (first, second) = (machine(&folder_at(mirror.path())), machine(&folder_at(mirror.path())));
    first.build(&["wti.daily"]).ok();
    let mut open = vec![mirror.path().join("00000001/packs")];
    let mut damaged = 0;
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let mut bytes = std::fs::read(&path).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(&path, bytes).unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0);
    let built = second.build(&["wti.daily"]).ok();
    assert!(built.counts.unwrap().0 > 0, "it runs instead");
    assert_eq!(cat(&second, "wti.daily"), cat(&first, "wti.daily"));
    json(&second, &["mirror", "verify"], 0);
    let report = json(&second, &["mirror", "verify", "--deep"], 5);
    assert!(!report["findings"].as_array().unwrap().is_empty());
}

#[test]
fn a_bucket_of_an_s3_server_does_as_well_and_one_that_is_gone_is_left_alone() {
    let Some(server) = s3_kit::S3::start() else { return };
    server.bucket("team");
    let mirror = format!("url = \"s3://team/cbi\"\nendpoint = \"{}\"\nanonymous = true", server.endpoint);
    let (first, second, third) = (machine(&mirror), machine(&mirror), machine(&mirror));
    let ran = first.build(&["wti.daily"]).ok().counts.unwrap().0;
    // Its results, and the build.
    assert_eq!(json(&first, &["mirror", "verify", "--deep"], 0)["records"].as_u64(), Some(ran + 1));
    assert_eq!(mirrored(&second.build(&["wti.daily"]).ran(&[]))["pulled"].as_u64(), Some(ran));
    drop(server);
    let alone = third.build(&["wti.daily"]).ok();
    let said = mirrored(&alone);
    assert_eq!((alone.counts.unwrap().0, said["unpushed"].as_u64()), (ran, Some(ran)));
    assert!(said["failure"].as_str().unwrap().contains("s3://team/cbi"), "{said}");
}

#[test]
fn a_workspace_without_a_mirror_says_how_to_have_one() {
    let output = TestSpace::empty().command(&["mirror", "status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: add to cbi.toml: [mirror]"));
}
