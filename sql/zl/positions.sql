-- Who holds what in soybean oil: the CFTC's weekly report, one row a report, by the day on which it came out.
--
-- A report says how things stood on its Tuesday and comes out on the Friday (@release_days later). How long it speaks is said where it is joined:
-- since 2013 every year has a gap of weeks or months, and an old report is not a new measurement.
-- managed_money_* is 0 in every row of the source. That is not a position of zero, it is missing, so it is not here.
WITH
  reports AS (
    SELECT DISTINCT
      report_date,
      SAFE_DIVIDE(commercial_net, open_interest) AS commercial_share,
      open_interest
    FROM forecasting_data_warehouse.cftc_cot
    WHERE contract_code = 'ZL' AND open_interest > 0 AND report_date IS NOT NULL
  ),
  changes AS (
    SELECT
      *,
      LAG(report_date) OVER (ORDER BY report_date) AS previous_date,
      commercial_share - LAG(commercial_share) OVER (ORDER BY report_date) AS commercial_change,
      SAFE_DIVIDE(open_interest, LAG(open_interest) OVER (ORDER BY report_date)) - 1 AS open_interest_change
    FROM reports
  )
SELECT
  DATE_ADD(report_date, INTERVAL @release_days DAY) AS date,
  report_date,
  commercial_share AS cftc_share,
  -- A change over a gap is no weekly change.
  IF(DATE_DIFF(report_date, previous_date, DAY) <= 8, commercial_change, NULL) AS cftc_change,
  IF(DATE_DIFF(report_date, previous_date, DAY) <= 8, open_interest_change, NULL) AS cftc_interest_change
FROM changes
