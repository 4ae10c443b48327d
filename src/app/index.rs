//! Owns the index of the last build: what a build that has nothing to do reads instead of recipes, log and store. Invariant: it says *nothing
//! changed* only if every file that decided anything, and every blob that was made, is as it was; in doubt it says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::canon::{HashSink, Sink};
use crate::base::clock;
use crate::base::digest::{BlobId, Digest};
use crate::io::file;
use crate::io::folder::Folder;
use crate::io::fs::{self, FsError, Stat, What};
use crate::store::local::is_stamped;
use crate::store::memo;
use crate::store::root::Root;

const MAGIC: &[u8; 8] = b"cbi-ix\0\x04";

/// A file changed this shortly before it was looked at may change again without a trace.
const TICK_NS: i128 = 50_000_000;

/// Paths that decided something, each with what was read there: a file's digest or `names_of` a folder. `None` where nothing was
/// read: it is not there, or only its attributes counted.
pub type Watch = BTreeMap<PathBuf, Option<Digest>>;

/// What a build that finished well leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastBuild {
    /// What was asked, and all of the environment that matters.
    pub invocation: Digest,
    /// Steps in the part of the graph asked for.
    pub total: u64,
    /// What the build said at its end, as lines.
    pub summary: Vec<String>,
    /// The first day, counted from 1970-01-01 UTC, on which a build would judge a table's age otherwise.
    pub until: Option<i32>,
    watched: Vec<Watched>,
    blobs: Vec<(BlobId, u64)>,
}

/// A path and how it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    /// From the workspace's folder where it is inside.
    path: PathBuf,
    seen: Option<[u64; 4]>,
    /// What it held, where its attributes alone do not tell: it was too young.
    held: Option<Digest>,
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
    /// Looks at every path again; `None` where one is no longer what the build read. `began_ns` is when the build began to read, `hash`
    /// the digest of a file.
    ///
    /// # Errors
    /// When a path cannot be looked at.
    pub fn observe(
        (invocation, total, summary, until): (Digest, u64, Vec<String>, Option<i32>),
        (root, watch): (&Path, &Watch),
        blobs: BTreeSet<(BlobId, u64)>,
        began_ns: i128,
        hash: &dyn Fn(&Path) -> Option<Digest>,
    ) -> Result<Option<Self>, FsError> {
        let mut watched = Vec::with_capacity(watch.len());
        for (path, read) in watch {
            let now_ns = clock::now_ns();
            let stat = fs::stat(path)?;
            let changed_ns = stat.map_or(i128::MIN, |s| s.mtime_ns.max(s.ctime_ns));
            let mut held = None;
            if stat.is_none() && read.is_some() {
                return Ok(None);
            }
            if changed_ns > began_ns - TICK_NS {
                held = content(path, hash);
                if held.is_none() || held != *read || fs::stat(path)? != stat {
                    return Ok(None);
                }
            }
            let settled = changed_ns <= now_ns - TICK_NS;
            let path = path.strip_prefix(root).unwrap_or(path);
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            watched.push(Watched { path: path.to_owned(), seen: stat.map(|s| seen(&s)), held: held.filter(|_| !settled) });
        }
        Ok(Some(Self { invocation, total, summary, until, watched, blobs: blobs.into_iter().collect() }))
    }

    /// The last build of the workspace at `root`, if it was asked the same and nothing has changed since.
    #[must_use]
    pub fn still_true(root: &Path, cache: &Root, invocation: Digest) -> Option<Self> {
        let last = Self::decode(&fs::read_if_any(&cache.last_build_index()).ok()??)?;
        if last.invocation != invocation || last.until.is_some_and(|until| clock::today().to_epoch_days() >= until) {
            return None;
        }
        let (folder, blobs) = (Folder::open(root).ok()?, Folder::open(&cache.blobs()).ok()?);
        let same =
            last.watched.iter().all(|w| w.is_as_it_was(root, &folder)) && last.blobs.iter().all(|(id, size)| is_there(&blobs, id, *size));
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
        out.extend(self.until.unwrap_or(i32::MAX).to_le_bytes());
        put_count(&mut out, self.watched.len());
        for w in &self.watched {
            put_bytes(&mut out, w.path.as_os_str().as_encoded_bytes());
            out.push(u8::from(w.seen.is_some()));
            w.seen.unwrap_or_default().iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.push(u8::from(w.held.is_some()));
            w.held.iter().for_each(|digest| out.extend(digest.as_bytes()));
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
        let until = Some(i32::from_le_bytes(take(&mut rest)?)).filter(|day| *day != i32::MAX);
        let count = take_count(&mut rest)?;
        let mut watched = Vec::with_capacity(count);
        for _ in 0..count {
            let path = PathBuf::from(std::str::from_utf8(take_bytes(&mut rest)?).ok()?);
            let there = take::<1>(&mut rest)? == [1];
            let mut numbers = [0; 4];
            for n in &mut numbers {
                *n = u64::from_le_bytes(take(&mut rest)?);
            }
            let held = if take::<1>(&mut rest)? == [1] { Some(Digest::from_bytes(take(&mut rest)?)) } else { None };
            watched.push(Watched { path, seen: there.then_some(numbers), held });
        }
        let count = take_count(&mut rest)?;
        let mut blobs = Vec::with_capacity(count);
        for _ in 0..count {
            blobs.push((BlobId(Digest::from_bytes(take(&mut rest)?)), u64::from_le_bytes(take(&mut rest)?)));
        }
        rest.is_empty().then_some(Self { invocation, total, summary, until, watched, blobs })
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

impl Watched {
    fn is_as_it_was(&self, root: &Path, folder: &Folder) -> bool {
        let same = folder.stat(&self.path).is_ok_and(|stat| stat.map(|s| seen(&s)) == self.seen);
        let hash = |path: &Path| memo::hash_file(path).ok().map(|hashed| hashed.blob.0);
        same && self.held.is_none_or(|held| content(&root.join(&self.path), &hash) == Some(held))
    }
}

/// What is at `path` now, as a [`Watch`] has it.
fn content(path: &Path, hash: &dyn Fn(&Path) -> Option<Digest>) -> Option<Digest> {
    match fs::stat(path).ok()??.what {
        What::Folder => names_of(path),
        _ => hash(path),
    }
}

/// The digest of a folder's list of names, hidden ones left out; `None` where it cannot be had.
#[must_use]
pub fn names_of(folder: &Path) -> Option<Digest> {
    let mut sink = HashSink::new("cbi 1 names");
    for entry in fs::list(folder).ok()?.iter().filter(|e| !e.name.as_encoded_bytes().starts_with(b".")) {
        sink.field(&entry.name.to_string_lossy(), &format!("{:?}", entry.what));
    }
    Some(sink.finish())
}

/// Whether the blob is in its place as it was put: `ab/<64 hex>` in the folder of blobs.
fn is_there(blobs: &Folder, id: &BlobId, size: u64) -> bool {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut name = [b'/'; 67];
    for (index, byte) in id.0.as_bytes().iter().enumerate() {
        let at = 3 + 2 * index;
        (name[at], name[at + 1]) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
    }
    (name[0], name[1]) = (name[3], name[4]);
    let name = Path::new(OsStr::from_bytes(&name));
    matches!(blobs.link_stat(name), Ok(Some(stat)) if stat.size == size && is_stamped(&stat))
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
            until: Some(20_000),
            watched: vec![
                Watched { path: "/a/b".into(), seen: Some([1, 2, 3, 4]), held: Some(Digest::of(b"z")) },
                Watched { path: "/gone".into(), seen: None, held: None },
            ],
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

    /// A folder with a file `x` and a cache, and the index of a build that read that file, begun now.
    fn built() -> (tempfile::TempDir, Root, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let cache = Root::open(&place.path().join("cache")).unwrap();
        let path = place.path().join("x");
        fs::write(&path, b"old").unwrap();
        (place, cache, path)
    }

    fn observe(place: &Path, path: &Path, read: &[u8], began_ns: i128) -> Option<LastBuild> {
        let hash = |p: &Path| memo::hash_file(p).ok().map(|h| h.blob.0);
        let watch = Watch::from([(path.to_owned(), Some(Digest::of(read)))]);
        LastBuild::observe((Digest::of(b""), 0, vec![], None), (place, &watch), BTreeSet::new(), began_ns, &hash).unwrap()
    }

    #[test]
    fn a_file_younger_than_the_build_is_believed_by_its_content() {
        let (place, cache, path) = built();
        let began = clock::now_ns();
        assert_eq!(observe(place.path(), &path, b"new", began), None, "it changed after it was read");
        let last = observe(place.path(), &path, b"old", began).unwrap();
        assert_eq!(last.watched[0].held, Some(Digest::of(b"old")));
        last.save(&cache.last_build_index(), &cache.scratch().unwrap()).unwrap();
        assert_eq!(LastBuild::still_true(place.path(), &cache, last.invocation), Some(last));
    }

    #[test]
    fn the_day_on_which_a_verdict_turns_ends_it() {
        let (place, cache, path) = built();
        let mut last = observe(place.path(), &path, b"old", clock::now_ns()).unwrap();
        let today = clock::today().to_epoch_days();
        for (until, believed) in [(None, true), (Some(today + 1), true), (Some(today), false), (Some(today - 1), false)] {
            last.until = until;
            last.save(&cache.last_build_index(), &cache.scratch().unwrap()).unwrap();
            assert_eq!(LastBuild::still_true(place.path(), &cache, last.invocation).is_some(), believed, "{until:?}");
        }
    }

    #[test]
    fn a_change_that_leaves_no_trace_in_the_attributes_of_a_young_file_is_seen() {
        let (place, cache, path) = built();
        let mut last = observe(place.path(), &path, b"old", clock::now_ns()).unwrap();
        fs::write(&path, b"new").unwrap();
        last.watched[0].seen = fs::stat(&path).unwrap().map(|s| seen(&s));
        last.save(&cache.last_build_index(), &cache.scratch().unwrap()).unwrap();
        assert_eq!(LastBuild::still_true(place.path(), &cache, last.invocation), None);
    }

    #[test]
    fn a_file_that_was_read_and_is_gone_leaves_no_index() {
        let (place, _cache, path) = built();
        fs::remove_file(&path).unwrap();
        assert_eq!(observe(place.path(), &path, b"old", clock::now_ns()), None);
    }
}
