//! Owns the index of the last build: what a build that has nothing to do reads instead of recipes, log and store. Invariant: it says *nothing
//! changed* only if every file that decided anything, and every blob that was made, is as it was; in doubt it says nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::canon::{HashSink, Sink};
use crate::base::digest::{BlobId, Digest};
use crate::io::file;
use crate::io::fs::{self, FsError, Stat, What};
use crate::store::local::{LocalStore, is_stamped};
use crate::store::root::Root;

const MAGIC: &[u8; 8] = b"cbi-ix\0\x02";

/// A file changed this shortly before a build began may change again without a trace.
const TICK_NS: i128 = 50_000_000;

/// What a build that finished well leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastBuild {
    /// What was asked, and all of the environment that matters.
    pub invocation: Digest,
    /// Steps in the part of the graph asked for.
    pub total: u64,
    /// What the build said at its end, as lines.
    pub summary: Vec<String>,
    watched: Vec<Watched>,
    blobs: Vec<(BlobId, u64)>,
}

/// A path and how it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    path: PathBuf,
    seen: Option<[u64; 4]>,
}

/// The digest of everything outside the files that decides what a build does.
#[must_use]
pub fn invocation(words: &[(&str, String)]) -> Digest {
    let mut sink = HashSink::new("cbi 1 invocation");
    for (name, value) in words {
        sink.field(name, value);
    }
    sink.finish()
}

impl LastBuild {
    /// Looks at every path; `None` where one is too young to be trusted. `began_ns` is when the build began to read.
    ///
    /// # Errors
    /// When a path cannot be looked at.
    pub fn observe(
        invocation: Digest,
        total: u64,
        summary: Vec<String>,
        paths: BTreeSet<PathBuf>,
        blobs: BTreeSet<(BlobId, u64)>,
        began_ns: i128,
    ) -> Result<Option<Self>, FsError> {
        let mut watched = Vec::with_capacity(paths.len());
        for path in paths {
            let stat = fs::stat(&path)?;
            if stat.is_some_and(|s| s.mtime_ns.max(s.ctime_ns) > began_ns - TICK_NS) {
                return Ok(None);
            }
            watched.push(Watched { path, seen: stat.map(|s| seen(&s)) });
        }
        Ok(Some(Self { invocation, total, summary, watched, blobs: blobs.into_iter().collect() }))
    }

    /// The last build, if it was asked the same and nothing has changed since.
    #[must_use]
    pub fn still_true(root: &Root, store: &LocalStore, invocation: Digest) -> Option<Self> {
        let last = Self::decode(&fs::read_if_any(&root.last_build_index()).ok()??)?;
        let same = last.invocation == invocation
            && last.watched.iter().all(|w| fs::stat(&w.path).is_ok_and(|stat| stat.map(|s| seen(&s)) == w.seen))
            && last.blobs.iter().all(|(id, size)| is_there(store, id, *size));
        same.then_some(last)
    }

    /// Writes it down, whole or not at all.
    ///
    /// # Errors
    /// When the cache folder cannot be written to.
    pub fn save(&self, path: &Path, scratch: &Path) -> Result<(), FsError> {
        file::replace(path, &self.encode(), scratch)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.invocation.as_bytes());
        out.extend(self.total.to_le_bytes());
        put_count(&mut out, self.summary.len());
        self.summary.iter().for_each(|line| put_bytes(&mut out, line.as_bytes()));
        put_count(&mut out, self.watched.len());
        for w in &self.watched {
            put_bytes(&mut out, w.path.as_os_str().as_encoded_bytes());
            out.push(u8::from(w.seen.is_some()));
            w.seen.unwrap_or_default().iter().for_each(|n| out.extend(n.to_le_bytes()));
        }
        put_count(&mut out, self.blobs.len());
        for (id, size) in &self.blobs {
            out.extend(id.0.as_bytes());
            out.extend(size.to_le_bytes());
        }
        let sum = Digest::of(&out);
        out.extend(sum.as_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Digest::of(body).as_bytes() != sum {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let invocation = Digest::from_bytes(take(&mut rest)?);
        let total = u64::from_le_bytes(take(&mut rest)?);
        let lines = take_count(&mut rest)?;
        let summary = (0..lines).map(|_| String::from_utf8(take_bytes(&mut rest)?.to_vec()).ok()).collect::<Option<_>>()?;
        let count = take_count(&mut rest)?;
        let mut watched = Vec::with_capacity(count);
        for _ in 0..count {
            let path = PathBuf::from(std::str::from_utf8(take_bytes(&mut rest)?).ok()?);
            let there = take::<1>(&mut rest)? == [1];
            let mut numbers = [0; 4];
            for n in &mut numbers {
                *n = u64::from_le_bytes(take(&mut rest)?);
            }
            watched.push(Watched { path, seen: there.then_some(numbers) });
        }
        let count = take_count(&mut rest)?;
        let mut blobs = Vec::with_capacity(count);
        for _ in 0..count {
            blobs.push((BlobId(Digest::from_bytes(take(&mut rest)?)), u64::from_le_bytes(take(&mut rest)?)));
        }
        rest.is_empty().then_some(Self { invocation, total, summary, watched, blobs })
    }
}

/// What of a file's attributes changes with its content. A folder's change time also moves when something else about it does, so only the
/// time of its list of names counts.
fn seen(stat: &Stat) -> [u64; 4] {
    let low = |n: i128| u64::try_from(n).unwrap_or(0);
    match stat.what {
        What::Folder => [1, low(stat.mtime_ns), 0, stat.inode],
        _ => [stat.size, low(stat.mtime_ns), low(stat.ctime_ns), stat.inode],
    }
}

fn is_there(store: &LocalStore, id: &BlobId, size: u64) -> bool {
    matches!(fs::stat(&store.path_of(id)), Ok(Some(stat)) if stat.size == size && is_stamped(&stat))
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// A count of things of at least one byte each, so that a damaged one cannot ask for more memory than the file has bytes.
fn take_count(rest: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(u64::from_le_bytes(take(rest)?)).ok()?;
    (count <= rest.len()).then_some(count)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = take_count(rest)?;
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> LastBuild {
        LastBuild {
            invocation: Digest::of(b"x"),
            total: 3,
            summary: vec!["forecast".into(), String::new()],
            watched: vec![Watched { path: "/a/b".into(), seen: Some([1, 2, 3, 4]) }, Watched { path: "/gone".into(), seen: None }],
            blobs: vec![(BlobId(Digest::of(b"y")), 7)],
        }
    }

    #[test]
    fn it_reads_back_as_written() {
        assert_eq!(LastBuild::decode(&sample().encode()), Some(sample()));
    }

    proptest! {
        #[test]
        fn damage_is_never_believed(at in 0usize..400, flip in 1u8..=255, cut in any::<bool>()) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            prop_assert_eq!(LastBuild::decode(&bytes), None);
        }
    }

    #[test]
    fn a_file_younger_than_the_build_is_not_trusted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let observe = |began| {
            LastBuild::observe(Digest::of(b""), 0, vec![], BTreeSet::from([file.path().to_owned()]), BTreeSet::new(), began).unwrap()
        };
        let now = crate::base::clock::now_ns();
        assert_eq!(observe(now), None);
        assert!(observe(now + 2 * TICK_NS).is_some());
    }
}
