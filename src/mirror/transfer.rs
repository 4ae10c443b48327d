//! Owns how much is carried at once. Invariant: no more than a few requests are under way, however many there are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// What `work` makes of items, in their order, without those of which it makes nothing; some at once.
///
/// # Errors
/// As `work`.
pub fn filter_map<'a, T: Sync, U: Send, E: Send>(items: &'a [T], work: impl Fn(&'a T) -> Result<Option<U>, E> + Sync) -> Result<Vec<U>, E> {
    let made = Mutex::new(BTreeMap::new());
    let numbered: Vec<(usize, &T)> = items.iter().enumerate().collect();
    each(&numbered, |(place, item)| {
        if let Some(one) = work(item)? {
            made.lock().unwrap_or_else(PoisonError::into_inner).insert(*place, one);
        }
        Ok(())
    })?;
    Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
}

/// Those items, in their order, for which `stays` says so; some are asked after at once.
///
/// # Errors
/// As `stays`.
pub fn filter<'a, T: Sync, E: Send>(items: &'a [T], stays: impl Fn(&'a T) -> Result<bool, E> + Sync) -> Result<Vec<&'a T>, E> {
    filter_map(items, |item| Ok(stays(item)?.then_some(item)))
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
