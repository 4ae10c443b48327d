//! Whether a query's rows of a day are the same without the rows that nobody knew on that day.

pub mod compare;
pub mod days;
pub mod found;
