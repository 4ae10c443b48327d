//! Networks on burn's tensors: six architectures, their training, and the file of their weights.

pub mod attention;
pub mod batch;
pub mod checkpoint;
pub mod conv;
pub mod curves;
pub mod device;
pub mod error;
pub mod file;
pub mod gru;
pub mod layer;
pub mod loss;
pub mod lstm;
pub mod model;
pub mod network;
pub mod norm;
pub mod optimizer;
pub mod product;
pub mod recurrent;
pub mod schedule;
pub mod shape;
pub mod simple;
pub mod steps;
pub mod training;
pub mod weights;
pub mod windows;
