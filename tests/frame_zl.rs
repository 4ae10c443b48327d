//! Frames of soybean oil against the platform's own record of what came (`models_v4.backtesting_history`). Invariant: the expected values are the
//! platform's, read from its tables; nothing here is made up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type};
use cbi::engine::frame::error::FrameError;
use cbi::engine::frame::labels::PriceSeries;
use cbi::engine::frame::spec::{FrameSpec, JoinSpec};
use cbi::engine::frame_file;
use cbi::engine::table_columns::{Values, floats, table};
use cbi::engine::table_file;
use cbi::kinds::frame::{Inputs, make};
use cbi::model::joined::Ages;
use cbi::model::series::{Future, Roll, Series};
use cbi::model::training::{DateRange, Horizon, Label, LabelKind, PriceColumn, Split};
use chrono::{Datelike, NaiveDate};

/// The platform's horizons, in rows, by the column that holds what came; beside them how many rows agree, and of how many (as in
/// PROVENANCE.md).
const HORIZONS: [(&str, u32, usize, usize); 4] =
    [("actual_1w", 7, 473, 501), ("actual_1m", 30, 442, 478), ("actual_3m", 90, 382, 418), ("actual_6m", 180, 292, 328)];

/// From 2025-09-10 on the platform's series repeats days (two sources, intraday rows), so counting its rows leads to other days.
const REPEATS_FROM: &str = "2025-09-10";

/// Days since 1970-01-01 with the value in `value`, where there is one, in the order of time.
fn column(path: &Path, date: &str, value: &str) -> Vec<(i32, f64)> {
    let rows = table_file::read(path).unwrap();
    let days = cast(rows.column_by_name(date).unwrap(), &DataType::Date32).unwrap();
    let days = days.as_primitive::<Date32Type>().values().to_vec().into_iter();
    let mut days: Vec<(i32, f64)> = days.zip(floats(&rows, value).unwrap()).filter_map(|(day, value)| Some((day, value?))).collect();
    days.sort_by_key(|(day, _)| *day);
    days
}

/// What the platform's prices of ZL are prices of; the last test says how that is known.
fn front_month() -> Series {
    let [symbol, exchange, contract] = ["ZL", "CBOT", "front month"].map(str::to_owned);
    Series::Future(Future { symbol, exchange, contract, roll: Roll::Unadjusted })
}

/// What a frame says of a day.
struct Day {
    price: f64,
    /// When the outcome was known, and the label.
    outcome: Option<(i32, f64)>,
}

/// What the frame of ZL at this horizon is asked to be.
fn spec_of_zl(rows: u32) -> FrameSpec {
    let range = |from: &str, to: Option<&str>| Some(DateRange { from: from.into(), to: to.map(Into::into) });
    FrameSpec {
        date: "date".into(),
        columns: vec!["close".into()],
        price: PriceColumn { table: "zl.markets".into(), column: "price".into(), series: front_month() },
        price_date: "date".into(),
        label: Label { kind: LabelKind::Level, horizon: Horizon::Rows(rows) },
        split: Split {
            train: range("2000-03-15", Some("2021-12-31")),
            valid: range("2022-01-01", Some("2022-12-31")),
            test: range("2023-01-01", None),
        },
        weight: None,
        weight_date: "date".into(),
        join: Vec::new(),
        lags: BTreeMap::new(),
        past: None,
        folds: None,
        refit: None,
    }
}

/// The frame of ZL at this horizon. The price is the one that `sql/zl/markets.sql` takes: the only table with 2020 in it and one row a day.
fn frame(warehouse: &Path, rows: u32) -> BTreeMap<i32, Day> {
    let folder = tempfile::tempdir().unwrap();
    let closes =
        column(&warehouse.join("yahoo_finance_comprehensive.biofuel_components_canonical.parquet"), "date", "soybean_oil_price_cwt");
    let prices = table([
        ("date".to_owned(), Values::Dates(closes.iter().map(|(day, _)| Some(*day)).collect())),
        ("price".to_owned(), Values::Floats(closes.iter().map(|(_, close)| Some(*close)).collect())),
        ("close".to_owned(), Values::Floats(closes.iter().map(|(_, close)| Some(*close)).collect())),
    ]);
    table_file::write(&folder.path().join(table_file::FILE_NAME), &prices.unwrap(), &["date".to_owned()]).unwrap();
    make(&spec_of_zl(rows), &Inputs { features: folder.path(), prices: folder.path(), weights: None, joined: &[] }, folder.path()).unwrap();
    let mut days = BTreeMap::new();
    for artifact in ["fit", "test", "score"] {
        let data = frame_file::read(&folder.path().join(artifact)).unwrap();
        for row in 0..data.len() {
            let outcome = data.outcome_dates.get(row).map(|due| (*due, data.label[row]));
            assert!(days.insert(data.dates[row], Day { price: data.price[row], outcome }).is_none(), "a day stands in one artifact only");
        }
    }
    days
}

fn equal(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn the_frame_s_price_is_the_platform_s_on_508_of_508_days() {
    let Some(warehouse) = common::shared().map(|shared| shared.join("warehouse")) else { return };
    let days = frame(&warehouse, 7);
    let history = column(&warehouse.join("models_v4.backtesting_history.parquet"), "forecast_date", "actual_price");
    let agreeing = history.iter().filter(|(day, price)| days.get(day).is_some_and(|found| equal(found.price, *price))).count();
    assert_eq!((agreeing, history.len()), (508, 508));
}

#[test]
fn the_frame_s_label_is_what_came_on_every_day_before_the_platform_s_series_repeats_itself() {
    let Some(warehouse) = common::shared().map(|shared| shared.join("warehouse")) else { return };
    let repeats_from = REPEATS_FROM.parse::<NaiveDate>().unwrap().to_epoch_days();
    for (name, rows, agreeing, all) in HORIZONS {
        let days = frame(&warehouse, rows);
        let history = column(&warehouse.join("models_v4.backtesting_history.parquet"), "forecast_date", name);
        assert_eq!(history.len(), all, "{name}");
        let agrees = |(day, came): &&(i32, f64)| days[day].outcome.is_some_and(|(_, label)| equal(label, *came));
        assert_eq!(history.iter().filter(agrees).count(), agreeing, "{name}");
        let due = |day: &i32| days[day].outcome.map_or(i32::MAX, |(due, _)| due);
        assert!(history.iter().all(|row| agrees(&row) || due(&row.0) >= repeats_from), "{name}");
    }
}

#[test]
fn the_newest_rows_have_no_label_though_the_platform_s_tables_had_one() {
    // Its training tables carried a target in the last 7, 30, 90 and 180 rows, where nobody could know it.
    let Some(warehouse) = common::shared().map(|shared| shared.join("warehouse")) else { return };
    for (_, rows, ..) in HORIZONS {
        let unknown: Vec<_> = frame(&warehouse, rows).into_values().rev().take_while(|day| day.outcome.is_none()).collect();
        assert_eq!(unknown.len(), rows as usize);
    }
}

/// A frame of one of the platform's training tables (`warehouse-changes/`), made into `out`; the training table holds features and price.
fn of_training_table(table: &Path, columns: &[&str], out: &Path) -> Result<cbi::kinds::request::Response, FrameError> {
    let inputs = tempfile::tempdir().unwrap();
    let rows = table_file::read(table).unwrap();
    table_file::write(&inputs.path().join(table_file::FILE_NAME), &rows, &["date".to_owned()]).unwrap();
    let range = |from: &str, to: Option<&str>| Some(DateRange { from: from.into(), to: to.map(Into::into) });
    let spec = FrameSpec {
        date: "date".into(),
        columns: columns.iter().map(|&c| c.to_owned()).collect(),
        price: PriceColumn { table: "zl.training".into(), column: "zl_price_current".into(), series: front_month() },
        price_date: "date".into(),
        label: Label { kind: LabelKind::Level, horizon: Horizon::Rows(7) },
        split: Split {
            train: range("2020-01-02", Some("2023-12-31")),
            valid: range("2024-01-01", Some("2024-12-31")),
            test: range("2025-01-01", None),
        },
        weight: None,
        weight_date: "date".into(),
        join: Vec::new(),
        lags: BTreeMap::new(),
        folds: None,
        refit: None,
        past: None,
    };
    make(&spec, &Inputs { features: inputs.path(), prices: inputs.path(), weights: None, joined: &[] }, out)
}

/// The bytes of an artifact's files.
fn bytes(artifact: &Path) -> [Vec<u8>; 2] {
    [frame_file::ROWS_FILE, frame_file::RECORD_FILE].map(|name| std::fs::read(artifact.join(name)).unwrap())
}

#[test]
fn columns_added_to_a_real_table_change_only_frames_that_name_them() {
    let Some(change) = common::shared().map(|shared| shared.join("warehouse-changes/10_columns_added_only")) else { return };
    let out = tempfile::tempdir().unwrap();
    let frame = |name: &str, table: &str, columns: &[&str]| {
        let out = out.path().join(name);
        of_training_table(&change.join(table), columns, &out).unwrap();
        ["fit", "test", "score"].map(|artifact| bytes(&out.join(artifact)))
    };
    let columns = ["zl_price_lag*", "corr_zl_*", "crush_margin*", "vix_*", "is_*"];
    assert!(frame("a", "before.parquet", &columns) == frame("b", "after.parquet", &columns));
    assert!(frame("c", "before.parquet", &["cn_imports*"]) != frame("d", "after.parquet", &["cn_imports*"]));
}

#[test]
fn rows_appended_to_a_real_table_leave_the_fit_as_it_was() {
    let Some(change) = common::shared().map(|shared| shared.join("warehouse-changes/05_append_contaminated")) else { return };
    let out = tempfile::tempdir().unwrap();
    let frame = |name: &str| {
        let out = out.path().join(name);
        of_training_table(&change.join(format!("{name}.parquet")), &["zl_price_lag*", "crush_margin*"], &out).unwrap();
        ["fit", "test", "score"].map(|artifact| bytes(&out.join(artifact)))
    };
    let (before, after) = (frame("before"), frame("after"));
    assert!(before[0] == after[0] && before[1] != after[1] && before[2] != after[2]);
}

#[test]
fn the_dead_columns_of_a_real_table_are_refused_by_name() {
    let Some(change) = common::shared().map(|shared| shared.join("warehouse-changes/05_append_contaminated")) else { return };
    let out = tempfile::tempdir().unwrap();
    let error = of_training_table(&change.join("before.parquet"), &["crush_margin", "rin_*", "cftc_managed_*"], out.path()).unwrap_err();
    let FrameError::AllMissing { columns, .. } = &error else { panic!("{error}") };
    assert_eq!(columns, &["rin_d4_price", "rin_d5_price", "rin_d6_price", "cftc_managed_long", "cftc_managed_net", "cftc_managed_short"]);
    let report = of_training_table(&change.join("before.parquet"), &["crush_margin", "is_*_vol"], out.path()).unwrap();
    let noted = "constant over all train rows: is_high_vol, is_low_vol, is_normal_vol";
    assert!(report.notes.iter().any(|note| note == noted), "{:?}", report.notes);
}

#[test]
fn crude_oil_below_zero_has_no_log_return() {
    let Some(warehouse) = common::shared().map(|shared| shared.join("warehouse")) else { return };
    let closes = column(&warehouse.join("yahoo_finance_comprehensive.biofuel_components_canonical.parquet"), "date", "crude_oil_price_bbl");
    let days = closes.into_iter().map(|(day, close)| (NaiveDate::from_epoch_days(day).unwrap(), close));
    let series = PriceSeries::new(days, "crude").unwrap();
    let label = |kind| series.label(Label { kind, horizon: Horizon::Rows(5) });
    let error = label(LabelKind::LogReturn).unwrap_err();
    let FrameError::NotPositive { days } = &error else { panic!("{error}") };
    assert_eq!(days.len(), 1);
    assert_eq!((days[0].0.to_string().as_str(), (days[0].1 * 100.0).round()), ("2020-04-20", -3763.0));
    assert!(label(LabelKind::Level).is_ok());
}

/// The months in which contracts of soybean oil end. The last day of trading is the business day before the 15th.
const CONTRACT_MONTHS: [u32; 8] = [1, 3, 5, 7, 8, 9, 10, 12];

/// Where the first value from the 15th of each month stands, in months with a contract or in the others.
fn mid_months(days: &[(i32, f64)], with_contract: bool) -> Vec<usize> {
    let date = |at: usize| NaiveDate::from_epoch_days(days[at].0).unwrap();
    let first = |at: &usize| date(*at).day() >= 15 && (date(at - 1).day() < 15 || date(at - 1).month() != date(*at).month());
    (1..days.len()).filter(first).filter(|at| CONTRACT_MONTHS.contains(&date(*at).month()) == with_contract).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[allow(clippy::cast_precision_loss)]
fn the_price_of_soybean_oil_is_the_front_month_unadjusted_and_the_docs_say_what_that_does() {
    let Some(warehouse) = common::shared().map(|shared| shared.join("warehouse")) else { return };
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/honest-metrics.md")).unwrap();
    let says = |line: &str| assert!(docs.contains(line), "docs/honest-metrics.md does not say: {line}");
    let closes =
        column(&warehouse.join("yahoo_finance_comprehensive.biofuel_components_canonical.parquet"), "date", "soybean_oil_price_cwt");
    let moves: Vec<f64> = closes.windows(2).map(|pair| (pair[1].1 / pair[0].1).ln().abs()).collect();
    let (rolls, others) = (mid_months(&closes, true), mid_months(&closes, false));
    let rest: Vec<usize> = (1..closes.len()).filter(|at| !rolls.contains(at) && !others.contains(at)).collect();
    let mean = |days: &[usize]| 100.0 * days.iter().map(|at| moves[at - 1]).sum::<f64>() / days.len() as f64;
    let large = |days: &[usize]| 100.0 * days.iter().filter(|at| moves[*at - 1] > 0.03).count() as f64 / days.len() as f64;
    for (name, days) in
        [("from the 15th of a month in which a contract ends", &rolls), ("from the 15th of another month", &others), ("all others", &rest)]
    {
        says(&format!("| {name} | {} | {:.2} % | {:.1} % |", days.len(), mean(days), large(days)));
    }
    let crossing = |rows: usize| {
        let crosses = |at: &usize| rolls.iter().any(|roll| (at + 1..=at + rows).contains(roll));
        100.0 * (0..closes.len() - rows).filter(crosses).count() as f64 / (closes.len() - rows) as f64
    };
    says(&format!("{:.0} % of the labels 5 rows ahead and {:.0} % of those 20 rows ahead reach over a roll", crossing(5), crossing(20)));
    assert!((crossing(60) - 100.0).abs() < 1e-9);

    let volumes: Vec<(i32, f64)> = column(&warehouse.join("forecasting_data_warehouse.soybean_oil_prices.parquet"), "time", "volume");
    let range = |from: &str, to: &str| [from, to].map(|date| date.parse::<NaiveDate>().unwrap().to_epoch_days());
    let [from, to] = range("2018-01-01", REPEATS_FROM);
    let traded: Vec<(i32, f64)> = volumes.into_iter().filter(|(day, _)| (from..to).contains(day)).collect();
    let on = |with_contract: bool, back: usize| median(mid_months(&traded, with_contract).iter().map(|at| traded[at - back].1).collect());
    says(&format!("{:.0} contracts two days before, {:.0} on the day itself", on(true, 2), on(true, 0)));
    says(&format!("in other months {:.0} and {:.0}", on(false, 2), on(false, 0)));
}

/// A table of some columns in a folder of its own, as an artifact.
fn artifact(columns: Vec<(&str, Values)>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let columns = columns.into_iter().map(|(name, values)| (name.to_owned(), values));
    table_file::write(&folder.path().join(table_file::FILE_NAME), &table(columns).unwrap(), &["date".to_owned()]).unwrap();
    folder
}

#[test]
fn what_a_day_learns_of_weekly_positions_and_daily_yields_is_what_had_been_published() {
    let Some(warehouse) = common::shared().map(|shared| shared.join("warehouse")) else { return };
    let series = |table: &str, date: &str, value: &str| column(&warehouse.join(format!("{table}.parquet")), date, value);
    let once = |mut days: Vec<(i32, f64)>| {
        days.dedup_by_key(|(day, _)| *day);
        days
    };
    let closes = series("yahoo_finance_comprehensive.biofuel_components_canonical", "date", "soybean_oil_price_cwt");
    let reports = once(series("forecasting_data_warehouse.cftc_cot", "report_date", "open_interest"));
    let yields = once(series("forecasting_data_warehouse.treasury_prices", "date", "close"));
    let sources = [("cftc.positions", "interest", &reports, 3, 16), ("rates.ten_year", "yield", &yields, 1, 4)];
    let days = |of: &[(i32, f64)]| Values::Dates(of.iter().map(|(day, _)| Some(*day)).collect());
    let values = |of: &[(i32, f64)]| Values::Floats(of.iter().map(|(_, value)| Some(*value)).collect());
    let prices = artifact(vec![("date", days(&closes)), ("price", values(&closes)), ("close", values(&closes))]);
    let folders = sources.map(|(_, name, rows, ..)| artifact(vec![("date", days(rows)), (name, values(rows))]));
    let spec = FrameSpec {
        join: sources
            .map(|(table, name, _, _, max_age_days)| JoinSpec {
                table: table.into(),
                columns: vec![name.into()],
                date: "date".into(),
                max_age_days,
            })
            .into(),
        lags: sources.iter().enumerate().map(|(index, (.., after, _))| (format!("join:{index}"), *after)).collect(),
        ..spec_of_zl(20)
    };
    let out = tempfile::tempdir().unwrap();
    let joined: Vec<&Path> = folders.iter().map(tempfile::TempDir::path).collect();
    make(&spec, &Inputs { features: prices.path(), prices: prices.path(), weights: None, joined: &joined }, out.path()).unwrap();
    for artifact in ["fit", "test", "score"] {
        let data = frame_file::read(&out.path().join(artifact)).unwrap();
        for (at, (table, name, rows, after, most)) in sources.iter().enumerate() {
            let (after, most) = (i32::try_from(*after).unwrap(), i32::try_from(*most).unwrap());
            let mut ages = Vec::new();
            for (today, found) in data.dates.iter().zip(&data.features[1 + at]) {
                // Whatever was out by then, one after another; the last of them, while it says anything.
                let out: Vec<&(i32, f64)> = rows.iter().filter(|(day, _)| day + after <= *today).collect();
                let newest = out.last().filter(|(day, _)| today - day <= most);
                match newest {
                    Some((day, value)) => {
                        assert!(equal(*found, *value), "{name} of {artifact} on {today}");
                        ages.push(i64::from(today - day));
                    }
                    None => assert!(found.is_nan(), "{name} of {artifact} on {today}"),
                }
            }
            ages.sort_unstable();
            let told = &data.record.joined[at];
            let (median, greatest) = (ages.get(ages.len().saturating_sub(1) / 2).copied(), ages.last().copied());
            let expected =
                Ages { joined: ages.len() as u64, without: (data.len() - ages.len()) as u64, median_days: median, max_days: greatest };
            assert_eq!((told.table.as_str(), told.ages), (*table, Some(expected)));
            assert!(artifact != "fit" || (ages.len() > 1_000 && ages[0] >= i64::from(after) && ages.len() < data.len()), "{name}");
        }
    }
}
