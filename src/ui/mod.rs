//! Floor 6: how builds are shown. Events in, text out; nothing here decides anything about a build.

pub mod fancy;
pub mod graph;
pub mod graph_svg;
pub mod graph_text;
pub mod json;
pub mod live;
pub mod output;
pub mod page;
pub mod plain;
#[cfg(test)]
mod samples;
pub mod sink;
pub mod table;
pub mod tally;
pub mod timeline;
pub mod words;
