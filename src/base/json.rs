//! Owns how JSON is written for people. Invariant: the same value has the same text, and the text ends with a line end.

use serde::Serialize;

/// The value over many lines.
///
/// # Errors
/// When it has no form in JSON.
pub fn pretty(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}
