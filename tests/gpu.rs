//! Promises about graphics adapters. Invariant: the adapter is `SwiftShader`, a driver of Vulkan that computes on the processor: `CBI_TEST_VULKAN` names its
//! file, as `./test.sh` sets it, so that the program goes the way that it goes on a card.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

#[path = "common/space.rs"]
mod space;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use space::{Built, TestSpace};

/// The architectures and the smallest settings that each can have.
const NETWORKS: [(&str, &str); 6] = [
    ("dense", "layers = 1"),
    ("lstm", "window = 3"),
    ("gru", "window = 3"),
    ("tcn", "window = 4, layers = 1, kernel_size = 2"),
    ("cnn_lstm", "window = 3, kernel_size = 2, filters = 2"),
    ("attention", "window = 3, heads = 2"),
];

const FRAME: &str = r#"
[frame."frame/net"]
features = "wti.features"
columns = ["ret_*"]
price = { table = "wti.daily", column = "price", series = "spot" }
horizon = { rows = 21 }
label = "log_return"
split = { train = [2009-07-01, 2010-06-30], valid = [2011-01-01, 2011-06-30], test = [2018-01-01] }
past = 3
refit = "monthly"

[refit."production/net"]
frame = "frame/net"
model = "model/gpu/dense"
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

/// The repository's crude oil, with a frame and each network on each device.
fn workspace() -> TestSpace {
    let space = TestSpace::wti();
    let mut recipe = FRAME.to_owned();
    for (architecture, smallest) in NETWORKS {
        for (device, tolerance) in [("cpu", ""), ("auto", ""), ("gpu", "tolerance = 0.001\n")] {
            write!(
                recipe,
                "[neural.\"model/{device}/{architecture}\"]\nframe = \"frame/net\"\narchitecture = \"{architecture}\"\ndevice = \"{device}\"\n{tolerance}\
                 params = {{ {smallest}, units = 4, batch_size = 32, epochs = 2, dropout = 0.0, learning_rate = 0.001, seed = 1 }}\n"
            )
            .unwrap();
        }
    }
    space.write("recipes/net.toml", recipe);
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

    build(&space, &driver, &["frame/net"]).ok();
    let reserved = NETWORKS.map(|(architecture, _)| {
        let plan = cbi(&space, &driver, &["plan", "--json", &format!("model/gpu/{architecture}")]).output().unwrap();
        serde_json::from_slice::<Value>(&plan.stdout).unwrap()["totals"]["peak_bytes"].as_u64().unwrap()
    });
    let built = build(&space, &driver, &["-j4", "model/gpu/*", "model/cpu/*", "production/net"]).ok();
    let on_adapter = |target: &str| target.starts_with("model/gpu/") || target == "production/net";
    // One at a time on the adapter, though seven wish for it: beside one that runs is at most one that has ended and waits for the disk. (That the second does
    // not compute is `exec/pool.rs`'s to hold.)
    let (mut running, mut ran) = (0, 0);
    for event in built.events.iter().filter(|event| event["target"].as_str().is_some_and(on_adapter)) {
        match event["event"].as_str().unwrap() {
            "started" => running += 1,
            "ran" => (running, ran) = (running - 1, ran + 1),
            _ => {}
        }
        assert!(running <= 2, "{event}");
    }
    assert_eq!(ran, 7);
    // What this driver takes for a card's memory is the process's own, and was reserved.
    for ((architecture, _), reserved) in NETWORKS.iter().zip(reserved) {
        let ran = |event: &&Value| event["event"] == "ran" && event["target"] == format!("model/gpu/{architecture}");
        let held = built.events.iter().find(ran).unwrap()["cost"]["peak_bytes"].as_u64().unwrap();
        assert!(held > 0 && held <= reserved && reserved > 512 << 20, "{architecture}: {} of {} MiB", held >> 20, reserved >> 20);
    }
    for target in
        NETWORKS.iter().flat_map(|(name, _)| [format!("model/gpu/{name}"), format!("model/cpu/{name}")]).chain(["production/net".into()])
    {
        let platform = shown(&space, &driver, &target)["platform"].as_str().unwrap().to_owned();
        assert_eq!(platform.contains("+SwiftShader"), on_adapter(&target), "{target}: {platform}");
    }
    for (architecture, _) in NETWORKS {
        let metrics = |device: &str| shown(&space, &driver, &format!("model/{device}/{architecture}"))["metrics"].clone();
        let (adapter, processor) = (metrics("gpu"), metrics("cpu"));
        for figure in ["train_loss", "valid_loss", "valid_mae"] {
            let (a, b) = (adapter[figure].as_f64().unwrap(), processor[figure].as_f64().unwrap());
            assert!((a - b).abs() <= 1e-3 * b.abs(), "{architecture}, {figure}: {a}, and {b} on the processor");
        }
    }
    // A driver without a card is for those who ask for it by name: `auto` stays with the processor.
    build(&space, &driver, &["model/auto/*"]).ok().ran(&[]);
    for (architecture, _) in NETWORKS {
        let actions = ["auto", "cpu"].map(|device| shown(&space, &driver, &format!("model/{device}/{architecture}"))["action"].clone());
        assert_eq!(actions[0], actions[1], "{architecture}");
    }
    // Made again on the same adapter it is the same, or near enough.
    let again = cbi(&space, &driver, &["reproduce", "--json", "model/gpu/dense"]).output().unwrap();
    let said: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert!(again.status.success() && ["identical", "within"].iter().any(|outcome| said["outcome"] == *outcome), "{said}");
    let gone = cbi(&space, NONE, &["reproduce", "model/gpu/dense"]).output().unwrap();
    let told = String::from_utf8_lossy(&gone.stdout).into_owned();
    assert!(gone.status.code() == Some(4) && told.contains("it was computed on SwiftShader"), "{told}");
}

#[test]
fn without_an_adapter_auto_is_the_processor_and_says_so_and_gpu_fails_and_says_how_to_go_on() {
    let space = workspace();
    let first = build(&space, NONE, &["model/auto/attention"]).ok();
    let started = first.events.iter().find(|event| event["event"] == "started" && event["target"] == "model/auto/attention").unwrap();
    assert!(started["why"].as_str().unwrap().contains("on the processor: no driver of Vulkan or Metal"), "{started}");
    // It is the very action of a recipe that asks for the processor.
    assert_eq!(shown(&space, NONE, "model/auto/attention")["action"], started["key"]);
    build(&space, NONE, &["model/cpu/attention"]).ok().ran(&[]);
    let refused = build(&space, NONE, &["model/gpu/dense"]);
    let failure = refused.failure("model/gpu/dense");
    assert!(failure["error"].as_str().unwrap().contains("no driver of Vulkan or Metal names a graphics adapter"), "{failure}");
    assert!(failure["hint"].as_str().unwrap().contains("cbi doctor"), "{failure}");
    assert!(Path::new(&space.path(".cbi-cache/out/model/cpu/attention")).exists());
}
