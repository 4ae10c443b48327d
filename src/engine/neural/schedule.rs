//! Owns what is decided between epochs: how long steps are, and when to stop. Invariant: both follow from the epochs so far alone, so a training that
//! is taken up again decides as if it had not been broken off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How the learning rate goes from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Down to nothing along half a cosine over all epochs (Loshchilov and Hutter 2017).
    Cosine,
    /// It is halved whenever the watched loss has not fallen for four epochs.
    Plateau,
}

/// Epochs without a fall, after which a plateau is one.
const PLATEAU: u32 = 4;

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// The learning rate in it.
    pub learning_rate: f64,
    /// The mean loss of its batches as they were met, dropout included.
    pub train_loss: f64,
    /// The mean loss of the valid rows after it, where they are watched.
    pub valid_loss: Option<f64>,
}

impl Epoch {
    /// The loss that decisions are made by.
    #[must_use]
    pub fn watched(&self) -> f64 {
        self.valid_loss.unwrap_or(self.train_loss)
    }

    /// Its losses by name, the valid one where it is watched.
    #[must_use]
    pub fn losses(&self) -> BTreeMap<String, f64> {
        let losses = [("train_loss", Some(self.train_loss)), ("valid_loss", self.valid_loss)];
        losses.into_iter().filter_map(|(name, loss)| Some((name.to_owned(), loss?))).collect()
    }
}

impl Schedule {
    /// The learning rate of the epoch that follows these, of so many.
    #[must_use]
    pub fn rate(self, first: f64, so_far: &[Epoch], epochs: u32) -> f64 {
        match self {
            Self::Constant => first,
            Self::Cosine => {
                let done = crate::engine::numbers::count(so_far.len()) / f64::from(epochs.max(1));
                first * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Self::Plateau => {
                let (mut best, mut since, mut rate) = (f64::INFINITY, 0, first);
                for epoch in so_far {
                    since += 1;
                    if epoch.watched() < best {
                        (best, since) = (epoch.watched(), 0);
                    } else if since >= PLATEAU {
                        (rate, since) = (rate * 0.5, 0);
                    }
                }
                rate
            }
        }
    }
}

/// The epoch whose watched loss is the least, none of the later ones better by more than `min_delta`.
#[must_use]
pub fn best(so_far: &[Epoch], min_delta: f64) -> Option<&Epoch> {
    so_far.iter().reduce(|best, epoch| if epoch.watched() < best.watched() - min_delta { epoch } else { best })
}

/// Whether the last `patience` epochs brought nothing better.
#[must_use]
pub fn is_over(so_far: &[Epoch], patience: u32, min_delta: f64) -> bool {
    let (last, best) = (so_far.last(), best(so_far, min_delta));
    last.zip(best).is_some_and(|(last, best)| last.epoch - best.epoch >= patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(losses: &[f64]) -> Vec<Epoch> {
        let epoch = |(n, &loss)| Epoch { epoch: n, learning_rate: 0.1, train_loss: 9.0, valid_loss: Some(loss) };
        (1..).zip(losses).map(epoch).collect()
    }

    #[test]
    fn a_cosine_begins_at_the_rate_and_is_at_its_half_midway() {
        let rate = |done: usize| Schedule::Cosine.rate(0.2, &epochs(&vec![1.0; done]), 10);
        assert!((rate(0) - 0.2).abs() < 1e-15 && (rate(5) - 0.1).abs() < 1e-15 && rate(9) > 0.0);
    }

    #[test]
    fn a_plateau_halves_the_rate_after_four_epochs_without_a_fall() {
        let rate = |losses: &[f64]| Schedule::Plateau.rate(0.8, &epochs(losses), 50);
        assert!((rate(&[3.0, 2.0, 2.0, 2.0, 2.0]) - 0.8).abs() < 1e-15);
        assert!((rate(&[3.0, 2.0, 2.0, 2.0, 2.0, 2.0]) - 0.4).abs() < 1e-15);
        assert!((rate(&[2.0; 9]) - 0.2).abs() < 1e-15);
    }

    #[test]
    fn training_is_over_once_patience_is() {
        let losses = epochs(&[3.0, 2.0, 2.5, 1.95]);
        assert_eq!(best(&losses, 0.0).map(|e| e.epoch), Some(4));
        assert_eq!(best(&losses, 0.1).map(|e| e.epoch), Some(2));
        assert!(is_over(&losses, 2, 0.1) && !is_over(&losses, 3, 0.1) && !is_over(&[], 1, 0.0));
    }
}
