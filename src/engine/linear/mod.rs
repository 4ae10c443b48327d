//! Linear models of a frame's features: how features are prepared, ridge, elastic net, and the file a model stands in.

pub mod elastic_net;
pub mod model;
pub mod preparation;
pub mod ridge;
pub mod rows;
pub mod vocabulary;
