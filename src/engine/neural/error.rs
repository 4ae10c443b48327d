//! Owns what can go wrong with a network. Invariant: each says what to change, or that the file is at fault.

use crate::io::fs::FsError;

/// Why a network was not trained or cannot forecast.
#[derive(Debug, thiserror::Error)]
pub enum NeuralError {
    /// Nothing to stop by.
    #[error("a network stops training by its valid rows, and the frame has none")]
    NoValidRows,
    /// A frame without the rows before its own.
    #[error("a window of {window} rows needs the {} rows before each of the frame's, which keeps {past}", window - 1)]
    Past {
        /// Rows of a window.
        window: usize,
        /// Rows that the frame keeps from before.
        past: usize,
    },
    /// A row to forecast from that the frame's history does not hold.
    #[error("the frame's history has no row of {date}")]
    Row {
        /// The date.
        date: String,
    },
    /// Numbers that are none.
    #[error("training came to no finite loss in epoch {epoch}")]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
    },
    /// The weights are not those of the network.
    #[error("the weights are not those of its network: {why}")]
    Weights {
        /// What is wrong.
        why: String,
    },
    /// There is nothing to compute on.
    #[error("no driver names the graphics adapter '{wanted}' any more")]
    NoAdapter {
        /// What it is called.
        wanted: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The curves cannot be written.
    #[error("the learning curves cannot be written: {why}")]
    Curves {
        /// Why not.
        why: String,
    },
}
