//! Owns how a stanza says how its intervals are made. Invariant: what is not said is as usual, and the same in every kind.

use crate::engine::judging::bootstrap::Bootstrap;
use crate::kinds::body::Body;
use crate::syntax::shape::{Key, Want};

/// The key that says how intervals are made.
pub const BOOTSTRAP_KEY: Key = Key::optional(
    "bootstrap",
    Want::Table(&[
        Key::optional("resamples", Want::Int(1000), "How many resamples (default 2000)."),
        Key::optional("block", Want::Int(1), "Rows in a block, no fewer than forecasts are open at once."),
        Key::optional("seed", Want::Int(0), "The seed of its random numbers (default 42)."),
    ]),
    "How intervals are made.",
);

/// How the stanza has its intervals made.
#[must_use]
pub fn bootstrap(body: Body) -> Bootstrap {
    let given = |name| body.table("bootstrap").and_then(|table| table.get(name)?.as_u64());
    let small = |name| given(name).and_then(|number| u32::try_from(number).ok());
    let usual = Bootstrap::default();
    Bootstrap { resamples: small("resamples").unwrap_or(usual.resamples), block: small("block"), seed: given("seed").unwrap_or(usual.seed) }
}
