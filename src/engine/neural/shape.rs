//! Owns what a network looks like. Invariant: it says all that determines the names and shapes of the parameters, and nothing of how they are found.

use serde::{Deserialize, Serialize};

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Layers of units over the whole window at once.
    Dense,
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent units.
    Gru,
    /// A temporal convolutional network (Bai and others 2018).
    Tcn,
    /// A convolution, then long short-term memory.
    CnnLstm,
    /// A transformer's encoder.
    Attention,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Dense, Self::Lstm, Self::Gru, Self::Tcn, Self::CnnLstm, Self::Attention];

    /// As recipes write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
            Self::Tcn => "tcn",
            Self::CnnLstm => "cnn_lstm",
            Self::Attention => "attention",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// A network's shape; `network` of a model's `network.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Which network.
    pub architecture: Architecture,
    /// Features of a row.
    pub features: usize,
    /// Rows that it reads, the last of them the one it forecasts from.
    pub window: usize,
    /// Units of a layer: its channels, or its width.
    pub units: usize,
    /// Layers (blocks of a TCN).
    pub layers: usize,
    /// The share of numbers taken out in training.
    pub dropout: f64,
    /// Steps that a convolution sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_size: Option<usize>,
    /// Channels of the convolution before an LSTM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<usize>,
    /// Heads of attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
}
