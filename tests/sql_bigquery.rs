//! BigQuery's SQL offline: what each construct gives, as BigQuery's documentation says.
#![allow(missing_docs, clippy::unwrap_used, clippy::float_cmp, clippy::format_push_string, clippy::unreadable_literal)]

use std::collections::BTreeMap;

use cbi::engine::table_view;
use cbi::kinds::query::{QueryError, rows};
use serde_json::{Map, Value, json};

fn run(query: &str) -> Result<Value, QueryError> {
    let params = json!({ "n": 3, "x": 1.5, "s": "2020-01-31", "list": [1, 2], "as_of": "2019-01-03" });
    let Value::Object(params) = params else { unreachable!() };
    let table = rows(query, &params, &BTreeMap::new())?;
    Ok(json!(table_view::show(&table, 0, 100).rows))
}

/// Checks a table of queries, and reports every line that differs.
fn check(cases: &[(&str, Value)]) {
    let mut wrong = String::new();
    for (query, expected) in cases {
        let query = if query.starts_with("SELECT") || query.starts_with("WITH") { (*query).to_owned() } else { format!("SELECT {query}") };
        match run(&query) {
            Ok(found) if &found == expected || json!([expected]) == found || json!([[expected]]) == found => {}
            Ok(found) => wrong.push_str(&format!("\n{query}\n  wanted {expected}\n  found  {found}")),
            Err(error) => wrong.push_str(&format!("\n{query}\n  wanted {expected}\n  error  {error}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn arithmetic() {
    check(&[
        ("1 / 2", json!(0.5)),
        ("7 / 2 * 2", json!(7.0)),
        ("2 + 3 * 4", json!(14)),
        ("2147483647 + 1", json!(2_147_483_648_i64)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("0.1 + 0.2", json!(0.30000000000000004)),
        ("3.14159265358979323846", json!(std::f64::consts::PI)),
        ("DIV(7, 2), DIV(-7, 2)", json!([3, -3])),
        ("MOD(7, 3), MOD(-7, 3)", json!([1, -1])),
        ("SAFE_DIVIDE(1, 0), SAFE_DIVIDE(1, 4), SAFE_DIVIDE(NULL, 0)", json!([null, 0.25, null])),
        ("NULL / 0", json!(null)),
        ("SAFE_ADD(9223372036854775807, 1), SAFE_MULTIPLY(2, 3), SAFE_SUBTRACT(1, 2), SAFE_NEGATE(5)", json!([null, 6, -1, -5])),
        ("ABS(-5), ABS(-2.5), SIGN(-3), SIGN(2.5), SIGN(0)", json!([5, 2.5, -1, 1.0, 0])),
        ("SQRT(16), POW(2, 10), POWER(2.0, 0.5), EXP(0)", json!([4.0, 1024.0, std::f64::consts::SQRT_2, 1.0])),
        ("LN(1), LOG(EXP(1)), LOG(100, 10), LOG10(1000)", json!([0.0, 1.0, 2.0, 3.0])),
        ("5 & 3, 5 | 3, 5 ^ 3, ~5", json!([1, 7, 6, -6])),
        ("0x1F, 1e3, .5", json!([31, 1000.0, 0.5])),
        ("IS_NAN(CAST('nan' AS FLOAT64)), IS_INF(CAST('-inf' AS FLOAT64))", json!([true, true])),
    ]);
}

#[test]
fn no_comparison_with_nan_is_true() {
    let nan = "CAST('nan' AS FLOAT64)";
    check(&[
        (
            &format!("SELECT x > 1, x >= 1, x < 1, x <= 1, 1 < x, 1 <= x FROM UNNEST([{nan}]) AS x"),
            json!([false, false, false, false, false, false]),
        ),
        (
            &format!(
                "SELECT x BETWEEN 0 AND 5, 1 BETWEEN 0 AND x, x NOT BETWEEN 0 AND 5, IF(x > 0, 'up', 'not') FROM UNNEST([{nan}]) AS x"
            ),
            json!([false, false, true, "not"]),
        ),
        (&format!("SELECT COUNTIF(x > 1), MIN(x), MAX(x), SUM(x) FROM UNNEST([1.0, {nan}, 2.0]) AS x"), json!([1, "NaN", "NaN", "NaN"])),
        (&format!("SELECT GREATEST(1, {nan}), LEAST(1, {nan}), LEAST({nan}, 1)"), json!(["NaN", "NaN", "NaN"])),
        (
            "SELECT x > 1, x < DATE '2020-01-02' FROM UNNEST([1, 2, NULL]) AS x".replace(", x < DATE '2020-01-02'", "").as_str(),
            json!([[false], [true], [null]]),
        ),
        (
            "SELECT d >= '2020-01-01', s < 'b', d BETWEEN '2020-01-01' AND '2020-01-31' FROM UNNEST([STRUCT(DATE '2020-01-05' AS d, 'a' AS s)])",
            json!([true, true, true]),
        ),
    ]);
}

#[test]
fn rounding_goes_away_from_zero() {
    check(&[
        ("ROUND(2.5), ROUND(-2.5), ROUND(3.5), ROUND(2.4)", json!([3.0, -3.0, 4.0, 2.0])),
        ("ROUND(123.456, 1), ROUND(1235, -1), ROUND(-1.25, 1)", json!([123.5, 1240.0, -1.3])),
        ("ROUND(5)", json!(5.0)),
        ("TRUNC(2.7), TRUNC(-2.7), TRUNC(2.567, 2)", json!([2.0, -2.0, 2.56])),
        ("FLOOR(-1.5), CEIL(-1.5), CEILING(1.2), FLOOR(3)", json!([-2.0, -1.0, 2.0, 3.0])),
        ("CAST(2.5 AS INT64), CAST(-2.5 AS INT64), CAST(1.5 AS INT64)", json!([3, -3, 2])),
    ]);
}

#[test]
fn null_is_never_skipped_by_accident() {
    check(&[
        ("GREATEST(1, 2, 3), GREATEST(1, NULL, 3), LEAST(1.5, 2), LEAST(NULL, 2)", json!([3, null, 1.5, null])),
        ("GREATEST('a', 'b'), LEAST(DATE '2020-01-02', DATE '2020-01-01')", json!(["b", "2020-01-01"])),
        ("CONCAT('a', NULL), CONCAT('a', 'b', 'c'), 'a' || NULL", json!([null, "abc", null])),
        ("COALESCE(NULL, NULL, 3), IFNULL(NULL, 'x'), NULLIF(1, 1), NULLIF(1, 2)", json!([3, "x", null, 1])),
        ("IF(NULL, 1, 2), IF(TRUE, 1, NULL)", json!([2, 1])),
        ("NULL = NULL, NULL IS NULL, 1 IS NOT NULL, NULL IS DISTINCT FROM 1", json!([null, true, true, true])),
        ("1 IN (2, NULL), 1 IN (1, NULL), 1 NOT IN (2, 3)", json!([null, true, true])),
        ("TRUE AND NULL, FALSE AND NULL, TRUE OR NULL, NOT NULL", json!([null, false, true, null])),
        ("2 IN UNNEST([1, 2]), 3 IN UNNEST([1, NULL]), 1 IN UNNEST([])", json!([true, null, false])),
    ]);
}

#[test]
fn nulls_come_first_when_ascending_and_last_when_descending() {
    let values = "FROM UNNEST([2, NULL, 1]) AS x";
    check(&[
        (&format!("SELECT ARRAY(SELECT IFNULL(x, 0) {values} ORDER BY x)"), json!([0, 1, 2])),
        (&format!("SELECT ARRAY(SELECT IFNULL(x, 0) {values} ORDER BY x DESC)"), json!([2, 1, 0])),
        (&format!("SELECT ARRAY(SELECT IFNULL(x, 0) {values} ORDER BY x NULLS LAST)"), json!([1, 2, 0])),
        (&format!("SELECT x, ROW_NUMBER() OVER (ORDER BY x) {values} ORDER BY 2"), json!([[null, 1], [1, 2], [2, 3]])),
        (&format!("SELECT x {values} ORDER BY x LIMIT 1"), json!(null)),
        (&format!("SELECT x {values} ORDER BY x DESC LIMIT 1 OFFSET 1"), json!(1)),
    ]);
}

#[test]
fn casts() {
    check(&[
        (
            "SAFE_CAST('.' AS FLOAT64), SAFE_CAST('12.5' AS FLOAT64), SAFE_CAST('x' AS INT64), SAFE_CAST('2.5' AS INT64)",
            json!([null, 12.5, null, null]),
        ),
        ("CAST('12' AS INT64), CAST(TRUE AS INT64), CAST(12 AS FLOAT64), CAST('1e3' AS FLOAT64)", json!([12, 1, 12.0, 1000.0])),
        ("CAST(1.0 AS STRING), CAST(0.1 AS STRING), CAST(12 AS STRING), CAST(TRUE AS STRING)", json!(["1", "0.1", "12", "true"])),
        ("CAST(DATE '2020-01-05' AS STRING), CAST(DATETIME '2020-01-05 10:00:00' AS STRING)", json!(["2020-01-05", "2020-01-05 10:00:00"])),
        (
            "CAST(TIMESTAMP '2020-01-05 23:30:00+00' AS DATE), DATE(TIMESTAMP '2020-01-05 23:30:00 UTC')",
            json!(["2020-01-05", "2020-01-05"]),
        ),
        ("DATE(TIMESTAMP '2020-01-05 23:30:00-05:00')", json!("2020-01-06")),
        ("CAST('2020-1-5' AS DATE), SAFE_CAST('2020-13-01' AS DATE), SAFE_CAST('today' AS DATE)", json!(["2020-01-05", null, null])),
        ("CAST('TRUE' AS BOOL), SAFE_CAST('yes' AS BOOL), CAST(0 AS BOOL)", json!([true, null, false])),
        (
            "TIMESTAMP '2020-01-05 10:00:00 UTC', DATETIME(TIMESTAMP '2020-01-05 10:00:00 UTC')",
            json!(["2020-01-05T10:00:00Z", "2020-01-05T10:00:00"]),
        ),
        ("TIMESTAMP(DATE '2020-01-05'), DATETIME(DATE '2020-01-05')", json!(["2020-01-05T00:00:00Z", "2020-01-05T00:00:00"])),
    ]);
}

#[test]
fn dates() {
    check(&[
        ("EXTRACT(DAYOFWEEK FROM DATE '2020-01-05'), EXTRACT(DAYOFWEEK FROM DATE '2020-01-04')", json!([1, 7])),
        (
            "EXTRACT(YEAR FROM DATE '2020-02-29'), EXTRACT(QUARTER FROM DATE '2020-08-01'), EXTRACT(DAYOFYEAR FROM DATE '2020-12-31')",
            json!([2020, 3, 366]),
        ),
        (
            "EXTRACT(ISOWEEK FROM DATE '2021-01-03'), EXTRACT(ISOYEAR FROM DATE '2021-01-03'), EXTRACT(WEEK FROM DATE '2021-01-03')",
            json!([53, 2020, 1]),
        ),
        (
            "EXTRACT(WEEK FROM DATE '2020-01-04'), EXTRACT(WEEK(MONDAY) FROM DATE '2020-01-06'), EXTRACT(WEEK(MONDAY) FROM DATE '2020-01-05')",
            json!([0, 1, 0]),
        ),
        (
            "EXTRACT(HOUR FROM TIMESTAMP '2020-01-05 10:20:30 UTC'), EXTRACT(MILLISECOND FROM DATETIME '2020-01-05 10:20:30.5')",
            json!([10, 500]),
        ),
        ("EXTRACT(DATE FROM TIMESTAMP '2020-01-05 10:20:30 UTC')", json!("2020-01-05")),
        (
            "DATE_ADD(DATE '2020-01-31', INTERVAL 1 MONTH), DATE_SUB(DATE '2020-03-31', INTERVAL 1 MONTH)",
            json!(["2020-02-29", "2020-02-29"]),
        ),
        ("DATE_ADD(DATE '2020-02-29', INTERVAL 1 YEAR), DATE_SUB(DATE '2020-01-05', INTERVAL 7 DAY)", json!(["2021-02-28", "2019-12-29"])),
        (
            "DATE_ADD(DATE '2020-01-01', INTERVAL 2 WEEK), DATE_ADD(DATE '2020-01-31', INTERVAL 1 QUARTER)",
            json!(["2020-01-15", "2020-04-30"]),
        ),
        ("DATE_ADD(DATE '2020-01-01', INTERVAL -1 DAY), DATE_ADD('2020-01-01', INTERVAL (1 + 1) DAY)", json!(["2019-12-31", "2020-01-03"])),
        (
            "DATE_TRUNC(DATE '2020-01-15', MONTH), DATE_TRUNC(DATE '2020-05-15', QUARTER), DATE_TRUNC(DATE '2020-05-15', YEAR)",
            json!(["2020-01-01", "2020-04-01", "2020-01-01"]),
        ),
        ("DATE_TRUNC(DATE '2020-01-05', WEEK), DATE_TRUNC(DATE '2020-01-04', WEEK)", json!(["2020-01-05", "2019-12-29"])),
        (
            "DATE_TRUNC(DATE '2020-01-05', WEEK(MONDAY)), DATE_TRUNC(DATE '2020-01-05', ISOWEEK), DATE_TRUNC(DATE '2020-01-05', WEEK(THURSDAY))",
            json!(["2019-12-30", "2019-12-30", "2020-01-02"]),
        ),
        ("DATE_TRUNC(DATE '2015-06-15', ISOYEAR)", json!("2014-12-29")),
        ("DATE_DIFF(DATE '2010-07-07', DATE '2008-12-25', DAY)", json!(559)),
        ("DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', DAY), DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', WEEK)", json!([1, 1])),
        ("DATE_DIFF('2017-12-30', '2014-12-30', YEAR), DATE_DIFF('2017-12-30', '2014-12-30', ISOYEAR)", json!([3, 2])),
        (
            "DATE_DIFF('2017-12-18', '2017-12-17', WEEK), DATE_DIFF('2017-12-18', '2017-12-17', WEEK(MONDAY)), DATE_DIFF('2017-12-18', '2017-12-17', ISOWEEK)",
            json!([0, 1, 1]),
        ),
        (
            "DATE_DIFF(DATE '2020-01-31', DATE '2020-02-01', MONTH), DATE_DIFF(DATE '2020-04-01', DATE '2020-03-31', QUARTER)",
            json!([-1, 1]),
        ),
        (
            "LAST_DAY(DATE '2020-02-10'), LAST_DAY(DATE '2020-02-10', YEAR), LAST_DAY(DATE '2020-02-10', WEEK)",
            json!(["2020-02-29", "2020-12-31", "2020-02-15"]),
        ),
        ("DATE '2020-02-28' + 2, DATE '2020-03-01' - 1, 2147483647 + 1", json!(["2020-03-01", "2020-02-29", 2147483648_i64])),
        ("DATE '2020-01-31' + INTERVAL 1 MONTH", json!("2020-02-29T00:00:00")),
        (
            "ARRAY_LENGTH(GENERATE_DATE_ARRAY((SELECT DATE '2020-01-01'), (SELECT DATE '2020-12-31'))), ARRAY_LENGTH(GENERATE_DATE_ARRAY(MIN(DATE '2020-01-31'), MAX(DATE '2020-12-31'), INTERVAL 1 MONTH))",
            json!([366, 12]),
        ),
        ("DATE(2020, 2, 29), UNIX_DATE(DATE '2008-12-25'), DATE_FROM_UNIX_DATE(14238)", json!(["2020-02-29", 14238, "2008-12-25"])),
    ]);
}

#[test]
fn formats_and_times() {
    check(&[
        (
            "FORMAT_DATE('%Y-%m', DATE '2020-01-05'), FORMAT_DATE('%b %d, %Y', DATE '2008-12-25'), FORMAT_DATE('%A', DATE '2020-01-05')",
            json!(["2020-01", "Dec 25, 2008", "Sunday"]),
        ),
        (
            "PARSE_DATE('%m/%d/%Y', '01/05/2020'), PARSE_DATE('%Y%m%d', '20081225'), PARSE_DATE('%F', '2020-01-05')",
            json!(["2020-01-05", "2008-12-25", "2020-01-05"]),
        ),
        ("SAFE.PARSE_DATE('%Y-%m-%d', 'x')", json!(null)),
        ("PARSE_TIMESTAMP('%Y-%m-%d %H:%M:%S', '2020-01-05 10:00:00')", json!("2020-01-05T10:00:00Z")),
        ("TIMESTAMP_DIFF(TIMESTAMP '2010-07-07 10:20:00+00', TIMESTAMP '2008-12-25 15:30:00+00', HOUR)", json!(13410)),
        ("TIMESTAMP_DIFF(TIMESTAMP '2018-08-14', TIMESTAMP '2018-10-14', DAY)", json!(-61)),
        ("TIMESTAMP_DIFF('2001-02-01 01:00:00', '2001-02-01 00:00:01', HOUR) IS NULL", json!(false)),
        (
            "DATETIME_DIFF(DATETIME '2017-10-15 00:00:00', DATETIME '2017-10-14 23:59:59', DAY), DATETIME_DIFF(DATETIME '2017-10-15 01:00:00', DATETIME '2017-10-15 00:59:59', HOUR)",
            json!([1, 1]),
        ),
        (
            "TIMESTAMP_ADD(TIMESTAMP '2020-01-05 10:00:00 UTC', INTERVAL 90 MINUTE), TIMESTAMP_SUB(TIMESTAMP '2020-01-05 10:00:00 UTC', INTERVAL 1 DAY)",
            json!(["2020-01-05T11:30:00Z", "2020-01-04T10:00:00Z"]),
        ),
        (
            "TIMESTAMP_TRUNC(TIMESTAMP '2020-01-05 10:45:00 UTC', HOUR), TIMESTAMP_TRUNC(TIMESTAMP '2020-01-05 10:45:00 UTC', DAY)",
            json!(["2020-01-05T10:00:00Z", "2020-01-05T00:00:00Z"]),
        ),
        (
            "DATETIME_TRUNC(DATETIME '2020-01-05 10:45:00', MONTH), DATETIME_ADD(DATETIME '2020-01-31 10:00:00', INTERVAL 1 MONTH)",
            json!(["2020-01-01T00:00:00", "2020-02-29T10:00:00"]),
        ),
        (
            "UNIX_SECONDS(TIMESTAMP '2008-12-25 15:30:00+00'), UNIX_MILLIS(TIMESTAMP '1969-12-31 23:59:59.9999 UTC'), TIMESTAMP_SECONDS(1230219000)",
            json!([1_230_219_000, -1, "2008-12-25T15:30:00Z"]),
        ),
        (
            "@as_of, DATE_SUB(@as_of, INTERVAL 1 DAY), @n + 1, @x, DATE_ADD(@s, INTERVAL 1 MONTH)",
            json!(["2019-01-03", "2019-01-02", 4, 1.5, "2020-02-29"]),
        ),
        ("2 IN UNNEST(@list), DATE '2020-02-01' > @s", json!([true, true])),
    ]);
}

#[test]
fn strings() {
    check(&[
        (
            "SUBSTR('apple', 2), SUBSTR('apple', 2, 2), SUBSTR('apple', -2), SUBSTR('apple', 1, 123), SUBSTR('apple', 123), SUBSTR('apple', 0, 2)",
            json!(["pple", "pp", "le", "apple", "", "ap"]),
        ),
        ("LENGTH('äb'), BYTE_LENGTH('äb'), CHAR_LENGTH('äb'), LENGTH(b'abc')", json!([2, 3, 2, 3])),
        (
            "UPPER('äb'), LOWER('ÄB'), TRIM('\\t a \\n'), TRIM('xxaxx', 'x'), LTRIM('  a'), RTRIM('a  ')",
            json!(["ÄB", "äb", "a", "a", "a", "a"]),
        ),
        (
            "REPLACE('abab', 'a', 'x'), REVERSE('abc'), REPEAT('ab', 2), LPAD('7', 3, '0'), RPAD('7', 3), LEFT('abc', 2), RIGHT('abc', 2)",
            json!(["xbxb", "cba", "abab", "007", "7  ", "ab", "bc"]),
        ),
        ("STRPOS('foo@x', '@'), INSTR('banana', 'an'), STARTS_WITH('abc', 'ab'), ENDS_WITH('abc', 'bc')", json!([4, 2, true, true])),
        ("SPLIT('a,b'), SPLIT('', ','), SPLIT('a b', ' ')", json!([["a", "b"], [""], ["a", "b"]])),
        (
            "REGEXP_CONTAINS('ZL=F', r'^ZL'), REGEXP_EXTRACT('foo@x.org', r'@(.+)'), REGEXP_EXTRACT('abc', 'z'), REGEXP_EXTRACT('abc', 'b')",
            json!([true, "x.org", null, "b"]),
        ),
        (
            "REGEXP_REPLACE('a1b2', r'[0-9]', ''), REGEXP_REPLACE('abc', '(b)', r'<\\1>'), REGEXP_EXTRACT_ALL('a1b22', r'[0-9]+')",
            json!(["ab", "a<b>c", ["1", "22"]]),
        ),
        (
            "'a%c' LIKE 'a\\\\%c', 'abc' LIKE 'a%', 'abc' LIKE 'a_c', 'abc' NOT LIKE 'b%', 'ABC' LIKE 'a%'",
            json!([true, true, true, true, false]),
        ),
        ("'''it's''', \"q\", r'a\\n', 'a\\u0062', 'it\\'s'", json!(["it's", "q", "a\\n", "ab", "it's"])),
        ("TO_HEX(MD5('a')), TO_HEX(b'\\x00\\xff')", json!(["0cc175b9c0f1b6a831c399e269772661", "00ff"])),
        ("CONCAT('a', 1, 2.0, DATE '2020-01-01')", json!("a122020-01-01")),
        ("'a' < 'B', 'a' = 'A'", json!([false, false])),
    ]);
}

#[test]
fn aggregates() {
    let t = "FROM UNNEST([STRUCT(1 AS i, 2.0 AS f, 'a' AS s), (2, 4.0, 'b'), (3, NULL, NULL), (4, 9.0, 'b')])";
    let case = |select: &str| format!("SELECT {select} {t}");
    check(&[
        (&case("COUNT(*), COUNT(f), COUNT(DISTINCT s), COUNTIF(i > 2), COUNTIF(f > 2)"), json!([4, 3, 2, 2, 2])),
        (&case("SUM(i), SUM(f), AVG(i), AVG(f), MIN(f), MAX(s)"), json!([10, 15.0, 2.5, 5.0, 2.0, "b"])),
        (&case("LOGICAL_AND(i > 0), LOGICAL_OR(i > 4), LOGICAL_AND(f > 2)"), json!([true, false, false])),
        (
            &case("ROUND(STDDEV(i), 10), ROUND(STDDEV_POP(i), 10), ROUND(VARIANCE(i), 10), VAR_POP(i)"),
            json!([1.290_994_448_7, 1.118_033_988_7, 1.666_666_666_7, 1.25]),
        ),
        (&case("ROUND(CORR(i, f), 10), COVAR_SAMP(i, f), COVAR_POP(i, i)"), json!([0.998_625_428_9, 5.5, 1.25])),
        (
            &case(
                "ARRAY_AGG(i ORDER BY i DESC LIMIT 2), ARRAY_AGG(s IGNORE NULLS ORDER BY i), ARRAY_AGG(DISTINCT s IGNORE NULLS ORDER BY s)",
            ),
            json!([[4, 3], ["a", "b", "b"], ["a", "b"]]),
        ),
        (
            &case(
                "STRING_AGG(s), STRING_AGG(s, '-' ORDER BY i DESC), STRING_AGG(DISTINCT s, '|' ORDER BY s), STRING_AGG(s, ',' ORDER BY i LIMIT 2)",
            ),
            json!(["a,b,b", "b-b-a", "a|b", "a,b"]),
        ),
        (&case("MAX(IF(s = 'a', f, NULL)), MAX(IF(s = 'b', f, NULL)), SUM(IF(s = 'b', i, 0))"), json!([2.0, 9.0, 6])),
        (
            "SELECT APPROX_QUANTILES(x, 2), APPROX_QUANTILES(DISTINCT x, 2), APPROX_QUANTILES(x, 100)[OFFSET(90)] FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS x",
            json!([[1, 5, 10], [1, 6, 10], 9]),
        ),
        (
            "SELECT COUNT(*), SUM(x), AVG(x), MAX(x), ARRAY_AGG(x), STRING_AGG('a'), COUNTIF(x > 0), LOGICAL_AND(x > 0) FROM UNNEST(ARRAY<INT64>[]) AS x",
            json!([0, null, null, null, null, null, 0, null]),
        ),
        ("SELECT STDDEV(x), CORR(x, x), VAR_POP(x) FROM UNNEST([1.5]) AS x", json!([null, null, 0.0])),
        ("SELECT CORR(x, y) FROM UNNEST([STRUCT(1.0 AS x, 2.0 AS y), (1.0, 3.0)])", json!("NaN")),
        ("SELECT AVG(x) FROM UNNEST([0, 2, 4, 4, 5]) AS x", json!(3.0)),
        ("SELECT SUM(DISTINCT x), AVG(DISTINCT x) FROM UNNEST([1, 1, 2]) AS x", json!([3, 1.5])),
        ("SELECT ANY_VALUE(x), APPROX_COUNT_DISTINCT(x) FROM UNNEST([NULL, 5, 5]) AS x", json!([5, 1])),
        ("SELECT x, COUNT(*) AS n FROM UNNEST(['a', 'b', 'a']) AS x GROUP BY x HAVING n > 1", json!(["a", 2])),
        ("SELECT MOD(x, 2) AS odd, SUM(x) FROM UNNEST([1, 2, 3]) AS x GROUP BY odd ORDER BY odd", json!([[0, 2], [1, 4]])),
        ("SELECT MOD(x, 2), SUM(x) FROM UNNEST([1, 2, 3]) AS x GROUP BY 1 ORDER BY 1", json!([[0, 2], [1, 4]])),
        (
            "SELECT x, SUM(y) AS s FROM UNNEST([STRUCT(1 AS x, 2 AS y), (1, 3), (2, 4)]) GROUP BY ROLLUP(x) ORDER BY s",
            json!([[2, 4], [1, 5], [null, 9]]),
        ),
    ]);
}

#[test]
fn windows() {
    let t = "FROM UNNEST([STRUCT(1 AS d, 10.0 AS v, 'a' AS g), (2, NULL, 'a'), (3, 30.0, 'b'), (4, 40.0, 'b')])";
    let case = |select: &str| format!("SELECT d, {select} {t} ORDER BY d");
    check(&[
        (&case("AVG(v) OVER (ORDER BY d ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"), json!([[1, 10.0], [2, 10.0], [3, 30.0], [4, 35.0]])),
        (&case("SUM(d) OVER (PARTITION BY g ORDER BY d), COUNT(*) OVER ()"), json!([[1, 1, 4], [2, 3, 4], [3, 3, 4], [4, 7, 4]])),
        (
            &case("LAG(d) OVER (ORDER BY d), LAG(d, 2, 0) OVER (ORDER BY d), LEAD(v) OVER (ORDER BY d)"),
            json!([[1, null, 0, null], [2, 1, 0, 30.0], [3, 2, 1, 40.0], [4, 3, 2, null]]),
        ),
        (&case("LAST_VALUE(v IGNORE NULLS) OVER (ORDER BY d)"), json!([[1, 10.0], [2, 10.0], [3, 30.0], [4, 40.0]])),
        (
            &case("LAST_VALUE(v) OVER (ORDER BY d), FIRST_VALUE(v) OVER (ORDER BY d DESC)"),
            json!([[1, 10.0, 40.0], [2, null, 40.0], [3, 30.0, 40.0], [4, 40.0, 40.0]]),
        ),
        (
            &case(
                "LAST_VALUE(v IGNORE NULLS) OVER (ORDER BY d ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), NTH_VALUE(d, 2) OVER (ORDER BY d ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
            ),
            json!([[1, null, 2], [2, 10.0, 2], [3, 10.0, 2], [4, 30.0, 2]]),
        ),
        (
            &case(
                "RANK() OVER (ORDER BY g), DENSE_RANK() OVER (ORDER BY g), NTILE(2) OVER (ORDER BY d), PERCENT_RANK() OVER (ORDER BY g), CUME_DIST() OVER (ORDER BY g)",
            ),
            json!([
                [1, 1, 1, 1, 0.0, 0.5],
                [2, 1, 1, 1, 0.0, 0.5],
                [3, 3, 2, 2, 0.666_666_666_666_666_6, 1.0],
                [4, 3, 2, 2, 0.666_666_666_666_666_6, 1.0]
            ]),
        ),
        (
            &case("COUNTIF(v > 10) OVER (ORDER BY d), MAX(v) OVER (ORDER BY d ROWS 1 PRECEDING)"),
            json!([[1, 0, 10.0], [2, 0, 10.0], [3, 1, 30.0], [4, 2, 40.0]]),
        ),
        (
            &case("ROUND(STDDEV(v) OVER (ORDER BY d ROWS BETWEEN 3 PRECEDING AND CURRENT ROW), 6)"),
            json!([[1, null], [2, null], [3, 14.142_136], [4, 15.275_252]]),
        ),
        (
            &case("SUM(v) OVER w AS s, AVG(v) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)")
                .replace(" ORDER BY d", " WINDOW w AS (ORDER BY d) ORDER BY d")
                .replace("WINDOW w AS (ORDER BY d) WINDOW", "WINDOW"),
            json!([[1, 10.0, 10.0], [2, 10.0, 10.0], [3, 40.0, 20.0], [4, 80.0, 26.666_666_666_666_668]]),
        ),
        (
            &case("PERCENTILE_CONT(v, 0.5) OVER (), PERCENTILE_DISC(v, 0.5) OVER ()"),
            json!([[1, 30.0, 30.0], [2, 30.0, 30.0], [3, 30.0, 30.0], [4, 30.0, 30.0]]),
        ),
        (
            "SELECT DISTINCT PERCENTILE_CONT(x, 0) OVER (), PERCENTILE_CONT(x, 0.01) OVER (), PERCENTILE_CONT(x, 0.5) OVER (), PERCENTILE_CONT(x, 0.9) OVER () FROM UNNEST([0, 3, NULL, 1, 2]) AS x",
            json!([0.0, 0.03, 1.5, 2.7]),
        ),
        (
            "SELECT DISTINCT PERCENTILE_DISC(x, 0) OVER (), PERCENTILE_DISC(x, 0.5) OVER (), PERCENTILE_DISC(x, 1) OVER () FROM UNNEST(['c', NULL, 'b', 'a']) AS x",
            json!(["a", "b", "c"]),
        ),
        (
            &format!("SELECT g, d {t} QUALIFY ROW_NUMBER() OVER (PARTITION BY g ORDER BY d DESC) = 1 ORDER BY g"),
            json!([["a", 2], ["b", 4]]),
        ),
        (&format!("SELECT d, ROW_NUMBER() OVER (ORDER BY d DESC) AS rn {t} WHERE TRUE QUALIFY rn <= 1"), json!([4, 1])),
        (
            &format!("SELECT g, SUM(d) AS s, SUM(SUM(d)) OVER (ORDER BY g) AS running {t} GROUP BY g ORDER BY g"),
            json!([["a", 3, 3], ["b", 7, 10]]),
        ),
        (&case("SUM(d) OVER (ORDER BY d RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)"), json!([[1, 1], [2, 3], [3, 5], [4, 7]])),
    ]);
}

#[test]
fn queries() {
    check(&[
        ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT x, y FROM a CROSS JOIN b", json!([1, 2])),
        ("WITH t AS (SELECT 1 AS a, 2 AS b, 3 AS c) SELECT * EXCEPT (b) FROM t", json!([1, 3])),
        ("WITH t AS (SELECT 1 AS a, 2 AS b) SELECT * REPLACE (b * 10 AS b) FROM t", json!([1, 20])),
        ("WITH t AS (SELECT 1 AS a, 2 AS b) SELECT t.*, a + b AS s FROM t", json!([1, 2, 3])),
        ("SELECT 1 AS x UNION ALL SELECT 1 UNION ALL SELECT 2 ORDER BY x", json!([[1], [1], [2]])),
        ("SELECT 1 AS x UNION DISTINCT SELECT 1 UNION DISTINCT SELECT 2 ORDER BY x", json!([[1], [2]])),
        ("SELECT x FROM UNNEST([1, 2, 3]) AS x EXCEPT DISTINCT SELECT 2 ORDER BY x", json!([[1], [3]])),
        ("SELECT x FROM UNNEST([1, 2, 2]) AS x INTERSECT DISTINCT SELECT 2", json!(2)),
        (
            "WITH a AS (SELECT 1 AS k, 'a' AS x UNION ALL SELECT 2, 'b'), b AS (SELECT 2 AS k, 'c' AS y UNION ALL SELECT 3, 'd') SELECT k, x, y FROM a FULL JOIN b USING (k) ORDER BY k",
            json!([[1, "a", null], [2, "b", "c"], [3, null, "d"]]),
        ),
        (
            "WITH a AS (SELECT 1 AS k UNION ALL SELECT 2), b AS (SELECT 2 AS k, 'c' AS y) SELECT a.k, y FROM a LEFT JOIN b ON a.k = b.k ORDER BY a.k",
            json!([[1, null], [2, "c"]]),
        ),
        ("WITH a AS (SELECT 1 AS k), b AS (SELECT 1 AS k) SELECT COUNT(*) FROM a, b WHERE a.k = b.k", json!(1)),
        (
            "SELECT d FROM UNNEST(GENERATE_DATE_ARRAY('2020-01-30', '2020-02-01')) AS d ORDER BY d",
            json!([["2020-01-30"], ["2020-01-31"], ["2020-02-01"]]),
        ),
        (
            "GENERATE_DATE_ARRAY(DATE '2020-01-31', DATE '2020-04-30', INTERVAL 1 MONTH)",
            json!([["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30"]]),
        ),
        (
            "GENERATE_DATE_ARRAY(DATE '2016-10-05', DATE '2016-10-01', INTERVAL -3 DAY), GENERATE_DATE_ARRAY(DATE '2016-10-05', DATE '2016-10-01')",
            json!([["2016-10-05", "2016-10-02"], []]),
        ),
        ("GENERATE_ARRAY(1, 5), GENERATE_ARRAY(0, 10, 5)", json!([[1, 2, 3, 4, 5], [0, 5, 10]])),
        ("SELECT x, o FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS o ORDER BY o", json!([["a", 0], ["b", 1]])),
        ("SELECT x, offset FROM UNNEST(['a', 'b']) AS x WITH OFFSET ORDER BY offset DESC LIMIT 1", json!(["b", 1])),
        (
            "WITH t AS (SELECT 1 AS k, [10, 20] AS xs UNION ALL SELECT 2, ARRAY<INT64>[]) SELECT k, x FROM t, UNNEST(xs) AS x ORDER BY x",
            json!([[1, 10], [1, 20]]),
        ),
        (
            "WITH t AS (SELECT 1 AS k, [10] AS xs UNION ALL SELECT 2, ARRAY<INT64>[]) SELECT k, x FROM t LEFT JOIN UNNEST(t.xs) AS x ORDER BY k",
            json!([[1, 10], [2, null]]),
        ),
        ("WITH t AS (SELECT 1 AS k, [10, 20] AS xs) SELECT k, x FROM t, t.xs AS x ORDER BY x", json!([[1, 10], [1, 20]])),
        ("SELECT s.a, s.b, b AS c FROM UNNEST([STRUCT(1 AS a, 'x' AS b)]) AS s", json!([1, "x", "x"])),
        ("SELECT STRUCT(1 AS a, 'x' AS b).b, STRUCT(1 AS a).a + 1", json!(["x", 2])),
        ("SELECT STRUCT(1 AS a, STRUCT(2 AS c) AS b) AS s", json!({ "a": 1, "b": { "c": 2 } })),
        ("SELECT STRUCT<a INT64, b STRING>(1, 'x')", json!({ "a": 1, "b": "x" })),
        ("WITH t AS (SELECT STRUCT(1 AS a, STRUCT(2 AS c) AS b) AS s) SELECT s.a, s.b.c, t.s.a AS aa FROM t", json!([1, 2, 1])),
        ("[1, 2, 3][OFFSET(0)], [1, 2, 3][ORDINAL(3)], [1, 2][SAFE_OFFSET(5)], ['a', 'b'][1]", json!([1, 3, null, "b"])),
        (
            "ARRAY_LENGTH([1, 2]), ARRAY_CONCAT([1], [2, 3]), ARRAY_REVERSE([1, 2]), ARRAY_TO_STRING(['a', NULL, 'b'], '-')",
            json!([2, [1, 2, 3], [2, 1], "a-b"]),
        ),
        ("ARRAY(SELECT x * 2 FROM UNNEST([1, 2]) AS x ORDER BY x DESC)", json!([[4, 2]])),
        (
            "ARRAY(SELECT AS STRUCT x AS a, x + 1 AS b FROM UNNEST([1, 2]) AS x ORDER BY a)",
            json!([[{ "a": 1, "b": 2 }, { "a": 2, "b": 3 }]]),
        ),
        ("(SELECT MAX(x) FROM UNNEST([1, 5, 3]) AS x), EXISTS (SELECT 1 FROM UNNEST([1]) AS x WHERE x > 1)", json!([5, false])),
        (
            "WITH t AS (SELECT 1 AS k UNION ALL SELECT 2) SELECT k, (SELECT COUNT(*) FROM t AS u WHERE u.k < t.k) FROM t ORDER BY k",
            json!([[1, 0], [2, 1]]),
        ),
        ("SELECT x FROM UNNEST([1, 2, 3]) AS x WHERE x IN (SELECT y FROM UNNEST([2, 3]) AS y) AND x NOT IN (3)", json!(2)),
        ("SELECT x FROM UNNEST([1, 2, 3]) AS x WHERE x BETWEEN 2 AND 2 AND x NOT BETWEEN 3 AND 4", json!(2)),
        (
            "CASE WHEN 1 > 2 THEN 'a' WHEN 2 > 1 THEN 'b' END, CASE 3 WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN FALSE THEN 1 END",
            json!(["b", "y", null]),
        ),
        ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT SUM(i) FROM n", json!(6)),
        ("WITH t AS (SELECT 1 AS a) SELECT * FROM (SELECT a + 1 AS b FROM t) WHERE b = 2", json!(2)),
        ("(1, 2) IN ((1, 2), (3, 4)), (1, 2) = (1, 3)", json!([true, false])),
        ("NOT 1 = 2 AND 2 > 1 OR FALSE, -2 * -3, 2 - -1, 1 - 2 - 3", json!([true, 6, 3, -4])),
        ("WITH t AS (SELECT 3 AS x UNION ALL SELECT 1) SELECT x * -1 AS x FROM t ORDER BY x LIMIT 1", json!(-3)),
        ("SELECT DISTINCT x FROM UNNEST([1, 1, 2]) AS x ORDER BY x", json!([[1], [2]])),
    ]);
}

#[test]
fn columns_are_named_as_bigquery_names_them() {
    let names = |query: &str| {
        let table = rows(query, &Map::new(), &BTreeMap::new()).unwrap();
        table.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("SELECT 1, 2 AS x, 3"), ["f0_", "x", "f1_"]);
    assert_eq!(names("WITH t AS (SELECT 1 AS a, STRUCT(2 AS b) AS s) SELECT t.A, s.b FROM t"), ["A", "b"]);
    assert_eq!(names("WITH t AS (SELECT 1 AS a, 2 AS b) SELECT *, a + b FROM t"), ["a", "b", "f0_"]);
}

/// Queries that must fail, each with a part of what is said.
fn refused(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (query, part) in cases {
        let query = if query.contains("SELECT") || query.starts_with('!') {
            query.trim_start_matches('!').to_owned()
        } else {
            format!("SELECT {query}")
        };
        match run(&query) {
            Err(error) if error.to_string().contains(part) => {}
            Err(error) => wrong.push_str(&format!("\n{query}\n  wanted '{part}'\n  found  {error}")),
            Ok(rows) => wrong.push_str(&format!("\n{query}\n  wanted '{part}'\n  found rows {rows}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_fails_in_bigquery_fails_here() {
    refused(&[
        ("1 / 0", "division by zero"),
        ("SELECT x / (x - 1) FROM UNNEST([1, 2]) AS x", "division by zero"),
        ("DIV(1, 0)", "division by zero"),
        ("MOD(1, 0)", "division by zero"),
        ("9223372036854775807 + 1", "Overflow"),
        ("SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) AS x", "out of range"),
        ("9223372036854775808", "beyond INT64"),
        ("CAST('x' AS INT64)", "bad INT64 value: x"),
        ("CAST('2.5' AS INT64)", "bad INT64 value: 2.5"),
        ("CAST('.' AS FLOAT64)", "bad FLOAT64 value: ."),
        ("CAST('yes' AS BOOL)", "bad BOOL value: yes"),
        ("CAST('2020-13-01' AS DATE)", "2020-13-01"),
        ("CAST('soon' AS DATE)", "bad DATE value: soon"),
        ("CAST(1e30 AS INT64)", "1e+30"),
        ("LN(0)", "logarithm of zero"),
        ("SQRT(-1)", "square root"),
        ("POW(0, -1)", "no FLOAT64 value"),
        ("[1, 2][OFFSET(2)]", "out of bounds"),
        ("SELECT (SELECT x FROM UNNEST([1, 2]) AS x)", "More than one row"),
        ("PARSE_DATE('%Y-%m-%d', 'x')", "x"),
        ("DATE_ADD(TIMESTAMP '2020-01-01 00:00:00 UTC', INTERVAL 1 DAY)", "a DATE is wanted here"),
        ("SUBSTR('abc', 1, -1)", "negative length"),
        ("SELECT x * 10 AS y FROM UNNEST([1e308]) AS x", "infinite"),
    ]);
}

#[test]
fn what_cannot_be_done_exactly_is_refused_by_name() {
    refused(&[
        ("CURRENT_DATE()", "CURRENT_DATE()"),
        ("CURRENT_DATE", "CURRENT_DATE()"),
        ("CURRENT_TIMESTAMP()", "CURRENT_TIMESTAMP()"),
        ("CURRENT_DATETIME()", "CURRENT_DATETIME()"),
        ("NOW()", "NOW()"),
        ("RAND()", "RAND()"),
        ("GENERATE_UUID()", "GENERATE_UUID()"),
        ("SESSION_USER()", "SESSION_USER()"),
        ("@@time_zone", "system variable"),
        ("!INSERT INTO d.t SELECT 1", "INSERT is not a query"),
        ("!CREATE OR REPLACE TABLE d.t AS SELECT 1", "CREATE is not a query"),
        ("!DECLARE x INT64; SELECT 1", "DECLARE is not a query"),
        ("SELECT 1; SELECT 2", "one statement only"),
        ("FORMAT('%d', 1)", "the function FORMAT"),
        ("FORMAT_DATE('%x', DATE '2008-12-25')", "the format element %x"),
        ("PARSE_DATE('%m-%d', '12-25')", "a format without a year"),
        ("SUMM(1)", "the function SUMM"),
        ("ROUND(1, 2, 3)", "ROUND with 3 arguments"),
        ("CAST(1 AS NUMERIC)", "the type NUMERIC"),
        ("NUMERIC '1.5'", "the type NUMERIC"),
        ("JSON_VALUE('{}', '$.a')", "the function JSON_VALUE"),
        ("ML.PREDICT(1)", "the function ML.PREDICT"),
        ("DATE(TIMESTAMP '2020-01-01 00:00:00 UTC', 'America/Chicago')", "time zone"),
        ("SELECT * FROM t", "neither a WITH query above nor a table"),
        ("WITH base AS (SELECT 1 AS x) SELECT * FROM bas", "neither a WITH query above nor a table"),
        ("SELECT * FROM d.INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA"),
        ("SELECT * FROM `d.t_*`", "a wildcard table"),
        ("SELECT * FROM UNNEST([1]) AS x TABLESAMPLE SYSTEM (10 PERCENT)", "expected"),
        ("WITH t AS (SELECT 1 AS x) SELECT * FROM t PIVOT (SUM(x) FOR x IN (1))", "PIVOT"),
        ("WITH t AS (SELECT 1 AS x) SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01'", "FOR SYSTEM_TIME"),
        ("SELECT AS VALUE 1", "SELECT AS VALUE"),
        ("SELECT 1 |> WHERE TRUE", "pipe syntax"),
        ("'a' LIKE ANY ('a')", "LIKE ANY"),
        ("SELECT x FROM UNNEST([1]) AS x WHERE x = ?", "positional parameter"),
        ("SELECT UPPER(x) AS x, COUNT(*) FROM UNNEST(['a', 'A']) AS x GROUP BY x", "GROUP BY x, which is both"),
        ("ROW_NUMBER()", "ROW_NUMBER"),
        ("SELECT x FROM UNNEST([1]) AS x WHERE y = 1", "no column 'y'"),
        ("SELECT 1 AS a, 2 AS A", "two columns of the result are called 'A'"),
        ("@missing", "@missing"),
        (
            "SELECT * FROM (SELECT * FROM (SELECT 1 AS k) AS a JOIN (SELECT 1 AS k) AS b ON a.k = b.k)",
            "two columns of the result are called 'k'",
        ),
        ("SELECT SAFE_ADD(MAX(x), 1) FROM UNNEST([1]) AS x", "around an aggregate"),
    ]);
}

#[test]
fn a_query_of_any_depth_is_run_or_refused() {
    let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(run(&nested(30)).unwrap(), json!([[1]]));
    let calls = |n: usize| format!("SELECT {}1{}", "ABS(".repeat(n), ")".repeat(n));
    assert_eq!(run(&calls(40)).unwrap(), json!([[1]]));
    let queries = |n: usize| format!("{}SELECT 1 AS x{}", "SELECT * FROM (".repeat(n), ")".repeat(n));
    assert_eq!(run(&queries(20)).unwrap(), json!([[1]]));
    for depth in [50, 55, 58, 59, 60, 61, 20_000] {
        _ = run(&calls(depth)).is_ok() | run(&queries(depth)).is_ok();
    }
    let chained = |n: usize, link: &str| format!("SELECT {}", vec!["1"; n].join(link));
    assert_eq!(run(&chained(400, " + ")).unwrap(), json!([[400]]));
    let unions = vec!["SELECT 1 AS x"; 300].join(" UNION ALL ");
    assert_eq!(run(&format!("SELECT COUNT(*) FROM ({unions})")).unwrap(), json!([[300]]));
    let joins = format!("SELECT 1 FROM d.t {}", "CROSS JOIN d.t ".repeat(20_000));
    for query in [
        nested(20_000),
        chained(20_000, " + "),
        chained(20_000, " OR "),
        "SELECT NOT ".repeat(10_000),
        vec!["SELECT 1"; 20_000].join(" UNION ALL "),
        joins,
    ] {
        assert!(run(&query).is_err());
    }
    assert!(run(&format!("SELECT {}1", "- ".repeat(20_000))).is_err());
}

#[test]
fn syntax_errors_say_where_and_what() {
    for (query, start, part) in [
        ("SELECT 1 FROM", 13, "expected a table, found the end of the query"),
        ("SELEC 1", 0, "expected SELECT, found 'SELEC'"),
        ("SELECT a,, b", 9, "expected an expression, found ','"),
        ("SELECT (1 + 2", 13, "expected ')', found the end of the query"),
        ("SELECT 1 WHERE", 14, "expected an expression"),
        ("SELECT 'abc", 7, "this string does not end"),
        ("SELECT 1 UNION SELECT 2", 15, "expected ALL or DISTINCT, found 'SELECT'"),
        ("SELECT CASE WHEN 1 THEN 2", 25, "expected END"),
        ("SELECT x FROM a.b JOIN c.d", 26, "expected ON or USING"),
    ] {
        let error = cbi::syntax::sql::read::read(query).unwrap_err();
        assert_eq!((error.span.start, error.to_string().contains(part)), (start, true), "{query}: {error} at {}", error.span.start);
    }
}

#[test]
fn the_page_on_sql_names_every_function_there_is() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sql.md")).unwrap();
    let listed: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
        .collect();
    let missing: Vec<_> = cbi::syntax::duck::translate::functions().filter(|name| !listed.contains(name)).collect();
    assert!(missing.is_empty(), "docs/sql.md does not name {missing:?}");
}

/// What a query means to the engine is not in its key, only its text is: whoever changes the translation or a macro so that rows can differ
/// raises the version of the kinds `sql` and `table`, so that old results are not taken for new ones.
#[test]
fn the_translation_changes_only_with_the_version_of_its_kinds() {
    let queries = [
        "SELECT date, close / LAG(close) OVER (ORDER BY date) - 1 AS ret, SUM(n) AS s, MIN(x) FROM d.t GROUP BY 1 HAVING s > 1 QUALIFY TRUE",
        "WITH a AS (SELECT * EXCEPT (x) FROM d.t) SELECT CAST(y AS INT64), SAFE_CAST(z AS DATE), [1, 2][OFFSET(0)] FROM a FULL JOIN d.u USING (k)",
        "SELECT DATE_TRUNC(d, WEEK), DATE_DIFF(a, b, MONTH), EXTRACT(DAYOFWEEK FROM d), GREATEST(a, 1), x BETWEEN 1 AND y FROM UNNEST([1.5]) AS x",
        "SELECT ARRAY_AGG(x IGNORE NULLS ORDER BY y LIMIT 1), STRING_AGG(s), CORR(a, b), APPROX_QUANTILES(x, 4), COUNTIF(x > 0), SUBSTR(s, 2) FROM d.t",
    ];
    let mut all = include_str!("../src/engine/bigquery.sql").to_owned();
    for query in queries {
        let sql = cbi::syntax::sql::read::read(query).unwrap();
        all.push_str(&cbi::syntax::duck::translate::translate(&sql.query, &Map::new()).unwrap());
    }
    let versions = (cbi::kinds::sql::KIND.version, cbi::kinds::table::KIND.version);
    let digest = cbi::base::digest::Digest::of(all.as_bytes()).short();
    assert_eq!(
        (versions, digest.as_str()),
        ((3, 3), "371debc33075"),
        "raise both versions where rows can differ, then note the new digest here"
    );
}

#[test]
fn types_that_bigquery_does_not_compare_are_refused_where_the_query_shows_them() {
    refused(&[
        ("EXTRACT(YEAR FROM DATE '2019-01-03') = '2019'", "BigQuery does not compare a number with a STRING"),
        ("'1' = 1", "BigQuery does not compare a STRING with a number"),
        ("CAST(1 AS STRING) >= 1.5", "BigQuery does not compare a STRING with a number"),
        ("TRUE = 1", "BigQuery does not compare a BOOL with a number"),
        ("COUNT(*) > '10'", "BigQuery does not compare a number with a STRING"),
        ("1 IN (1, '2')", "BigQuery does not compare a number with a STRING"),
        ("LENGTH('ab') BETWEEN 1 AND '3'", "there is no '<=' for them"),
        ("DATE '2019-01-03' = 20190103", "BigQuery does not compare a date or time with a number"),
    ]);
}
