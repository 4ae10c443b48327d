//! Owns the Sharpe ratio of the position that forecasts imply. Invariant: no return is counted twice in one ratio, however far horizons overlap.
//!
//! | | |
//! |---|---|
//! | position | the sign of `p − t`: long 1, short −1, none where the forecast is today's price |
//! | return | position · (`a / t` − 1), from the forecast to its outcome; nothing is paid for trading, cash earns nothing |
//! | one sequence | every `h`-th forecast, `h` the most that are open at once: one ends before the next begins |
//! | its ratio | mean return / standard deviation (with `n − 1`) |
//! | a year | · √(365.25 / mean days from forecast to outcome) |
//! | reported | the mean over the `h` sequences, beginning at the first, second, … forecast |
//!
//! Undefined where a price is not above zero, or a sequence has fewer than two forecasts or returns that do not vary. The mean over sequences uses all
//! forecasts without counting overlapping returns as new ones. Scaling by the root of time takes returns to be independent.
//!
//! Sources: W. F. Sharpe, "The Sharpe Ratio", *Journal of Portfolio Management*, 1994; A. W. Lo, "The Statistics of Sharpe Ratios", *Financial
//! Analysts Journal* 58, 2002 (the root of time, and what overlapping returns do to it).

use std::cmp::Ordering;

use crate::engine::numbers::count;

/// Days in a year.
const YEAR: f64 = 365.25;

/// One forecast as a trade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// The price today.
    pub price: f64,
    /// The price that came.
    pub actual: f64,
    /// The price that was forecast.
    pub predicted: f64,
    /// Calendar days from forecast to outcome.
    pub days: f64,
}

/// The ratio a year of the positions that `trades`, in the order of time, imply, `open` of them open at once at the most.
#[must_use]
pub fn sharpe(trades: &[Trade], open: usize) -> Option<f64> {
    if trades.is_empty() || trades.iter().any(|trade| trade.price <= 0.0) {
        return None;
    }
    let a_year = YEAR / mean(&trades.iter().map(|trade| trade.days).collect::<Vec<_>>());
    let returns: Vec<f64> = trades.iter().map(|trade| position(trade) * (trade.actual / trade.price - 1.0)).collect();
    let open = open.max(1);
    let sequence = |first: usize| returns.iter().skip(first).step_by(open).copied().collect::<Vec<_>>();
    let ratios = (0..open).map(|first| ratio(&sequence(first))).collect::<Option<Vec<f64>>>()?;
    Some(mean(&ratios) * a_year.sqrt())
}

fn position(trade: &Trade) -> f64 {
    match trade.predicted.partial_cmp(&trade.price) {
        Some(Ordering::Greater) => 1.0,
        Some(Ordering::Less) => -1.0,
        _ => 0.0,
    }
}

fn ratio(returns: &[f64]) -> Option<f64> {
    let centre = mean(returns);
    let squares: f64 = returns.iter().map(|r| (r - centre).powi(2)).sum();
    let varies = returns.iter().any(|r| r.partial_cmp(&returns[0]) != Some(Ordering::Equal));
    varies.then(|| centre / (squares / (count(returns.len()) - 1.0)).sqrt())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(actual: f64, predicted: f64) -> Trade {
        Trade { price: 100.0, actual, predicted, days: YEAR / 4.0 }
    }

    #[test]
    fn the_ratio_of_quarters_is_doubled_for_a_year() {
        // Long into +10 %, short into +2 %, long into +4 %: 0.1, −0.02, 0.04.
        let trades = [trade(110.0, 101.0), trade(102.0, 99.0), trade(104.0, 130.0)];
        // About their mean of 0.04 they lie by 0.06, −0.06 and 0: a deviation of 0.06.
        assert!((sharpe(&trades, 1).unwrap() - 2.0 * 0.04 / 0.06).abs() < 1e-12);
    }

    #[test]
    fn overlapping_forecasts_are_taken_apart_into_sequences() {
        let returns = [1.0, 4.0, 2.0, 5.0, 6.0, 3.0];
        let trades = returns.map(|r| trade(100.0 + r, 101.0));
        let alone = |of: &[f64]| sharpe(&of.iter().map(|r| trade(100.0 + r, 101.0)).collect::<Vec<_>>(), 1).unwrap();
        let expected = f64::midpoint(alone(&[1.0, 2.0, 6.0]), alone(&[4.0, 5.0, 3.0]));
        assert!((sharpe(&trades, 2).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn no_position_short_sequences_and_prices_below_zero_have_no_ratio() {
        let flat = [trade(110.0, 100.0), trade(90.0, 100.0)];
        assert_eq!((sharpe(&flat, 1), sharpe(&[], 1)), (None, None));
        assert_eq!(sharpe(&[trade(110.0, 101.0), trade(90.0, 101.0)], 2), None);
        let below = Trade { price: -37.63, ..trade(10.0, 20.0) };
        assert_eq!(sharpe(&[below, trade(1.0, 2.0), trade(3.0, 2.0)], 1), None);
    }
}
