//! Owns what the linear kinds do alike: train rows in, `linear.json` out. Invariant: what prepares the features is learnt from the train rows alone
//! and stands in the model.

use std::collections::BTreeMap;

use crate::engine::frame_file::{FrameData, Part};
use crate::engine::linear::model::LinearModel;
use crate::engine::linear::preparation::Preparation;
use crate::engine::linear::rows::{LinearError, Rows, Solution};
use crate::kinds::learner::{Fitted, LearnError, Settings};
use crate::kinds::native_json;
use crate::kinds::trained::LINEAR_FILE;

/// Prepares the train rows, solves over them, and makes the model's file.
///
/// # Errors
/// When there are no train rows, or no solution.
pub fn fit(
    frame: &FrameData,
    settings: &Settings,
    solve: impl FnOnce(&Rows, &[String]) -> Result<Solution, LinearError>,
) -> Result<Fitted, LearnError> {
    let train = frame.rows_of(Part::Train);
    if train.is_empty() {
        return Err(LearnError::NoRows("train"));
    }
    let pick = |values: &[f64]| train.iter().map(|&row| values[row]).collect::<Vec<f64>>();
    let mut columns: Vec<Vec<f64>> = frame.features.iter().map(|values| pick(values)).collect();
    let prepared: Vec<Preparation> = columns.iter().map(|column| Preparation::of(column)).collect();
    for (column, by) in columns.iter_mut().zip(&prepared) {
        for value in column {
            *value = by.apply(*value);
        }
    }
    let rows = Rows { columns, label: pick(&frame.label), weight: frame.weight.as_deref().map(pick) };
    let names = &frame.record.features;
    let solution = solve(&rows, names)?;
    let still = solution.coefficients.iter().all(|coefficient| *coefficient == 0.0);
    let warnings =
        if still { vec!["every coefficient is zero: the forecast is the same label for all rows".to_owned()] } else { Vec::new() };
    Ok(Fitted {
        files: BTreeMap::from([(LINEAR_FILE.to_owned(), native_json::bytes(&LinearModel::new(names, &prepared, &solution))?)]),
        params: settings.params.clone(),
        features: names.clone(),
        seen: vec![Part::Train],
        warnings,
        ..Fitted::default()
    })
}
