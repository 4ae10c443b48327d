-- What a crusher earns on a bushel of beans (US dollars): 11 lb of oil and 0.022 short tons of meal, less the beans, less 0.40 of costs.
-- This is `curated.vw_crush_margins_daily`, made again from its sources: a day counts if all three markets have a close.
WITH
  oil AS (
    SELECT CAST(time AS DATE) AS date, AVG(close) AS oil_price_lb
    FROM forecasting_data_warehouse.soybean_oil_prices
    GROUP BY date
  ),
  beans AS (
    SELECT CAST(time AS DATE) AS date, AVG(close) AS bean_price_bu
    FROM forecasting_data_warehouse.soybean_prices
    GROUP BY date
  ),
  meal AS (
    SELECT CAST(time AS DATE) AS date, AVG(close) AS meal_price_ton
    FROM forecasting_data_warehouse.soybean_meal_prices
    GROUP BY date
  ),
  margins AS (
    SELECT
      *,
      0.11 * oil_price_lb + 0.022 * meal_price_ton - bean_price_bu / 100 - 0.40 AS crush_margin_usd_per_bu
    FROM oil
    INNER JOIN beans USING (date)
    INNER JOIN meal USING (date)
  )
SELECT
  *,
  CASE
    WHEN crush_margin_usd_per_bu >= 0.5 THEN 'PROFITABLE'
    WHEN crush_margin_usd_per_bu >= 0 THEN 'NEUTRAL'
    ELSE 'UNPROFITABLE'
  END AS margin_status
FROM margins
