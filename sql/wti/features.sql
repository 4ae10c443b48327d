-- What is known about crude oil at the close of each day. Every window looks backwards, none forwards.
--
-- Prices enter as ratios and returns, so that 1990 at $20 and 2012 at $100 can teach the same lesson.
WITH
  returns AS (
    SELECT
      date,
      price,
      LN(price / LAG(price) OVER by_date) AS ret_1,
      LN(price / LAG(price, 2) OVER by_date) AS ret_2,
      LN(price / LAG(price, 5) OVER by_date) AS ret_5,
      LN(price / LAG(price, 10) OVER by_date) AS ret_10,
      LN(price / LAG(price, 21) OVER by_date) AS ret_21,
      LN(price / LAG(price, 63) OVER by_date) AS ret_63,
      LN(price / LAG(price, 126) OVER by_date) AS ret_126,
      LN(price / LAG(price, 252) OVER by_date) AS ret_252
    FROM wti.daily
    WINDOW by_date AS (ORDER BY date)
  ),

  windows AS (
    SELECT
      *,
      -- The newest return, one to four days late.
      LAG(ret_1, 1) OVER (ORDER BY date) AS ret_1_lag_1,
      LAG(ret_1, 2) OVER (ORDER BY date) AS ret_1_lag_2,
      LAG(ret_1, 3) OVER (ORDER BY date) AS ret_1_lag_3,
      LAG(ret_1, 4) OVER (ORDER BY date) AS ret_1_lag_4,

      -- Where the price stands against its own mean: a week, a month, a quarter, a year.
      price / AVG(price) OVER (ORDER BY date ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) - 1 AS ma_5,
      price / AVG(price) OVER (ORDER BY date ROWS BETWEEN 20 PRECEDING AND CURRENT ROW) - 1 AS ma_21,
      price / AVG(price) OVER (ORDER BY date ROWS BETWEEN 62 PRECEDING AND CURRENT ROW) - 1 AS ma_63,
      price / AVG(price) OVER (ORDER BY date ROWS BETWEEN 251 PRECEDING AND CURRENT ROW) - 1 AS ma_252,

      -- How much it moves: the standard deviation of daily returns.
      STDDEV(ret_1) OVER (ORDER BY date ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) AS vol_10,
      STDDEV(ret_1) OVER (ORDER BY date ROWS BETWEEN 20 PRECEDING AND CURRENT ROW) AS vol_21,
      STDDEV(ret_1) OVER (ORDER BY date ROWS BETWEEN 62 PRECEDING AND CURRENT ROW) AS vol_63,
      STDDEV(ret_1) OVER (ORDER BY date ROWS BETWEEN 251 PRECEDING AND CURRENT ROW) AS vol_252,

      -- The year's range, and how many of the last 21 days were up.
      MIN(price) OVER (ORDER BY date ROWS BETWEEN 251 PRECEDING AND CURRENT ROW) AS low_252,
      MAX(price) OVER (ORDER BY date ROWS BETWEEN 251 PRECEDING AND CURRENT ROW) AS high_252,
      AVG(IF(ret_1 > 0, 1.0, 0.0)) OVER (ORDER BY date ROWS BETWEEN 20 PRECEDING AND CURRENT ROW) AS up_days_21,
      ROW_NUMBER() OVER (ORDER BY date) AS day_number
    FROM returns
  ),

  inflation AS (
    SELECT
      known_from,
      core_cpi,
      core_cpi / LAG(core_cpi, 12) OVER (ORDER BY month) - 1 AS core_cpi_yoy
    FROM wti.core_cpi
  )

SELECT
  windows.* EXCEPT (price, low_252, high_252, day_number),
  SAFE_DIVIDE(price - low_252, high_252 - low_252) AS range_252,
  SAFE_DIVIDE(vol_21, vol_252) AS vol_21_to_252,

  -- The calendar: driving season, winter, and the roll of the month.
  EXTRACT(MONTH FROM date) AS cal_month,
  EXTRACT(DAY FROM date) AS cal_day,
  EXTRACT(DAYOFWEEK FROM date) AS cal_weekday,

  -- Inflation as known that day, and the price in constant money.
  core_cpi_yoy AS cpi_yoy,
  100 * price / core_cpi AS cpi_real_price
FROM windows
-- known_from is always the first of a month, so the newest figure known is the one of this very month.
LEFT JOIN inflation ON inflation.known_from = DATE_TRUNC(windows.date, MONTH)
-- A year's windows need a year of prices: before that they would pretend to be what they are not.
WHERE day_number > 252
