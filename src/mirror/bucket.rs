//! Owns the requests to one bucket. Invariant: an object that is there is never written over.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientConfigKey;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, Error, ObjectStore, ObjectStoreExt, PutMode, RetryConfig};
use tokio::runtime::Runtime;

use crate::io::fs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::seen::Seen;
use crate::mirror::trust::Trust;

/// How long one request may take, and how long a connection.
const TIMEOUTS: [(ClientConfigKey, &str); 2] = [(ClientConfigKey::Timeout, "60 seconds"), (ClientConfigKey::ConnectTimeout, "5 seconds")];

/// A bucket, or a folder in one. Threads may share it.
#[derive(Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// What stands before every name.
    prefix: String,
    runtime: Runtime,
    url: String,
    trust: Trust,
    seen: Option<Seen>,
}

/// Where a bucket is. Accounts are found where the vendors' own programs find them: in `AWS_…`, `GOOGLE_…` and `AZURE_…`, in their files, or at the
/// machine's own service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// `file:///FOLDER`, `gs://BUCKET/PATH`, `s3://BUCKET/PATH` or `az://CONTAINER/PATH`.
    pub url: String,
    /// Another server than the vendor's own.
    pub endpoint: Option<String>,
    /// Whether requests go without an account.
    pub anonymous: bool,
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
            return if place.is_empty() { Self::folder(url, FilePath::new(rest)) } else { Err(bad("its folder must begin with '/'")) };
        }
        if place.is_empty() {
            return Err(bad("it names no bucket"));
        }
        let store = match scheme {
            "s3" => s3(address, place),
            "gs" => gs(address, place),
            "az" => az(address, place),
            _ => return Err(bad(&format!("'{scheme}' is no kind of bucket"))),
        };
        Self::new(url, prefix, store.map_err(|error| bad(&error.to_string()))?)
    }

    fn folder(url: &str, path: &FilePath) -> MirrorResult<Self> {
        if fs::stat(path)?.is_none() {
            return Err(MirrorError::NoFolder { path: path.to_owned() });
        }
        let store = LocalFileSystem::new_with_prefix(path);
        let store = store.map_err(|error| MirrorError::Address { url: url.to_owned(), why: error.to_string() })?;
        Self::new(url, "", Arc::new(store))
    }

    /// A bucket in this process's memory, for tests.
    ///
    /// # Errors
    /// When requests cannot be made at all.
    pub fn memory() -> MirrorResult<Self> {
        Self::new("memory://", "", Arc::new(InMemory::new()))
    }

    fn new(url: &str, prefix: &str, store: Arc<dyn ObjectStore>) -> MirrorResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(MirrorError::Runtime)?;
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { store, prefix, runtime, url: url.to_owned(), trust: Trust::default(), seen: None })
    }

    /// The same bucket, for a workspace that trusts these and has seen this of it.
    #[must_use]
    pub fn known(self, trust: Trust, seen: Seen) -> Self {
        Self { trust, seen: Some(seen), ..self }
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
        let path = self.path(name);
        match self.runtime.block_on(self.store.put_opts(&path, bytes.into(), PutMode::Create.into())) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed("put", name, error)),
        }
    }

    /// An object's bytes; `None` where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated, or the object has more than `longest` bytes.
    pub fn get(&self, name: &str, longest: u64) -> MirrorResult<Option<Vec<u8>>> {
        let path = self.path(name);
        let got = self.runtime.block_on(async {
            let found = self.store.get(&path).await?;
            if found.meta.size > longest {
                return Ok(Err(found.meta.size));
            }
            found.bytes().await.map(Ok)
        });
        match absent(got).map_err(|error| self.failed("get", name, error))? {
            Some(Err(size)) => Err(MirrorError::TooLong { name: name.to_owned(), url: self.url.clone(), size }),
            found => Ok(found.and_then(Result::ok).map(Vec::from)),
        }
    }

    /// Some of an object's bytes; `None` where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated, or the object ends before.
    pub fn get_range(&self, name: &str, from: u64, to: u64) -> MirrorResult<Option<Vec<u8>>> {
        let path = self.path(name);
        let got = self.runtime.block_on(self.store.get_range(&path, from..to));
        Ok(absent(got).map_err(|error| self.failed("get", name, error))?.map(Vec::from))
    }

    /// The bytes that an object has; `None` where it is not there.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn size_of(&self, name: &str) -> MirrorResult<Option<u64>> {
        let path = self.path(name);
        let found = absent(self.runtime.block_on(self.store.head(&path)));
        Ok(found.map_err(|error| self.failed("look for", name, error))?.map(|meta| meta.size))
    }

    /// All objects below a name that ends with `/`, sorted.
    ///
    /// # Errors
    /// When the request fails, however often it is repeated.
    pub fn list(&self, below: &str) -> MirrorResult<Vec<Listed>> {
        let path = self.path(below);
        let found: Result<Vec<_>, _> = self.runtime.block_on(self.store.list(Some(&path)).try_collect());
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
        let done = absent(self.runtime.block_on(self.store.delete(&path)));
        done.map(|_| ()).map_err(|error| self.failed("delete", name, error))
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}{name}", self.prefix))
    }

    fn failed(&self, what: &'static str, name: &str, source: Error) -> MirrorError {
        MirrorError::Request { what, name: name.to_owned(), url: self.url.clone(), source: Box::new(source) }
    }
}

type Opened = Result<Arc<dyn ObjectStore>, Error>;

fn s3(address: &Address, bucket: &str) -> Opened {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry());
    if address.anonymous {
        builder = builder.with_skip_signature(true);
    }
    if let Some(endpoint) = &address.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(true);
    }
    let set = |b: AmazonS3Builder, (key, value)| b.with_config(AmazonS3ConfigKey::Client(key), value);
    TIMEOUTS.into_iter().fold(builder, set).build().map(|store| Arc::new(store) as _)
}

fn gs(address: &Address, bucket: &str) -> Opened {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry());
    if address.anonymous {
        builder = builder.with_skip_signature(true);
    }
    if let Some(endpoint) = &address.endpoint {
        builder = builder.with_base_url(endpoint).with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
    }
    let set = |b: GoogleCloudStorageBuilder, (key, value)| b.with_config(GoogleConfigKey::Client(key), value);
    TIMEOUTS.into_iter().fold(builder, set).build().map(|store| Arc::new(store) as _)
}

fn az(address: &Address, container: &str) -> Opened {
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retry());
    if address.anonymous {
        builder = builder.with_skip_signature(true);
    }
    if let Some(endpoint) = &address.endpoint {
        builder = builder.with_endpoint(endpoint.clone()).with_allow_http(true);
    }
    let set = |b: MicrosoftAzureBuilder, (key, value)| b.with_config(AzureConfigKey::Client(key), value);
    TIMEOUTS.into_iter().fold(builder, set).build().map(|store| Arc::new(store) as _)
}

/// A request is repeated after 429, 5xx, and a connection that breaks.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(5), base: 2. };
    RetryConfig { backoff, max_retries: 6, retry_timeout: Duration::from_mins(1) }
}

/// An answer that says "there is none" becomes `None`.
fn absent<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
