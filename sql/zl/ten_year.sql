-- The yield of ten-year US treasuries, per cent. Its `date` is a timestamp at midnight; `time` is when the row was loaded.
-- Nothing before 2018: earlier rows of a frame have no yield, and a missing value is what the learners get to see.
SELECT CAST(date AS DATE) AS date, close
FROM forecasting_data_warehouse.treasury_prices
WHERE close IS NOT NULL
