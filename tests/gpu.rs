//! Promises about graphics adapters. Invariant: the adapter is SwiftShader, a driver of Vulkan that computes on the processor: `CBI_TEST_VULKAN` names its
//! file, as `./test.sh` sets it, so that the program goes the way that it goes on a card.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

#[path = "common/space.rs"]
mod space;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use space::{Built, TestSpace};

const RECIPE: &str = r#"
[frame."frame/net"]
features = "wti.features"
columns = ["ret_*"]
price = { table = "wti.daily", column = "price", series = "spot" }
horizon = { rows = 21 }
label = "log_return"
split = { train = [2009-07-01, 2010-06-30], valid = [2011-01-01, 2011-06-30], test = [2018-01-01] }
past = 3
refit = "monthly"

[neural."model/net/cpu"]
frame = "frame/net"
architecture = "dense"
params = { units = 8, layers = 1, epochs = 3, dropout = 0.0, seed = 1 }

[neural."model/net/auto"]
frame = "frame/net"
architecture = "dense"
device = "auto"
params = { units = 8, layers = 1, epochs = 3, dropout = 0.0, seed = 1 }

[neural."model/net/gpu"]
frame = "frame/net"
architecture = "dense"
device = "gpu"
tolerance = 0.001
params = { units = 8, layers = 1, epochs = 3, dropout = 0.0, seed = 1 }

[neural."model/net/gru"]
frame = "frame/net"
architecture = "gru"
device = "gpu"
params = { window = 4, units = 4, epochs = 1, dropout = 0.0, seed = 1 }

[neural."model/net/gru_cpu"]
frame = "frame/net"
architecture = "gru"
params = { window = 4, units = 4, epochs = 1, dropout = 0.0, seed = 1 }

[refit."production/net"]
frame = "frame/net"
model = "model/net/gpu"
"#;

fn driver() -> Option<String> {
    let driver = std::env::var("CBI_TEST_VULKAN").ok();
    assert!(driver.is_some() || std::env::var("CI").as_deref() != Ok("true"), "CBI_TEST_VULKAN is not set, and CI skips nothing");
    #[allow(clippy::print_stderr, reason = "test.sh counts the line")]
    if driver.is_none() {
        eprintln!("skipped: needs a driver of Vulkan: scripts/test-vulkan FOLDER, and CBI_TEST_VULKAN=FOLDER/vk_swiftshader_icd.json");
    }
    driver
}

fn workspace() -> TestSpace {
    let space = TestSpace::wti();
    space.write("recipes/net.toml", RECIPE);
    space
}

/// `cbi` on a machine whose drivers are this one, or none.
fn cbi(space: &TestSpace, driver: &str, words: &[&str]) -> Command {
    let mut command = space.command(words);
    command.env("VK_DRIVER_FILES", driver);
    command
}

fn build(space: &TestSpace, driver: &str, words: &[&str]) -> Built {
    Built::of(&cbi(space, driver, &[&["build", "--json"], words].concat()).output().unwrap())
}

fn shown(space: &TestSpace, driver: &str, target: &str) -> Value {
    let output = cbi(space, driver, &["show", "--json", target]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const NONE: &str = "/nowhere/driver.json";

#[test]
fn what_an_adapter_trains_is_of_its_own_platform_class_and_near_what_the_processor_trains() {
    let Some(driver) = driver() else { return };
    let space = workspace();
    let doctor = cbi(&space, &driver, &["doctor"]).output().unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("SwiftShader") && doctor.contains("through Vulkan"), "{doctor}");

    let all = ["model/net/cpu", "model/net/gpu", "model/net/gru", "model/net/gru_cpu", "production/net"];
    let built = build(&space, &driver, &[&["-j4"][..], &all].concat()).ok();
    for (target, on_adapter) in all.iter().zip([false, true, true, false, true]) {
        let platform = shown(&space, &driver, target)["platform"].as_str().unwrap().to_owned();
        assert_eq!(platform.contains("+SwiftShader"), on_adapter, "{target}: {platform}");
    }
    // One at a time on the adapter, though three are ready at once: beside one that runs is at most one that has ended and waits for the disk.
    let mut running = 0;
    let on_adapter = |event: &Value| ["model/net/gpu", "model/net/gru", "production/net"].iter().any(|t| event["target"] == *t);
    for event in built.events.iter().filter(|event| on_adapter(event)) {
        match event["event"].as_str().unwrap() {
            "started" => running += 1,
            "ran" => running -= 1,
            _ => {}
        }
        assert!(running <= 2, "{event}");
    }
    // Where there is an adapter, `auto` is the very action of `gpu`.
    build(&space, &driver, &["model/net/auto"]).ok().ran(&[]);
    let metrics = |target: &str| shown(&space, &driver, target)["metrics"].clone();
    for (adapter, processor) in [("model/net/gpu", "model/net/cpu"), ("model/net/gru", "model/net/gru_cpu")] {
        for figure in ["train_loss", "valid_loss", "valid_mae"] {
            let (a, b) = (metrics(adapter)[figure].as_f64().unwrap(), metrics(processor)[figure].as_f64().unwrap());
            assert!((a - b).abs() <= 1e-3 * b.abs(), "{adapter}, {figure}: {a}, and {b} on the processor");
        }
    }
    // Made again on the same adapter it is the same, or near enough.
    let again = cbi(&space, &driver, &["reproduce", "--json", "model/net/gpu"]).output().unwrap();
    let said: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert!(again.status.success() && ["identical", "within"].iter().any(|outcome| said["outcome"] == *outcome), "{said}");
    let gone = cbi(&space, NONE, &["reproduce", "model/net/gpu"]).output().unwrap();
    let told = String::from_utf8_lossy(&gone.stdout).into_owned();
    assert!(gone.status.code() == Some(4) && told.contains("it was computed on SwiftShader"), "{told}");
}

#[test]
fn without_an_adapter_auto_is_the_processor_and_says_so_and_gpu_fails_and_says_how_to_go_on() {
    let space = workspace();
    let first = build(&space, NONE, &["model/net/auto"]).ok();
    let started = first.events.iter().find(|event| event["event"] == "started" && event["target"] == "model/net/auto").unwrap();
    assert!(started["why"].as_str().unwrap().contains("on the processor: no driver of Vulkan or Metal"), "{started}");
    // It is the very action of a recipe that asks for the processor.
    assert_eq!(shown(&space, NONE, "model/net/auto")["action"], started["key"]);
    build(&space, NONE, &["model/net/cpu"]).ok().ran(&[]);
    let refused = build(&space, NONE, &["model/net/gpu"]);
    let failure = refused.failure("model/net/gpu");
    assert!(failure["error"].as_str().unwrap().contains("no driver of Vulkan or Metal names a graphics adapter"), "{failure}");
    assert!(failure["hint"].as_str().unwrap().contains("cbi doctor"), "{failure}");
    assert!(Path::new(&space.path(".cbi-cache/out/model/net/cpu")).exists());
}
