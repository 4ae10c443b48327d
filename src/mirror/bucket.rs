//! Owns the requests to one bucket. Invariant: an object that is there is never written over.

use std::error::Error as StdError;
use std::path::Path as FilePath;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt;
use futures_util::future::{Either, select};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::io::{fs, retry};
use crate::mirror::chunks::Chunks;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::folder::Folder;
use crate::mirror::gcs::Uploads;
use crate::mirror::limit::Limit;
use crate::mirror::seen::Seen;
use crate::mirror::stores::{self, Address};
use crate::mirror::trust::Trust;

/// How often a request is made whose line broke off, beside what the store's own client repeats.
const OFTEN: u32 = 3;

/// A bucket, or a folder in one. Threads may share it.
#[derive(Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    writes: Writes,
    /// What stands before every name.
    prefix: String,
    runtime: Runtime,
    url: String,
    trust: Trust,
    seen: Option<Seen>,
    chunks: Chunks,
    limit: Option<Limit>,
    sent: AtomicU64,
    stop: watch::Sender<bool>,
}

/// What puts objects.
#[derive(Debug)]
enum Writes {
    /// The store that is asked for everything else.
    Store,
    Google(Uploads),
    Folder(Folder),
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

impl Bucket {
    /// The bucket at an address. No request is made.
    ///
    /// # Errors
    /// When it is no address of a bucket, or a folder that is not there.
    pub fn open(address: &Address) -> MirrorResult<Self> {
        let url = address.url.as_str();
        let bad = |why: &str| MirrorError::Address { url: url.to_owned(), why: why.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it has no '://'"))?;
        let (place, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme == "file" {
            return if place.is_empty() { Self::folder(address, FilePath::new(rest)) } else { Err(bad("its folder must begin with '/'")) };
        }
        if place.is_empty() {
            return Err(bad("it names no bucket"));
        }
        let opened = match scheme {
            "s3" => stores::s3(address, place),
            "gs" => stores::gs(address, place, std::env::var("STORAGE_EMULATOR_HOST").ok().as_deref()),
            "az" => stores::az(address, place),
            _ => return Err(bad(&format!("'{scheme}' is no kind of bucket"))),
        };
        let (store, uploads) = opened.map_err(|error| bad(&error.to_string()))?;
        Self::new(address, prefix, store, uploads.map_or(Writes::Store, Writes::Google))
    }

    fn folder(address: &Address, path: &FilePath) -> MirrorResult<Self> {
        if fs::stat(path)?.is_none() {
            return Err(MirrorError::NoFolder { path: path.to_owned() });
        }
        let store = LocalFileSystem::new_with_prefix(path);
        let store = Arc::new(store.map_err(|error| MirrorError::Address { url: address.url.clone(), why: error.to_string() })?);
        Self::new(address, "", store.clone(), Writes::Folder(Folder::new(path, store)))
    }

    /// A bucket in this process's memory, for tests.
    ///
    /// # Errors
    /// When requests cannot be made at all.
    pub fn memory() -> MirrorResult<Self> {
        let address = Address { url: "memory://".into(), ..Address::default() };
        Self::new(&address, "", Arc::new(InMemory::new()), Writes::Store)
    }

    fn new(address: &Address, prefix: &str, store: Arc<dyn ObjectStore>, writes: Writes) -> MirrorResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(MirrorError::Runtime)?;
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let limit = address.limit.map(Limit::new);
        Ok(Self {
            store,
            writes,
            prefix,
            runtime,
            url: address.url.clone(),
            limit,
            sent: AtomicU64::new(0),
            stop: watch::Sender::new(false),
            trust: Trust::default(),
            seen: None,
            chunks: Chunks::default(),
        })
    }

    /// The same bucket, for a workspace that trusts these and has seen this of it.
    #[must_use]
    pub fn known(self, trust: Trust, seen: Seen) -> Self {
        let chunks = Chunks::of(seen.file().to_owned());
        Self { trust, seen: Some(seen), chunks, ..self }
    }

    /// Whose records in it are believed; everybody's, where nothing was said.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What the workspace remembers of it, where there is a workspace.
    #[must_use]
    pub fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// Which chunks it is known to have.
    #[must_use]
    pub fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// From now on no request is made, and those under way are given up: any thread may say so, at any moment.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether somebody said so.
    #[must_use]
    pub fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Bytes of the objects that were put so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Puts an object where there is none of its name; says whether it did. Of several that try, one does. One whose answer was lost may be told that
    /// it did not.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn put_if_absent(&self, name: &str, bytes: Vec<u8>) -> MirrorResult<bool> {
        let payload = PutPayload::from(bytes);
        for _ in 0..OFTEN {
            if self.put_once(name, &payload)? {
                return Ok(true);
            }
            // A line or a server that refuses may say so with the answer of one that has it; what is named by a record is not taken on such a word.
            if self.size_of(name)?.is_some() {
                return Ok(false);
            }
        }
        Err(MirrorError::Denied { name: name.to_owned(), url: self.url.clone() })
    }

    fn put_once(&self, name: &str, payload: &PutPayload) -> MirrorResult<bool> {
        let path = self.path(name);
        let bytes = payload.iter().next().map_or(&[][..], |bytes| bytes);
        self.pass(bytes.len() as u64)?;
        let put = match &self.writes {
            Writes::Folder(_) if self.stopped() => return Err(MirrorError::Stopped),
            Writes::Folder(folder) => folder.put_if_absent(&path, bytes),
            Writes::Google(uploads) => self.ask(async || {
                let put = uploads.put_if_absent(path.as_ref(), bytes).await;
                put.map_err(|error| Error::Generic { store: "GCS", source: Box::new(error) })
            })?,
            Writes::Store => self.ask(async || match self.store.put_opts(&path, payload.clone(), PutMode::Create.into()).await {
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
                put => put.map(|_| true),
            })?,
        };
        if let Ok(true) = put {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        put.map_err(|error| self.failed("put", name, error))
    }

    /// An object's bytes; `None` where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated, or the object has more than `longest` bytes.
    pub fn get(&self, name: &str, longest: u64) -> MirrorResult<Option<Vec<u8>>> {
        let path = self.path(name);
        self.pass(0)?;
        let got = self.ask(async || {
            let found = self.store.get(&path).await?;
            if found.meta.size > longest {
                return Ok(Err(found.meta.size));
            }
            found.bytes().await.map(Ok)
        })?;
        if let Some(limit) = &self.limit {
            limit.passed(got.as_ref().ok().and_then(|got| got.as_ref().ok()).map_or(0, |bytes| bytes.len() as u64));
        }
        match absent(got).map_err(|error| self.failed("get", name, error))? {
            Some(Err(size)) => Err(MirrorError::TooLong { name: name.to_owned(), url: self.url.clone(), size }),
            found => Ok(found.and_then(Result::ok).map(Vec::from)),
        }
    }

    /// An object's bytes, as `get` has them; one that is longer than any of its kind is as good as none.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn get_fitting(&self, name: &str, longest: u64) -> MirrorResult<Option<Vec<u8>>> {
        match self.get(name, longest) {
            Err(MirrorError::TooLong { .. }) => Ok(None),
            got => got,
        }
    }

    /// Some of an object's bytes; `None` where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated, or the object ends before.
    pub fn get_range(&self, name: &str, from: u64, to: u64) -> MirrorResult<Option<Vec<u8>>> {
        let path = self.path(name);
        self.pass(to.saturating_sub(from))?;
        let got = self.ask(async || self.store.get_range(&path, from..to).await)?;
        Ok(absent(got).map_err(|error| self.failed("get", name, error))?.map(Vec::from))
    }

    /// The bytes that an object has; `None` where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn size_of(&self, name: &str) -> MirrorResult<Option<u64>> {
        let path = self.path(name);
        let found = absent(self.ask(async || self.store.head(&path).await)?);
        Ok(found.map_err(|error| self.failed("look for", name, error))?.map(|meta| meta.size))
    }

    /// When an object was put, by the bucket's clock, milliseconds since 1970; `None` where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn put_at_ms(&self, name: &str) -> MirrorResult<Option<u64>> {
        let path = self.path(name);
        let found = absent(self.ask(async || self.store.head(&path).await)?);
        let found = found.map_err(|error| self.failed("look for", name, error))?;
        Ok(found.map(|meta| u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or_default()))
    }

    /// All objects below a name that ends with `/`, sorted.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn list(&self, below: &str) -> MirrorResult<Vec<Listed>> {
        let path = self.path(below);
        let found = self.ask(async || self.store.list(Some(&path)).try_collect::<Vec<_>>().await)?;
        let found = absent(found).map_err(|error| self.failed("list", below, error))?.unwrap_or_default();
        let named = |meta: object_store::ObjectMeta| {
            let name = meta.location.as_ref().strip_prefix(&self.prefix)?.to_owned();
            Some(Listed { name, size: meta.size })
        };
        let mut listed: Vec<Listed> = found.into_iter().filter_map(named).collect();
        listed.sort();
        Ok(listed)
    }

    /// Deletes an object; fine where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn delete(&self, name: &str) -> MirrorResult<()> {
        let path = self.path(name);
        let done = absent(self.ask(async || self.store.delete(&path).await)?);
        done.map(|_| ()).map_err(|error| self.failed("delete", name, error))
    }

    /// Makes a request, again where its line broke off; whoever stops the bucket ends it.
    fn ask<T>(&self, request: impl AsyncFn() -> Result<T, Error>) -> MirrorResult<Result<T, Error>> {
        let asked = async {
            let mut attempt = 1;
            loop {
                let answer = request().await;
                let again = attempt < OFTEN && answer.as_ref().is_err_and(broke_off);
                if !(again && retry::again(&mut attempt, None).await) {
                    return answer;
                }
            }
        };
        self.unless_stopped(asked)
    }

    /// Waits until so many bytes may pass.
    fn pass(&self, bytes: u64) -> MirrorResult<()> {
        match &self.limit {
            Some(limit) => self.unless_stopped(limit.pass(bytes)),
            None => Ok(()),
        }
    }

    fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> MirrorResult<T> {
        let mut stop = self.stop.subscribe();
        self.runtime.block_on(async {
            // Whether it was stopped is asked first: work that is done at once would be done all the same.
            match select(pin!(stop.wait_for(|stop| *stop)), pin!(work)).await {
                Either::Left(_) => Err(MirrorError::Stopped),
                Either::Right((done, _)) => Ok(done),
            }
        })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}{name}", self.prefix))
    }

    fn failed(&self, what: &'static str, name: &str, source: Error) -> MirrorError {
        MirrorError::Request { what, name: name.to_owned(), url: self.url.clone(), source: Box::new(source) }
    }
}

/// An answer that says "there is none" becomes `None`.
fn absent<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a line broke off under a request that may have been carried out; the store's own client repeats none but those that change nothing.
fn broke_off(error: &Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return !matches!(http.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout);
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_done_at_once_is_not_done_either_when_it_was_stopped() {
        let bucket = Bucket::memory().unwrap();
        assert_eq!(bucket.unless_stopped(std::future::ready(1)).unwrap(), 1);
        bucket.stop();
        assert!(matches!(bucket.unless_stopped(std::future::ready(1)), Err(MirrorError::Stopped)));
    }
}
