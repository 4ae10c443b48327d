//! Owns the lists of scikit-learn's parameters for linear models. Invariant: they hold every parameter that the package's constructors take, and
//! nothing else.

use crate::engine::parameters::Form::{Bool, Int, Number};
use crate::engine::parameters::{Owned, Parameter, Vocabulary};

const VERSION: &str = "1.9.1";
const ONE_SOLVER: &str = "there is one solver here, always the same, so that the same rows give the same bits";
const SIGNS: &str = "coefficients may have either sign";
const NO_STATE: &str = "a step starts from nothing and keeps nothing but its outputs";

/// The parameters of `sklearn.linear_model.Ridge`.
pub static RIDGE: Vocabulary = Vocabulary {
    library: "scikit-learn's Ridge",
    version: VERSION,
    parameters: &[Parameter::new("alpha", Number), Parameter::new("fit_intercept", Bool)],
    owned: &[
        Owned { names: &["solver", "random_state"], instead: ONE_SOLVER },
        Owned { names: &["max_iter", "tol"], instead: "ridge is solved in one step, without rounds to stop" },
        Owned { names: &["positive"], instead: SIGNS },
        Owned { names: &["copy_X"], instead: NO_STATE },
    ],
};

/// The parameters of `sklearn.linear_model.ElasticNet`.
pub static ELASTIC_NET: Vocabulary = Vocabulary {
    library: "scikit-learn's ElasticNet",
    version: VERSION,
    parameters: &[
        Parameter::new("alpha", Number),
        Parameter::new("l1_ratio", Number),
        Parameter::new("fit_intercept", Bool),
        Parameter::new("max_iter", Int),
        Parameter::new("tol", Number),
    ],
    owned: &[
        Owned { names: &["selection", "random_state", "precompute"], instead: ONE_SOLVER },
        Owned { names: &["positive"], instead: SIGNS },
        Owned { names: &["copy_X", "warm_start"], instead: NO_STATE },
    ],
};
