//! Owns the list of learners. Invariant: every kind that learns from a frame by itself is here, so whatever trains models anew can train any of them.

use crate::kinds::ar::Ar;
use crate::kinds::drift::Drift;
use crate::kinds::elastic_net::ElasticNet;
use crate::kinds::exponential_smoothing::ExponentialSmoothing;
use crate::kinds::garch::Garch;
use crate::kinds::learner::Learner;
use crate::kinds::lightgbm::LightGbm;
use crate::kinds::naive::Naive;
use crate::kinds::neural::Neural;
use crate::kinds::quantiles::Quantiles;
use crate::kinds::ridge::Ridge;
use crate::kinds::seasonal_naive::SeasonalNaive;
use crate::kinds::xgboost::XgBoost;

static LEARNERS: &[&(dyn Learner + Sync)] =
    &[&Naive, &SeasonalNaive, &Drift, &Ar, &ExponentialSmoothing, &Garch, &Ridge, &ElasticNet, &LightGbm, &XgBoost, &Quantiles, &Neural];

/// The learner that makes models of this kind.
#[must_use]
pub fn of(kind: &str) -> Option<&'static dyn Learner> {
    LEARNERS.iter().find(|learner| learner.kind() == kind).map(|learner| *learner as &dyn Learner)
}
