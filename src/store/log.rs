//! Owns the append-only record log. Invariant: a record once acknowledged is never moved, changed or cut; whatever else the file holds
//! is recognised as no record.
//!
//! Several processes append, one at a time, under a lock on the file; readers take no
//! lock. A writer that died leaves a torn tail, which the next writer cuts. Damage in the middle is stepped over, to the next magic
//! that begins a whole record.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::io::file::File;
use crate::io::fs::{self, FsError};
use crate::io::lock::{self, Mode};
use crate::store::error::{StoreError, StoreResult};
use crate::store::record::{HEADER, MAGIC, claimed_length, encode, whole_record};

/// What is read at a time.
const CHUNK: usize = 256 << 10;
/// An append takes milliseconds; who holds the lock for longer is stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A log file, open or not yet there.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<File>,
    writable: bool,
    /// Records are known to be whole and complete up to here.
    whole_to: u64,
}

/// What a walk over a log meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A whole record.
    Record {
        /// Where it begins.
        offset: u64,
        /// Where it ends.
        end: u64,
        /// What was appended.
        payload: Vec<u8>,
    },
    /// Bytes that are no record, with a whole record after them.
    Damaged {
        /// Where they begin.
        offset: u64,
        /// Where they end.
        end: u64,
    },
    /// Bytes at the end that are no record: a writer died there, or is at work.
    Torn {
        /// Where they begin.
        offset: u64,
        /// Where the file ends.
        end: u64,
    },
}

impl Log {
    /// The log at `path`, whether or not it is there yet.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open(path: &Path) -> StoreResult<Self> {
        Ok(Self { path: path.to_owned(), file: File::open_if_any(path)?, writable: false, whole_to: 0 })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file now.
    ///
    /// # Errors
    /// When it cannot be inspected.
    pub fn size(&self) -> StoreResult<u64> {
        Ok(self.file.as_ref().map_or(Ok(0), |f| f.stat().map(|s| s.size))?)
    }

    /// A number that changes when the file is replaced by another.
    ///
    /// # Errors
    /// When it cannot be inspected.
    pub fn identity(&self) -> StoreResult<u64> {
        Ok(self.file.as_ref().map_or(Ok(0), |f| f.stat().map(|s| s.inode))?)
    }

    /// Opens the file anew where it has appeared or been replaced; says whether it was.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reopen(&mut self) -> StoreResult<bool> {
        let now = fs::stat(&self.path)?.map(|s| (s.device, s.inode));
        let mine = self.file.as_ref().map(File::stat).transpose()?.map(|s| (s.device, s.inode));
        if now == mine {
            return Ok(false);
        }
        let was_open = self.file.is_some();
        self.file = File::open_if_any(&self.path)?;
        self.writable = false;
        self.whole_to = 0;
        Ok(was_open)
    }

    /// Says that a record is known to end at `offset`, so that the next append need not look at what is before.
    pub fn known_whole(&mut self, offset: u64) {
        self.whole_to = self.whole_to.max(offset);
    }

    /// Walks the records from `offset`, which must be where one begins or the file ends.
    #[must_use]
    pub fn read_from(&self, offset: u64) -> Walk<'_> {
        Walk { file: self.file.as_ref(), base: offset, buffer: Vec::new(), at: 0, ended: false }
    }

    /// The payload of the record at `offset`; `None` where there is no whole one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_at(&self, offset: u64) -> StoreResult<Option<Vec<u8>>> {
        let Some(file) = &self.file else { return Ok(None) };
        let mut buffer = vec![0; 4096];
        let filled = file.read_at(&mut buffer, offset)?;
        buffer.truncate(filled);
        let Some(length) = claimed_length(&buffer) else { return Ok(None) };
        if filled < HEADER + length {
            let mut rest = vec![0; HEADER + length - filled];
            let more = file.read_at(&mut rest, offset + filled as u64)?;
            buffer.extend_from_slice(&rest[..more]);
        }
        Ok(whole_record(&buffer).map(<[u8]>::to_vec))
    }

    /// Appends one record and returns where it begins. It survives a crash when this returns.
    ///
    /// # Errors
    /// As [`append_all`](Self::append_all).
    pub fn append(&mut self, payload: &[u8]) -> StoreResult<u64> {
        self.append_all(&[payload])
    }

    /// Appends records one after the other and returns where the first begins. They survive a crash when this returns.
    ///
    /// # Errors
    /// When the disk refuses, or another process holds the log's lock and does not move. Nothing is appended then.
    pub fn append_all(&mut self, payloads: &[impl AsRef<[u8]>]) -> StoreResult<u64> {
        let mut records = Vec::new();
        for payload in payloads {
            encode(payload.as_ref(), &mut records)?;
        }
        self.lock()?;
        let done = self.append_locked(&records);
        if let Some(file) = &self.file {
            lock::unlock(file);
        }
        done
    }

    /// Locks the file that has the name now, making it where there is none.
    fn lock(&mut self) -> StoreResult<()> {
        loop {
            if !self.writable || self.file.is_none() {
                self.reopen()?;
                let fresh = self.file.is_none();
                self.file = Some(File::open_or_create(&self.path)?);
                self.writable = true;
                if fresh && let Some(folder) = self.path.parent() {
                    fs::sync(folder)?;
                }
            }
            let Some(file) = &self.file else { continue };
            lock::lock_file(file, Mode::Exclusive, PATIENCE).map_err(|e| StoreError::lock("the journal", e))?;
            if !self.reopen()? && self.file.is_some() {
                return Ok(());
            }
        }
    }

    fn append_locked(&mut self, records: &[u8]) -> StoreResult<u64> {
        let start = self.cut_torn_tail()?;
        let Some(file) = &self.file else { return Ok(0) };
        fs::step("records.before", &self.path)?;
        let written =
            file.write_at(records, start).and_then(|()| fs::step("records.written", &self.path)).and_then(|()| file.sync_content());
        if let Err(error) = written {
            // If even this fails, the next writer cuts what is torn.
            let _ = file.set_size(start);
            return Err(error.into());
        }
        fs::step("records.synced", &self.path)?;
        self.whole_to = start + records.len() as u64;
        Ok(start)
    }

    /// Finds where the last whole record ends and cuts what is behind it. The lock is held: nobody is at work there.
    fn cut_torn_tail(&mut self) -> StoreResult<u64> {
        let size = self.size()?;
        let from = if self.whole_to <= size { self.whole_to } else { 0 };
        let mut end = from;
        let mut torn = false;
        for item in self.read_from(from) {
            match item? {
                Item::Record { end: to, .. } => end = to,
                Item::Damaged { .. } => {}
                Item::Torn { .. } => torn = true,
            }
        }
        if torn && let Some(file) = &self.file {
            file.set_size(end)?;
        }
        Ok(end)
    }
}

/// Puts a log of the whole records that are to stay in place of the one at `path`, at once. Nobody may be appending.
///
/// # Errors
/// When the disk refuses; the old log is still there.
pub fn filter(path: &Path, mut stays: impl FnMut(&[u8]) -> bool, scratch: &Path) -> StoreResult<()> {
    let old = Log::open(path)?;
    let mut file = File::create_new(scratch)?;
    for item in old.read_from(0) {
        if let Item::Record { payload, .. } = item?
            && stays(&payload)
        {
            let mut record = Vec::new();
            encode(&payload, &mut record)?;
            file.write(&record)?;
        }
    }
    file.sync()?;
    fs::step("log.filtered", path)?;
    fs::rename(scratch, path)?;
    path.parent().map_or(Ok(()), fs::sync)?;
    Ok(())
}

/// A walk over a log's records. It ends at the file's end as it is when it gets there.
pub struct Walk<'a> {
    file: Option<&'a File>,
    /// Where `buffer` begins in the file.
    base: u64,
    buffer: Vec<u8>,
    /// Where we are in `buffer`.
    at: usize,
    ended: bool,
}

impl Walk<'_> {
    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Reads on until `count` bytes from `at` are there or the file ends; returns how many are there.
    fn ensure(&mut self, count: usize) -> Result<usize, FsError> {
        while self.buffer.len() - self.at < count && !self.ended {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
            let held = self.buffer.len();
            let want = CHUNK.max(count - held);
            self.buffer.resize(held + want, 0);
            let filled = match self.file {
                Some(file) => file.read_at(&mut self.buffer[held..], self.base + held as u64)?,
                None => 0,
            };
            self.buffer.truncate(held + filled);
            self.ended = filled < want;
        }
        Ok(self.buffer.len() - self.at)
    }

    /// The length of the whole record at `at`, if there is one.
    fn record_here(&mut self) -> Result<Option<usize>, FsError> {
        self.ensure(HEADER)?;
        let Some(length) = claimed_length(&self.buffer[self.at..]) else { return Ok(None) };
        self.ensure(HEADER + length)?;
        Ok(whole_record(&self.buffer[self.at..]).map(<[u8]>::len))
    }

    /// Steps on to the next whole record, or the end; says which.
    fn resync(&mut self) -> Result<bool, FsError> {
        loop {
            self.at += 1;
            if self.ensure(HEADER)? < HEADER {
                self.at = self.buffer.len();
                return Ok(false);
            }
            let next = self.buffer[self.at..].windows(MAGIC.len()).position(|w| w == MAGIC);
            match next {
                None => self.at = self.buffer.len() - MAGIC.len(),
                Some(step) => {
                    self.at += step;
                    if self.record_here()?.is_some() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn step(&mut self) -> Result<Option<Item>, FsError> {
        if self.ensure(1)? == 0 {
            return Ok(None);
        }
        let offset = self.offset();
        if let Some(length) = self.record_here()? {
            let from = self.at + HEADER;
            let payload = self.buffer[from..from + length].to_vec();
            self.at = from + length;
            return Ok(Some(Item::Record { offset, end: self.offset(), payload }));
        }
        let found = self.resync()?;
        let end = self.offset();
        Ok(Some(if found { Item::Damaged { offset, end } } else { Item::Torn { offset, end } }))
    }
}

impl Iterator for Walk<'_> {
    type Item = StoreResult<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            // A disk that cannot be read here will not be read further on.
            (self.ended, self.at) = (true, self.buffer.len());
        }
        step.map_err(StoreError::from).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(count: usize) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut log = Log::open(&path).unwrap();
        for n in 0..count {
            log.append(format!("record {n}").as_bytes()).unwrap();
        }
        (folder, path)
    }

    fn texts(log: &Log) -> Vec<String> {
        let records = log.read_from(0).filter_map(|item| match item.unwrap() {
            Item::Record { payload, .. } => Some(String::from_utf8(payload).unwrap()),
            _ => None,
        });
        records.collect()
    }

    #[test]
    fn what_is_appended_is_read_back_in_order_and_by_offset() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(&folder.path().join("x.log")).unwrap();
        assert_eq!(log.read_from(0).count(), 0);
        let big = "y".repeat(CHUNK * 2);
        let offsets: Vec<u64> = ["a", &big, "", "b"].iter().map(|t| log.append(t.as_bytes()).unwrap()).collect();
        assert_eq!(texts(&log), ["a", big.as_str(), "", "b"]);
        assert_eq!(log.read_at(offsets[1]).unwrap(), Some(big.into_bytes()));
        assert_eq!(log.read_at(offsets[1] + 1).unwrap(), None);
    }

    #[test]
    fn a_torn_tail_of_any_length_is_cut_by_the_next_append() {
        let (_folder, path) = log_of(3);
        let whole = fs::read(&path).unwrap();
        let two = whole.len() / 3 * 2;
        for cut in two + 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut log = Log::open(&path).unwrap();
            log.append(b"next").unwrap();
            assert_eq!(texts(&log), ["record 0", "record 1", "next"], "cut at {cut}");
            assert_eq!(log.size().unwrap(), (two + HEADER + 4) as u64);
        }
    }

    #[test]
    fn a_flipped_byte_anywhere_costs_its_own_record_and_no_other() {
        let (_folder, path) = log_of(3);
        let whole = fs::read(&path).unwrap();
        let each = whole.len() / 3;
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            fs::write(&path, &damaged).unwrap();
            let expected: Vec<String> = (0..3).filter(|n| at / each != *n).map(|n| format!("record {n}")).collect();
            assert_eq!(texts(&Log::open(&path).unwrap()), expected, "flipped at {at}");
        }
    }

    #[test]
    fn two_that_append_by_turns_lose_nothing() {
        let (_folder, path) = log_of(0);
        let (mut one, mut two) = (Log::open(&path).unwrap(), Log::open(&path).unwrap());
        for n in 0..4 {
            let log = if n % 2 == 0 { &mut one } else { &mut two };
            log.append(n.to_string().as_bytes()).unwrap();
        }
        assert_eq!(texts(&one), ["0", "1", "2", "3"]);
    }

    #[test]
    fn a_log_that_was_replaced_is_opened_anew_before_an_append() {
        let (folder, path) = log_of(3);
        let mut log = Log::open(&path).unwrap();
        filter(&path, |payload| payload == b"record 1", &folder.path().join("scratch")).unwrap();
        log.append(b"next").unwrap();
        assert_eq!(texts(&log), ["record 1", "next"]);
    }
}
