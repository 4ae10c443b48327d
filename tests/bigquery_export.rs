//! What reading a BigQuery table promises: every value comes back as it is, a type that has no form in tables is refused by name, and only what is
//! kept is read.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "bigquery_kit/mod.rs"]
mod bigquery_kit;
#[path = "build_kit/mod.rs"]
mod build_kit;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bigquery_kit::{BigQuery, PROJECT};
use build_kit::Workspace;
use cbi::base::diagnostic::ExitCode;
use cbi::engine::bigquery::account::{Account, Credentials};
use cbi::engine::table_file;
use cbi::kinds::dispatch;
use cbi::kinds::export::{Found, Probe, Reach};
use cbi::kinds::reach::Work;
use cbi::kinds::request::{Request, Response, RunError};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

fn reach(server: &BigQuery, instant_ms: Option<i64>) -> Value {
    let account = Account {
        project: PROJECT.into(),
        billing_project: PROJECT.into(),
        endpoint: server.rest.clone(),
        storage_endpoint: server.storage.clone(),
        credentials: Credentials::None,
    };
    json!(Reach { account, env: Vec::new(), instant_ms, modified: BTreeMap::new(), offline: false, work: Work::default(), step: None })
}

fn act(kind: &str, params: Value, reach: Value, inputs: &[(&str, &Path)], folder: &Path) -> Result<Response, RunError> {
    fs::create_dir_all(folder.join("out")).unwrap();
    let inputs = inputs.iter().map(|(slot, path)| ((*slot).to_owned(), (*path).to_owned())).collect::<BTreeMap<_, _>>();
    dispatch::run(&Request { reach: Some(reach), ..Request::of(kind, params, inputs, folder.join("out")) })
}

/// Looks at a table and reads these columns of it; the folder with its rows.
fn export(server: &BigQuery, table: &str, columns: &[&str], folder: &Path) -> Result<PathBuf, RunError> {
    act(
        "probe:bigquery",
        json!(Probe { tables: Some(BTreeSet::from([table.to_owned()])), ..Probe::default() }),
        reach(server, None),
        &[],
        folder,
    )?;
    let found: Found = serde_json::from_slice(&fs::read(folder.join("out/tables.json")).unwrap()).unwrap();
    let params = json!({"from": table, "version": found.versions[table], "columns": columns});
    act("export", params, reach(server, Some(found.instant_ms)), &[], folder)?;
    Ok(folder.join("out/rows"))
}

/// One value of a table.
#[derive(Debug, Clone)]
enum Cell {
    Bool(bool),
    Int(i64),
    Float(f64),
    Digits(i128),
    Text(String),
    Bytes(Vec<u8>),
    Days(i32),
    Micros(i64),
    List(Vec<Cell>),
    Parts(Vec<Option<Cell>>),
}

const DAY: i64 = 86_400_000_000;
/// The first and the last moment that BigQuery has: year 1 to 9999, in microseconds.
const MOMENTS: (i64, i64) = (-719_162 * DAY, 2_932_897 * DAY - 1);

fn scalar_type() -> impl Strategy<Value = DataType> {
    prop::sample::select(vec![
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Decimal128(38, 9),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    ])
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

fn column_type() -> impl Strategy<Value = DataType> {
    let parts = || {
        vec(scalar_type(), 1..4).prop_map(|types| {
            let fields: Vec<_> = types.into_iter().enumerate().map(|(n, part)| Field::new(format!("part_{n}"), part, true)).collect();
            DataType::Struct(fields.into())
        })
    };
    prop_oneof![6 => scalar_type(), 2 => scalar_type().prop_map(list_of), 1 => parts(), 1 => parts().prop_map(list_of)]
}

fn cell(of: &DataType) -> BoxedStrategy<Cell> {
    match of {
        DataType::Boolean => any::<bool>().prop_map(Cell::Bool).boxed(),
        DataType::Int64 => prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Cell::Int).boxed(),
        DataType::Float64 => {
            let odd = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MIN_POSITIVE, f64::MAX, 0.1]);
            prop_oneof![any::<f64>(), odd].prop_map(Cell::Float).boxed()
        }
        DataType::Decimal128(..) => {
            let most = 10i128.pow(38) - 1;
            prop_oneof![-most..=most, Just(most), Just(-most), Just(1), Just(0)].prop_map(Cell::Digits).boxed()
        }
        DataType::Utf8 => {
            let odd = prop::sample::select(vec!["", " ", "NULL", "a\tb\nc", "\"'\\", "日本語", "🦀", "e\u{301}"]).prop_map(str::to_owned);
            prop_oneof!["\\PC{0,12}", odd].prop_map(Cell::Text).boxed()
        }
        DataType::Binary => vec(any::<u8>(), 0..12).prop_map(Cell::Bytes).boxed(),
        DataType::Date32 => prop_oneof![-719_162..=2_932_896i32, Just(-719_162), Just(2_932_896)].prop_map(Cell::Days).boxed(),
        DataType::Time64(_) => prop_oneof![0..DAY, Just(0), Just(DAY - 1)].prop_map(Cell::Micros).boxed(),
        DataType::Timestamp(..) => prop_oneof![MOMENTS.0..=MOMENTS.1, Just(MOMENTS.0), Just(MOMENTS.1)].prop_map(Cell::Micros).boxed(),
        // BigQuery has no NULL in an array, and none in place of one.
        DataType::List(item) => vec(cell(item.data_type()), 0..4).prop_map(Cell::List).boxed(),
        DataType::Struct(fields) => {
            let parts: Vec<_> = fields.iter().map(|field| option::of(cell(field.data_type()))).collect();
            parts.prop_map(Cell::Parts).boxed()
        }
        other => panic!("{other}"),
    }
}

/// The values as a column of this type.
fn column(of: &DataType, cells: &[Option<Cell>]) -> ArrayRef {
    macro_rules! plain {
        ($array:ty, $variant:ident) => {
            <$array>::from_iter(cells.iter().map(|cell| match cell {
                Some(Cell::$variant(value)) => Some(value.clone()),
                _ => None,
            }))
        };
    }
    match of {
        DataType::Boolean => Arc::new(plain!(BooleanArray, Bool)),
        DataType::Int64 => Arc::new(plain!(Int64Array, Int)),
        DataType::Float64 => Arc::new(plain!(Float64Array, Float)),
        DataType::Decimal128(..) => Arc::new(plain!(Decimal128Array, Digits).with_precision_and_scale(38, 9).unwrap()),
        DataType::Utf8 => Arc::new(plain!(StringArray, Text)),
        DataType::Binary => Arc::new(plain!(BinaryArray, Bytes)),
        DataType::Date32 => Arc::new(plain!(Date32Array, Days)),
        DataType::Time64(_) => Arc::new(plain!(Time64MicrosecondArray, Micros)),
        DataType::Timestamp(_, None) => Arc::new(plain!(TimestampMicrosecondArray, Micros)),
        DataType::Timestamp(_, Some(_)) => Arc::new(plain!(TimestampMicrosecondArray, Micros).with_timezone("UTC")),
        DataType::List(item) => {
            let lists: Vec<&[Cell]> = cells.iter().map(|cell| if let Some(Cell::List(items)) = cell { items } else { &[][..] }).collect();
            let items: Vec<_> = lists.iter().flat_map(|items| items.iter().cloned().map(Some)).collect();
            let ends = OffsetBuffer::from_lengths(lists.iter().map(|items| items.len()));
            Arc::new(ListArray::new(item.clone(), ends, column(item.data_type(), &items), None))
        }
        DataType::Struct(fields) => {
            let there: NullBuffer = cells.iter().map(Option::is_some).collect();
            let part = |cell: &Option<Cell>, n: usize| if let Some(Cell::Parts(parts)) = cell { parts[n].clone() } else { None };
            let parts = fields
                .iter()
                .enumerate()
                .map(|(n, field)| column(field.data_type(), &cells.iter().map(|cell| part(cell, n)).collect::<Vec<_>>()));
            Arc::new(StructArray::new(fields.clone(), parts.collect(), Some(there)))
        }
        other => panic!("{other}"),
    }
}

fn any_table() -> impl Strategy<Value = RecordBatch> {
    (vec(column_type(), 1..7), 1..40usize).prop_flat_map(|(types, rows)| {
        let columns: Vec<_> = types.iter().map(|of| vec(option::weighted(0.8, cell(of)), rows)).collect();
        columns.prop_map(move |columns| {
            let fields: Vec<_> = types.iter().enumerate().map(|(n, of)| Field::new(format!("c{n}"), of.clone(), true)).collect();
            let columns = types.iter().zip(&columns).map(|(of, cells)| column(of, cells)).collect();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
        })
    })
}

/// Loads the rows, exports them, and takes them as `table` does: the bytes of the table that comes of it, and of the rows themselves.
fn there_and_back(server: &BigQuery, rows: &RecordBatch) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.parquet");
    table_file::write(&own, rows, &[]).unwrap();
    server.load("any.rows", &own);
    let exported = export(server, "any.rows", &[], folder.path()).unwrap();
    act("table", json!({"from": "any.rows", "columns": [], "types": {}}), json!(null), &[("source", &exported)], folder.path()).unwrap();
    (fs::read(folder.path().join("out/table/table.parquet")).unwrap(), fs::read(own).unwrap())
}

#[test]
fn any_table_comes_back_as_it_was_and_what_cannot_be_held_is_refused_by_name() {
    let Some(server) = BigQuery::start() else { return };
    server.dataset("any");
    let mut runner = TestRunner::new(Config { cases: 12, max_shrink_iters: 40, failure_persistence: None, ..Config::default() });
    let tried = runner.run(&any_table(), |rows| {
        let (made, own) = there_and_back(&server, &rows);
        prop_assert!(made == own, "{rows:?}");
        Ok(())
    });
    tried.unwrap_or_else(|error| {
        panic!("{error}\n{}", server.log().chars().rev().take(2000).collect::<String>().chars().rev().collect::<String>())
    });

    texts_that_bigquery_gives_are_strings(&server);
    a_view_gives_what_is_kept(&server);
    bignumeric_is_numeric_or_an_error(&server);
    what_nobody_keeps_is_not_read(&server);
}

fn texts_that_bigquery_gives_are_strings(server: &BigQuery) {
    let folder = tempfile::tempdir().unwrap();
    server.query("CREATE OR REPLACE TABLE any.texts AS SELECT JSON '{\"a\": [1, null]}' AS j, ST_GEOGPOINT(-87.5, 41.25) AS g");
    let rows = export(server, "any.texts", &[], folder.path()).unwrap();
    let rows = table_file::read(&rows.join("any.texts.parquet")).unwrap();
    let text = |n: usize| rows.column(n).as_any().downcast_ref::<StringArray>().unwrap().value(0).replace(' ', "");
    assert_eq!((text(0).as_str(), text(1).as_str()), ("{\"a\":[1,null]}", "POINT(-87.541.25)"));
}

fn a_view_gives_what_is_kept(server: &BigQuery) {
    let folder = tempfile::tempdir().unwrap();
    server.query("CREATE OR REPLACE TABLE any.base AS SELECT 1 AS n, INTERVAL 3 DAY AS lag");
    server.query("CREATE OR REPLACE VIEW any.seen AS SELECT n + 1 AS m, lag FROM any.base");
    let error = export(server, "any.seen", &[], folder.path()).unwrap_err();
    assert!(error.message.contains("column 'lag' of p1.any.seen is of type INTERVAL"), "{error:?}");
    let rows = export(server, "any.seen", &["m"], folder.path()).unwrap();
    let rows = table_file::read(&rows.join("any.seen.parquet")).unwrap();
    assert_eq!((rows.num_columns(), rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)), (1, 2));
}

fn bignumeric_is_numeric_or_an_error(server: &BigQuery) {
    let folder = tempfile::tempdir().unwrap();
    server.query("CREATE OR REPLACE TABLE any.fits AS SELECT CAST('12345678901234.000000001' AS BIGNUMERIC) AS x");
    let rows = export(server, "any.fits", &[], folder.path()).unwrap();
    let rows = table_file::read(&rows.join("any.fits.parquet")).unwrap();
    let digits = rows.column(0).as_any().downcast_ref::<Decimal128Array>().unwrap().value(0);
    assert_eq!(digits, 12_345_678_901_234_000_000_001);
    server.query("CREATE OR REPLACE TABLE any.finer AS SELECT CAST('1.0000000001' AS BIGNUMERIC) AS x");
    let error = export(server, "any.finer", &[], folder.path()).unwrap_err();
    assert!(error.code == ExitCode::Refused && error.message.contains("column 'x'") && error.message.contains("NUMERIC"), "{error:?}");
}

fn what_nobody_keeps_is_not_read(server: &BigQuery) {
    server.query("CREATE OR REPLACE TABLE any.mixed AS SELECT DATE '2026-01-02' AS date, 1.5 AS price, INTERVAL 3 DAY AS lag");
    let workspace = Workspace::new();
    let settings = format!("[workspace]\nname = \"test\"\nwarehouse = \"bigquery\"\ndefault = [\"**\"]\n\n{}", server.settings());
    workspace.write("cbi.toml", &settings);
    workspace.write("recipes/a.toml", "[table.\"any.mixed\"]\n");
    let refused = workspace.build(&[]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    let said = format!("{:?}{}", refused.events, refused.errors);
    assert!(
        said.contains("column 'lag' of p1.any.mixed is of type INTERVAL") && said.contains("columns = [") && said.contains("price"),
        "{said}"
    );

    workspace.write("recipes/a.toml", "[table.\"any.mixed\"]\ncolumns = [\"price\", \"date\"]\nkey = [\"date\"]\n");
    let built = workspace.build(&[]);
    assert_eq!((built.code, built.counts()), (Some(0), [2, 0, 0]), "{built:?}");
    assert_eq!(workspace.build(&[]).counts(), [0, 2, 0]);
    workspace.write("recipes/b.toml", "[table.\"b.dates\"]\nfrom = \"any.mixed\"\ncolumns = [\"date\"]\n");
    assert_eq!(workspace.build(&[]).counts(), [1, 2, 0], "what another reader keeps is there already");
    workspace.write("recipes/b.toml", "[table.\"b.all\"]\nfrom = \"any.mixed\"\n");
    assert!(format!("{:?}", workspace.build(&[])).contains("is of type INTERVAL"), "one that keeps all reads all");
    fs::remove_file(workspace.path("recipes/b.toml")).unwrap();
    workspace.write("recipes/a.toml", "[table.\"any.mixed\"]\ncolumns = [\"prize\", \"date\"]\nkey = [\"date\"]\n");
    let wrong = workspace.build(&[]);
    assert!(wrong.code == Some(3) && format!("{wrong:?}").contains("did you mean 'price'?"), "{wrong:?}");
}

/// The most that a step may hold, whatever the table's size.
const MEMORY: u64 = 512 << 20;

#[test]
fn five_million_rows_of_a_table_or_a_query_are_read_and_put_in_order_in_little_memory() {
    let Some(server) = BigQuery::start() else { return };
    server.dataset("any");
    server.query(
        "CREATE OR REPLACE TABLE any.many AS SELECT DATE_ADD(DATE '1950-01-01', INTERVAL MOD(n * 7919, 30000) DAY) AS date, n AS number, \
         n / 7 AS a, n / 11 AS b, n / 13 AS c, n / 17 AS d, MOD(n, 1000) / 100 AS e, CONCAT('contract ', CAST(n AS STRING)) AS name \
         FROM UNNEST(GENERATE_ARRAY(1, 5000000)) AS n",
    );
    let workspace = Workspace::new();
    let settings = format!("[workspace]\nname = \"test\"\nwarehouse = \"bigquery\"\ndefault = [\"**\"]\n\n{}", server.settings());
    workspace.write("cbi.toml", &settings);
    workspace.write("recipes/a.toml", "[table.\"any.many\"]\n");
    let built = workspace.build(&[]);
    assert_eq!((built.code, built.counts()), (Some(0), [2, 0, 0]), "{built:?}");
    let peak = |built: &build_kit::Said, step: &str| {
        let done = built.events.iter().find(|event| event["target"] == step && !event["cost"].is_null());
        done.and_then(|done| done["cost"]["peak_bytes"].as_u64()).unwrap()
    };
    // So are those of a query that runs there, and they come to the same file.
    workspace.write("recipes/b.toml", "[sql.\"any.same\"]\nengine = \"warehouse\"\nquery = \"SELECT * FROM `any.many`\"\n");
    let pushed = workspace.build(&["any.same"]);
    assert_eq!((pushed.code, pushed.counts()), (Some(0), [1, 0, 0]), "{pushed:?}");
    assert_eq!(
        fs::read(workspace.path(".cbi-cache/out/any.same/table.parquet")).unwrap(),
        fs::read(workspace.path(".cbi-cache/out/any.many/table.parquet")).unwrap()
    );
    let peaks = [peak(&built, "export/any.many"), peak(&built, "any.many"), peak(&pushed, "any.same")];
    assert!(peaks.iter().all(|&peak| peak < MEMORY), "{peaks:?}");
}
