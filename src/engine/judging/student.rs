//! Owns Student's t distribution. Invariant: a probability is between 0 and 1, and for no sensible question it is NaN, never a guess.
//!
//! The two tails together are `I(ν / (ν + t²); ν/2, 1/2)`, the regularised incomplete beta function (M. Abramowitz and I. A. Stegun, *Handbook of
//! Mathematical Functions*, 26.5.27 and 26.7.1). It is summed as the continued fraction 26.5.8 by Lentz's method; the logarithm of the gamma
//! function is Stirling's series (6.1.41), from arguments raised to 10 or more.

use std::f64::consts::PI;

/// Terms of the continued fraction, far more than any question needs: `O(√max(a, b))` do.
const TERMS: u32 = 100_000;
/// What stands for zero in a denominator of Lentz's method.
const TINY: f64 = 1e-300;

/// How likely a value at least as far from zero as `t` is, with `freedom` degrees of freedom: both tails.
#[must_use]
pub fn two_sided(t: f64, freedom: f64) -> f64 {
    if !t.is_finite() || freedom.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    let square = t * t;
    // Both are formed directly: 1 − x would lose the small one's digits.
    regularised_beta(freedom / (freedom + square), square / (freedom + square), freedom / 2.0, 0.5)
}

/// `I(x; a, b)`, where `rest` is 1 − x.
fn regularised_beta(x: f64, rest: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || rest <= 0.0 {
        return if rest <= 0.0 { 1.0 } else { 0.0 };
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * rest.ln()).exp();
    // The fraction is quick on this side of the mean; on the other the function is turned around.
    if x < (a + 1.0) / (a + b + 2.0) { front * fraction(x, a, b) / a } else { 1.0 - front * fraction(rest, b, a) / b }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let kept = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut over, mut under) = (1.0, 1.0 / kept(1.0 - (a + b) * x / (a + 1.0)));
    let mut sum = under;
    for m in (1..TERMS).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            under = 1.0 / kept(1.0 + term * under);
            over = kept(1.0 + term / over);
            step = over * under;
            sum *= step;
        }
        if (step - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    sum
}

/// The logarithm of the gamma function of `x` > 0.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 1.0);
    while x < 10.0 {
        below *= x;
        x += 1.0;
    }
    let square = x * x;
    let series = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0];
    let tail = series.iter().rev().fold(0.0, |sum, term| sum / square + term) / x;
    (x - 0.5) * x.ln() - x + (2.0 * PI).ln() / 2.0 + tail - below.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-12 * expected.max(1e-3)
    }

    #[test]
    fn tails_have_the_sizes_that_are_known_in_closed_form() {
        // One degree of freedom: 1 − 2/π · atan t; two: 1 − t / √(2 + t²).
        for t in [0.01_f64, 0.5, 1.0, 2.0, 12.7] {
            assert!(close(two_sided(t, 1.0), 1.0 - 2.0 / PI * t.atan()), "{t}");
            assert!(close(two_sided(-t, 2.0), 1.0 - t / (2.0 + t * t).sqrt()), "{t}");
        }
        assert!(close(two_sided(0.0, 7.0), 1.0));
    }

    #[test]
    fn the_logarithm_of_gamma_is_that_of_factorials_and_roots() {
        assert!(ln_gamma(1.0).abs() < 1e-13 && close(ln_gamma(6.0), 120.0_f64.ln()));
        assert!(close(ln_gamma(0.5), PI.sqrt().ln()));
    }

    #[test]
    fn what_cannot_be_asked_has_no_answer() {
        assert!(two_sided(f64::NAN, 3.0).is_nan() && two_sided(1.0, 0.0).is_nan() && two_sided(f64::INFINITY, 3.0).is_nan());
    }
}
