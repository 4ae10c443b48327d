//! Owns what can go wrong in a boosting library. Invariant: the vendor's own message is passed on as it is.

/// Why a boosting library could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GbdtError {
    /// The library could not be loaded.
    #[error("cannot load a learner's library: {reason}")]
    Load {
        /// The loader's words, which name the file.
        reason: String,
    },
    /// The library refused a call.
    #[error("{library}: {message}")]
    Vendor {
        /// `lightgbm` or `xgboost`.
        library: &'static str,
        /// The library's words.
        message: String,
    },
    /// A feature name that the vendor's package would not read back.
    #[error("{library} cannot use the feature name '{name}': {why}")]
    FeatureName {
        /// `lightgbm` or `xgboost`.
        library: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A parameter names a feature that the frame has not.
    #[error("'{parameter}' names '{name}', which is not a feature of the frame")]
    NoFeature {
        /// The parameter.
        parameter: &'static str,
        /// The name or index as given.
        name: String,
        /// The feature that may have been meant.
        nearest: Option<String>,
    },
    /// A list that is to hold one value a feature.
    #[error("'{parameter}' holds {given} values for {features} features")]
    Length {
        /// The parameter.
        parameter: &'static str,
        /// Values given.
        given: usize,
        /// Features of the frame.
        features: usize,
    },
    /// A value of a categorical feature that is no code of a category.
    #[error("feature '{feature}' is said to be categorical, but holds {value}, which is no code of a category (a whole number from 0)")]
    Code {
        /// The feature.
        feature: String,
        /// Its value.
        value: f64,
    },
    /// A number of rows or columns beyond what the library can count.
    #[error("{rows} rows of {columns} features are more than {library} takes")]
    TooLarge {
        /// `lightgbm` or `xgboost`.
        library: &'static str,
        /// Rows given.
        rows: usize,
        /// Columns given.
        columns: usize,
    },
    /// Parameters that have no meaning beside the others.
    #[error("{library} has no use for {parameters} with this booster and objective")]
    Unused {
        /// `lightgbm` or `xgboost`.
        library: &'static str,
        /// Their names.
        parameters: String,
    },
    /// Early stopping without rows to judge by.
    #[error("early stopping needs valid rows, and the frame has none")]
    NoValidRows,
    /// An answer of the library that makes no sense.
    #[error("{library} answered '{answer}', which was not expected")]
    Answer {
        /// `lightgbm` or `xgboost`.
        library: &'static str,
        /// What it said.
        answer: String,
    },
}
