//! What another kind of machine made, made again here: the same bits, equal within the tolerance that the recipe declares, or different. This machine can be
//! only one kind, so the other's records are written by hand: its platform, and numbers that differ as another processor's would.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/space.rs"]
mod space;

use cbi::model::result::ActionResult;
use cbi::store::action_cache::Session;
use cbi::store::content::Batch;
use serde_json::Value;
use space::TestSpace;

const RECIPES: &str = r#"
[sql."far.prices"]
query = "SELECT date, price, date < DATE '2000-01-01' AS early FROM wti.daily"
key = ["date"]
TOLERANCE

[sql."far.others"]
query = "SELECT date, price * (1 + 1e-12) AS price, date < DATE '2000-01-01' AS early FROM wti.daily"
key = ["date"]

[sql."far.words"]
query = "SELECT date, price, date < DATE '1999-01-01' AS early FROM wti.daily"
key = ["date"]

[command."far.text"]
shell = "echo 'mae 1.25, n 3' > told.txt; printf 1.5 > bare.csv"
outputs = ["told.txt", "bare.csv"]
TOLERANCE

[command."far.texts"]
shell = "echo 'mae 1.25, n 3' > told.txt; printf 1.500000000001 > bare.csv"
outputs = ["told.txt", "bare.csv"]

[command."far.above"]
shell = "cat told.txt > again.txt"
needs = ["far.text"]
outputs = ["again.txt"]
"#;

fn space(tolerance: &str) -> TestSpace {
    let space = TestSpace::wti();
    space.write("recipes/far.toml", RECIPES.replace("TOLERANCE", tolerance));
    space
}

/// Runs `cbi reproduce` with `--json`, which must end with this code.
fn reproduce(space: &TestSpace, arguments: &[&str], code: i32) -> Value {
    let output = space.command(&[&["reproduce"], arguments, &["--json"]].concat()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap()
}

fn result_of(session: &Session, target: &str) -> ActionResult {
    let mut found = None;
    let each = |result: ActionResult| {
        if result.target == target && result.action.platform.contains("x86") {
            found = Some(result);
        }
        true
    };
    session.each_result(each).unwrap();
    found.unwrap_or_else(|| panic!("nothing is recorded of {target}"))
}

/// Records that another kind of machine ran `target`'s action and made what `made` has here; the action's key.
fn recorded(space: &TestSpace, platform: &str, target: &str, made: &str) -> String {
    let session = Session::open(&space.path(".cbi-cache")).unwrap();
    let (own, other) = (result_of(&session, target), result_of(&session, made));
    let mut action = own.action.clone();
    platform.clone_into(&mut action.platform);
    if platform.contains("aarch64") {
        for identity in action.engines.values_mut() {
            *identity = format!("{}, for another processor", &identity[..12.min(identity.len())]);
        }
    }
    let result = ActionResult { key: action.key(), action, outputs: other.outputs, metrics: other.metrics, ..own };
    session.record(&result, &Batch::new()).unwrap();
    result.key.to_string()
}

const ARM: &str = "linux-aarch64-base";
const OLD: &str = "linux-x86_64-sse2";

#[test]
fn numbers_of_another_processor_are_equal_within_the_declared_tolerance_and_never_called_the_same() {
    let space = space("tolerance = 1e-9");
    space.build(&["far.*"]).ok();
    for platform in [ARM, OLD] {
        let same = reproduce(&space, &[&recorded(&space, platform, "far.prices", "far.prices")], 0);
        assert_eq!((same["outcome"].as_str(), same["made_on"].as_str()), (Some("identical"), Some(platform)), "{same}");
        for (target, other, place) in [("far.prices", "far.others", "price, row "), ("far.text", "far.texts", "line 1")] {
            let near = reproduce(&space, &[&recorded(&space, platform, target, other)], 0);
            assert_eq!((near["outcome"].as_str(), near["tolerance"].as_f64()), (Some("within"), Some(1e-9)), "{near}");
            assert!(near["how"][0].as_str().unwrap().contains(place), "{near}");
        }
        // A word, a day or a yes is no number.
        let beyond = reproduce(&space, &[&recorded(&space, platform, "far.prices", "far.words")], 4);
        assert_eq!(beyond["outcome"].as_str(), Some("differs"), "{beyond}");
        assert!(beyond["how"][0].as_str().unwrap().contains("early, row "), "{beyond}");
    }
    let text = space.command(&["reproduce", &recorded(&space, ARM, "far.prices", "far.others")]).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("equal within 1e-9, not bit for bit") && text.contains("made on    linux-aarch64-base, and again on linux-x86_64"),
        "{text}"
    );
    // It is nobody's result here: what this machine needs it makes itself.
    space.build(&["far.prices"]).ran(&[]);
    assert_eq!(space.build(&["far.prices"]).counts.unwrap().0, 0);
}

#[test]
fn without_a_tolerance_and_beyond_it_another_processors_result_differs() {
    let strict = space("");
    strict.build(&["far.*"]).ok();
    let differs = reproduce(&strict, &[&recorded(&strict, ARM, "far.prices", "far.others")], 4);
    assert_eq!(differs["outcome"].as_str(), Some("differs"));
    assert!(differs["how"].as_array().unwrap().iter().any(|how| how.as_str().unwrap().contains("declares no `tolerance`")), "{differs}");
    let tight = space("tolerance = 1e-14");
    tight.build(&["far.*"]).ok();
    assert_eq!(reproduce(&tight, &[&recorded(&tight, ARM, "far.prices", "far.others")], 4)["outcome"].as_str(), Some("differs"));
    // On this machine's own kind bits count, whatever the recipe declares.
    let own = space("tolerance = 0.5");
    own.build(&["far.*"]).ok();
    let session = Session::open(&own.path(".cbi-cache")).unwrap();
    let (mine, others) = (result_of(&session, "far.prices"), result_of(&session, "far.others"));
    let forged = ActionResult { outputs: others.outputs, ..mine.clone() };
    session.record(&forged, &Batch::new()).unwrap();
    drop(session);
    assert_eq!(reproduce(&own, &[&mine.key.to_string()], 4)["outcome"].as_str(), Some("differs"));
}

#[test]
fn models_are_compared_by_what_they_forecast() {
    let space = TestSpace::wti();
    let (model, other) = ("model/wti/xgboost/1w", "model/far/1w");
    let header = "[xgboost.\"model/wti/xgboost/{horizon.name}\"]";
    space.edit("recipes/wti/models.toml", header, &format!("{header}\ntolerance = 0.2"));
    let params = "objective = \"reg:squarederror\"\neval_metric = \"rmse\"\ntree_method = \"hist\"\nnum_boost_round = 30\neta = 0.1\nmax_depth = 2\nseed = 7";
    space.write("recipes/far.toml", format!("[xgboost.\"{other}\"]\nframe = \"frame/wti/1w\"\n\n[xgboost.\"{other}\".params]\n{params}\n"));
    space.build(&[model, other]).ok();
    let near = reproduce(&space, &[&recorded(&space, ARM, model, other)], 0);
    assert_eq!(near["outcome"].as_str(), Some("within"), "{near}");
    assert!(near["how"].to_string().contains("model/forecasts: up to") && near["how"].to_string().contains("the forecast of "), "{near}");
    space.edit("recipes/wti/models.toml", "tolerance = 0.2", "tolerance = 1e-9");
    assert_eq!(reproduce(&space, &[&recorded(&space, ARM, model, other)], 4)["outcome"].as_str(), Some("differs"));
}

#[test]
fn a_deep_reproduction_goes_on_over_what_is_within_and_names_it() {
    let space = space("tolerance = 1e-9");
    space.build(&["far.*"]).ok();
    // All of it made elsewhere: what stands above was made from the other's bits.
    recorded(&space, ARM, "far.text", "far.texts");
    let session = Session::open(&space.path(".cbi-cache")).unwrap();
    let (below, above) = (result_of(&session, "far.texts"), result_of(&session, "far.above"));
    let mut action = above.action.clone();
    ARM.clone_into(&mut action.platform);
    let id = below.outputs.values().next().unwrap().id();
    for input in action.inputs.values_mut() {
        *input = cbi::model::action::Input::Artifact(id);
    }
    let result = ActionResult { key: action.key(), action, ..above };
    session.record(&result, &Batch::new()).unwrap();
    drop(session);
    let done = reproduce(&space, &[&result.key.to_string(), "--deep"], 0);
    assert_eq!(done["outcome"].as_str(), Some("identical"), "{done}");
    assert_eq!(done["compared"].as_u64(), Some(2), "{done}");
}

#[test]
fn a_tolerance_that_is_none_is_refused_where_it_stands() {
    for wrong in ["-1e-9", "1.0", "2"] {
        let space = space(&format!("tolerance = {wrong}"));
        let output = space.command(&["build", "far.prices"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(3)
                && told.contains("a tolerance is a share from 0 up to less than 1")
                && told.contains("recipes/far.toml"),
            "{told}"
        );
    }
}
