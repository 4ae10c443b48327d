//! Owns the list of `LightGBM`'s parameters. Invariant: it holds every parameter and alias that the library itself lists (`LGBM_DumpParamAliases`,
//! 4.7.0), and nothing else.

use crate::engine::parameters::Form::{self, Bool, Features, Groups, Int, Number, Numbers, Signs, Word, Words};
use crate::engine::parameters::{Owned, Parameter, Vocabulary};

/// Objectives whose prediction is a number on the label's scale.
const OBJECTIVES: &[&str] = &[
    "regression",
    "regression_l2",
    "l2",
    "mean_squared_error",
    "mse",
    "l2_root",
    "root_mean_squared_error",
    "rmse",
    "regression_l1",
    "l1",
    "mean_absolute_error",
    "mae",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "mean_absolute_percentage_error",
    "gamma",
    "tweedie",
];

/// Metrics of a number, all of them errors: less is better.
const METRICS: &[&str] = &[
    "l1",
    "mean_absolute_error",
    "mae",
    "regression_l1",
    "l2",
    "mean_squared_error",
    "mse",
    "regression_l2",
    "regression",
    "rmse",
    "root_mean_squared_error",
    "l2_root",
    "quantile",
    "mape",
    "mean_absolute_percentage_error",
    "huber",
    "fair",
    "poisson",
    "gamma",
    "gamma_deviance",
    "tweedie",
];

const fn parameter(name: &'static str, aliases: &'static [&'static str], form: Form) -> Parameter {
    Parameter { name, aliases, form }
}

/// `LightGBM`'s parameters.
pub static LIGHTGBM: Vocabulary = Vocabulary {
    library: "lightgbm",
    version: "4.7.0",
    parameters: &[
        parameter("objective", &["app", "application", "loss", "objective_type"], Word(OBJECTIVES)),
        parameter("boosting", &["boost", "boosting_type"], Word(&["gbdt", "gbrt", "rf", "random_forest", "dart"])),
        parameter("data_sample_strategy", &[], Word(&["bagging", "goss"])),
        parameter(
            "num_iterations",
            &[
                "max_iter",
                "n_estimators",
                "n_iter",
                "nrounds",
                "num_boost_round",
                "num_iteration",
                "num_round",
                "num_rounds",
                "num_tree",
                "num_trees",
            ],
            Int,
        ),
        parameter("learning_rate", &["eta", "shrinkage_rate"], Number),
        parameter("num_leaves", &["max_leaf", "max_leaf_nodes", "max_leaves", "num_leaf"], Int),
        parameter("seed", &["random_seed", "random_state"], Int),
        parameter("force_col_wise", &[], Bool),
        parameter("force_row_wise", &[], Bool),
        parameter("histogram_pool_size", &["hist_pool_size"], Number),
        parameter("max_depth", &[], Int),
        parameter("min_data_in_leaf", &["min_child_samples", "min_data", "min_data_per_leaf", "min_samples_leaf"], Int),
        parameter("min_sum_hessian_in_leaf", &["min_child_weight", "min_hessian", "min_sum_hessian", "min_sum_hessian_per_leaf"], Number),
        parameter("bagging_fraction", &["bagging", "sub_row", "subsample"], Number),
        parameter("bagging_freq", &["subsample_freq"], Int),
        parameter("bagging_seed", &["bagging_fraction_seed"], Int),
        parameter("feature_fraction", &["colsample_bytree", "sub_feature"], Number),
        parameter("feature_fraction_bynode", &["colsample_bynode", "sub_feature_bynode"], Number),
        parameter("feature_fraction_seed", &[], Int),
        parameter("extra_trees", &["extra_tree"], Bool),
        parameter("extra_seed", &[], Int),
        parameter("early_stopping_round", &["early_stopping", "early_stopping_rounds", "n_iter_no_change"], Int),
        parameter("early_stopping_min_delta", &[], Number),
        parameter("first_metric_only", &[], Bool),
        parameter("max_delta_step", &["max_leaf_output", "max_tree_output"], Number),
        parameter("lambda_l1", &["l1_regularization", "reg_alpha"], Number),
        parameter("lambda_l2", &["l2_regularization", "lambda", "reg_lambda"], Number),
        parameter("linear_lambda", &[], Number),
        parameter("min_gain_to_split", &["min_split_gain"], Number),
        parameter("drop_rate", &["rate_drop"], Number),
        parameter("max_drop", &[], Int),
        parameter("skip_drop", &[], Number),
        parameter("xgboost_dart_mode", &[], Bool),
        parameter("uniform_drop", &[], Bool),
        parameter("drop_seed", &[], Int),
        parameter("top_rate", &[], Number),
        parameter("other_rate", &[], Number),
        parameter("min_data_per_group", &[], Int),
        parameter("max_cat_threshold", &[], Int),
        parameter("cat_l2", &[], Number),
        parameter("cat_smooth", &[], Number),
        parameter("max_cat_to_onehot", &[], Int),
        parameter("monotone_constraints", &["mc", "monotone_constraint", "monotonic_cst"], Signs),
        parameter(
            "monotone_constraints_method",
            &["mc_method", "monotone_constraining_method"],
            Word(&["basic", "intermediate", "advanced"]),
        ),
        parameter("monotone_penalty", &["mc_penalty", "monotone_splits_penalty", "ms_penalty"], Number),
        parameter("feature_contri", &["fc", "feature_contrib", "feature_penalty", "fp"], Numbers),
        parameter("cegb_tradeoff", &[], Number),
        parameter("cegb_penalty_split", &[], Number),
        parameter("cegb_penalty_feature_lazy", &[], Numbers),
        parameter("cegb_penalty_feature_coupled", &[], Numbers),
        parameter("path_smooth", &[], Number),
        parameter("interaction_constraints", &[], Groups),
        parameter("use_quantized_grad", &[], Bool),
        parameter("num_grad_quant_bins", &[], Int),
        parameter("quant_train_renew_leaf", &[], Bool),
        parameter("stochastic_rounding", &[], Bool),
        parameter("linear_tree", &["linear_trees"], Bool),
        parameter("max_bin", &["max_bins"], Int),
        parameter("max_bin_by_feature", &[], Numbers),
        parameter("min_data_in_bin", &[], Int),
        parameter("bin_construct_sample_cnt", &["subsample_for_bin"], Int),
        parameter("data_random_seed", &["data_seed"], Int),
        parameter("is_enable_sparse", &["enable_sparse", "is_sparse", "sparse"], Bool),
        parameter("enable_bundle", &["bundle", "is_enable_bundle"], Bool),
        parameter("use_missing", &[], Bool),
        parameter("zero_as_missing", &[], Bool),
        parameter("feature_pre_filter", &[], Bool),
        parameter("categorical_feature", &["cat_column", "cat_feature", "categorical_column", "categorical_features"], Features),
        parameter("objective_seed", &[], Int),
        parameter("boost_from_average", &[], Bool),
        parameter("reg_sqrt", &[], Bool),
        parameter("alpha", &[], Number),
        parameter("fair_c", &[], Number),
        parameter("poisson_max_delta_step", &[], Number),
        parameter("tweedie_variance_power", &[], Number),
        parameter("metric", &["metric_types", "metrics"], Words(METRICS)),
    ],
    owned: &[
        Owned {
            names: &["num_threads", "n_jobs", "nthread", "nthreads", "num_thread"],
            instead: "the scheduler gives a step its threads; set `threads` in the stanza",
        },
        Owned {
            names: &[
                "data",
                "data_filename",
                "train",
                "train_data",
                "train_data_file",
                "valid",
                "test",
                "test_data",
                "test_data_file",
                "valid_data",
                "valid_data_file",
                "valid_filenames",
                "header",
                "has_header",
                "label_column",
                "label",
                "weight_column",
                "weight",
                "group_column",
                "group",
                "group_id",
                "query",
                "query_column",
                "query_id",
                "ignore_column",
                "blacklist",
                "ignore_feature",
                "two_round",
                "two_round_loading",
                "use_two_round_loading",
                "save_binary",
                "is_save_binary",
                "is_save_binary_file",
                "precise_float_parser",
                "parser_config_file",
                "pre_partition",
                "is_pre_partition",
            ],
            instead: "the frame gives rows, label, weight and features; set them in the frame",
        },
        Owned {
            names: &[
                "input_model",
                "model_in",
                "model_input",
                "output_model",
                "model_out",
                "model_output",
                "snapshot_freq",
                "save_period",
                "convert_model",
                "convert_model_file",
                "convert_model_language",
                "output_result",
                "name_pred",
                "pred_name",
                "predict_name",
                "predict_result",
                "prediction_name",
                "prediction_result",
                "forcedsplits_filename",
                "forced_splits",
                "forced_splits_file",
                "forced_splits_filename",
                "fs",
                "forcedbins_filename",
                "config",
                "config_file",
                "saved_feature_importance_type",
                "refit_decay_rate",
            ],
            instead: "a step reads its declared inputs and writes its declared outputs, nothing else",
        },
        Owned { names: &["task", "task_type"], instead: "a learner trains; `evaluate` and `forecast` predict" },
        Owned {
            names: &[
                "start_iteration_predict",
                "num_iteration_predict",
                "predict_raw_score",
                "is_predict_raw_score",
                "predict_rawscore",
                "raw_score",
                "predict_leaf_index",
                "is_predict_leaf_index",
                "leaf_index",
                "predict_contrib",
                "contrib",
                "is_predict_contrib",
                "predict_disable_shape_check",
                "pred_early_stop",
                "pred_early_stop_freq",
                "pred_early_stop_margin",
            ],
            instead: "it is about prediction; a model always predicts with the rounds it kept",
        },
        Owned {
            names: &[
                "machines",
                "nodes",
                "workers",
                "num_machines",
                "num_machine",
                "local_listen_port",
                "local_port",
                "port",
                "time_out",
                "machine_list_filename",
                "machine_list",
                "machine_list_file",
                "mlist",
                "tree_learner",
                "tree",
                "tree_learner_type",
                "tree_type",
                "top_k",
                "topk",
                "bagging_by_query",
            ],
            instead: "one step trains one model on one machine, over all rows",
        },
        Owned {
            names: &["device_type", "device", "gpu_platform_id", "gpu_device_id", "gpu_device_id_list", "gpu_use_dp", "num_gpu"],
            instead: "models are trained on the CPU, where the same rows give the same bits",
        },
        Owned {
            names: &[
                "deterministic",
                "verbosity",
                "verbose",
                "metric_freq",
                "output_freq",
                "is_provide_training_metric",
                "is_training_metric",
                "train_metric",
                "training_metric",
            ],
            instead: "it is fixed, so that the same rows give the same bits",
        },
        Owned {
            names: &[
                "num_class",
                "num_classes",
                "is_unbalance",
                "unbalance",
                "unbalanced_sets",
                "scale_pos_weight",
                "sigmoid",
                "multi_error_top_k",
                "auc_mu_weights",
                "pos_bagging_fraction",
                "pos_bagging",
                "pos_sub_row",
                "pos_subsample",
                "neg_bagging_fraction",
                "neg_bagging",
                "neg_sub_row",
                "neg_subsample",
            ],
            instead: "it is about classification; a frame's label is a price",
        },
        Owned {
            names: &[
                "lambdarank_truncation_level",
                "lambdarank_norm",
                "lambdarank_position_bias_regularization",
                "label_gain",
                "eval_at",
                "map_at",
                "map_eval_at",
                "ndcg_at",
                "ndcg_eval_at",
            ],
            instead: "it is about ranking; a frame's label is a price",
        },
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::engine::parameters::ParameterError;

    fn check(params: &Value) -> Result<Value, ParameterError> {
        LIGHTGBM.check(params.as_object().unwrap()).map(|found| json!(found))
    }

    #[test]
    fn an_alias_is_the_parameter_it_stands_for() {
        assert_eq!(check(&json!({"eta": 0.05, "n_estimators": 500})).unwrap(), json!({"learning_rate": 0.05, "num_iterations": 500}));
        assert!(matches!(check(&json!({"eta": 0.05, "learning_rate": 0.1})), Err(ParameterError::Twice { .. })));
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_to_do_instead() {
        let error = check(&json!({"num_leafs": 31})).unwrap_err();
        assert_eq!(error.to_string(), "lightgbm 4.7.0 has no parameter 'num_leafs'");
        assert_eq!(error.hint().unwrap(), "did you mean 'num_leaf'?");
        let error = check(&json!({"nthread": 4})).unwrap_err().to_string();
        assert!(error.contains("set `threads` in the stanza"), "{error}");
        assert_eq!(check(&json!({"num_leaves": "many"})).unwrap_err().to_string(), "'num_leaves' must be a whole number, not \"many\"");
        assert!(check(&json!({"objective": "binary"})).is_err());
        assert!(check(&json!({"metric": ["l1", "auc"]})).is_err());
    }

    #[test]
    fn no_name_stands_for_two_parameters() {
        let given = LIGHTGBM.parameters.iter().flat_map(|p| std::iter::once(&p.name).chain(p.aliases));
        let all: Vec<_> = given.chain(LIGHTGBM.owned.iter().flat_map(|o| o.names)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
