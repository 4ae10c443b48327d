//! Two clean builds, in different folders, with different jobs, language, time zone and umask: the same digest for every target.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;
mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use build_kit::{Said, Workspace, temporary};
use cbi::app::latest;
use cbi::registry::journal::BuiltTargets;
use cbi::store::action_cache::Session;

/// A umask, jobs, and variables.
type Way = (&'static str, &'static str, [(&'static str, &'static str); 4]);

/// Two ways to run the same build that must not matter.
const WAYS: [Way; 2] = [
    ("022", "-j1", [("LANG", "C"), ("LC_ALL", "C"), ("TZ", "UTC"), ("HOME", "/nowhere")]),
    ("077", "-j4", [("LANG", "de_DE.UTF-8"), ("LC_ALL", "tr_TR.UTF-8"), ("TZ", "Asia/Kathmandu"), ("HOME", "/tmp")]),
];

/// Builds with a umask, jobs and environment, and reads from the journal what came of every target.
fn build(workspace: &Workspace, way: usize, words: &[&str]) -> BuiltTargets {
    let (umask, jobs, env) = WAYS[way];
    let plain = workspace.command(&[&[jobs], words].concat());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(plain.get_program()).args(plain.get_args());
    let said = Said::of(command.envs(env).env_remove("CBI_FAILPOINT").output().unwrap());
    assert_eq!((said.code, said.count("reused")), (Some(0), 0), "{said:?}");
    let session = Session::open(&workspace.path(".cbi-cache")).unwrap();
    latest::targets(&session).unwrap()
}

/// Builds both ways, in folders on different disks where there are two.
fn assert_same_bits(fill: impl Fn(&Workspace), words: &[&str], at_least: usize) {
    let [one, other] = [0, 1].map(|way| {
        let workspace = Workspace::inside(if way == 0 { temporary() } else { tempfile::tempdir().unwrap() });
        fill(&workspace);
        build(&workspace, way, words)
    });
    let hashes =
        |built: &BuiltTargets| -> BTreeMap<String, _> { built.iter().map(|(n, b)| (n.clone(), (b.key, b.artifacts.clone()))).collect() };
    assert!(one.len() >= at_least, "{} targets", one.len());
    assert_eq!(hashes(&one), hashes(&other));
}

#[test]
fn commands_see_neither_folder_nor_jobs_nor_language_nor_time_zone_nor_umask() {
    let recipe = r#"
[command."t/env"]
shell = "env | grep -v -e '^HOME=' -e '^TMPDIR=' -e '^PWD=' -e '^OLDPWD=' | sort > o/env; date +%Z >> o/env"
outputs = ["o/env"]

[command."t/modes"]
shell = "cp src/run.sh o/run.sh; echo data > o/data; sh src/run.sh > o/said; ls src >> o/said"
files = ["src/*"]
outputs = ["o/run.sh", "o/data", "o/said"]

[command."t/all"]
shell = "cat o/env o/said | sort > o/all"
needs = ["t/env", "t/modes"]
outputs = ["o/all"]
"#;
    let fill = |workspace: &Workspace| {
        workspace.write("recipes/all.toml", recipe);
        for name in ["run.sh", "Zeta", "alpha", "ärger", "I", "i"] {
            workspace.write(&format!("src/{name}"), "echo said\n");
        }
    };
    assert_same_bits(fill, &[], 3);
}

/// The repository's own demo: SQL, frames, trained models, evaluations and forecasts.
#[test]
fn the_crude_oil_forecasts_are_the_same_bits_however_they_are_built() {
    assert_same_bits(fill_with_the_repository, &[], 20);
}

/// The same on the platform's own tables, with their regimes, weights and five horizons.
#[test]
fn the_soybean_oil_forecasts_are_the_same_bits_however_they_are_built() {
    let Some(shared) = common::shared() else { return };
    let warehouse = shared.join("warehouse");
    assert_same_bits(fill_with_the_repository, &["--profile", "zl", "--warehouse", warehouse.to_str().unwrap()], 50);
}

fn fill_with_the_repository(workspace: &Workspace) {
    let parts = ["cbi.toml", "recipes", "sql", "warehouse"].map(|part| Path::new(env!("CARGO_MANIFEST_DIR")).join(part));
    let status = Command::new("cp").arg("-R").args(parts).arg(workspace.root()).status().unwrap();
    assert!(status.success());
}
