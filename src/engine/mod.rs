//! Floor 3: outside engines (`DuckDB`, `LightGBM`, `XGBoost`) and the arithmetic of frames and metrics. Knows nothing of builds.

pub mod backtest_file;
pub mod calendar;
pub mod checks;
pub mod duck;
pub mod evaluation;
pub mod folds;
pub mod frame;
pub mod frame_file;
pub mod gbdt;
pub mod judging;
pub mod least_squares;
pub mod linear;
pub mod metrics;
pub mod native;
pub mod numbers;
pub mod parameters;
pub mod price_history;
pub mod series;
pub mod sql;
pub mod table_cells;
pub mod table_columns;
pub mod table_file;
pub mod table_import;
pub mod table_types;
pub mod table_view;
pub mod warehouse;
