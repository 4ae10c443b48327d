//! Owns the options of BigQuery ML that a recipe may give, as Google documents them for each type of model. Invariant: none lets BigQuery choose which
//! rows a model learns from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::bigquery::ml_text::SPLIT_METHOD;
use crate::engine::parameters::Form::{Bool, Int, Lags, Number, Word};
use crate::engine::parameters::{Owned, Parameter, ParameterError, Vocabulary};

/// The types of models, as recipes write them.
pub const MODEL_TYPES: &[&str] = &["boosted_tree_regressor", "random_forest_regressor", "linear_reg", "dnn_regressor"];

/// Those whose rows may have weights.
pub const WEIGHTED: [&str; 2] = ["boosted_tree_regressor", "random_forest_regressor"];

const SPLIT: Parameter = Parameter::new(SPLIT_METHOD, Word(&["CUSTOM", "NO_SPLIT"]));
const TREE_METHODS: &[&str] = &["AUTO", "EXACT", "APPROX", "HIST"];
const ENCODINGS: &[&str] = &["ONE_HOT_ENCODING", "TARGET_ENCODING", "LABEL_ENCODING"];

const OWNED: &[Owned] = &[
    Owned { names: &["model_type"], instead: "it is a key of the stanza" },
    Owned { names: &["input_label_cols", "instance_weight_col", "data_split_col"], instead: "the frame says it" },
    Owned {
        names: &["data_split_eval_fraction", "data_split_test_fraction"],
        instead: "the frame's `split` says which rows judge: a share of them, drawn or counted, is known to nobody else",
    },
    Owned { names: &["auto_class_weights", "class_weights"], instead: "it is for classifiers" },
    Owned { names: &["warm_start"], instead: "a model must hang on its frame and its options alone" },
    Owned {
        names: &["num_trials", "max_parallel_trials", "hparam_tuning_algorithm", "hparam_tuning_objectives"],
        instead: "a search in BigQuery would divide the rows anew; write a stanza for each choice, and let `evaluate` compare",
    },
    Owned {
        names: &["model_registry", "vertex_ai_model_id", "vertex_ai_model_version_aliases", "kms_key_name"],
        instead: "cbi keeps models itself",
    },
];

static BOOSTED_TREE: Vocabulary = Vocabulary {
    library: "a boosted_tree_regressor",
    version: "",
    parameters: &[
        Parameter::new("booster_type", Word(&["GBTREE", "DART"])),
        Parameter::new("dart_normalize_type", Word(&["TREE", "FOREST"])),
        Parameter::new("num_parallel_tree", Int),
        Parameter::new("max_tree_depth", Int),
        Parameter::new("dropout", Number),
        Parameter::new("l1_reg", Number),
        Parameter::new("l2_reg", Number),
        Parameter::new("learn_rate", Number),
        Parameter::new("tree_method", Word(TREE_METHODS)),
        Parameter::new("min_tree_child_weight", Int),
        Parameter::new("colsample_bytree", Number),
        Parameter::new("colsample_bylevel", Number),
        Parameter::new("colsample_bynode", Number),
        Parameter::new("min_split_loss", Number),
        Parameter::new("subsample", Number),
        Parameter::new("xgboost_version", Word(&["0.9", "1.1"])),
        Parameter::new("category_encoding_method", Word(ENCODINGS)),
        Parameter::new("enable_global_explain", Bool),
        Parameter::new("approx_global_feature_contrib", Bool),
        Parameter::new("early_stop", Bool),
        Parameter::new("min_rel_progress", Number),
        Parameter::new("max_iterations", Int),
        SPLIT,
    ],
    owned: OWNED,
};

static RANDOM_FOREST: Vocabulary = Vocabulary {
    library: "a random_forest_regressor",
    version: "",
    parameters: &[
        Parameter::new("num_parallel_tree", Int),
        Parameter::new("max_tree_depth", Int),
        Parameter::new("l1_reg", Number),
        Parameter::new("l2_reg", Number),
        Parameter::new("tree_method", Word(TREE_METHODS)),
        Parameter::new("min_tree_child_weight", Int),
        Parameter::new("colsample_bytree", Number),
        Parameter::new("colsample_bylevel", Number),
        Parameter::new("colsample_bynode", Number),
        Parameter::new("min_split_loss", Number),
        Parameter::new("subsample", Number),
        Parameter::new("xgboost_version", Word(&["0.9", "1.1"])),
        Parameter::new("enable_global_explain", Bool),
        Parameter::new("approx_global_feature_contrib", Bool),
        Parameter::new("early_stop", Bool),
        Parameter::new("min_rel_progress", Number),
        SPLIT,
    ],
    owned: OWNED,
};

static LINEAR: Vocabulary = Vocabulary {
    library: "a linear_reg",
    version: "",
    parameters: &[
        Parameter::new("optimize_strategy", Word(&["AUTO_STRATEGY", "BATCH_GRADIENT_DESCENT", "NORMAL_EQUATION"])),
        Parameter::new("learn_rate_strategy", Word(&["LINE_SEARCH", "CONSTANT"])),
        Parameter::new("learn_rate", Number),
        Parameter::new("ls_init_learn_rate", Number),
        Parameter::new("calculate_p_values", Bool),
        Parameter::new("fit_intercept", Bool),
        Parameter::new("category_encoding_method", Word(&["ONE_HOT_ENCODING", "DUMMY_ENCODING"])),
        Parameter::new("enable_global_explain", Bool),
        Parameter::new("l1_reg", Number),
        Parameter::new("l2_reg", Number),
        Parameter::new("early_stop", Bool),
        Parameter::new("min_rel_progress", Number),
        Parameter::new("max_iterations", Int),
        SPLIT,
    ],
    owned: OWNED,
};

static DNN: Vocabulary = Vocabulary {
    library: "a dnn_regressor",
    version: "",
    parameters: &[
        Parameter::new("learn_rate", Number),
        Parameter::new("optimizer", Word(&["ADAGRAD", "ADAM", "FTRL", "RMSPROP", "SGD"])),
        Parameter::new("l1_reg", Number),
        Parameter::new("l2_reg", Number),
        Parameter::new("activation_fn", Word(&["RELU", "RELU6", "CRELU", "ELU", "SELU", "SIGMOID", "TANH"])),
        Parameter::new("batch_size", Int),
        Parameter::new("dropout", Number),
        Parameter::new("hidden_units", Lags),
        Parameter::new("integrated_gradients_num_steps", Int),
        Parameter::new("tf_version", Word(&["1.15", "2.8.0"])),
        Parameter::new("enable_global_explain", Bool),
        Parameter::new("early_stop", Bool),
        Parameter::new("min_rel_progress", Number),
        Parameter::new("max_iterations", Int),
        SPLIT,
    ],
    owned: OWNED,
};

/// The options of a model of this type, checked; how rows are divided is said in any case.
///
/// # Errors
/// The first that is unknown, not a recipe's to say, or of the wrong form.
pub fn checked(model_type: &str, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    if let Some("AUTO_SPLIT" | "RANDOM" | "SEQ") = given.get(SPLIT_METHOD).and_then(Value::as_str) {
        let why = "BigQuery would choose the rows that judge, next to ones that were learnt from; the frame's `split` says which they are";
        return Err(ParameterError::Clash { name: SPLIT_METHOD.to_owned(), with: "but as CUSTOM or NO_SPLIT", why });
    }
    let vocabulary = match model_type {
        "random_forest_regressor" => &RANDOM_FOREST,
        "linear_reg" => &LINEAR,
        "dnn_regressor" => &DNN,
        _ => &BOOSTED_TREE,
    };
    let mut options = vocabulary.check(given)?;
    if let Some(units) = options.get_mut("hidden_units").filter(|units| units.is_u64()) {
        *units = json!([units]);
    }
    options.entry(SPLIT_METHOD.to_owned()).or_insert(json!("CUSTOM"));
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(model_type: &str, params: Value) -> String {
        let Value::Object(given) = params else { panic!("a table") };
        let error = checked(model_type, &given).unwrap_err();
        format!("{error} {}", error.hint().unwrap_or_default())
    }

    #[test]
    fn an_option_that_a_type_has_not_is_refused_with_the_nearest() {
        let told = refusal("boosted_tree_regressor", json!({"max_depth": 6}));
        assert_eq!(told, "a boosted_tree_regressor has no parameter 'max_depth' did you mean 'max_tree_depth'?");
        let told = refusal("linear_reg", json!({"learning_rate": 0.1}));
        assert_eq!(told, "a linear_reg has no parameter 'learning_rate' did you mean 'learn_rate'?");
        assert!(refusal("dnn_regressor", json!({"max_tree_depth": 6})).starts_with("a dnn_regressor has no parameter 'max_tree_depth'"));
        assert!(
            refusal("boosted_tree_regressor", json!({"booster_type": "dart"})).starts_with("'booster_type' must be one of GBTREE, DART")
        );
    }

    #[test]
    fn rows_are_never_divided_by_bigquery() {
        for method in ["RANDOM", "SEQ", "AUTO_SPLIT"] {
            let told = refusal("linear_reg", json!({"data_split_method": method}));
            assert!(told.starts_with("'data_split_method' cannot be used but as CUSTOM or NO_SPLIT: BigQuery would choose"), "{told}");
        }
        assert!(refusal("linear_reg", json!({"data_split_eval_fraction": 0.2})).contains("may not be set here: the frame's `split` says"));
        assert!(refusal("linear_reg", json!({"num_trials": 20})).contains("a search in BigQuery would divide the rows anew"));
        let plain = checked("dnn_regressor", json!({"hidden_units": 32}).as_object().unwrap()).unwrap();
        assert_eq!(json!(plain), json!({"data_split_method": "CUSTOM", "hidden_units": [32]}));
    }
}
