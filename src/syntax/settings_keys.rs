//! Owns which sections and keys `cbi.toml` has. Invariant: what the file may say, what its schema says and what is refused come from these lists.

use crate::syntax::shape::{Key, Want};

const NAME: Key = Key::required("name", Want::Text, "The workspace's name.");
const DEFAULT: Key =
    Key::optional("default", Want::List(&Want::Text, false), "Globs over target names: what `cbi build` makes when none is named.");
const WAREHOUSE: Key = Key::optional(
    "warehouse",
    Want::Text,
    "The folder of tables, <dataset>.<table>.parquet or .csv (default \"warehouse\"); \"bigquery\" for the project of [bigquery].",
);
const AS_OF: Key = Key::optional("as_of", Want::Date, "The date that @as_of means in SQL, and on which the age of tables is judged.");
const JOBS: Key = Key::optional("jobs", Want::Int(1), "Threads that steps may use together (default: the machine's).");
const MEMORY: Key = Key::optional("memory", Want::Bytes, "Memory that steps may use together (default: most of the machine's).");
const PUBLISHED: Key = Key::optional(
    "published",
    Want::Text,
    "The folder that `publish` targets deliver tables into, or \"bigquery\"; where it is not said, a warehouse that is BigQuery takes them, and else nothing is published.",
);
const LET: Key = Key::optional("let", Want::Map(&Want::Any), "Values for every recipe file.");

/// The keys of `[bigquery]`.
pub const BIGQUERY_KEYS: &[Key] = &[
    Key::required("project", Want::Text, "The project that the tables are in."),
    Key::optional("billing_project", Want::Text, "The project that pays for reading; the same one where it is not said."),
    Key::optional(
        "credentials",
        Want::Text,
        "A file of a service account or a user; what `gcloud auth application-default login` left where it is not said.",
    ),
    Key::optional(
        "token_command",
        Want::List(&Want::Text, true),
        "A program and its arguments that prints an access token, instead of credentials.",
    ),
    Key::optional(
        "dataset",
        Want::Text,
        "The workspace's own dataset, for tables and models that its steps leave; `cbi_` and the workspace's name where it is not said.",
    ),
    Key::optional(
        "location",
        Want::Text,
        "Where that dataset is made and queries run, for example \"EU\"; where the tables are that the first of them reads, where it is not said.",
    ),
    Key::optional("price_per_tib", Want::Number, "What a TiB costs that a query is charged for; 6.25 where it is not said."),
    Key::optional("budget", Want::Bytes, "The most that the queries of one build may be charged for together; the server refuses more."),
    Key::optional("anonymous", Want::Bool, "Send no token at all: for test servers."),
    Key::optional("endpoint", Want::Text, "Another address of the REST interface: for test servers."),
    Key::optional("storage_endpoint", Want::Text, "Another address of the Storage interface: for test servers."),
    Key::optional("bucket", Want::Text, "gs://BUCKET, or a folder in one, that models are exported to; none are where it is not said."),
    Key::optional("storage_json_endpoint", Want::Text, "Another address of Cloud Storage's JSON interface: for test servers."),
];

const MIRROR: Key = Key::optional("mirror", Want::Text, "The mirror instead of the one in [mirror]; \"\" for none.");

/// The keys of `[mirror]`.
pub const MIRROR_KEYS: &[Key] = &[
    Key::required(
        "url",
        Want::Text,
        "Where results are shared: file:///FOLDER, gs://BUCKET/PATH, s3://BUCKET/PATH or az://CONTAINER/PATH.",
    ),
    Key::optional("endpoint", Want::Text, "Another server than the vendor's own that speaks its protocol."),
    Key::optional("anonymous", Want::Bool, "Send requests without an account: for test servers."),
    Key::optional(
        "name",
        Want::Text,
        "What it is called in signatures; its url where it is not said. One name for all who reach it by different urls.",
    ),
    Key::optional("limit", Want::Bytes, "The most that goes up and comes down in a second, for example \"2MiB\"."),
    Key::optional("timeout", Want::Duration, "How long one request, of up to 4 MiB, may take; 1m where it is not said."),
    Key::optional("sources", Want::Bool, "Put the files of the warehouse that builds read there, too."),
];

/// The keys of `[trust]`.
pub const TRUST_KEYS: &[Key] = &[
    Key::required(
        "keys",
        Want::List(&Want::Text, false),
        "The public keys whose records in the mirror are believed, each \"ed25519:…\" and, if wanted, a space and a name.",
    ),
    Key::optional("revoked", Want::List(&Want::Text, false), "Public keys that are not believed any more, whatever they signed and when."),
    Key::optional("required", Want::Bool, "Whether what nobody signed is refused too; true where it is not said."),
];

/// The keys of `[notify]`.
pub const NOTIFY_KEYS: &[Key] = &[
    Key::optional(
        "command",
        Want::List(&Want::Text, true),
        "A program and its arguments: `cbi daily` runs it when something failed, and gives it the report on its standard input.",
    ),
    Key::optional(
        "webhook",
        Want::Text,
        "An address, or \"env:NAME\" for the variable that holds it: `cbi daily` posts the report there when something failed.",
    ),
    Key::optional(
        "headers",
        Want::Map(&Want::Text),
        "Headers for the webhook, each with the name of the environment variable that holds its value.",
    ),
];

/// The keys of `[daily]`.
pub const DAILY_KEYS: &[Key] = &[Key::optional(
    "publish",
    Want::List(&Want::Text, true),
    "The `publish` targets that `cbi daily` runs after what it builds, where no targets are named.",
)];

/// The keys of `[workspace]`.
pub const WORKSPACE_KEYS: &[Key] = &[NAME, DEFAULT, WAREHOUSE, AS_OF, PUBLISHED];

/// The keys of `[limits]`.
pub const LIMIT_KEYS: &[Key] = &[JOBS, MEMORY];

/// The keys of `[profile.NAME]`.
pub const PROFILE_KEYS: &[Key] = &[DEFAULT, WAREHOUSE, AS_OF, PUBLISHED, JOBS, MEMORY, MIRROR, LET];

/// The sections of `cbi.toml`.
pub const SECTIONS: &[Key] = &[
    Key::required("workspace", Want::Table(WORKSPACE_KEYS), "What this workspace is."),
    LET,
    Key::optional("limits", Want::Table(LIMIT_KEYS), "What the steps of a build may use together. Never part of a key."),
    Key::optional(
        "bigquery",
        Want::Table(BIGQUERY_KEYS),
        "The warehouse, where `warehouse = \"bigquery\"`, and where `bqml` trains. It holds no secrets.",
    ),
    Key::optional("mirror", Want::Table(MIRROR_KEYS), "The bucket that results are shared through. Never part of a key."),
    Key::optional(
        "trust",
        Want::Table(TRUST_KEYS),
        "Whose records in the mirror are believed; everybody's where it is not said. Never part of a key.",
    ),
    Key::optional("notify", Want::Table(NOTIFY_KEYS), "Who is told when `cbi daily` fails. Never part of a key."),
    Key::optional("daily", Want::Table(DAILY_KEYS), "What `cbi daily` does beside building. Never part of a key."),
    Key::optional("profile", Want::Map(&Want::Table(PROFILE_KEYS)), "Other values, chosen with --profile NAME."),
];
