//! Owns the summary of what moves models of trees. Invariant: gains are over the whole model, contributions over rows that are named, and a model
//! that is not made of trees is left out, never given zeros.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::engine::numbers::count;
use crate::engine::table_columns::{Values, table};

/// What moves a model of trees, in the order of its features.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The gain of all splits by each feature, in the vendor's unit.
    pub gains: Vec<f64>,
    /// What each feature adds to each row's raw prediction (SHAP values), and last what all rows begin with: row after row, in the label's unit.
    pub contributions: Vec<f64>,
}

/// One feature of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// The model.
    pub model: String,
    /// The feature.
    pub feature: String,
    /// The gain of all splits by it, in the vendor's unit.
    pub gain: f64,
    /// Its share of all features' gain, 0 to 1.
    pub gain_share: f64,
    /// The mean of the absolute SHAP value, in the label's unit.
    pub shap: f64,
    /// Its share of all features', 0 to 1.
    pub shap_share: f64,
}

/// Summarises one model's explanation over its rows; features by falling mean absolute SHAP value.
#[must_use]
pub fn summarise(model: &str, features: &[String], explanation: &Explanation) -> Vec<Importance> {
    let rows: Vec<&[f64]> = explanation.contributions.chunks_exact(features.len() + 1).collect();
    let mean = |at: usize| rows.iter().map(|row| row[at].abs()).sum::<f64>() / count(rows.len().max(1));
    let shap: Vec<f64> = (0..features.len()).map(mean).collect();
    let share = |value: f64, all: &[f64]| if value == 0.0 { 0.0 } else { value / all.iter().sum::<f64>() };
    let one = |((feature, gain), value): ((&String, &f64), &f64)| Importance {
        model: model.to_owned(),
        feature: feature.clone(),
        gain: *gain,
        gain_share: share(*gain, &explanation.gains),
        shap: *value,
        shap_share: share(*value, &shap),
    };
    let mut all: Vec<Importance> = features.iter().zip(&explanation.gains).zip(&shap).map(one).collect();
    all.sort_by(|a, b| b.shap.total_cmp(&a.shap));
    all
}

/// The summaries as a table: one row a model and feature.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn table_of(all: &[Importance]) -> Result<RecordBatch, ArrowError> {
    let texts = |value: fn(&Importance) -> &String| Values::Strings(all.iter().map(|i| Some(value(i).clone())).collect());
    let floats = |value: fn(&Importance) -> f64| Values::Floats(all.iter().map(|i| Some(value(i))).collect());
    let columns = [
        ("model", texts(|i| &i.model)),
        ("feature", texts(|i| &i.feature)),
        ("gain", floats(|i| i.gain)),
        ("gain_share", floats(|i| i.gain_share)),
        ("shap", floats(|i| i.shap)),
        ("shap_share", floats(|i| i.shap_share)),
    ];
    table(columns.map(|(name, values)| (name.to_owned(), values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_are_summed_without_their_signs_and_without_what_all_rows_begin_with() {
        let features = ["a".to_owned(), "b".to_owned()];
        let explanation = Explanation { gains: vec![3.0, 1.0], contributions: vec![0.1, -0.5, 9.0, -0.3, 0.7, 9.0] };
        let found = summarise("m", &features, &explanation);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert_eq!((found[0].feature.as_str(), found[1].feature.as_str()), ("b", "a"), "the one that moves more first");
        assert!(close(found[0].shap, 0.6) && close(found[1].shap, 0.2) && close(found[0].shap_share, 0.75));
        assert!(close(found[0].gain_share, 0.25));
        assert_eq!(table_of(&found).unwrap().num_rows(), 2);
    }

    #[test]
    fn a_model_without_a_split_is_moved_by_nothing() {
        let explanation = Explanation { gains: vec![0.0], contributions: vec![0.0, 1.0] };
        let found = summarise("m", &["a".to_owned()], &explanation);
        assert_eq!((found[0].gain_share.to_bits(), found[0].shap_share.to_bits()), (0, 0));
    }
}
