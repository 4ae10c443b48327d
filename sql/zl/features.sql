-- What was known about soybean oil at the end of each trading day. Every window looks backwards, none forwards.
--
-- Prices enter as returns, ratios and spreads. Crude is the exception: it was below zero on 2020-04-20, where a logarithm has nothing to
-- say, so its moves are in dollars. What a table does not have that day is NULL, and stays NULL: nothing is carried forward or filled with zero.
WITH
  base AS (
    SELECT
      markets.*,
      -- The oil's share of what a crusher sells, and the margin on a bushel.
      0.11 * price AS oil_value,
      0.022 * meal AS meal_value,
      0.11 * price + 0.022 * meal - beans / 100 - 0.40 AS crush_margin,
      -- Palm oil is the other cooking oil: dollars a tonne of ZL (2,204.62 lb) against dollars a tonne of palm.
      price * 22.0462 - palm AS palm_spread,
      currency.usd_brl_rate AS brl,
      currency.usd_cny_rate AS cny,
      currency.usd_myr_rate AS myr
    FROM zl.markets AS markets
    LEFT JOIN zl.currency AS currency USING (date)
  ),

  returns AS (
    SELECT
      *,
      LN(price / LAG(price) OVER by_date) AS ret_1,
      LN(price / LAG(price, 5) OVER by_date) AS ret_5,
      LN(price / LAG(price, 20) OVER by_date) AS ret_20,
      LN(price / LAG(price, 60) OVER by_date) AS ret_60,
      LN(price / LAG(price, 120) OVER by_date) AS ret_120,
      LN(price / LAG(price, 240) OVER by_date) AS ret_240,
      LN(beans / LAG(beans, 5) OVER by_date) AS beans_ret_5,
      LN(beans / LAG(beans, 20) OVER by_date) AS beans_ret_20,
      LN(beans / LAG(beans, 60) OVER by_date) AS beans_ret_60,
      LN(meal / LAG(meal, 20) OVER by_date) AS meal_ret_20,
      LN(corn / LAG(corn, 20) OVER by_date) AS corn_ret_20,
      LN(heating_oil / LAG(heating_oil, 20) OVER by_date) AS heating_oil_ret_20,
      LN(palm / LAG(palm, 20) OVER by_date) AS palm_ret_20,
      LN(dollar / LAG(dollar, 20) OVER by_date) AS dollar_ret_20,
      LN(brl / LAG(brl, 20) OVER by_date) AS brl_ret_20,
      LN(cny / LAG(cny, 20) OVER by_date) AS cny_ret_20,
      LN(myr / LAG(myr, 20) OVER by_date) AS myr_ret_20,
      crude - LAG(crude, 5) OVER by_date AS crude_change_5,
      crude - LAG(crude, 20) OVER by_date AS crude_change_20,
      crude - LAG(crude, 60) OVER by_date AS crude_change_60,
      vix - LAG(vix, 5) OVER by_date AS vix_change_5,
      ten_year - LAG(ten_year, 20) OVER by_date AS ten_year_change_20,
      ROW_NUMBER() OVER by_date AS day_number
    FROM base
    WINDOW by_date AS (ORDER BY date)
  ),

  -- All windows are here, before the first year is left out: behind a WHERE they would begin anew.
  features AS (
    SELECT
      date,
      day_number,
      price,

      -- Soybean oil itself
      ret_1, ret_5, ret_20, ret_60, ret_120, ret_240,
      price / AVG(price) OVER (ORDER BY date ROWS BETWEEN 19 PRECEDING AND CURRENT ROW) - 1 AS ma_20,
      price / AVG(price) OVER (ORDER BY date ROWS BETWEEN 59 PRECEDING AND CURRENT ROW) - 1 AS ma_60,
      price / AVG(price) OVER (ORDER BY date ROWS BETWEEN 239 PRECEDING AND CURRENT ROW) - 1 AS ma_240,
      STDDEV(ret_1) OVER (ORDER BY date ROWS BETWEEN 19 PRECEDING AND CURRENT ROW) AS vol_20,
      STDDEV(ret_1) OVER (ORDER BY date ROWS BETWEEN 59 PRECEDING AND CURRENT ROW) AS vol_60,

      -- The complex around it: beans, meal, the crush, palm
      beans_ret_5, beans_ret_20, beans_ret_60, meal_ret_20, corn_ret_20,
      crush_margin,
      crush_margin - AVG(crush_margin) OVER (ORDER BY date ROWS BETWEEN 59 PRECEDING AND CURRENT ROW) AS crush_margin_ma_60,
      SAFE_DIVIDE(oil_value, oil_value + meal_value) AS crush_oil_share,
      palm_ret_20, palm_spread,

      -- Energy: biofuel ties soybean oil to it
      crude, crude_change_5, crude_change_20, crude_change_60, heating_oil_ret_20,

      -- Money and fear
      dollar, dollar_ret_20, brl_ret_20, cny_ret_20, myr_ret_20,
      vix, vix_change_5, ten_year, ten_year_change_20,

      -- The crop year
      EXTRACT(MONTH FROM date) AS cal_month,
      EXTRACT(DAYOFWEEK FROM date) AS cal_weekday
    FROM returns
  )

SELECT * EXCEPT (day_number)
FROM features
-- A year's windows need a year of prices.
WHERE day_number > 240
