//! Owns how much is carried at once. Invariant: no more than a few requests are under way, however many there are.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Requests under way at once: each holds a pack or a run of one, and what is in it.
const WIDTH: usize = 8;

/// Does `work` for every item, some at once. After a failure nothing is begun any more; the first one is returned.
///
/// # Errors
/// As `work`.
pub fn each<'a, T: Sync, E: Send>(items: &'a [T], work: impl Fn(&'a T) -> Result<(), E> + Sync) -> Result<(), E> {
    let (next, stop, failure) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let take = || {
        while !stop.load(Ordering::Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = work(item) {
                stop.store(true, Ordering::Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..WIDTH.min(items.len()) {
            scope.spawn(take);
        }
        take();
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Those items, in their order, for which `stays` says so; some are asked after at once.
///
/// # Errors
/// As `stays`.
pub fn filter<T: Sync, E: Send>(items: &[T], stays: impl Fn(&T) -> Result<bool, E> + Sync) -> Result<Vec<&T>, E> {
    let answers: Vec<(AtomicBool, &T)> = items.iter().map(|item| (AtomicBool::new(false), item)).collect();
    each(&answers, |(answer, item)| {
        answer.store(stays(item)?, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(answers.into_iter().filter(|(answer, _)| answer.load(Ordering::Relaxed)).map(|(_, item)| item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ends_the_work_and_everything_before_it_was_done() {
        let done = AtomicUsize::new(0);
        let work = |n: &usize| if *n == 500 { Err(*n) } else { Ok(_ = done.fetch_add(1, Ordering::Relaxed)) };
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(each(&items, work), Err(500));
        assert!((500 - WIDTH..1000).contains(&done.load(Ordering::Relaxed)));
        assert_eq!(each(&items[..100], work), Ok(()));
    }
}
