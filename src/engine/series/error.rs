//! Owns what can be wrong with a price series. Invariant: a refusal names the day or the count it is about.

/// Why a model of the series cannot be learnt, or cannot forecast.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SeriesError {
    /// An artifact without prices.
    #[error("the frame holds no price history")]
    NoPrices,
    /// Train rows that other rows interrupt.
    #[error(
        "a model of the price series learns from one unbroken stretch, but the valid row of {valid} lies before the train rows' last outcome, {outcome}"
    )]
    Broken {
        /// The date of the first valid row in between.
        valid: String,
        /// When the last train row's outcome was known.
        outcome: String,
    },
    /// Too few prices to learn from.
    #[error("{has} prices are too few to learn from: this model needs {needs}")]
    TooShort {
        /// How many it needs.
        needs: usize,
        /// How many there are.
        has: usize,
    },
    /// A price without a logarithm.
    #[error("the price is {price} on {date}, and only a price above zero has a logarithm")]
    NotPositive {
        /// The day.
        date: String,
        /// The price.
        price: f64,
    },
    /// A row on whose date there is no price.
    #[error("the price history has no day {date}")]
    NoDay {
        /// The row's date.
        date: String,
    },
    /// A history that begins after the model's.
    #[error("the price history begins on {begins}, but the model's on {model}")]
    BeginsLate {
        /// Its first day.
        begins: String,
        /// The first day that the model learnt from.
        model: String,
    },
    /// A row before which too few prices are known.
    #[error("a forecast from {date} needs {needs} earlier prices, and {has} are known")]
    TooEarly {
        /// The row's date.
        date: String,
        /// How many are needed.
        needs: usize,
        /// How many there are.
        has: usize,
    },
    /// Terms that make each other up.
    #[error("the coefficients are not determined: term {term} is a combination of those before it")]
    Dependent {
        /// Its number, from 1.
        term: usize,
    },
    /// A search that led nowhere.
    #[error("no parameters fit this series: {what} is not a finite number")]
    NoFit {
        /// What was to be found.
        what: &'static str,
    },
}
