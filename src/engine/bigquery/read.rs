//! Owns the reading of a table's rows through the Storage interface. Invariant: every row of the table at one instant is given once, whatever
//! broke and was taken up again; never more than a few batches are held.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use arrow_ipc::reader::{StreamDecoder, StreamReader};
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as api;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::engine::bigquery::account::Account;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::tokens::Tokens;
use crate::io::retry;

type Client = api::big_query_read_client::BigQueryReadClient<Channel>;

/// Streams read side by side.
const STREAMS: i32 = 4;

/// Batches that may wait to be written.
const WAITING: usize = 2;

/// How long a stream may say nothing before it is taken up anew.
const SILENCE: Duration = Duration::from_mins(2);

/// The largest message taken; BigQuery's own limit is 100 MB.
const LARGEST: usize = 128 << 20;

/// An open session: the table's columns, and its rows as they come.
pub struct Session {
    /// The columns.
    pub schema: Arc<Schema>,
    /// Whether the server says that these are the rows of the instant asked for. Where it does not, a change since then is to be looked for.
    pub at_instant: bool,
    batches: Receiver<Result<RecordBatch, BigQueryError>>,
}

impl Session {
    /// The next rows, of whichever stream has some; `None` after the last.
    ///
    /// # Errors
    /// When the server ends a stream for good.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, BigQueryError>> {
        self.batches.recv().await
    }
}

/// One stream of a session, and all that is needed to take it up again.
struct Stream {
    client: Client,
    tokens: Arc<Tokens>,
    table: String,
    name: String,
    schema: Arc<[u8]>,
}

/// Which rows are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// These columns; all where empty.
    pub columns: &'a [String],
    /// A condition that the rows fulfil; all where empty.
    pub restriction: &'a str,
    /// As they were then, milliseconds since 1970; now where `None`.
    pub instant_ms: Option<i64>,
}

/// Opens `project.dataset.table`.
///
/// # Errors
/// When the session is refused or its columns are not understood.
pub async fn open(account: &Account, tokens: Arc<Tokens>, table: &str, wanted: Wanted<'_>) -> Result<Session, BigQueryError> {
    let client = connect(account).await?;
    let session = session(&client, &tokens, account, table, wanted).await?;
    let Some(api::read_session::Schema::ArrowSchema(schema)) = &session.schema else {
        return Err(odd(table, "the session has no Arrow columns"));
    };
    let instant = wanted.instant_ms.map(timestamp);
    let at_instant = instant.is_some() && session.table_modifiers.is_some_and(|said| said.snapshot_time == instant);
    let bytes: Arc<[u8]> = Arc::from(schema.serialized_schema.as_slice());
    let columns = StreamReader::try_new(Cursor::new(bytes.to_vec()), None).map_err(|error| odd(table, &error.to_string()))?.schema();
    let (send, batches) = channel(WAITING);
    for stream in session.streams {
        let stream =
            Stream { client: client.clone(), tokens: tokens.clone(), table: table.to_owned(), name: stream.name, schema: bytes.clone() };
        tokio::spawn(stream.run(send.clone()));
    }
    Ok(Session { schema: columns, at_instant, batches })
}

fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap_or_default() * 1_000_000;
    prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
}

async fn connect(account: &Account) -> Result<Client, BigQueryError> {
    let address = account.storage_endpoint.clone();
    let lost = |error: &dyn std::error::Error| {
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        BigQueryError::Unreachable { address: account.storage_endpoint.clone(), why }
    };
    let mut endpoint = Endpoint::from_shared(address.clone()).map_err(|error| lost(&error))?.connect_timeout(Duration::from_secs(20));
    if address.starts_with("https://") {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots()).map_err(|error| lost(&error))?;
    }
    let mut attempt = 1;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(Client::new(channel).max_decoding_message_size(LARGEST)),
            Err(error) if !retry::again(&mut attempt, None).await => return Err(lost(&error)),
            Err(_) => {}
        }
    }
}

async fn session(
    client: &Client,
    tokens: &Tokens,
    account: &Account,
    table: &str,
    rows: Wanted<'_>,
) -> Result<api::ReadSession, BigQueryError> {
    let [project, dataset, name] = table.split('.').collect::<Vec<_>>()[..] else { return Err(odd(table, "not project.dataset.table")) };
    let snapshot_time = rows.instant_ms.map(timestamp);
    let (selected_fields, row_restriction) = (rows.columns.to_vec(), rows.restriction.to_owned());
    let wanted = api::ReadSession {
        table: format!("projects/{project}/datasets/{dataset}/tables/{name}"),
        data_format: api::DataFormat::Arrow.into(),
        table_modifiers: Some(api::read_session::TableModifiers { snapshot_time }),
        read_options: Some(api::read_session::TableReadOptions { selected_fields, row_restriction, ..Default::default() }),
        ..Default::default()
    };
    let ask = api::CreateReadSessionRequest {
        parent: format!("projects/{}", account.billing_project),
        read_session: Some(wanted.clone()),
        max_stream_count: STREAMS,
        ..Default::default()
    };
    let mut attempt = 1;
    loop {
        let routed = signed(ask.clone(), tokens, &format!("read_session.table={}", wanted.table)).await?;
        let status = match in_time(client.clone().create_read_session(routed)).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        again(&status, &mut attempt, table).await?;
    }
}

impl Stream {
    /// Sends the stream's batches; after the last, or an error, the sender is dropped.
    async fn run(self, send: Sender<Result<RecordBatch, BigQueryError>>) {
        if let Err(error) = self.rows(&send).await {
            _ = send.send(Err(error)).await;
        }
    }

    async fn rows(&self, send: &Sender<Result<RecordBatch, BigQueryError>>) -> Result<(), BigQueryError> {
        let mut offset = 0;
        let mut attempt = 1;
        loop {
            match self.from(&mut offset, &mut attempt, send).await? {
                None => return Ok(()),
                // Whatever was lost comes again from `offset` on.
                Some(status) => again(&status, &mut attempt, &self.table).await?,
            }
        }
    }

    /// Reads from row `offset` on and moves it with each batch; the status that cut it short, where one did.
    async fn from(
        &self,
        offset: &mut i64,
        attempt: &mut u32,
        send: &Sender<Result<RecordBatch, BigQueryError>>,
    ) -> Result<Option<Status>, BigQueryError> {
        let ask = api::ReadRowsRequest { read_stream: self.name.clone(), offset: *offset };
        let ask = signed(ask, &self.tokens, &format!("read_stream={}", self.name)).await?;
        let answer = match in_time(self.client.clone().read_rows(ask)).await {
            Ok(answer) => answer,
            Err(status) => return Ok(Some(status)),
        };
        // A stream of no rows may have its end in its beginning.
        let ended = answer.metadata().contains_key(END);
        let mut rows = answer.into_inner();
        loop {
            let message = match in_time(rows.message()).await {
                Ok(Some(message)) => message,
                Ok(None) if ended => return Ok(None),
                Ok(None) => return Ok(cut_short(&mut rows).await),
                Err(status) => return Ok(Some(status)),
            };
            let Some(api::read_rows_response::Rows::ArrowRecordBatch(batch)) = message.rows else { continue };
            let decoded = self.decode(batch.serialized_record_batch)?;
            if i64::try_from(decoded.num_rows()).ok() != Some(message.row_count) && message.row_count != 0 {
                return Err(odd(&self.table, "a batch has another number of rows than it says"));
            }
            *offset += i64::try_from(decoded.num_rows()).unwrap_or(i64::MAX);
            *attempt = 1;
            if send.send(Ok(decoded)).await.is_err() {
                return Ok(None); // Nobody listens any more.
            }
        }
    }

    /// One batch, which comes without the columns that it needs to be read.
    fn decode(&self, batch: Vec<u8>) -> Result<RecordBatch, BigQueryError> {
        let failed = |error: arrow::error::ArrowError| odd(&self.table, &error.to_string());
        let mut decoder = StreamDecoder::new();
        decoder.decode(&mut Buffer::from(self.schema.to_vec())).map_err(failed)?;
        let mut bytes = Buffer::from(batch);
        decoder.decode(&mut bytes).map_err(failed)?.ok_or_else(|| odd(&self.table, "a batch is cut short"))
    }
}

/// The header that a stream ends with when the server ends it.
const END: &str = "grpc-status";

/// Of a stream that gives no more: nothing where the server ended it; a status where it only broke off, for then rows may be missing.
async fn cut_short(rows: &mut Streaming<api::ReadRowsResponse>) -> Option<Status> {
    match in_time(rows.trailers()).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(Status::unavailable("the stream broke off")),
        Err(status) => Some(status),
    }
}

/// What the server says, where it says it before patience ends.
async fn in_time<T>(said: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(SILENCE, said).await {
        Ok(said) => said,
        Err(_) => Err(Status::deadline_exceeded(format!("nothing was heard for {} s", SILENCE.as_secs()))),
    }
}

/// A request with its token, and the header that Google's servers find the right machine by.
async fn signed<T>(message: T, tokens: &Tokens, route: &str) -> Result<Request<T>, BigQueryError> {
    let mut request = Request::new(message);
    if let Ok(route) = route.replace('/', "%2F").parse() {
        request.metadata_mut().insert("x-goog-request-params", route);
    }
    if let Some(token) = tokens.get().await? {
        let header = MetadataValue::try_from(format!("Bearer {token}"));
        let mut header = header.map_err(|_| BigQueryError::NoToken { why: "the token is no header value".into() })?;
        header.set_sensitive(true);
        request.metadata_mut().insert("authorization", header);
    }
    Ok(request)
}

/// Waits where the failure may pass; gives it back where it will not.
async fn again(status: &Status, attempt: &mut u32, table: &str) -> Result<(), BigQueryError> {
    let may_pass = matches!(
        status.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unknown
            | Code::Aborted
            | Code::DeadlineExceeded
            | Code::Cancelled
    );
    if may_pass && retry::again(attempt, None).await {
        return Ok(());
    }
    if status.code() == Code::NotFound {
        return Err(BigQueryError::Gone { table: table.to_owned() });
    }
    let code = format!("{:?}", status.code());
    Err(BigQueryError::Stream { table: table.to_owned(), code, message: status.message().to_owned() })
}

fn odd(table: &str, why: &str) -> BigQueryError {
    BigQueryError::Answer { what: format!("read the table {table}"), why: why.to_owned() }
}
