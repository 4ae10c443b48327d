//! Owns the learning curves of a training, as a table and as a picture. Invariant: both are functions of the epochs alone, so they are the same bytes
//! wherever the same training ran; they say nothing of time.

use std::fmt::Write as _;
use std::path::Path;

use crate::engine::neural::error::NeuralError;
use crate::engine::neural::schedule::Epoch;
use crate::engine::table_columns::{Values, table};
use crate::engine::table_file;

/// The table's file.
pub const TABLE: &str = "learning.parquet";
/// The picture's file.
pub const PICTURE: &str = "learning.svg";

/// Writes the table.
///
/// # Errors
/// When the disk refuses.
pub fn write_table(path: &Path, epochs: &[Epoch]) -> Result<(), NeuralError> {
    let floats = |of: &dyn Fn(&Epoch) -> Option<f64>| Values::Floats(epochs.iter().map(of).collect());
    let columns = [
        ("epoch".to_owned(), Values::Ints(epochs.iter().map(|e| Some(i64::from(e.epoch))).collect())),
        ("learning_rate".to_owned(), floats(&|e| Some(e.learning_rate))),
        ("train_loss".to_owned(), floats(&|e| Some(e.train_loss))),
        ("valid_loss".to_owned(), floats(&|e| e.valid_loss)),
    ];
    let refused = |why: String| NeuralError::Curves { why };
    let rows = table(columns).map_err(|error| refused(error.to_string()))?;
    table_file::write(path, &rows, &["epoch".to_owned()]).map_err(|error| refused(error.to_string()))
}

/// Width and height of the picture, and what is kept free around the curves.
const SIZE: (f64, f64) = (640.0, 320.0);
const EDGE: f64 = 48.0;

/// The picture: both losses over the epochs, the kept one marked.
#[must_use]
pub fn picture(epochs: &[Epoch], kept: u32) -> String {
    let losses = || epochs.iter().flat_map(|e| [Some(e.train_loss), e.valid_loss]).flatten();
    let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(f64::NEG_INFINITY, f64::max));
    let last = epochs.last().map_or(1.0, |e| f64::from(e.epoch)).max(2.0);
    let x = |epoch: u32| EDGE + (SIZE.0 - 2.0 * EDGE) * (f64::from(epoch) - 1.0) / (last - 1.0);
    let y = |loss: f64| SIZE.1 - EDGE - (SIZE.1 - 2.0 * EDGE) * (loss - low) / (high - low).max(f64::MIN_POSITIVE);
    let line = |of: &dyn Fn(&Epoch) -> Option<f64>, colour: &str| {
        let mut points = String::new();
        for (epoch, loss) in epochs.iter().filter_map(|e| Some((e.epoch, of(e)?))) {
            let _ = write!(points, "{:.1},{:.1} ", x(epoch), y(loss));
        }
        format!("<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n", points.trim_end())
    };
    let words = |at: (f64, f64), anchor: &str, colour: &str, text: &str| {
        format!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n", at.0, at.1)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        SIZE.0, SIZE.1
    );
    let _ = writeln!(
        svg,
        "<line x1=\"{0:.1}\" y1=\"{EDGE}\" x2=\"{0:.1}\" y2=\"{1:.1}\" stroke=\"#bbb\" stroke-dasharray=\"4 4\"/>",
        x(kept.max(1)),
        SIZE.1 - EDGE
    );
    svg += &line(&|e| Some(e.train_loss), "#4477aa");
    svg += &line(&|e| e.valid_loss, "#cc6633");
    svg += &words((EDGE, EDGE - 16.0), "start", "#4477aa", "train loss");
    svg += &words((EDGE + 80.0, EDGE - 16.0), "start", "#cc6633", "valid loss");
    svg += &words((SIZE.0 - EDGE, EDGE - 16.0), "end", "#555", &format!("epoch {kept} of {} is kept", epochs.len()));
    svg += &words((EDGE - 4.0, y(low)), "end", "#555", &format!("{low:.3}"));
    svg += &words((EDGE - 4.0, y(high)), "end", "#555", &format!("{high:.3}"));
    svg += &words((x(1), SIZE.1 - EDGE + 20.0), "middle", "#555", "1");
    svg += &words((SIZE.0 - EDGE, SIZE.1 - EDGE + 20.0), "middle", "#555", &format!("{last}"));
    svg + "</svg>\n"
}
