-- Palm oil, one close a day. The table mixes three things under one roof:
--   CPO             the market, 2020-10-21 to 2025-09-15: what we want
--   CPO=F           49 rows without a close
--   PALM_COMPOSITE  62 rows of 0.32 to 0.44: a composite of the platform's own, not a price
SELECT CAST(time AS DATE) AS date, AVG(close) AS close
FROM forecasting_data_warehouse.palm_oil_prices
WHERE symbol = 'CPO' AND close IS NOT NULL
GROUP BY date
