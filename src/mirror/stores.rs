//! Owns how the stores behind addresses are opened. Invariant: a request is repeated after 429, 5xx and a line that breaks, for a bounded time.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientConfigKey;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, Error, ObjectStore, RetryConfig, StaticCredentialProvider};

use crate::mirror::gcs::{self, Uploads};

/// How long one request may take where nobody says.
const PATIENCE: Duration = Duration::from_mins(1);

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
    /// The most bytes a second that go up and down together.
    pub limit: Option<u64>,
    /// How long one request may take.
    pub timeout: Option<Duration>,
}

impl Address {
    fn patience(&self) -> Duration {
        self.timeout.unwrap_or(PATIENCE)
    }

    /// How long one request may take, and how long a connection.
    fn timeouts(&self) -> [(ClientConfigKey, String); 2] {
        let whole = format!("{}ms", self.patience().as_millis());
        [(ClientConfigKey::Timeout, whole), (ClientConfigKey::ConnectTimeout, "5 seconds".to_owned())]
    }

    /// A request is repeated after 429, 5xx, and a connection that breaks.
    fn retry(&self) -> RetryConfig {
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(5), base: 2. };
        RetryConfig { backoff, max_retries: 6, retry_timeout: self.patience() }
    }
}

/// What is asked for everything, and what puts objects where that does not.
pub type Opened = Result<(Arc<dyn ObjectStore>, Option<Uploads>), Error>;

/// A bucket of S3, or of a server that speaks its protocol.
///
/// # Errors
/// When the name or the account cannot be used.
pub fn s3(address: &Address, bucket: &str) -> Opened {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(address.retry());
    if address.anonymous {
        builder = builder.with_skip_signature(true);
    }
    if let Some(endpoint) = &address.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(true);
    }
    let set = |b: AmazonS3Builder, (key, value)| b.with_config(AmazonS3ConfigKey::Client(key), value);
    Ok((Arc::new(address.timeouts().into_iter().fold(builder, set).build()?), None))
}

/// A bucket of Google's. `emulator` is what `STORAGE_EMULATOR_HOST` says, as for Google's own programs: a server that asks for no account.
///
/// # Errors
/// When the name or the account cannot be used.
pub fn gs(address: &Address, bucket: &str, emulator: Option<&str>) -> Opened {
    let emulator = emulator.filter(|host| address.endpoint.is_none() && !host.is_empty());
    let emulator = emulator.map(|host| if host.contains("://") { host.to_owned() } else { format!("http://{host}") });
    let anonymous = address.anonymous || emulator.is_some();
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(address.retry());
    if anonymous {
        // Deletes ask for a token whatever `skip_signature` says; an empty one does.
        let nobody = GcpCredential { bearer: String::new() };
        builder = builder.with_skip_signature(true).with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
    }
    let endpoint = address.endpoint.clone().or(emulator);
    if let Some(endpoint) = &endpoint {
        builder = builder.with_base_url(endpoint).with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
    }
    let set = |b: GoogleCloudStorageBuilder, (key, value)| b.with_config(GoogleConfigKey::Client(key), value);
    let store = address.timeouts().into_iter().fold(builder, set).build()?;
    let credentials = (!anonymous).then(|| store.credentials().clone());
    let uploads = Uploads::new(endpoint.as_deref().unwrap_or(gcs::ENDPOINT), bucket, credentials, address.patience());
    let uploads = uploads.map_err(|error| Error::Generic { store: "GCS", source: Box::new(error) })?;
    Ok((Arc::new(store), Some(uploads)))
}

/// A container of Azure's, or of a server that speaks its protocol.
///
/// # Errors
/// When the name or the account cannot be used.
pub fn az(address: &Address, container: &str) -> Opened {
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(address.retry());
    if address.anonymous {
        builder = builder.with_skip_signature(true);
    }
    if let Some(endpoint) = &address.endpoint {
        builder = builder.with_endpoint(endpoint.clone()).with_allow_http(true);
    }
    let set = |b: MicrosoftAzureBuilder, (key, value)| b.with_config(AzureConfigKey::Client(key), value);
    Ok((Arc::new(address.timeouts().into_iter().fold(builder, set).build()?), None))
}
