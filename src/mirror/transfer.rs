//! Owns how bytes travel. Invariant: no more than a few parts are in memory at once, however much there is to carry.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Requests under way at once: each holds a part, and the part as it travels.
const WIDTH: usize = 8;

/// How hard parts are compressed.
const LEVEL: i32 = 3;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Does `work` for every item, some at once. After a failure nothing is begun any more; the first one is returned.
///
/// # Errors
/// As `work`.
pub fn each<T: Sync, E: Send>(items: &[T], work: impl Fn(&T) -> Result<(), E> + Sync) -> Result<(), E> {
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

/// A part as it travels: compressed where that saves an eighth.
#[must_use]
pub fn pack(mut bytes: Vec<u8>) -> Vec<u8> {
    match zstd::bulk::compress(&bytes, LEVEL) {
        Ok(small) if small.len() <= bytes.len() - bytes.len() / 8 => framed(ZSTD, small),
        compressed => {
            drop(compressed);
            bytes.reserve_exact(1);
            framed(PLAIN, bytes)
        }
    }
}

/// Says in front of the bytes how they are to be read.
fn framed(kind: u8, mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.insert(0, kind);
    bytes
}

/// The bytes of a part, if it has `size` of them.
#[must_use]
pub fn unpack(mut packed: Vec<u8>, size: u64) -> Option<Vec<u8>> {
    let size = usize::try_from(size).ok()?;
    let bytes = match *packed.first()? {
        PLAIN => {
            packed.remove(0);
            packed
        }
        ZSTD => zstd::bulk::decompress(&packed[1..], size).ok()?,
        _ => return None,
    };
    (bytes.len() == size).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_out_as_it_went_in() {
        let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        for bytes in [Vec::new(), b"x".to_vec(), vec![7; 1 << 20], noise] {
            let packed = pack(bytes.clone());
            assert!(packed.len() <= bytes.len() + 1);
            assert_eq!(unpack(packed.clone(), bytes.len() as u64).as_deref(), Some(&bytes[..]));
            assert_eq!(unpack(packed, bytes.len() as u64 + 1), None, "another size");
        }
        assert!(pack(vec![7; 1 << 20]).len() < 1000);
    }

    #[test]
    fn a_part_that_would_be_larger_than_it_may_or_is_of_no_kind_is_none() {
        assert_eq!(unpack(pack(vec![0; 1 << 20]), 1000), None);
        assert_eq!(unpack(Vec::new(), 0), None);
        assert_eq!(unpack(vec![9, 1, 2], 2), None);
        assert_eq!(unpack(vec![ZSTD, 1, 2], 2), None);
    }

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
