-- The VIX, one close a day: a clean table, taken as it is.
SELECT date, close
FROM forecasting_data_warehouse.vix_daily
WHERE close IS NOT NULL
