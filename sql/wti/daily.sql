-- WTI crude oil, one row for each day that has a price (US dollars per barrel).
--
-- A day's price counts as known that same evening, as it is on a trading desk; EIA's own file follows within days.
-- FRED writes '.' where no price was published (US holidays, mostly): such a day has no price,
-- so it is no row. Anything else that is not a number makes the CAST fail, which is what we want.
SELECT
  PARSE_DATE('%m/%d/%Y', Date) AS date,
  CAST(DCOILWTICO AS FLOAT64) AS price
FROM fred.dcoilwtico
WHERE DCOILWTICO != '.'
