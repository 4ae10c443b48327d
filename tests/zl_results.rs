//! The published figures about soybean oil. Invariant: `docs/zl-results.md` and `docs/zl-networks.md` are written by these tests from what a build makes,
//! never by hand; the second from the cache of a workspace in which all of `zl` was built, for its networks take an hour:
//!
//!     CBI_WRITE_RESULTS=1 cargo test --test zl_results models
//!     CBI_WRITE_NETWORKS=WORKSPACE/.cbi-cache cargo test --test zl_results networks
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on may stop where it stands; test.sh counts what one skips"
)]

mod common;
#[path = "common/space.rs"]
mod space;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use space::TestSpace;

const HORIZONS: [&str; 5] = ["1w", "1m", "3m", "6m", "12m"];

const HEAD: &str = "# Soybean oil: what the models are worth

Written by `tests/zl_results.rs` from a build of the whole set (`cbi build zl`) on the platform's own tables of November 2025; the test builds it again and
compares every figure. Nothing here was chosen for looking good. What each figure means: [honest metrics](honest-metrics.md).

Errors are mean absolute errors of the price in US cents a pound. *Ratio* is the error over that of the naive forecast, which says that the price stays
where it is: below 1 a model is better, and where the interval holds 1 nobody can tell. *p* is Diebold and Mariano's, of both erring alike. Ensembles
are weighted in each fold by what had come due before it; those weighed by regime knew each day's name from a calendar written afterwards. A quantile set's
pinball loss is the mean over its three levels, beside that of the quantiles of past changes around today's price.
";

const NETWORKS_HEAD: &str = "# Soybean oil: what the networks are worth

Written by `tests/zl_results.rs` from a build of the whole set (`cbi build zl`) on the platform's own tables of November 2025, on PLATFORM. On that platform class the test trains
the dense networks again, all of each backtest, and compares their figures; the others take [an hour](performance.md#networks). What columns mean: [zl-results.md](zl-results.md), which has the same
of all other models, on the same rows.

In the folds of 2021 and 2022 the dense networks and the TCN err by several times what the price changed. There they meet features that they hardly saw: palm oil's prices begin on
2020-10-21 in these tables, so `palm_spread` is learnt from weeks. What is bounded (LSTM, GRU) goes less far astray.
";

/// One model's figures over all rows of an evaluation, as a line of a table.
fn line(model: &Value, horizon: &str) -> String {
    let number = |value: &Value, digits: usize| value.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.digits$}"));
    let name = model["model"].as_str().unwrap().trim_end_matches(&format!("/{horizon}"));
    let interval = match &model["ratio_interval"] {
        Value::Null => "–".to_owned(),
        ends => format!("{} to {}", number(&ends["low"], 3), number(&ends["high"], 3)),
    };
    format!(
        "| {name} | {} | {} | {} | {interval} | {} | {} |\n",
        number(&model["mae"], 3),
        number(&model["naive"]["mae"], 3),
        number(&model["mae_ratio"], 3),
        number(&model["dm_absolute"]["p"], 3),
        number(&model["direction"], 3),
    )
}

/// The table of one evaluation, with the hash of the artifact it is read from.
fn table(space: &TestSpace, title: &str, target: &str, horizon: &str) -> String {
    let folder = space.path(".cbi-cache/out").join(target);
    let metrics: Value = serde_json::from_slice(&fs::read(folder.join("metrics.json")).unwrap()).unwrap();
    let all = metrics["segments"].as_array().unwrap().iter().find(|segment| segment["by"] == "all").unwrap();
    let shown = space::run(space, &["show", target], 0).0;
    let hash = shown["artifacts"]["metrics"]["hash"].as_str().unwrap_or_else(|| panic!("{shown}"));
    let mut text = format!(
        "\n### {title}\n\n{} forecasts, {} to {}, which tell as much as about {:.0} that do not overlap. `{target}`, hash `{}`.\n\n",
        all["models"][0]["n"],
        all["first_date"].as_str().unwrap(),
        all["last_date"].as_str().unwrap(),
        all["effective_n"].as_f64().unwrap(),
        &hash[..16],
    );
    text += "| model | error | naive | ratio | 95 % | p | direction |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    all["models"].as_array().unwrap().iter().for_each(|model| text += &line(model, horizon));
    text
}

/// A share with the interval that so few forecasts leave it, where they leave one.
fn held(share: &Value, ends: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    match ends {
        Value::Null => number(share),
        ends => format!("{} ({} to {})", number(share), number(&ends["low"]), number(&ends["high"])),
    }
}

/// The quantile sets of one evaluation, beside the naive quantiles.
fn quantiles(space: &TestSpace, target: &str) -> String {
    let metrics: Value =
        serde_json::from_slice(&fs::read(space.path(".cbi-cache/out").join(target).join("metrics.json")).unwrap()).unwrap();
    let all = metrics["segments"].as_array().unwrap().iter().find(|segment| segment["by"] == "all").unwrap();
    let number = |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let mut text = "\n| quantile set | pinball | naive | ratio | came between p10 and p90 | naive | width | naive | crossed |\n".to_owned();
    text += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for model in all["models"].as_array().unwrap().iter().filter(|model| model["set"].is_object()) {
        let (set, between) = (&model["set"], &model["set"]["intervals"][0]);
        let figures = [
            number(&set["pinball"]),
            number(&set["naive_pinball"]),
            held(&set["pinball_ratio"], &set["ratio_interval"]),
            held(&between["coverage"], &between["coverage_interval"]),
            number(&between["naive_coverage"]),
            number(&between["width"]),
            number(&between["naive_width"]),
            number(&set["crossed"]),
        ];
        writeln!(text, "| {} | {} |", model["model"].as_str().unwrap(), figures.join(" | ")).unwrap();
    }
    text
}

/// What the classifier of regimes is worth.
fn regimes(space: &TestSpace) -> String {
    let folder = space.path(".cbi-cache/out/evaluate/zl/regimes/1w");
    let found: Value = serde_json::from_slice(&fs::read(folder.join("regimes.json")).unwrap()).unwrap();
    let number = |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let mut text = format!(
        "\n## Which regime a day looks like\n\n{} days out of sample, {} of them in a regime that had not been seen before: these count as wrong.\n\n",
        found["n"], found["unseen"]
    );
    text += "| named by | right | right, of seen | log loss, of seen |\n| --- | ---: | ---: | ---: |\n";
    for (name, what) in [("model", "the classifier"), ("newest", "the newest regime goes on"), ("majority", "the most frequent regime")] {
        let of = |figure: &str| number(&found[name][figure]);
        writeln!(text, "| {what} | {} | {} | {} |", of("accuracy"), of("accuracy_seen"), of("log_loss_seen")).unwrap();
    }
    text
}

/// A build of soybean oil's targets.
fn build(space: &TestSpace, warehouse: &Path, targets: &[&str]) {
    let asked = [&["--profile", "zl", "--warehouse", warehouse.to_str().unwrap()], targets].concat();
    space.build(&asked).ok();
}

/// The platform class that a target was made on.
fn platform(space: &TestSpace, target: &str) -> String {
    space::run(space, &["show", target], 0).0["platform"].as_str().unwrap().to_owned()
}

/// A published page.
fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn the_published_results_of_models_are_what_the_build_makes() {
    let Some(shared) = common::shared() else { return };
    let space = TestSpace::wti();
    build(&space, &shared.join("warehouse"), &["evaluate/zl/all/*", "evaluate/zl/backtests/*", "evaluate/zl/regimes/*"]);
    let mut text = HEAD.to_owned();
    for horizon in HORIZONS {
        write!(text, "\n## {horizon} ahead\n").unwrap();
        for (title, part) in [("Twelve years out of sample", "backtests"), ("The test rows, from 2024 on", "all")] {
            let target = format!("evaluate/zl/{part}/{horizon}");
            text += &table(&space, title, &target, horizon);
            text += &quantiles(&space, &target);
        }
    }
    text += &regimes(&space);
    let page = page("zl-results.md");
    if std::env::var_os("CBI_WRITE_RESULTS").is_some() {
        fs::write(page, text).unwrap();
        return;
    }
    let published = fs::read_to_string(page).unwrap();
    let differs = published.lines().zip(text.lines()).find(|(before, now)| before != now);
    assert!(published == text, "docs/zl-results.md is not what the build makes; the first line that differs: {differs:#?}");
}

/// Evaluations of the dense networks alone, over the rows that all networks are judged on.
const DENSE: &str = r#"
[evaluate."evaluate/dense/backtests/{horizon}"]
for = { horizon = ["1w", "1m", "3m", "6m", "12m"] }
regimes = { table = "zl.regimes", column = "regime" }
backtests = ["backtest/zl/dense/{horizon}"]

[evaluate."evaluate/dense/test/{horizon}"]
for = { horizon = ["1w", "1m", "3m", "6m", "12m"] }
frame = "frame/zl/networks/{horizon}"
regimes = { table = "zl.regimes", column = "regime" }
models = ["model/zl/dense/{horizon}"]
"#;

#[test]
fn the_published_results_of_networks_are_what_those_come_to_that_are_trained_again() {
    let Some(shared) = common::shared() else { return };
    let (space, warehouse) = (TestSpace::wti(), shared.join("warehouse"));
    let page = page("zl-networks.md");
    if let Some(cache) = std::env::var_os("CBI_WRITE_NETWORKS") {
        space::copy(Path::new(&cache), &space.path(".cbi-cache"));
        build(&space, &warehouse, &["evaluate/zl/networks/*", "evaluate/zl/networks_backtests/*"]);
        let mut text = NETWORKS_HEAD.replace("PLATFORM", &platform(&space, "backtest/zl/dense/1w"));
        for horizon in HORIZONS {
            write!(text, "\n## {horizon} ahead\n").unwrap();
            for (title, part) in [("Twelve years out of sample", "networks_backtests"), ("The test rows, from 2024 on", "networks")] {
                text += &table(&space, title, &format!("evaluate/zl/{part}/{horizon}"), horizon);
            }
        }
        fs::write(page, text).unwrap();
        return;
    }
    space.write("recipes/zl/dense.toml", DENSE);
    build(&space, &warehouse, &["evaluate/dense/**"]);
    let (published, here) = (fs::read_to_string(page).unwrap(), platform(&space, "backtest/zl/dense/1w"));
    if !published.contains(&format!("on {here}.")) {
        eprintln!("skipped: needs the platform class of docs/zl-networks.md; this is {here}");
        return;
    }
    for horizon in HORIZONS {
        let chapter = published.split("\n## ").find(|chapter| chapter.starts_with(&format!("{horizon} ahead"))).unwrap();
        for part in ["backtests", "test"] {
            let again = table(&space, "", &format!("evaluate/dense/{part}/{horizon}"), horizon);
            let line = again.lines().last().unwrap();
            assert!(line.contains("/dense |") && chapter.contains(line), "{horizon}: not in docs/zl-networks.md: {line}");
        }
    }
}
