-- What the US economy did, as far as it was known: one row a month, by the day on which the month's figures were out at the latest.
--
-- `economic_indicators` dates a month by its first day; the figures come out in the middle of the next one, once as late as 59 days after that day
-- (@release_days). Rows of October and November 2025 carry the moment of loading as their time: they are no months and are left out.
-- The figures are those of today. Seasonal adjustment revises prices once a year, a little; what was printed first is not in this table.
WITH
  months AS (
    SELECT
      DATE(time) AS month,
      MAX(IF(indicator = 'cpi_inflation', value, NULL)) AS cpi,
      MAX(IF(indicator = 'unemployment_rate', value, NULL)) AS unemployment
    FROM forecasting_data_warehouse.economic_indicators
    WHERE indicator IN ('cpi_inflation', 'unemployment_rate') AND EXTRACT(DAY FROM time) = 1
    GROUP BY month
  ),
  changes AS (
    SELECT
      *,
      LAG(month, 12) OVER (ORDER BY month) AS year_before,
      cpi / LAG(cpi, 12) OVER (ORDER BY month) - 1 AS inflation,
      unemployment - LAG(unemployment, 12) OVER (ORDER BY month) AS unemployment_change
    FROM months
  )
SELECT
  DATE_ADD(month, INTERVAL @release_days DAY) AS date,
  month,
  inflation AS us_inflation,
  unemployment AS us_unemployment,
  unemployment_change AS us_unemployment_change
FROM changes
-- Twelve rows back is a year back where no month is missing.
WHERE DATE_DIFF(month, year_before, MONTH) = 12
