//! Promises about networks in a workspace: how far a training is, what it leaves when it is ended, what it holds, what it learns where nothing is to be
//! learnt, and that `PyTorch` forecasts the same. Invariant: the rows are the committed crude oil prices.
#![cfg(feature = "neural")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on may stop where it stands, and one says what networks held"
)]

#[path = "common/space.rs"]
mod space;
#[path = "vendor/python.rs"]
mod vendor;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use cbi::engine::frame_file::{self, Part};
use cbi::engine::table_file;
use cbi::kinds::trained;
use fastrand::Rng;
use serde_json::{Value, json};
use space::{TestSpace, run};

/// A frame whose windows reach `PAST` rows back, on the prices of `PRICES`, to learn from since `TRAIN`.
const FRAME: &str = r#"
[frame."frame/net"]
features = "wti.features"
columns = ["ret_*", "ma_*", "vol_*"]
price = { table = "PRICES", column = "price", series = "spot" }
horizon = { rows = 21 }
label = "log_return"
split = { train = [TRAIN-01-02, 2010-12-31], valid = [2011-01-01, 2012-12-31], test = [2014-01-01] }
folds = { walk_forward = { from = 2012-01-01, to = 2013-12-31, train = "expanding", test = "12 months" } }
past = PAST
"#;

const ARCHITECTURES: [&str; 6] = ["dense", "lstm", "gru", "tcn", "cnn_lstm", "attention"];

/// The repository's crude oil, with such a frame and these networks: architecture, and settings as a recipe writes them.
fn workspace(prices: &str, (train, past): (u32, u32), networks: &[(&str, &str)]) -> TestSpace {
    let space = TestSpace::wti();
    let mut recipe = FRAME.replace("PRICES", prices).replace("PAST", &past.to_string()).replace("TRAIN", &train.to_string());
    for (architecture, params) in networks {
        writeln!(
            recipe,
            "[neural.\"model/net/{architecture}\"]\nframe = \"frame/net\"\narchitecture = \"{architecture}\"\nparams = {{ {params} }}"
        )
        .unwrap();
    }
    space.write("recipes/net.toml", recipe);
    space
}

fn show(space: &TestSpace, target: &str) -> Value {
    run(space, &["show", target], 0).0
}

/// The log of the step that made a target.
fn log(space: &TestSpace, target: &str) -> String {
    let blob = show(space, target)["log"].as_str().unwrap().to_owned();
    space.read(&format!(".cbi-cache/blobs/{}/{blob}", &blob[..2]))
}

/// Bytes kept free for a build of the target.
fn reserved(space: &TestSpace, target: &str) -> u64 {
    run(space, &["plan", target], 0).0["totals"]["peak_bytes"].as_u64().unwrap()
}

/// Builds a target and kills `cbi` when it tells of such progress, which is returned.
fn killed_at(space: &TestSpace, target: &str, far: impl Fn(&Value) -> bool) -> Value {
    let mut child = space.command(&["build", "--json", target]).stdout(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let told = told.into_iter().find(|event| event["event"] == "progress" && far(event)).expect("it says how far it is");
    child.kill().unwrap();
    child.wait().unwrap();
    told
}

#[test]
fn a_training_that_is_killed_goes_on_where_it_was_and_comes_to_the_same_bytes() {
    let slow = [("lstm", "window = 30, units = 50, epochs = 9, patience = 0, seed = 1")];
    let (whole, killed) = (workspace("wti.daily", (2007, 29), &slow), workspace("wti.daily", (2007, 29), &slow));
    whole.build(&["model/net/lstm"]).ok();
    killed.build(&["frame/net"]).ok();
    let far = killed_at(&killed, "model/net/lstm", |_| true);
    assert_eq!((&far["target"], &far["unit"], &far["of"]), (&json!("model/net/lstm"), &json!("epoch"), &json!(9)));
    assert!(far["figures"]["train_loss"].is_number() && far["left_ms"].is_u64(), "{far}");
    assert!(far["done"].as_u64().unwrap() < 9, "it was ended in the middle: {far}");

    killed.build(&["model/net/lstm"]).ok().ran(&["model/net/lstm"]);
    assert_eq!(show(&killed, "model/net/lstm")["artifacts"], show(&whole, "model/net/lstm")["artifacts"]);
    let log = log(&killed, "model/net/lstm");
    assert!(log.starts_with("taken up again after epoch ") && log.contains("epoch 9 of 9: train loss "), "{log}");

    // The curves are a table and a picture beside the weights.
    let model = whole.path(".cbi-cache/out/model/net/lstm");
    assert_eq!(table_file::read(&model.join("learning.parquet")).unwrap().num_rows(), 9);
    assert!(std::fs::read_to_string(model.join("learning.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn a_backtest_says_which_fold_it_is_at_and_killed_in_one_comes_to_the_same_bytes() {
    let slow = [("gru", "window = 30, units = 50, epochs = 5, patience = 0, seed = 1")];
    let mut recipe = "[backtest.\"backtest/net\"]\nframe = \"frame/net\"\nmodel = \"model/net/gru\"\n".to_owned();
    let whole = workspace("wti.daily", (2007, 29), &slow);
    recipe.insert_str(0, &whole.read("recipes/net.toml"));
    whole.write("recipes/net.toml", recipe);
    whole.build(&["model/net/gru"]).ok();
    assert!(reserved(&whole, "backtest/net") > 192 << 20, "it is given what a training is given");
    let killed = whole.twin();
    whole.build(&["backtest/net"]).ok();
    let second = killed_at(&killed, "backtest/net", |event| event["done"] == 1 && event["within"].is_object());
    assert_eq!((&second["target"], &second["unit"], &second["of"]), (&json!("backtest/net"), &json!("fold"), &json!(2)));
    assert_eq!((&second["within"]["unit"], &second["within"]["of"]), (&json!("epoch"), &json!(5)));
    assert!(second["left_ms"].is_u64() && second["within"]["figures"]["train_loss"].is_number(), "{second}");

    let taken_up = killed.build(&["backtest/net"]).ok().ran(&["backtest/net"]);
    // The fold that was there already says nothing of how long one takes.
    let told = taken_up.events.iter().filter(|event| event["event"] == "progress" && event["done"] != 2);
    assert!(told.clone().all(|event| event["left_ms"].is_null()), "{:?}", told.collect::<Vec<_>>());
    assert_eq!(show(&killed, "backtest/net")["artifacts"], show(&whole, "backtest/net")["artifacts"]);
    let log = log(&killed, "backtest/net");
    assert!(
        log.starts_with("taken up again after epoch 5\ntaken up again after epoch "),
        "the whole fold, and that it was ended in: {log}"
    );
}

/// Runs a command on a terminal and passes on what it shows.
const TERMINAL: &str = "import os, pty, sys; \
    sys.exit(os.waitstatus_to_exitcode(pty.spawn(['/bin/sh', '-c', 'stty cols 160 rows 30; exec \"$@\"', 'sh', *sys.argv[1:]])))";

#[test]
fn how_far_a_training_is_stands_on_the_terminal_while_it_runs_and_not_after() {
    let space = workspace("wti.daily", (2009, 7), &[("gru", "window = 8, units = 16, epochs = 40, patience = 40, seed = 1")]);
    space.build(&["frame/net"]).ok();
    let build = space.command(&["build", "model/net/gru"]);
    let mut terminal = Command::new(vendor::python());
    terminal.arg("-c").arg(TERMINAL).arg(build.get_program()).args(build.get_args()).current_dir(space.root()).stdin(Stdio::null());
    terminal.env_clear().envs(build.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm").env("NO_COLOR", "1");
    let shown = vendor::succeed(&mut terminal);
    // Each drawing goes over the one before: up some lines, and to the first column.
    let drawings: Vec<&str> = shown.split("A\r").collect();
    let running = drawings.iter().filter(|drawing| drawing.contains("model/net/gru") && drawing.contains("epoch ")).collect::<Vec<_>>();
    let told = |text: &str| running.iter().any(|drawing| drawing.contains(text));
    assert!(told(" of 40") && told("train_loss 0.") && told("valid_loss 0.") && told(" left"), "{shown:?}");
    let last = drawings.last().unwrap();
    assert!(!last.contains("epoch ") && last.contains("done: 1 ran"), "{last:?}");
}

#[test]
fn a_network_at_its_largest_settings_holds_no_more_than_is_kept_free_for_it() {
    // The defaults are the largest settings in use, but for a second layer.
    let large =
        ARCHITECTURES.map(|architecture| (architecture, if architecture == "tcn" { "epochs = 1" } else { "epochs = 1, layers = 2" }));
    let space = workspace("wti.daily", (2010, 127), &large);
    space.build(&["frame/net"]).ok();
    let targets = ARCHITECTURES.map(|architecture| format!("model/net/{architecture}"));
    let reserved: BTreeMap<String, u64> = targets.map(|target| (target.clone(), reserved(&space, &target))).into();
    let built = space.build(&["model/net/*"]).ok();
    let ran = built.events.iter().filter(|event| event["event"] == "ran");
    let held: BTreeMap<&str, u64> =
        ran.map(|event| (event["target"].as_str().unwrap(), event["cost"]["peak_bytes"].as_u64().unwrap())).collect();
    let told: Vec<String> =
        held.iter().map(|(target, held)| format!("{target}: {} of {} MiB", held >> 20, reserved[*target] >> 20)).collect();
    println!("{}", told.join(", "));
    assert!(held.len() == 6 && held.iter().all(|(target, held)| *held > 0 && *held <= reserved[*target]), "{told:?}");
}

/// The committed prices with their changes in an order of chance, so that nothing before a day says anything of what comes after.
fn shuffled(space: &TestSpace) {
    let text = space.read("warehouse/fred.dcoilwtico.csv");
    let day = |date: &str| {
        let part: Vec<&str> = date.split('/').collect();
        format!("{}-{}-{}", part[2], part[0], part[1])
    };
    let rows: Vec<(String, f64)> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().split_once(','))
        .filter_map(|(date, price)| Some((day(date), price.parse().ok()?)))
        .collect();
    let mut changes: Vec<f64> = rows.windows(2).map(|pair| pair[1].1 / pair[0].1).collect();
    Rng::with_seed(6).shuffle(&mut changes);
    let mut price = rows[0].1;
    let mut told = format!("date,price\n{},{price}\n", rows[0].0);
    for ((date, _), change) in rows[1..].iter().zip(changes) {
        price *= change;
        writeln!(told, "{date},{price}").unwrap();
    }
    space.write("warehouse/chance.prices.csv", told);
    space.write(
        "recipes/chance.toml",
        "[table.\"chance.prices\"]\nkey = [\"date\"]\ntypes = { date = \"DATE\", price = \"FLOAT64\" }\navailable_after = \"0 days\"\n",
    );
}

#[test]
fn a_network_whose_labels_are_chance_is_judged_no_better_than_the_naive_forecast() {
    let networks = ARCHITECTURES.map(|architecture| (architecture, "window = 8, units = 16, epochs = 6, seed = 1"));
    let space = workspace("chance.prices", (2007, 7), &networks);
    shuffled(&space);
    let models = ARCHITECTURES.map(|architecture| format!("\"model/net/{architecture}\"")).join(", ");
    space.write("recipes/judge.toml", format!("[evaluate.\"evaluate/net\"]\nframe = \"frame/net\"\nmodels = [{models}]\n"));
    space.build(&["evaluate/net"]).ok();
    let judged: Value = serde_json::from_str(&space.read(".cbi-cache/out/evaluate/net/metrics.json")).unwrap();
    let all = judged["segments"].as_array().unwrap().iter().find(|segment| segment["by"] == "all").unwrap();
    assert_eq!(all["models"].as_array().unwrap().len(), ARCHITECTURES.len());
    for model in all["models"].as_array().unwrap() {
        let high = model["ratio_interval"]["high"].as_f64().unwrap_or(f64::INFINITY);
        assert!(model["mae_ratio"].as_f64().unwrap() > 0.97 && high >= 1.0, "better than nothing at what nobody can know: {model}");
    }
}

/// A Python with `PyTorch`: `CBI_TEST_TORCH`, as `./test.sh` sets it.
#[allow(clippy::print_stderr, reason = "test.sh counts the line")]
fn pytorch() -> Option<Command> {
    if let Some(python) = std::env::var_os("CBI_TEST_TORCH") {
        return Some(Command::new(python));
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CBI_TEST_TORCH is not set, and CI skips nothing");
    eprintln!("skipped: needs PyTorch: scripts/test-torch FOLDER, and CBI_TEST_TORCH=FOLDER/python");
    None
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The furthest apart that two trees of numbers are, of numbers above 1 as a share.
fn apart(a: &Value, b: &Value) -> f64 {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
            a.iter().map(|(name, value)| apart(value, &b[name])).fold(0.0, f64::max)
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).map(|(a, b)| apart(a, b)).fold(0.0, f64::max)
        }
        (Value::Bool(a), Value::Bool(b)) => f64::from(u8::from(a != b)),
        _ => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() / b.abs().max(1.0)
        }
    }
}

#[test]
fn pytorch_gives_the_values_that_ours_are_held_to() {
    let Some(mut python) = pytorch() else { return };
    let folder = tempfile::tempdir().unwrap();
    let now = folder.path().join("now.json");
    vendor::succeed(python.arg(repository("tests/vendor/neural_torch.py")).arg(&now));
    let read = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let (now, committed) = (read(&now), read(&repository("tests/vendor/neural.json")));
    let worst = ["samples", "layers"].map(|part| apart(&now[part], &committed[part])).into_iter().fold(0.0, f64::max);
    assert!(worst <= 1e-5, "this PyTorch differs from the committed values by {worst}");
}

#[test]
fn pytorch_forecasts_with_our_weights_what_we_forecast_as_the_documentation_shows() {
    let Some(mut python) = pytorch() else { return };
    let networks = ARCHITECTURES.map(|architecture| (architecture, "window = 8, units = 16, epochs = 2, seed = 1"));
    let space = workspace("wti.daily", (2007, 7), &networks);
    space.build(&["model/net/*", "frame/net"]).ok();
    let test = frame_file::read(&space.path(".cbi-cache/out/frame/net/test"))
        .or_else(|_| frame_file::read(&space.path(".cbi-cache/out/frame/net")));
    let test = test.unwrap();
    let rows: Vec<usize> = test.rows_of(Part::Test).into_iter().take(300).collect();
    let line = test.timeline(i32::MAX);
    let ends: Vec<usize> = rows.iter().map(|&row| line.dates.binary_search(&test.dates[row]).unwrap()).collect();
    let value =
        |at: usize| -> Vec<Option<f64>> { line.features.iter().map(|column| Some(column[at]).filter(|value| !value.is_nan())).collect() };
    let windows: Vec<Vec<Vec<Option<f64>>>> = ends.iter().map(|&end| (end - 7..=end).map(value).collect()).collect();
    let mut ours = BTreeMap::new();
    for architecture in ARCHITECTURES {
        let model = trained::read(&space.path(&format!(".cbi-cache/out/model/net/{architecture}"))).unwrap();
        let levels = model.predict(&test, &rows).unwrap();
        let answers: Vec<f64> = levels.iter().zip(&rows).map(|(level, &row)| (level / test.price[row]).ln()).collect();
        ours.insert(architecture, answers);
    }
    space.write("asked.json", json!({"windows": windows, "ours": ours}).to_string());

    // The lines of the documentation, run for each network.
    let page = std::fs::read_to_string(repository("docs/neural.md")).unwrap();
    let snippet = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let from = "folder = \".cbi-cache/out/model/zl/lstm/1w\"\n";
    assert_eq!(snippet.matches(from).count(), 1, "{snippet}");
    let mut program =
        format!("import json, sys\nsys.path.insert(0, {:?})\nasked = json.load(open('asked.json'))\n", repository("tests/vendor"));
    program += "def run(architecture, folder):\n";
    for line in snippet.replace(from, "").lines() {
        writeln!(program, "    {line}").unwrap();
    }
    program += "    worst = max(abs(forecast(rows) - ours) for rows, ours in zip(asked['windows'], asked['ours'][architecture]))\n";
    program += "    print(architecture, worst / prepared['label']['scale'])\n";
    program += "for architecture in asked['ours']:\n    run(architecture, '.cbi-cache/out/model/net/' + architecture)\n";
    space.write("ask.py", program);
    let said = vendor::succeed(python.arg("ask.py").current_dir(space.root()));
    let worst: BTreeMap<&str, f64> =
        said.lines().map(|line| line.split_once(' ').unwrap()).map(|(name, worst)| (name, worst.parse().unwrap())).collect();
    assert_eq!(worst.len(), ARCHITECTURES.len());
    assert!(worst.values().all(|worst| *worst <= 1e-5), "in standard deviations of the label: {worst:?}");
}
