//! BigQuery SQL as values: tokens, a tree, and what a query reads. Pure.

pub mod ast;
pub mod error;
pub mod lex;
mod literal;
pub mod lookahead;
mod parse;
mod parse_call;
mod parse_expr;
mod parse_from;
mod parse_query;
pub mod parts;
pub mod read;
pub mod replace;
pub mod token;
pub mod walk;
