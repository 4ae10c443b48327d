-- Core consumer prices, one row a month, with the first day on which the figure may be used.
--
-- The index of a month is published around the middle of the next one, and late in a government shutdown
-- (30 October 2013 for September). From the first day of the month after that it was always known.
SELECT
  PARSE_DATE('%m/%d/%Y', Date) AS month,
  DATE_ADD(PARSE_DATE('%m/%d/%Y', Date), INTERVAL 2 MONTH) AS known_from,
  CAST(CPILFESL AS FLOAT64) AS core_cpi
FROM fred.cpilfesl
