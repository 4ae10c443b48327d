-- What DuckDB does otherwise than BigQuery, put right. The translation in syntax/duck uses these by name.
--
-- A failure is a cast that cannot work, of a text that starts with 'cbi: ': unlike error() it is no volatile function, so TRY takes it, and
-- like any other expression it is computed only for the rows whose CASE branch it is. A parameter that stands twice in a macro is computed
-- twice, or once where DuckDB sees that both are the same.

-- Arithmetic
CREATE OR REPLACE MACRO bq_divide(a, b) AS
  CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN b = 0 THEN CAST('cbi: division by zero' AS DOUBLE) ELSE CAST(a AS DOUBLE) / CAST(b AS DOUBLE) END;
CREATE OR REPLACE MACRO bq_safe_divide(a, b) AS CASE WHEN b = 0 THEN NULL ELSE CAST(a AS DOUBLE) / CAST(b AS DOUBLE) END;
CREATE OR REPLACE MACRO bq_div(a, b) AS
  CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN b = 0 THEN CAST('cbi: division by zero in DIV' AS BIGINT) ELSE a // b END;
CREATE OR REPLACE MACRO bq_mod(a, b) AS
  CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN b = 0 THEN CAST('cbi: division by zero in MOD' AS BIGINT) ELSE a % b END;
CREATE OR REPLACE MACRO bq_floor_divide(a, b) AS (a - ((a % b) + b) % b) // b;
CREATE OR REPLACE MACRO bq_exp(x) AS
  CASE WHEN isinf(exp(CAST(x AS DOUBLE))) AND NOT isinf(CAST(x AS DOUBLE)) THEN CAST('cbi: EXP is beyond FLOAT64' AS DOUBLE) ELSE exp(CAST(x AS DOUBLE)) END;
CREATE OR REPLACE MACRO bq_pow(x, y) AS
  CASE WHEN isfinite(CAST(x AS DOUBLE)) AND isfinite(CAST(y AS DOUBLE)) AND NOT isfinite(pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE)))
    THEN CAST('cbi: POW(' || x || ', ' || y || ') has no FLOAT64 value' AS DOUBLE) ELSE pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE)) END;
-- Whether x is the float NaN, for x of any type. DuckDB takes NaN for the greatest number and equal to itself; in BigQuery no comparison with it
-- is true. For other types than FLOAT64 the optimizer folds this to FALSE.
CREATE OR REPLACE MACRO bq_is_nan(x) AS coalesce(x = cast_to_type(CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN 'nan' END, x), FALSE);
CREATE OR REPLACE MACRO bq_min(least, greatest) AS CASE WHEN bq_is_nan(greatest) THEN greatest ELSE least END;
CREATE OR REPLACE MACRO bq_greatest(list) AS
  list_reduce(list, lambda x, y: CASE WHEN x IS NULL OR y IS NULL THEN NULL WHEN y > x THEN y ELSE x END);
CREATE OR REPLACE MACRO bq_least(list) AS
  list_reduce(list, lambda x, y: CASE WHEN x IS NULL OR y IS NULL THEN NULL WHEN bq_is_nan(x) THEN x WHEN y < x OR bq_is_nan(y) THEN y ELSE x END);

-- Strings
CREATE OR REPLACE MACRO bq_blanks() AS
  chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(32) || chr(133) || chr(160) || chr(5760) || chr(8192) || chr(8193) || chr(8194)
  || chr(8195) || chr(8196) || chr(8197) || chr(8198) || chr(8199) || chr(8200) || chr(8201) || chr(8202) || chr(8232) || chr(8233)
  || chr(8239) || chr(8287) || chr(12288);
CREATE OR REPLACE MACRO bq_length(x) AS CASE typeof(x) WHEN 'BLOB' THEN octet_length(CAST(x AS BLOB)) ELSE length(CAST(x AS VARCHAR)) END;
CREATE OR REPLACE MACRO bq_byte_length(x) AS CASE typeof(x) WHEN 'BLOB' THEN octet_length(CAST(x AS BLOB)) ELSE strlen(CAST(x AS VARCHAR)) END;
CREATE OR REPLACE MACRO bq_split(x, delimiter) AS string_split(x, delimiter);
CREATE OR REPLACE MACRO bq_left(x, n) AS CASE WHEN n < 0 THEN CAST(CAST('cbi: LEFT with a negative length' AS BIGINT) AS VARCHAR) ELSE "left"(x, n) END;
CREATE OR REPLACE MACRO bq_right(x, n) AS CASE WHEN n < 0 THEN CAST(CAST('cbi: RIGHT with a negative length' AS BIGINT) AS VARCHAR) ELSE "right"(x, n) END;
CREATE OR REPLACE MACRO bq_repeat(x, n) AS CASE WHEN n < 0 THEN CAST(CAST('cbi: REPEAT with a negative count' AS BIGINT) AS VARCHAR) ELSE repeat(x, n) END;
CREATE OR REPLACE MACRO bq_lpad(x, n, pattern) AS
  CASE WHEN n < 0 OR pattern = '' THEN CAST(CAST('cbi: LPAD with a negative length or an empty pattern' AS BIGINT) AS VARCHAR) ELSE lpad(x, CAST(n AS INTEGER), pattern) END;
CREATE OR REPLACE MACRO bq_rpad(x, n, pattern) AS
  CASE WHEN n < 0 OR pattern = '' THEN CAST(CAST('cbi: RPAD with a negative length or an empty pattern' AS BIGINT) AS VARCHAR) ELSE rpad(x, CAST(n AS INTEGER), pattern) END;
CREATE OR REPLACE MACRO bq_start(x, p) AS CASE WHEN p > 0 THEN p WHEN p = 0 THEN 1 WHEN -p > length(x) THEN 1 ELSE length(x) + p + 1 END;
CREATE OR REPLACE MACRO bq_substr(x, p) AS substring(x, bq_start(x, p));
CREATE OR REPLACE MACRO bq_substr_length(x, p, n) AS
  CASE WHEN n < 0 THEN CAST(CAST('cbi: SUBSTR with a negative length' AS BIGINT) AS VARCHAR) ELSE substring(x, bq_start(x, p), n) END;
CREATE OR REPLACE MACRO bq_regexp_extract(x, pattern, group_number) AS CASE WHEN regexp_matches(x, pattern) THEN regexp_extract(x, pattern, group_number) END;

-- Arrays
CREATE OR REPLACE MACRO bq_offset(list, i) AS
  list[CASE WHEN i < 0 OR i >= len(list) THEN CAST('cbi: array index ' || i || ' is out of bounds' AS BIGINT) ELSE i + 1 END];
CREATE OR REPLACE MACRO bq_ordinal(list, i) AS
  list[CASE WHEN i < 1 OR i > len(list) THEN CAST('cbi: array index ' || i || ' is out of bounds' AS BIGINT) ELSE i END];
CREATE OR REPLACE MACRO bq_safe_offset(list, i) AS list[CASE WHEN i < 0 THEN NULL ELSE i + 1 END];
CREATE OR REPLACE MACRO bq_safe_ordinal(list, i) AS list[CASE WHEN i < 1 THEN NULL ELSE i END];
CREATE OR REPLACE MACRO bq_generate_array(a, b, step) AS
  CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL
    ELSE generate_series(a, b, CASE WHEN step = 0 THEN CAST('cbi: a step of 0' AS BIGINT) ELSE step END) END;

-- Conversions
CREATE OR REPLACE MACRO bq_is_float(s) AS
  regexp_full_match(lower(s), '\s*[+-]?([0-9]+\.?[0-9]*(e[+-]?[0-9]+)?|\.[0-9]+(e[+-]?[0-9]+)?|inf|infinity|nan)\s*');
CREATE OR REPLACE MACRO bq_is_date(s) AS regexp_full_match(s, '\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}\s*');
CREATE OR REPLACE MACRO bq_is_datetime(s) AS regexp_full_match(s, '\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ Tt][0-9:.]+)?\s*');
CREATE OR REPLACE MACRO bq_is_moment(s) AS regexp_full_match(s, '\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ Tt].*)?');
CREATE OR REPLACE MACRO bq_cast_int64(x) AS
  CASE
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN CAST(round(CAST(x AS DOUBLE)) AS BIGINT)
    WHEN typeof(x) = 'VARCHAR' THEN
      CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '\s*[+-]?[0-9]+\s*') THEN CAST(x AS BIGINT) ELSE CAST('cbi: bad INT64 value: ' || CAST(x AS VARCHAR) AS BIGINT) END
    ELSE CAST(x AS BIGINT)
  END;
CREATE OR REPLACE MACRO bq_cast_float64(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_float(CAST(x AS VARCHAR)) THEN CAST('cbi: bad FLOAT64 value: ' || CAST(x AS VARCHAR) AS DOUBLE)
    ELSE CAST(x AS DOUBLE)
  END;
CREATE OR REPLACE MACRO bq_double_string(d) AS
  CASE WHEN d = 0 THEN '0' WHEN CAST(printf('%.15g', d) AS DOUBLE) = d THEN printf('%.15g', d) ELSE printf('%.17g', d) END;
CREATE OR REPLACE MACRO bq_moment_string(s) AS
  CASE
    WHEN regexp_matches(s, '\.[0-9]([^0-9]|$)') THEN regexp_replace(s, '\.([0-9])', '.\100')
    WHEN regexp_matches(s, '\.[0-9]{2}([^0-9]|$)') THEN regexp_replace(s, '\.([0-9]{2})', '.\10')
    WHEN regexp_matches(s, '\.[0-9]{4}([^0-9]|$)') THEN regexp_replace(s, '\.([0-9]{4})', '.\100')
    WHEN regexp_matches(s, '\.[0-9]{5}([^0-9]|$)') THEN regexp_replace(s, '\.([0-9]{5})', '.\10')
    ELSE s
  END;
CREATE OR REPLACE MACRO bq_cast_string(x) AS
  CASE typeof(x)
    WHEN 'DOUBLE' THEN bq_double_string(CAST(CAST(x AS VARCHAR) AS DOUBLE))
    WHEN 'BLOB' THEN decode(CAST(CAST(x AS VARCHAR) AS BLOB))
    WHEN 'TIMESTAMP' THEN bq_moment_string(CAST(x AS VARCHAR))
    WHEN 'TIMESTAMP WITH TIME ZONE' THEN bq_moment_string(CAST(x AS VARCHAR))
    WHEN 'TIME' THEN bq_moment_string(CAST(x AS VARCHAR))
    ELSE CAST(x AS VARCHAR)
  END;
CREATE OR REPLACE MACRO bq_concat_part(x) AS
  CASE typeof(x) WHEN 'BLOB' THEN CAST(CAST('cbi: CONCAT of BYTES is not supported; use ||' AS BIGINT) AS VARCHAR) ELSE bq_cast_string(x) END;
CREATE OR REPLACE MACRO bq_cast_bool(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN
      CASE lower(CAST(x AS VARCHAR)) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE ELSE CAST('cbi: bad BOOL value: ' || CAST(x AS VARCHAR) AS BOOLEAN) END
    ELSE CAST(x AS BOOLEAN)
  END;
CREATE OR REPLACE MACRO bq_cast_bytes(x) AS CASE typeof(x) WHEN 'VARCHAR' THEN encode(CAST(x AS VARCHAR)) ELSE CAST(x AS BLOB) END;
CREATE OR REPLACE MACRO bq_cast_date(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_date(CAST(x AS VARCHAR)) THEN CAST('cbi: bad DATE value: ' || CAST(x AS VARCHAR) AS DATE)
    ELSE CAST(x AS DATE)
  END;
CREATE OR REPLACE MACRO bq_cast_datetime(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_datetime(CAST(x AS VARCHAR)) THEN CAST('cbi: bad DATETIME value: ' || CAST(x AS VARCHAR) AS TIMESTAMP)
    ELSE CAST(x AS TIMESTAMP)
  END;
CREATE OR REPLACE MACRO bq_cast_timestamp(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_moment(CAST(x AS VARCHAR)) THEN CAST('cbi: bad TIMESTAMP value: ' || CAST(x AS VARCHAR) AS TIMESTAMPTZ)
    ELSE CAST(x AS TIMESTAMPTZ)
  END;
CREATE OR REPLACE MACRO bq_cast_time(x) AS CAST(x AS TIME);

-- The same, but NULL where a value does not convert. (TRY would do, if it took aggregates.)
CREATE OR REPLACE MACRO bq_safe_cast_int64(x) AS
  CASE
    WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
    WHEN typeof(x) = 'VARCHAR' THEN CASE WHEN regexp_full_match(CAST(x AS VARCHAR), '\s*[+-]?[0-9]+\s*') THEN TRY_CAST(x AS BIGINT) END
    ELSE TRY_CAST(x AS BIGINT)
  END;
CREATE OR REPLACE MACRO bq_safe_cast_float64(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_float(CAST(x AS VARCHAR)) THEN NULL ELSE TRY_CAST(x AS DOUBLE) END;
CREATE OR REPLACE MACRO bq_safe_cast_string(x) AS bq_cast_string(x);
CREATE OR REPLACE MACRO bq_safe_cast_bool(x) AS
  CASE
    WHEN typeof(x) = 'VARCHAR' THEN CASE lower(CAST(x AS VARCHAR)) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END
    ELSE TRY_CAST(x AS BOOLEAN)
  END;
CREATE OR REPLACE MACRO bq_safe_cast_bytes(x) AS bq_cast_bytes(x);
CREATE OR REPLACE MACRO bq_safe_cast_date(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_date(CAST(x AS VARCHAR)) THEN NULL ELSE TRY_CAST(x AS DATE) END;
CREATE OR REPLACE MACRO bq_safe_cast_datetime(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_datetime(CAST(x AS VARCHAR)) THEN NULL ELSE TRY_CAST(x AS TIMESTAMP) END;
CREATE OR REPLACE MACRO bq_safe_cast_timestamp(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' AND NOT bq_is_moment(CAST(x AS VARCHAR)) THEN NULL ELSE TRY_CAST(x AS TIMESTAMPTZ) END;
CREATE OR REPLACE MACRO bq_safe_cast_time(x) AS TRY_CAST(x AS TIME);

-- Dates and times
CREATE OR REPLACE MACRO bq_date(x) AS
  CASE WHEN typeof(x) IN ('DATE', 'VARCHAR', '"NULL"') THEN CAST(x AS DATE) ELSE CAST('cbi: a DATE is wanted here, not ' || typeof(x) || '; write DATE(x)' AS DATE) END;
CREATE OR REPLACE MACRO bq_datetime(x) AS
  CASE WHEN typeof(x) IN ('TIMESTAMP', 'DATE', 'VARCHAR', '"NULL"') THEN CAST(x AS TIMESTAMP) ELSE CAST('cbi: a DATETIME is wanted here, not ' || typeof(x) || '; write DATETIME(x)' AS TIMESTAMP) END;
CREATE OR REPLACE MACRO bq_timestamp(x) AS
  CASE WHEN typeof(x) IN ('TIMESTAMP WITH TIME ZONE', 'VARCHAR', '"NULL"') THEN CAST(x AS TIMESTAMPTZ) ELSE CAST('cbi: a TIMESTAMP is wanted here, not ' || typeof(x) || '; write TIMESTAMP(x)' AS TIMESTAMPTZ) END;
CREATE OR REPLACE MACRO bq_trunc(unit, x) AS cast_to_type(date_trunc(unit, x), x);
CREATE OR REPLACE MACRO bq_week_trunc(x, shift) AS cast_to_type(date_trunc('week', x + to_days(shift)) - to_days(shift), x);
CREATE OR REPLACE MACRO bq_week_diff(a, b, shift) AS (bq_week_trunc(CAST(a AS DATE), shift) - bq_week_trunc(CAST(b AS DATE), shift)) // 7;
CREATE OR REPLACE MACRO bq_isoyear_trunc(x) AS cast_to_type(date_trunc('week', make_date(isoyear(x), 1, 4)), x);
CREATE OR REPLACE MACRO bq_week_number(x, shift) AS (dayofyear(x) + 6 - (isodow(x) - 1 + shift) % 7) // 7;
CREATE OR REPLACE MACRO bq_step(step) AS CASE WHEN step = 0 THEN CAST('cbi: a step of 0' AS BIGINT) ELSE step END;
-- No lambda here names a, b or step: they may be subqueries or aggregates, which DuckDB takes in no lambda.
CREATE OR REPLACE MACRO bq_date_array_days(a, b, step) AS
  CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL
    ELSE CAST(generate_series(CAST(bq_date(a) AS TIMESTAMP), CAST(bq_date(b) AS TIMESTAMP), to_days(CAST(bq_step(step) AS INTEGER))) AS DATE[]) END;
CREATE OR REPLACE MACRO bq_months(a, b, step) AS generate_series(0::BIGINT, date_diff('month', bq_date(a), bq_date(b)) + sign(step), bq_step(step));
CREATE OR REPLACE MACRO bq_repeated(x, list) AS list_resize([x], len(list), x);
CREATE OR REPLACE MACRO bq_date_array_months(a, b, step) AS
  CASE WHEN a IS NULL OR b IS NULL OR step IS NULL THEN NULL
    ELSE list_transform(
      list_filter(
        list_transform(
          list_zip(bq_months(a, b, step), bq_repeated(bq_date(a), bq_months(a, b, step)), bq_repeated(bq_date(b), bq_months(a, b, step)), bq_repeated(step > 0, bq_months(a, b, step))),
          lambda p: {'day': CAST(p[2] + to_months(CAST(p[1] AS INTEGER)) AS DATE), 'last': p[3], 'up': p[4]}),
        lambda p: CASE WHEN p.up THEN p.day <= p.last ELSE p.day >= p.last END),
      lambda p: p.day) END;
