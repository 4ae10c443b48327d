//! Floor 1: values that everything else is made of. No I/O but the clock; knows nothing of recipes or stores.

pub mod canon;
pub mod clock;
pub mod date;
pub mod diagnostic;
pub mod digest;
pub mod json;
pub mod name;
pub mod units;
