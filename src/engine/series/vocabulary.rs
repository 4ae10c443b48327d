//! Owns the lists of parameters for models of the series. Invariant: they hold every parameter that the package named takes, and nothing else.

use crate::engine::parameters::Form::{Bool, Int, Lags, Number, Word};
use crate::engine::parameters::{Owned, Parameter, Vocabulary};

const STATSMODELS: &str = "0.15.0";
const THE_FRAME: &str = "the frame gives the prices and their dates";
const ONE_SEARCH: &str = "there is one way of fitting here, always the same, so that the same rows give the same bits";
const BEGINNING: &str = "where the series begins from is always found with the rest";
const THE_SCALE: &str = "say `series` in the stanza";

/// The parameter of the seasonal naive forecast, under the name it has in `statsmodels.tsa.holtwinters.ExponentialSmoothing`.
pub static SEASONAL_NAIVE: Vocabulary =
    Vocabulary { library: "seasonal_naive", version: "", parameters: &[Parameter::new("seasonal_periods", Int)], owned: &[] };

/// The parameters of `statsmodels.tsa.ar_model.AutoReg`.
pub static AR: Vocabulary = Vocabulary {
    library: "statsmodels' AutoReg",
    version: STATSMODELS,
    parameters: &[Parameter::new("lags", Lags), Parameter::new("trend", Word(&["n", "c", "t", "ct"]))],
    owned: &[
        Owned { names: &["endog", "exog", "missing"], instead: THE_FRAME },
        Owned { names: &["seasonal", "period", "deterministic"], instead: "a season is for `exponential_smoothing` and `seasonal_naive`" },
        Owned { names: &["hold_back"], instead: "as many changes are held back as the longest lag needs" },
    ],
};

/// The parameters of `statsmodels.tsa.holtwinters.ExponentialSmoothing` and of its `fit`.
pub static EXPONENTIAL_SMOOTHING: Vocabulary = Vocabulary {
    library: "statsmodels' ExponentialSmoothing",
    version: STATSMODELS,
    parameters: &[
        Parameter::new("trend", Word(&["add"])),
        Parameter::new("damped_trend", Bool),
        Parameter::new("seasonal", Word(&["add"])),
        Parameter::new("seasonal_periods", Int),
        Parameter::new("smoothing_level", Number),
        Parameter::new("smoothing_trend", Number),
        Parameter::new("smoothing_seasonal", Number),
        Parameter::new("damping_trend", Number),
    ],
    owned: &[
        Owned { names: &["endog", "dates", "freq", "missing"], instead: THE_FRAME },
        Owned { names: &["use_boxcox"], instead: THE_SCALE },
        Owned { names: &["initialization_method", "initial_level", "initial_trend", "initial_seasonal"], instead: BEGINNING },
        Owned {
            names: &["bounds", "optimized", "remove_bias", "start_params", "method", "minimize_kwargs", "use_brute"],
            instead: ONE_SEARCH,
        },
    ],
};

/// The parameters of `arch.arch_model`.
pub static GARCH: Vocabulary = Vocabulary {
    library: "arch",
    version: "8.0.0",
    parameters: &[
        Parameter::new("mean", Word(&["Constant", "Zero"])),
        Parameter::new("p", Int),
        Parameter::new("q", Int),
        Parameter::new("dist", Word(&["normal"])),
    ],
    owned: &[
        Owned { names: &["y", "x", "hold_back"], instead: THE_FRAME },
        Owned { names: &["vol", "o", "power", "lags"], instead: "this kind is GARCH(1,1) about a constant; its mean has no lags" },
        Owned { names: &["rescale"], instead: "returns are always modelled in percent" },
    ],
};
