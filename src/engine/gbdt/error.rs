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
    /// A categorical feature that the frame has not.
    #[error("categorical_feature names '{name}', which is not a feature of the frame")]
    Categorical {
        /// The name or index as given.
        name: String,
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
