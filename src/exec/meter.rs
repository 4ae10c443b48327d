//! Owns what the queries of a build may still be charged for. Invariant: with a budget one query runs at a time, so that each is given exactly what those
//! before it left.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// What is left of a build's budget.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Option<u64>>);

/// What one query may be charged for; nobody else is given anything meanwhile.
#[derive(Debug)]
pub struct Allowance<'m>(MutexGuard<'m, Option<u64>>);

impl Meter {
    /// The budget that steps are told of.
    #[must_use]
    pub fn of(reach: Option<&Value>) -> Self {
        Self(Mutex::new(reach.and_then(|reach| reach["work"]["budget"].as_u64())))
    }

    /// What is left, for one query; `None` where there is no budget to keep.
    pub fn take(&self) -> Option<Allowance<'_>> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.is_some().then_some(Allowance(left))
    }
}

impl Allowance<'_> {
    /// In bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.unwrap_or_default()
    }

    /// The query was charged for so many bytes.
    pub fn spend(&mut self, bytes: u64) {
        *self.0 = Some(self.bytes().saturating_sub(bytes));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_query_is_given_what_the_others_left() {
        let meter = Meter::of(Some(&json!({"work": {"budget": 100}})));
        meter.take().unwrap().spend(70);
        let mut left = meter.take().unwrap();
        assert_eq!(left.bytes(), 30);
        left.spend(31);
        assert_eq!(left.bytes(), 0);
        assert!(Meter::of(Some(&json!({"work": {"budget": null}}))).take().is_none());
        assert!(Meter::of(None).take().is_none());
    }
}
