//! Owns how a stanza says what its prices are prices of. Invariant: there is no default, and a series whose levels are no prices is refused where it
//! is written.

use crate::kinds::body::Body;
use crate::kinds::context::KindError;
use crate::model::series::{Roll, Series};
use crate::syntax::shape::{Key, Want};

/// What the prices are prices of; inside the key `price`.
pub const KEY: Key = Key::required(
    "series",
    Want::Either(&[
        Want::OneOf(&["spot", "index"]),
        Want::Table(&[
            Key::required("symbol", Want::Text, "The exchange's symbol of the future: `ZL`."),
            Key::required("exchange", Want::Text, "The exchange: `CBOT`."),
            Key::required("contract", Want::Text, "Which contract the series follows: `front month`."),
            Key::required(
                "roll",
                Want::OneOf(&["unadjusted", "back_adjusted", "ratio_adjusted"]),
                "What was done to earlier prices where the series goes from one contract to the next.",
            ),
        ]),
    ]),
    "What it follows: `spot`, `index`, or the future with its contract and what was done at its rolls.",
);

/// What the prices of `price` are prices of.
///
/// # Errors
/// When that is not said, or the levels are no prices.
pub fn read(body: Body) -> Result<Series, KindError> {
    let written = body.table("price").and_then(|price| price.get(KEY.name)).cloned().unwrap_or_default();
    let series: Series = serde_json::from_value(written).map_err(|error| body.error("price.series", error.to_string()))?;
    if series.roll() != Some(Roll::BackAdjusted) {
        return Ok(series);
    }
    let message = "the levels of a back-adjusted series are no prices: each roll moves all earlier ones by its gap, down to below zero, so \
                   log returns, percentage errors and intervals made of them mean nothing";
    Err(at_roll(body, message).hint("use the unadjusted series, or one adjusted by ratios, and say so"))
}

/// A refusal of what was done at rolls.
#[must_use]
pub fn at_roll(body: Body, message: &str) -> KindError {
    body.error("price.series.roll", message)
}
