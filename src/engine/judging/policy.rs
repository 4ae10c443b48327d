//! Owns what acting on signals would have cost. Invariant: every figure of a rule stands beside those of buying every day and of waiting every day, over
//! the same rows, and the rows' own dates say how many decisions are open at once.
//!
//! Each row is one decision of a buyer who needs one unit: buy it today at `t`, or at the outcome at `a`.
//!
//! | | |
//! |---|---|
//! | cost of a rule | `a` on WAIT, `t` on BUY and on MONITOR: who only watches goes on buying |
//! | saved | `t` − cost, against buying every day; its mean, and its sum over the sum of `t` |
//! | realised change | `a / t − 1` |
//! | hit | on BUY `a > t`, on WAIT `a < t`; beside it the share of all rows that rose, or fell: what the same signal every day scores |
//! | intervals | circular block bootstrap, decisions that overlap kept together; a signal's mean is resampled as a ratio, with its count |
//!
//! Not in it: storage, interest, the roll of a contract, what a missed purchase costs.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::base::date;
use crate::engine::evaluation::TestRow;
use crate::engine::judging::bootstrap::{Bootstrap, Interval, Resamples, default_block};
use crate::engine::judging::segments::{effective, open_at_once};
use crate::engine::numbers::{mean, share};

/// What a rule says of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Buy now, before it rises.
    Buy,
    /// Wait, it will fall.
    Wait,
    /// Neither.
    Monitor,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Buy, Self::Wait, Self::Monitor];

    /// As it stands in tables and recipes.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Buy => "BUY",
            Self::Wait => "WAIT",
            Self::Monitor => "MONITOR",
        }
    }
}

/// One day on which a rule spoke, and what came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// The day, its price and the outcome.
    pub row: TestRow,
    /// The price that was forecast.
    pub predicted: f64,
    /// What the rule said.
    pub signal: Signal,
}

impl Decision {
    /// What the buyer paid for the unit.
    #[must_use]
    pub fn cost(&self) -> f64 {
        if self.signal == Signal::Wait { self.row.actual } else { self.row.price }
    }

    /// What came of the price, as a share of it; a price at or below zero has none.
    #[must_use]
    pub fn change(&self) -> Option<f64> {
        (self.row.price > 0.0).then(|| self.row.actual / self.row.price - 1.0)
    }

    fn hit(&self, signal: Signal) -> bool {
        match signal {
            Signal::Buy => self.row.actual > self.row.price,
            Signal::Wait => self.row.actual < self.row.price,
            Signal::Monitor => false,
        }
    }
}

/// What a rule would have done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Acted {
    /// Days on which it spoke.
    pub n: usize,
    /// Days on which it could not, for a figure that it reads was missing.
    pub undecided: usize,
    /// The first day.
    #[serde(serialize_with = "date::serialize")]
    pub first_date: NaiveDate,
    /// The last.
    #[serde(serialize_with = "date::serialize")]
    pub last_date: NaiveDate,
    /// The most decisions that were open at once.
    pub open_at_once: usize,
    /// How many of them do not overlap: `n` over that, at least 1.
    pub effective_n: f64,
    /// Rows in a block.
    pub block: usize,
    /// The bootstrap.
    pub bootstrap: Bootstrap,
    /// Each signal.
    pub signals: Vec<OfSignal>,
    /// The rule, buying every day, waiting every day.
    pub policies: Vec<OfPolicy>,
}

/// What came after one signal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfSignal {
    /// The signal.
    pub signal: Signal,
    /// On how many days.
    pub n: usize,
    /// The most of them that do not overlap: each made when the one before had come due. Signals come in runs, so this is far fewer.
    pub apart: usize,
    /// Mean realised change.
    pub change: Option<f64>,
    /// Its 95 % interval.
    pub change_interval: Option<Interval>,
    /// Mean realised change over all days.
    pub change_of_all: Option<f64>,
    /// Share of its days on which the price went where it said.
    pub hit: Option<f64>,
    /// The same, had it been given every day.
    pub hit_of_all: Option<f64>,
}

/// What one way of buying cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfPolicy {
    /// `rule`, `buy every day` or `wait every day`.
    pub policy: &'static str,
    /// Mean cost of a unit, in the price's unit.
    pub cost: f64,
    /// Mean saved on a unit against buying every day.
    pub saved: f64,
    /// Its 95 % interval.
    pub saved_interval: Option<Interval>,
    /// All that was saved over all that buying every day cost; none where that is not above zero.
    pub saved_share: Option<f64>,
}

/// What acting on these decisions, in the order of their dates, came to; `None` where there is none.
#[must_use]
pub fn judge(decisions: &[Decision], undecided: usize, bootstrap: &Bootstrap) -> Option<Acted> {
    let rows: Vec<TestRow> = decisions.iter().map(|decision| decision.row).collect();
    let (n, order) = (rows.len(), (0..rows.len()).collect::<Vec<_>>());
    let open = open_at_once(&rows, &order);
    let block = default_block(n, open);
    let resamples = Resamples::draw(n, block, bootstrap);
    let policy = |name, cost: fn(&Decision) -> f64| of_policy(name, decisions, cost, resamples.as_ref());
    Some(Acted {
        n,
        undecided,
        first_date: rows.first()?.date,
        last_date: rows.last()?.date,
        open_at_once: open,
        effective_n: effective(n, open),
        block,
        bootstrap: *bootstrap,
        signals: Signal::ALL.iter().map(|signal| of_signal(*signal, decisions, resamples.as_ref())).collect(),
        policies: vec![
            policy("rule", Decision::cost),
            policy("buy every day", |decision| decision.row.price),
            policy("wait every day", |decision| decision.row.actual),
        ],
    })
}

fn of_signal(signal: Signal, all: &[Decision], resamples: Option<&Resamples>) -> OfSignal {
    let own: Vec<&Decision> = all.iter().filter(|decision| decision.signal == signal).collect();
    let changes: Option<Vec<f64>> = all.iter().map(Decision::change).collect();
    let given: Vec<f64> = all.iter().map(|decision| share(decision.signal == signal)).collect();
    let after = changes.as_ref().map(|changes| changes.iter().zip(&given).map(|(change, given)| change * given).collect::<Vec<_>>());
    let hits = |decisions: &[&Decision]| mean(&decisions.iter().map(|decision| share(decision.hit(signal))).collect::<Vec<_>>());
    let says = signal != Signal::Monitor;
    OfSignal {
        signal,
        n: own.len(),
        apart: apart(&own),
        change: own.iter().map(|decision| decision.change()).collect::<Option<Vec<_>>>().as_deref().and_then(mean),
        change_interval: after.and_then(|after| resamples?.ratio(&after, &given)),
        change_of_all: changes.as_deref().and_then(mean),
        hit: hits(&own).filter(|_| says),
        hit_of_all: hits(&all.iter().collect::<Vec<_>>()).filter(|_| says),
    }
}

/// How many decisions, in the order of their dates, can be taken one after another.
fn apart(own: &[&Decision]) -> usize {
    let mut free = NaiveDate::MIN;
    let taken = own.iter().filter(|decision| {
        let begins = decision.row.date >= free;
        free = if begins { decision.row.outcome_date } else { free };
        begins
    });
    taken.count()
}

fn of_policy(policy: &'static str, all: &[Decision], cost: impl Fn(&Decision) -> f64, resamples: Option<&Resamples>) -> OfPolicy {
    let costs: Vec<f64> = all.iter().map(&cost).collect();
    let saved: Vec<f64> = all.iter().zip(&costs).map(|(decision, cost)| decision.row.price - cost).collect();
    let spent: f64 = all.iter().map(|decision| decision.row.price).sum();
    OfPolicy {
        policy,
        cost: mean(&costs).unwrap_or_default(),
        saved: mean(&saved).unwrap_or_default(),
        saved_interval: resamples.and_then(|drawn| drawn.mean(&saved)),
        saved_share: (spent > 0.0).then(|| saved.iter().sum::<f64>() / spent),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Days;

    use super::*;

    fn decisions(all: &[(f64, f64, Signal)], due: u64) -> Vec<Decision> {
        let day = |at: usize| NaiveDate::default() + Days::new(at as u64);
        let one = |(at, (price, actual, signal)): (usize, &(f64, f64, Signal))| {
            let row = TestRow { date: day(at), outcome_date: day(at) + Days::new(due), price: *price, actual: *actual };
            Decision { row, predicted: *price, signal: *signal }
        };
        all.iter().enumerate().map(one).collect()
    }

    fn near(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-12)
    }

    #[test]
    fn what_is_saved_is_what_waiting_saved_and_nothing_else() {
        let all = [(50.0, 55.0, Signal::Buy), (50.0, 45.0, Signal::Wait), (40.0, 44.0, Signal::Wait), (60.0, 30.0, Signal::Monitor)];
        let acted = judge(&decisions(&all, 1), 2, &Bootstrap::default()).unwrap();
        assert_eq!((acted.n, acted.undecided, acted.open_at_once), (4, 2, 1));
        // Waiting saved 5, then cost 4; over 200 spent on buying every day.
        let [rule, buy, wait] = &acted.policies[..] else { panic!("three policies") };
        assert!(near(Some(rule.saved), 0.25) && near(rule.saved_share, 1.0 / 200.0) && near(Some(rule.cost), 49.75));
        assert!(near(Some(buy.saved), 0.0) && near(Some(wait.saved), 26.0 / 4.0));
        let [buys, waits, monitors] = &acted.signals[..] else { panic!("three signals") };
        assert!(near(buys.change, 0.1) && near(buys.hit, 1.0) && near(buys.hit_of_all, 0.5));
        assert!(near(waits.change, 0.0) && near(waits.hit, 0.5) && near(waits.hit_of_all, 0.5) && near(waits.change_of_all, -0.1));
        assert_eq!((monitors.n, monitors.hit, monitors.hit_of_all), (1, None, None));
        assert_eq!((waits.n, waits.apart), (2, 2));
    }

    #[test]
    fn a_rule_that_always_buys_is_buying_every_day() {
        let all: Vec<_> = (0..60_u32).map(|at| (50.0 + f64::from(at % 7), 50.0 + f64::from((at + 3) % 7), Signal::Buy)).collect();
        let acted = judge(&decisions(&all, 3), 0, &Bootstrap::default()).unwrap();
        assert_eq!((acted.open_at_once, acted.signals[0].n, acted.signals[0].apart), (3, 60, 20));
        let [rule, buy, _] = &acted.policies[..] else { panic!("three policies") };
        assert_eq!((rule.cost, rule.saved, rule.saved_interval), (buy.cost, buy.saved, buy.saved_interval));
        assert_eq!(rule.saved_interval, Some(Interval { low: 0.0, high: 0.0 }));
        assert_eq!(acted.signals[0].hit, acted.signals[0].hit_of_all);
        let change = acted.signals[0].change_interval.unwrap();
        assert!(change.low < acted.signals[0].change.unwrap() && acted.signals[0].change.unwrap() < change.high);
    }

    #[test]
    fn a_signal_never_given_has_no_figures_and_a_price_below_zero_no_share() {
        let acted = judge(&decisions(&[(50.0, 55.0, Signal::Buy), (-2.0, 1.0, Signal::Buy)], 1), 0, &Bootstrap::default()).unwrap();
        assert_eq!((acted.signals[0].change, acted.signals[0].hit), (None, Some(1.0)));
        assert_eq!((acted.signals[1].n, acted.signals[1].change, acted.signals[1].hit), (0, None, None));
        assert!(judge(&[], 3, &Bootstrap::default()).is_none());
    }
}
