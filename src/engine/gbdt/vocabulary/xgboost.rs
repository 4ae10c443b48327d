//! Owns the list of `XGBoost`'s parameters (documentation of 3.2.0). Invariant: every documented parameter is either here to be given or named as
//! owned by something else.

use crate::engine::parameters::Form::{self, Bool, Groups, Int, Number, Signs, Types, Word, Words};
use crate::engine::parameters::{Owned, Parameter, Vocabulary};

/// Objectives whose prediction is a number on the label's scale.
const OBJECTIVES: &[&str] = &[
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:pseudohubererror",
    "reg:absoluteerror",
    "reg:quantileerror",
    "reg:gamma",
    "reg:tweedie",
    "count:poisson",
];

/// Metrics of a number, all of them errors: less is better.
const METRICS: &[&str] = &["rmse", "rmsle", "mae", "mape", "mphe", "quantile", "poisson-nloglik", "gamma-nloglik", "gamma-deviance"];

const fn parameter(name: &'static str, aliases: &'static [&'static str], form: Form) -> Parameter {
    Parameter { name, aliases, form }
}

/// `XGBoost`'s parameters.
pub static XGBOOST: Vocabulary = Vocabulary {
    library: "xgboost",
    version: "3.2.0",
    parameters: &[
        parameter("num_boost_round", &["n_estimators", "num_round"], Int),
        parameter("early_stopping_rounds", &[], Int),
        parameter("seed", &["random_state"], Int),
        parameter("seed_per_iteration", &[], Bool),
        parameter("objective", &[], Word(OBJECTIVES)),
        parameter("base_score", &[], Number),
        parameter("eval_metric", &[], Words(METRICS)),
        parameter("booster", &[], Word(&["gbtree", "dart", "gblinear"])),
        parameter("eta", &["learning_rate"], Number),
        parameter("gamma", &["min_split_loss"], Number),
        parameter("max_depth", &[], Int),
        parameter("min_child_weight", &[], Number),
        parameter("max_delta_step", &[], Number),
        parameter("subsample", &[], Number),
        parameter("sampling_method", &[], Word(&["uniform"])),
        parameter("colsample_bytree", &[], Number),
        parameter("colsample_bylevel", &[], Number),
        parameter("colsample_bynode", &[], Number),
        parameter("lambda", &["reg_lambda"], Number),
        parameter("alpha", &["reg_alpha"], Number),
        parameter("tree_method", &[], Word(&["auto", "exact", "approx", "hist"])),
        parameter("grow_policy", &[], Word(&["depthwise", "lossguide"])),
        parameter("max_leaves", &[], Int),
        parameter("max_bin", &[], Int),
        parameter("num_parallel_tree", &[], Int),
        parameter("monotone_constraints", &[], Signs),
        parameter("interaction_constraints", &[], Groups),
        parameter("feature_types", &[], Types(&["c", "q"])),
        parameter("max_cat_to_onehot", &[], Int),
        parameter("max_cat_threshold", &[], Int),
        parameter("max_cached_hist_node", &[], Int),
        parameter("sample_type", &[], Word(&["uniform", "weighted"])),
        parameter("normalize_type", &[], Word(&["tree", "forest"])),
        parameter("rate_drop", &[], Number),
        parameter("one_drop", &[], Bool),
        parameter("skip_drop", &[], Number),
        parameter("updater", &[], Word(&["shotgun", "coord_descent"])),
        parameter("feature_selector", &[], Word(&["cyclic", "shuffle", "random", "greedy", "thrifty"])),
        parameter("top_k", &[], Int),
        parameter("tweedie_variance_power", &[], Number),
        parameter("huber_slope", &[], Number),
        parameter("quantile_alpha", &[], Number),
    ],
    owned: &[
        Owned { names: &["nthread", "n_jobs"], instead: "the scheduler gives a step its threads; set `threads` in the stanza" },
        Owned { names: &["device", "gpu_id"], instead: "models are trained on the CPU, where the same rows give the same bits" },
        Owned {
            names: &[
                "verbosity",
                "validate_parameters",
                "disable_default_eval_metric",
                "use_rmm",
                "use_cuda_async_pool",
                "extmem_single_page",
            ],
            instead: "it is fixed, so that the same rows give the same bits",
        },
        Owned {
            names: &["process_type", "refresh_leaf", "xgb_model", "model_in", "model_out", "save_period", "task", "data", "test:data"],
            instead: "a step reads its declared inputs and writes its declared outputs, nothing else",
        },
        Owned {
            names: &["num_feature", "missing", "feature_weights"],
            instead: "the frame gives rows, weights and features; missing is NULL",
        },
        Owned { names: &["enable_categorical"], instead: "say which features are codes of categories: feature_types = { month = \"c\" }" },
        Owned {
            names: &["num_class", "scale_pos_weight", "multi_strategy", "aft_loss_distribution", "aft_loss_distribution_scale"],
            instead: "it is about other labels than one price",
        },
        Owned {
            names: &[
                "lambdarank_pair_method",
                "lambdarank_num_pair_per_sample",
                "lambdarank_normalization",
                "lambdarank_score_normalization",
                "lambdarank_unbiased",
                "lambdarank_bias_norm",
                "ndcg_exp_gain",
            ],
            instead: "it is about ranking; a frame's label is a price",
        },
        Owned {
            names: &["obj", "custom_metric", "feval", "maximize"],
            instead: "functions cannot be given in a recipe; name an objective or a metric",
        },
    ],
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alias_is_the_parameter_it_stands_for() {
        let given = json!({"learning_rate": 0.05, "n_estimators": 500, "eval_metric": ["mae", "rmse"]});
        let found = XGBOOST.check(given.as_object().unwrap()).unwrap();
        assert_eq!(json!(found), json!({"eta": 0.05, "num_boost_round": 500, "eval_metric": ["mae", "rmse"]}));
    }

    #[test]
    fn a_classifier_is_refused() {
        let given = json!({"objective": "binary:logistic"});
        let error = XGBOOST.check(given.as_object().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("'objective' must be one of reg:squarederror"), "{error}");
    }
}
