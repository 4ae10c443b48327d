-- Days on which soybean oil trades, 2024 to 2030: what puts a date on a forecast "20 trading days ahead".
--
-- Weekdays less the exchange's holidays: New Year, Martin Luther King, Presidents, Good Friday, Memorial Day, Juneteenth, Independence Day,
-- Labor Day, Thanksgiving and Christmas, each on the day it is kept. They are the calendar `CME_Agriculture` of the Python package
-- pandas_market_calendars 5.5.0 (see warehouse/PROVENANCE.md), written out here so that this warehouse needs no table of its own for them.
-- 2025-01-09 was a day of mourning on the stock exchange; soybean oil traded, and so it is not in the list.
SELECT date
FROM UNNEST(GENERATE_DATE_ARRAY(DATE '2024-01-01', DATE '2030-12-31')) AS date
WHERE
  EXTRACT(DAYOFWEEK FROM date) BETWEEN 2 AND 6
  AND date NOT IN (
    DATE '2024-01-01', DATE '2024-01-15', DATE '2024-02-19', DATE '2024-03-29', DATE '2024-05-27', DATE '2024-06-19', DATE '2024-07-04', DATE '2024-09-02', DATE '2024-11-28', DATE '2024-12-25',
    DATE '2025-01-01', DATE '2025-01-20', DATE '2025-02-17', DATE '2025-04-18', DATE '2025-05-26', DATE '2025-06-19', DATE '2025-07-04', DATE '2025-09-01', DATE '2025-11-27', DATE '2025-12-25',
    DATE '2026-01-01', DATE '2026-01-19', DATE '2026-02-16', DATE '2026-04-03', DATE '2026-05-25', DATE '2026-06-19', DATE '2026-07-03', DATE '2026-09-07', DATE '2026-11-26', DATE '2026-12-25',
    DATE '2027-01-01', DATE '2027-01-18', DATE '2027-02-15', DATE '2027-03-26', DATE '2027-05-31', DATE '2027-06-18', DATE '2027-07-05', DATE '2027-09-06', DATE '2027-11-25', DATE '2027-12-24',
    DATE '2028-01-17', DATE '2028-02-21', DATE '2028-04-14', DATE '2028-05-29', DATE '2028-06-19', DATE '2028-07-04', DATE '2028-09-04', DATE '2028-11-23', DATE '2028-12-25',
    DATE '2029-01-01', DATE '2029-01-15', DATE '2029-02-19', DATE '2029-03-30', DATE '2029-05-28', DATE '2029-06-19', DATE '2029-07-04', DATE '2029-09-03', DATE '2029-11-22', DATE '2029-12-25',
    DATE '2030-01-01', DATE '2030-01-21', DATE '2030-02-18', DATE '2030-04-19', DATE '2030-05-27', DATE '2030-06-19', DATE '2030-07-04', DATE '2030-09-02', DATE '2030-11-28', DATE '2030-12-25'
  )
