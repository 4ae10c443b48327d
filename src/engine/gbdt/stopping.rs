//! Owns early stopping. Invariant: the same scores stop at the same round, and keep the same round, as in the vendors' Python packages.

/// Watches the scores of the valid rows; every score is an error: less is better.
#[derive(Debug)]
pub struct EarlyStopping {
    rounds: u32,
    min_delta: f64,
    first_only: bool,
    best: Vec<(f64, u32)>,
}

impl EarlyStopping {
    /// Stops once any of the scores (or the first, with `first_only`) has not fallen by more than `min_delta` for `rounds` rounds.
    #[must_use]
    pub fn new(rounds: u32, min_delta: f64, first_only: bool) -> Self {
        Self { rounds, min_delta, first_only, best: Vec::new() }
    }

    /// Takes the scores after round `round` (counted from 0); the round to keep once it is time to stop.
    pub fn observe(&mut self, round: u32, scores: &[f64]) -> Option<u32> {
        if self.best.is_empty() {
            self.best = scores.iter().map(|&score| (score, round)).collect();
        }
        for (index, &score) in scores.iter().enumerate() {
            if score < self.best[index].0 - self.min_delta {
                self.best[index] = (score, round);
            }
            let watched = index == 0 || !self.first_only;
            if watched && round - self.best[index].1 >= self.rounds {
                return Some(self.best[index].1);
            }
        }
        None
    }

    /// The round to keep when all rounds were run: the best by the first score.
    #[must_use]
    pub fn best_round(&self) -> u32 {
        self.best.first().map_or(0, |best| best.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(rounds: u32, scores: &[f64]) -> Option<u32> {
        let mut watch = EarlyStopping::new(rounds, 0.0, false);
        scores.iter().zip(0..).find_map(|(&score, round)| watch.observe(round, &[score]))
    }

    #[test]
    fn training_stops_when_the_score_stands_still_and_keeps_the_best_round() {
        assert_eq!(stop(2, &[3.0, 2.0, 2.5, 2.0, 1.0]), Some(1));
        assert_eq!(stop(3, &[3.0, 2.0, 2.5, 2.0, 1.0]), None);
        assert_eq!(stop(1, &[3.0, f64::NAN]), Some(0));
    }

    #[test]
    fn the_second_score_counts_unless_only_the_first_is_asked_for() {
        let mut both = EarlyStopping::new(1, 0.0, false);
        let mut first = EarlyStopping::new(1, 0.0, true);
        assert_eq!((both.observe(0, &[2.0, 2.0]), first.observe(0, &[2.0, 2.0])), (None, None));
        assert_eq!((both.observe(1, &[1.0, 3.0]), first.observe(1, &[1.0, 3.0])), (Some(0), None));
        assert_eq!(first.best_round(), 1);
    }

    #[test]
    fn a_gain_below_the_least_gain_is_none() {
        let mut watch = EarlyStopping::new(1, 0.5, false);
        assert_eq!(watch.observe(0, &[2.0]), None);
        assert_eq!(watch.observe(1, &[1.6]), Some(0));
    }
}
