//! Owns a trained network with what prepares its rows. Invariant: what prepares them was learnt from the train rows alone and stands in the model; a
//! forecast reads rows up to its own date and no later one.

use serde::{Deserialize, Serialize};

use crate::engine::frame_file::{FrameData, Part, iso_date};
use crate::engine::linear::preparation::Preparation;
use crate::engine::neural::batch::Examples;
use crate::engine::neural::device;
use crate::engine::neural::error::NeuralError;
use crate::engine::neural::network::Network;
use crate::engine::neural::shape::Shape;
use crate::engine::neural::training::{Data, forecast};
use crate::engine::neural::weights::Weights;
use crate::engine::neural::windows::{Timeline, Window};
use crate::engine::numbers::count;

/// `network.json`: all but the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    /// What the network looks like.
    pub network: Shape,
    /// The features, in the order in which it reads them.
    pub features: Vec<Feature>,
    /// How labels were scaled: a forecast is `center + scale * output`.
    pub label: Scale,
    /// Rows before two days that lie further apart are not known.
    pub gap_days: u32,
    /// What it was trained with.
    pub trained_with: String,
}

/// One feature. A missing value becomes `impute`; the network reads `(value − center) / scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// The median of its train rows.
    pub impute: f64,
    /// The mean of its train rows.
    pub center: f64,
    /// The standard deviation of its train rows.
    pub scale: f64,
}

/// How a number was scaled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The mean of the train rows.
    pub center: f64,
    /// Their standard deviation.
    pub scale: f64,
}

impl Prepared {
    /// What the train rows of a frame ask for.
    #[must_use]
    pub fn of(frame: &FrameData, network: Shape, gap_days: u32, trained_with: String) -> Self {
        let train = frame.rows_of(Part::Train);
        let pick = |values: &[f64]| train.iter().map(|&row| values[row]).collect::<Vec<f64>>();
        let feature = |(name, values): (&String, &Vec<f64>)| {
            let Preparation { impute, center, scale } = Preparation::of(&pick(values));
            Feature { name: name.clone(), impute, center, scale }
        };
        let features = frame.record.features.iter().zip(&frame.features).map(feature).collect();
        let Preparation { center, scale, .. } = Preparation::of(&pick(&frame.label));
        Self { network, features, label: Scale { center, scale }, gap_days, trained_with }
    }

    /// What there is to learn from in a frame; rows to stop by where `watched`.
    ///
    /// # Errors
    /// When the frame lacks the rows before its own, or rows to stop by.
    pub fn data(&self, frame: &FrameData, watched: bool) -> Result<Data, NeuralError> {
        let timeline = self.timeline(frame, frame.dates.iter().max().copied().unwrap_or(i32::MIN))?;
        let train = self.examples(frame, &timeline, Part::Train)?;
        let valid = if watched { Some(self.examples(frame, &timeline, Part::Valid)?) } else { None };
        if valid.as_ref().is_some_and(|valid| valid.windows.is_empty()) {
            return Err(NeuralError::NoValidRows);
        }
        Ok(Data { timeline, train, valid })
    }

    fn examples(&self, frame: &FrameData, timeline: &Timeline, part: Part) -> Result<Examples, NeuralError> {
        let rows = frame.rows_of(part);
        let label = |row: &usize| single((frame.label[*row] - self.label.center) / self.label.scale);
        let mean = frame.weight.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).sum::<f64>() / count(rows.len()));
        let weight = |row: &usize| match (&frame.weight, mean) {
            (Some(weights), Some(mean)) if mean > 0.0 => single(weights[*row] / mean),
            _ => 1.0,
        };
        Ok(Examples {
            windows: self.windows(frame, timeline, &rows)?,
            wanted: rows.iter().map(label).collect(),
            weight: rows.iter().map(weight).collect(),
        })
    }

    /// All rows up to a day, as the network reads them.
    fn timeline(&self, frame: &FrameData, last: i32) -> Result<Timeline, NeuralError> {
        let past = usize::try_from(frame.record.past.unwrap_or(0)).unwrap_or(usize::MAX);
        if past + 1 < self.network.window {
            return Err(NeuralError::Past { window: self.network.window, past });
        }
        let rows = frame.timeline(last);
        let at = |name: &String| frame.record.features.iter().position(|feature| feature == name);
        let columns = self.features.iter().map(|feature| {
            let at =
                at(&feature.name).ok_or_else(|| NeuralError::Weights { why: format!("the frame has no feature '{}'", feature.name) })?;
            let by = Preparation { impute: feature.impute, center: feature.center, scale: feature.scale };
            Ok(rows.features[at].iter().map(|&value| single(by.apply(value))).collect())
        });
        let columns = columns.collect::<Result<Vec<Vec<f32>>, NeuralError>>()?;
        let values = (0..rows.dates.len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        Ok(Timeline { dates: rows.dates, features: self.features.len(), values })
    }

    fn windows(&self, frame: &FrameData, timeline: &Timeline, rows: &[usize]) -> Result<Vec<Window>, NeuralError> {
        let gap = i32::try_from(self.gap_days).unwrap_or(i32::MAX);
        let window = |&row: &usize| {
            let date = frame.dates[row];
            let window = timeline.window(date, self.network.window, gap);
            window.ok_or_else(|| NeuralError::Row { date: iso_date(date) })
        };
        rows.iter().map(window).collect()
    }
}

/// A trained network, ready to forecast.
pub struct NeuralModel {
    /// What prepares its rows.
    pub prepared: Prepared,
    /// The network.
    pub network: Network,
    /// Its weights.
    pub weights: Weights,
}

impl NeuralModel {
    /// The answer for each of these rows, in the form of the frame's label.
    ///
    /// # Errors
    /// When the frame lacks the rows before its own, or a feature.
    pub fn predict(&self, frame: &FrameData, rows: &[usize]) -> Result<Vec<f64>, NeuralError> {
        let Some(last) = rows.iter().map(|&row| frame.dates[row]).max() else { return Ok(Vec::new()) };
        let timeline = self.prepared.timeline(frame, last)?;
        let windows = self.prepared.windows(frame, &timeline, rows)?;
        let answers = forecast(&self.network, &self.weights, &timeline, &windows, &device::processor());
        let Scale { center, scale } = self.prepared.label;
        Ok(answers.into_iter().map(|answer| center + scale * f64::from(answer)).collect())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a network reads single precision")]
fn single(value: f64) -> f32 {
    value as f32
}
