//! BigQuery SQL in DuckDB's words. Every construct is on a list with the form that gives BigQuery's result; what is not on it is refused
//! by name. The `bq_…` macros used here are defined in `engine/bigquery.sql`. Pure.

mod aggregate;
mod comparable;
mod expr;
mod from;
mod function;
mod literal;
mod moment;
mod print;
pub mod translate;
