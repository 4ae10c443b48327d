//! Promises about models that are trained in BigQuery. Invariant: no BigQuery is reached here: statements are held to a strict reading of Google's
//! grammar, and the conversation to a server that answers as the REST references say and computes what it answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod bigquery_ml_kit;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;

use bigquery_ml_kit::{Server, error, grammar};
use cbi::engine::bigquery::ml_text::{self, Training};
use cbi::engine::{table_columns, table_file};
use cbi::kinds::bqml_options;
use serde_json::{Value, json};
use space::TestSpace;

const RECIPE: &str = r#"
[frame."frame/line"]
features = "wti.features"
columns = ["ret_21"]
price = { table = "wti.daily", column = "price", series = "spot" }
horizon = { rows = 5 }
label = "log_return"
split = { train = [1987-01-05, 2010-12-31], valid = [2011-01-01, 2013-12-31], test = [2014-01-01] }

# The same line, fitted here.
[ridge."model/here"]
frame = "frame/line"
params = { alpha = 0.0 }

[bqml."model/there"]
frame = "frame/line"
model_type = "linear_reg"
params = { optimize_strategy = "NORMAL_EQUATION" }

[ensemble."model/both"]
frame = "frame/line"
models = ["model/here", "model/there"]
weights = "inverse_error"

[evaluate."evaluate/line"]
frame = "frame/line"
models = ["model/here", "model/there", "model/both"]

[forecast."forecast/line"]
frame = "frame/line"
model = "model/there"
calendar = { table = "calendar.us_trading_days", column = "date" }
"#;

/// The crude oil of this repository, and a line through it.
fn space(server: &Server) -> TestSpace {
    let space = TestSpace::wti();
    space.write("recipes/wti/line.toml", RECIPE);
    let address = &server.address;
    let account = format!("project = \"p1\"\nanonymous = true\nendpoint = \"{address}\"\nstorage_json_endpoint = \"{address}\"");
    let text = space.read("cbi.toml");
    space.write("cbi.toml", format!("{text}\n[bigquery]\n{account}\ndataset = \"lab\"\nlocation = \"EU\"\nbucket = \"gs://models/cbi\"\n"));
    space
}

fn json_of(space: &TestSpace, path: &str) -> Value {
    serde_json::from_str(&space.read(&format!(".cbi-cache/out/{path}"))).unwrap()
}

/// A statement of this type of model with these options.
fn statement(model_type: &str, params: &Value) -> String {
    let options = bqml_options::checked(model_type, params.as_object().unwrap()).unwrap();
    let features = ["ret_5".to_owned(), "it's `odd`".to_owned()];
    let weighted = bqml_options::WEIGHTED.contains(&model_type);
    let training = Training { model_type, options: &options, features: &features, weighted, table: "my-project.lab.rows" };
    ml_text::create("my-project.lab.model", &training)
}

#[test]
fn every_statement_is_one_that_google_documents() {
    let trees =
        json!({"tree_method": "HIST", "max_tree_depth": 6, "subsample": 0.8, "min_split_loss": 0, "xgboost_version": "1.1", "l2_reg": 1});
    let mut boosted = trees.clone();
    boosted.as_object_mut().unwrap().extend(
        json!({"booster_type": "DART", "dart_normalize_type": "TREE", "learn_rate": 0.05, "max_iterations": 500, "early_stop": true, "dropout": 0.1})
            .as_object()
            .unwrap()
            .clone(),
    );
    let dnn = json!({"hidden_units": [64, 32], "activation_fn": "RELU", "optimizer": "ADAM", "batch_size": 32, "tf_version": "2.8.0"});
    let linear = json!({"l1_reg": 1e-7, "learn_rate_strategy": "LINE_SEARCH", "fit_intercept": false, "data_split_method": "NO_SPLIT"});
    let all = [("boosted_tree_regressor", boosted), ("random_forest_regressor", trees), ("dnn_regressor", dnn), ("linear_reg", linear)];
    let mut texts = Vec::new();
    for (model_type, params) in &all {
        let text = statement(model_type, params);
        let read = grammar::read(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        let grammar::Statement::Create { options, columns, parts, .. } = read else { panic!("{text}") };
        // Every option of the recipe is there, under its documented name.
        assert!(params.as_object().unwrap().keys().all(|name| options.contains_key(&name.to_uppercase())), "{text}");
        assert_eq!(columns[..3], ["ret_5", "it's `odd`", "label"]);
        assert_eq!(parts, if *model_type == "linear_reg" { vec!["train"] } else { vec!["train", "valid"] });
        texts.push(text);
    }
    texts.push(ml_text::predict("my-project.lab.model", &["ret_5".to_owned()], "my-project.lab.rows"));
    texts.push(ml_text::export("my-project.lab.model", "gs://models/cbi/model/"));
    assert!(matches!(grammar::read(&texts[4]), Ok(grammar::Statement::Predict { .. })));
    assert!(matches!(grammar::read(&texts[5]), Ok(grammar::Statement::Export { .. })));
    insta::assert_snapshot!("statements", texts.join(";\n\n"));
}

#[test]
fn the_reader_of_statements_refuses_what_google_does_not_document() {
    let sound = statement("boosted_tree_regressor", &json!({"max_tree_depth": 6}));
    for (from, to) in [
        ("MAX_TREE_DEPTH", "MAX_DEPTH"),
        ("= 6", "= 6.5"),
        ("'CUSTOM'", "'RANDOM'"),
        ("`split` = 'valid' AS `cbi_is_eval`", "`cbi_is_eval`"),
        ("CREATE OR REPLACE", "CREATE"),
        ("'cbi_is_eval'", "'split'"),
        ("'train', 'valid')", "'train', 'valid') LIMIT"),
        ("`my-project.lab.model`", "`lab.model`"),
    ] {
        let broken = sound.replacen(from, to, 1);
        assert!(broken != sound && grammar::read(&broken).is_err(), "{broken}");
    }
}

#[test]
fn a_model_of_bigquery_is_judged_weighed_and_forecasts_as_any_other() {
    let server = Server::start();
    let space = space(&server);
    let wanted = ["evaluate/line", "forecast/line"];
    let built = space.build(&wanted).ok();
    assert!(built.targets.contains("model/there/trained") && built.targets.contains("model/there"), "{built:?}");

    // The same line came out as here, through every step that knows neither.
    let (here, there) = (figures_of(&space, "model/here"), figures_of(&space, "model/there"));
    assert!(here.len() > 20 && here.keys().eq(there.keys()), "{here:?}");
    for (name, value) in &here {
        assert!((value - there[name]).abs() < 1e-9, "{name}: {value} here, {} there", there[name]);
    }
    let (here, there) = (json_of(&space, "model/here/model.json"), json_of(&space, "model/there/model.json"));
    assert_eq!(there["trained_on"][0], here["trained_on"][0], "both have seen the same train rows");
    assert_eq!(there["trained_on"][1]["split"], "valid", "and this one was stopped by the valid rows");
    assert_eq!((&there["kind"], &there["params"]["data_split_method"]), (&json!("bqml"), &json!("CUSTOM")));

    // Its files are in the store, and what it cost is told.
    let about = json_of(&space, "model/there/bigquery.json");
    let model = about["model"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let (intercept, slope) = server.state().models[&model];
    assert_eq!(space.read(".cbi-cache/out/model/there/exported/saved_model.pb"), format!("{intercept} {slope}"));
    assert_eq!(std::fs::read(space.path(".cbi-cache/out/model/there/exported/variables/variables.index")).unwrap(), slope.to_le_bytes());
    assert_eq!((&about["bytes_billed"], &about["iterations"], &about["eval_loss"]), (&json!(10_485_760), &json!(2), &json!(0.75)));
    assert_eq!(about["statement"], json!(server.state().statements[0]));
    let shown = String::from_utf8(space.command(&["show", "model/there"]).output().unwrap().stdout).unwrap();
    assert!(shown.contains("bytes_billed"), "{shown}");

    // Nothing changed: nobody is asked.
    server.take_asked();
    space.build(&wanted).ran(&[]);
    assert_eq!(server.take_asked(), Vec::<String>::new());

    // One more day asks about its rows and trains nothing.
    let prices = space.read("warehouse/fred.dcoilwtico.csv");
    let without: Vec<&str> = prices.trim_end().lines().collect();
    let trained = server.state().models.len();
    space.write("warehouse/fred.dcoilwtico.csv", format!("{}\n", without[..without.len() - 1].join("\n")));
    let built = space.build(&wanted).ok();
    assert!(built.targets.contains("model/there") && !built.targets.contains("model/there/trained"), "{:?}", built.targets);
    assert!(!built.targets.contains("model/here"), "{:?}", built.targets);
    assert_eq!(server.state().models.len(), trained);
    assert!(server.state().statements.iter().filter(|sql| sql.starts_with("CREATE")).count() == 1);
    let asked = server.take_asked();
    assert_eq!(asked.iter().filter(|path| path.starts_with("POST /upload")).count(), 2, "`fit` is there: {asked:#?}");

    // What BigQuery said is kept and not made again.
    let again = space.command(&["reproduce", "model/there"]).output().unwrap();
    assert_eq!(again.status.code(), Some(4), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("it is an observation of BigQuery"), "{again:?}");
}

/// Every figure that the evaluation has of a model.
fn figures_of(space: &TestSpace, model: &str) -> BTreeMap<String, f64> {
    let rows = table_file::read(&space.path(".cbi-cache/out/evaluate/line/metrics.parquet")).unwrap();
    let words = |name: &str| table_columns::strings(&rows, name).unwrap();
    let (models, by, segments) = (words("model"), words("by"), words("segment"));
    let mut found = BTreeMap::new();
    for name in table_columns::names(&rows) {
        let Ok(values) = table_columns::floats(&rows, &name) else { continue };
        for (at, value) in values.into_iter().enumerate().filter(|(at, _)| models[*at] == Some(model)) {
            found.extend(value.map(|value| (format!("{name} {:?} {:?}", by[at], segments[at]), value)));
        }
    }
    found
}

#[test]
fn a_lost_answer_or_cache_pays_for_nothing_twice_and_a_job_that_failed_is_followed_by_another() {
    let server = Server::start();
    let space = space(&server);
    let quota = ("quotaExceeded", "Quota exceeded: Your project exceeded quota for CREATE MODEL queries");
    server.state().failures = vec![(quota.0.to_owned(), quota.1.to_owned())];
    let built = space.build(&["model/there"]);
    let failed = built.failure("model/there/trained");
    assert_eq!(
        (built.code, failed["error"].as_str().unwrap()),
        (6, format!("BigQuery could not train the model ({}): {}", quota.0, quota.1).as_str())
    );

    // Answers that are lost on the way: what was done is found, and done once.
    server.state().lost = ["POST /upload", "POST /bigquery", "GET /bigquery/v2/projects/p1/queries/"].map(str::to_owned).into();
    space.build(&["model/there"]).ok();
    assert_eq!(server.state().lost, Vec::<String>::new());
    let created = |server: &Server| server.state().statements.iter().filter(|sql| sql.starts_with("CREATE")).count();
    assert_eq!(created(&server), 2);
    std::fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    server.take_asked();
    space.build(&["model/there"]).ok();
    assert_eq!(created(&server), 2, "the model that is there is the one that would be made");
    assert!(!server.take_asked().iter().any(|path| path.starts_with("POST /upload")));

    // Somebody threw it away: it is made again, by a job of another name.
    server.state().models.clear();
    std::fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    space.build(&["model/there"]).ok();
    assert_eq!(created(&server), 3);
}

#[test]
fn what_bigquery_refuses_is_told_with_the_way_out() {
    let server = Server::start();
    let space = space(&server);
    server.state().bare = true;
    let denied = "Access Denied: Dataset p1:lab: Permission bigquery.models.create denied on dataset p1:lab (or it may not exist).";
    for (begin, status, body, told, hint) in [
        (
            "POST /bigquery/v2/projects/p1/datasets",
            403,
            error(403, "accessDenied", "Access Denied: Project p1: Permission bigquery.datasets.create denied on project p1"),
            "BigQuery refuses to make the dataset p1.lab (HTTP 403, accessDenied)",
            "binding p1 --member=MEMBER --role=roles/bigquery.user",
        ),
        (
            "POST /upload/",
            403,
            error(403, "quotaExceeded", "Quota exceeded"),
            "load the frame's rows (HTTP 403, quotaExceeded)",
            "a quota is used up",
        ),
        ("POST /bigquery/v2/projects/p1/jobs", 403, error(403, "accessDenied", denied), denied, "--role=roles/bigquery.dataEditor"),
    ] {
        server.state().refusals = vec![(begin.to_owned(), status, body)];
        let built = space.build(&["model/there"]);
        let failed = built.failure("model/there/trained");
        assert_eq!(built.code, 6, "{built:?}");
        assert!(failed["error"].as_str().unwrap().contains(told) && failed["hint"].as_str().unwrap().contains(hint), "{failed}");
    }

    // What it may cost is BigQuery's own limit: for each statement its own, and what the statements before it left of the build's budget.
    server.state().refusals.clear();
    space.edit("recipes/wti/line.toml", "model_type", "max_bytes_billed = \"9MiB\"\nmodel_type");
    let built = space.build(&["model/there"]);
    let failed = built.failure("model/there/trained");
    assert!(built.code == 8 && failed["hint"].as_str().unwrap().contains("raise max_bytes_billed in the recipe"), "{failed}");
    space.edit("recipes/wti/line.toml", "max_bytes_billed = \"9MiB\"\n", "");
    space.edit("cbi.toml", "[bigquery]", "[bigquery]\nprice_per_tib = 1024\nbudget = \"30MiB\"");
    let built = space.build(&["model/there"]);
    assert!(built.code == 8 && built.targets.contains("model/there/trained"), "{built:?}");
    assert!(built.failure("model/there")["error"].as_str().unwrap().contains("used up this build's budget"), "{built:?}");
    std::fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    server.state().models.clear();
    space.edit("cbi.toml", "30MiB", "50MiB");
    space.build(&["model/there"]).ok();
    let output = space.command(&["log", "--cost", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The bill, not the steps' share of it: jobs of the builds before are found again, and were paid for.
    assert_eq!(told["totals"], json!({"jobs": 8, "bytes_billed": 80 << 20, "cost": 0.078_125}));
    std::fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    server.state().models.clear();

    // A bucket that may be written to and not read: the model is there, and where its files are.
    server.state().refusals =
        vec![("GET /storage/".to_owned(), 403, error(403, "forbidden", "cbi does not have storage.objects.list access"))];
    let built = space.build(&["model/there"]).ok();
    let ran = built.events.iter().find(|event| event["event"] == "ran" && event["target"] == "model/there/trained").unwrap();
    assert!(ran["notes"][0].as_str().unwrap().starts_with("exported to gs://models/cbi/cbi_bqml_"), "{ran}");
    assert!(!space.path(".cbi-cache/out/model/there/exported").exists());
}

#[test]
fn a_row_without_an_answer_is_no_forecast() {
    let server = Server::start();
    let space = space(&server);
    server.state().left_out = 1;
    let built = space.build(&["forecast/line"]);
    let told = built.failure("model/there")["error"].as_str().unwrap().to_owned();
    assert!(told.starts_with("BigQuery answered ") && told.ends_with("the first that it did not answer is 1987-01-05"), "{told}");
}

#[test]
fn a_recipe_that_asks_for_a_random_split_or_for_what_is_not_there_is_refused() {
    let server = Server::start();
    let space = space(&server);
    let refused = |from: &str, to: &str, target: &str| {
        space.write("recipes/wti/line.toml", RECIPE.replacen(from, to, 1));
        let built = space.build_plainly(&[target]);
        assert_eq!(built.code, 3, "{built:?}");
        built.stderr
    };
    let params = "{ optimize_strategy = \"NORMAL_EQUATION\" }";
    let told = refused(params, "{ data_split_method = \"RANDOM\" }", "model/there");
    assert!(told.contains("'data_split_method' cannot be used but as CUSTOM or NO_SPLIT"), "{told}");
    let told = refused(params, "{ max_iteration = 3 }", "model/there");
    assert!(told.contains("a linear_reg has no parameter 'max_iteration'") && told.contains("did you mean 'max_iterations'?"), "{told}");
    let told =
        refused("[forecast.", "[refit.\"model/again\"]\nframe = \"frame/line\"\nmodel = \"model/there\"\n\n[forecast.", "model/again");
    assert!(told.contains("'model/there' was trained in BigQuery, and is not trained again here"), "{told}");
    assert_eq!(server.take_asked(), Vec::<String>::new());

    space.write("recipes/wti/line.toml", RECIPE);
    let text = space.read("cbi.toml");
    space.write("cbi.toml", text.split("[bigquery]").next().unwrap());
    let built = space.build_plainly(&["model/there"]);
    assert!(built.code == 3 && built.stderr.contains("needs to know which project of BigQuery"), "{built:?}");
}
