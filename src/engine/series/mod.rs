//! Models of the price series itself: what they learn from, each of them, and the file a model stands in.

pub mod autoregression;
pub mod error;
pub mod garch;
pub mod model;
pub mod scale;
pub mod seasonal;
pub mod simplex;
pub mod smoothing;
pub mod smoothing_fit;
pub mod stretch;
pub mod vocabulary;
