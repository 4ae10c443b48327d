//! Owns the search for features that are outcomes: a later price, or the change to it. Invariant: it looks at rows whose price moved, so today's price and
//! those before it are never taken for a later one.

use crate::engine::frame::error::OutcomeFeature;
use crate::engine::frame::rows::Frame;
use crate::engine::price_history::PriceHistory;

/// Outcomes are looked for so many rows ahead: a year and a half of trading days.
const AHEAD: usize = 400;

/// Rows on which a number of rows ahead is tried first, spread over all.
const SAMPLE: usize = 40;

/// Fewer rows than this prove nothing.
const LEAST: usize = 20;

/// Two prices are the same where they differ by no more than this share: columns are often rounded.
const TOLERANCE: f64 = 1e-6;

/// How a later price is read from today's and from a column.
type Later = fn(f64, f64) -> f64;

/// What a column may say of the price `p` and a later one.
const FORMS: [(&str, Later); 5] = [
    ("the price", |_, x| x),
    ("the change to the price", |p, x| p + x),
    ("the relative change to the price", |p, x| p * (1.0 + x)),
    ("the change in per cent to the price", |p, x| p * (1.0 + x / 100.0)),
    ("the log return to the price", |p, x| p * x.exp()),
];

/// The features that are outcomes on half of the train rows or more: nothing that was known comes near that, and tables that bring outcomes often have
/// stretches in which they are wrong.
#[must_use]
pub fn outcome_features(frame: &Frame) -> Vec<OutcomeFeature> {
    let prices = &frame.prices;
    let places: Vec<(usize, usize)> =
        frame.train.iter().filter_map(|row| Some((prices.position(row.date.to_epoch_days())?, row.at))).collect();
    let columns = frame.features.names.iter().zip(&frame.features.columns);
    columns.filter_map(|(name, values)| outcome(prices, &places, name, values)).collect()
}

fn outcome(prices: &PriceHistory, places: &[(usize, usize)], column: &str, values: &[f64]) -> Option<OutcomeFeature> {
    let rows: Vec<(usize, f64)> = places.iter().map(|(place, at)| (*place, values[*at])).filter(|(_, x)| x.is_finite()).collect();
    if rows.len() < LEAST {
        return None;
    }
    let sample: Vec<(usize, f64)> = rows.iter().step_by(rows.len().div_ceil(SAMPLE)).copied().collect();
    for (form, later) in FORMS {
        for ahead in 1..=AHEAD {
            let (same, of) = agreement(prices, &sample, ahead, later);
            if same * 3 < of || same == 0 {
                continue;
            }
            let (same, of) = agreement(prices, &rows, ahead, later);
            if of >= LEAST && same * 2 >= of {
                return Some(OutcomeFeature { column: column.to_owned(), form, ahead, same, of });
            }
        }
    }
    None
}

/// On how many rows the later price is the one that stood `ahead` rows later, and of how many whose price was another by then.
fn agreement(prices: &PriceHistory, rows: &[(usize, f64)], ahead: usize, later: Later) -> (usize, usize) {
    let (mut same, mut of) = (0, 0);
    for (place, x) in rows {
        let (now, Some(then)) = (prices.prices[*place], prices.prices.get(place + ahead)) else { continue };
        if now.to_bits() != then.to_bits() {
            of += 1;
            same += usize::from((later(now, *x) - then).abs() <= TOLERANCE * then.abs());
        }
    }
    (same, of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prices that go up and down without a rule.
    fn prices() -> PriceHistory {
        let mut state = 7_u32;
        let step = |price: &mut f64, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *price += f64::from(state >> 16) / 65_536.0 - 0.5;
            Some(*price)
        };
        (0..500).zip((0..500).scan(50.0, step)).collect()
    }

    fn found(make: impl Fn(&[f64], usize) -> f64) -> Option<(&'static str, usize)> {
        let prices = prices();
        let values: Vec<f64> = (0..500).map(|at| make(&prices.prices, at)).collect();
        let places: Vec<(usize, usize)> = (0..500).map(|at| (at, at)).collect();
        outcome(&prices, &places, "x", &values).map(|found| (found.form, found.ahead))
    }

    fn at(prices: &[f64], place: usize) -> f64 {
        prices.get(place).copied().unwrap_or(f64::NAN)
    }

    #[test]
    fn a_later_price_and_any_change_to_it_are_found() {
        assert_eq!(found(|p, i| at(p, i + 7)), Some(("the price", 7)));
        assert_eq!(found(|p, i| (at(p, i + 20) / p[i]).ln()), Some(("the log return to the price", 20)));
        assert_eq!(found(|p, i| at(p, i + 1) / p[i] - 1.0), Some(("the relative change to the price", 1)));
        assert_eq!(found(|p, i| 100.0 * (at(p, i + 30) / p[i] - 1.0)), Some(("the change in per cent to the price", 30)));
        assert_eq!(found(|p, i| at(p, i + 5) - p[i]), Some(("the change to the price", 5)));
        let mostly = |p: &[f64], i: usize| if i.is_multiple_of(3) { 1.0 } else { at(p, i + 7) };
        assert_eq!(found(mostly), Some(("the price", 7)), "also where some rows hold something else");
    }

    #[test]
    fn what_was_known_is_not_taken_for_an_outcome() {
        assert_eq!(found(|p, i| p[i]), None);
        assert_eq!(found(|p, i| at(p, i.wrapping_sub(1))), None);
        assert_eq!(found(|p, i| (p[i] / at(p, i.wrapping_sub(5))).ln()), None);
        assert_eq!(found(|_, i| f64::from(u8::from(i % 2 == 0))), None);
        assert_eq!(found(|_, _| 0.0), None);
    }
}
