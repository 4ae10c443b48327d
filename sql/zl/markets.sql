-- One row for each day on which soybean oil (ZL) has a close, with the other markets beside it.
--
-- Two tables hold the close of ZL. `forecasting_data_warehouse.soybean_oil_prices` lacks 2019-12-31 to 2020-10-21 (295 days), and
-- from October 2025 holds up to five rows a day, some of them intraday. `yahoo_finance_comprehensive.biofuel_components_canonical` has one row
-- a day, 2020 included, and equals the other on 6,021 of the 6,024 days that both have. We take that one, for every market in it,
-- so that a spread never mixes two sources. Palm oil, the dollar and the VIX it does not have: they come from their own tables.
SELECT
  date,
  soybean_oil_price_cwt AS price,           -- US cents a pound (dollars a hundredweight, the same number)
  soybean_price_cents_bu AS beans,          -- US cents a bushel
  soybean_meal_price_ton AS meal,           -- US dollars a short ton
  corn_price_cents_bu AS corn,              -- US cents a bushel
  crude_oil_price_bbl AS crude,             -- US dollars a barrel; -37.63 on 2020-04-20, and that is a fact
  heating_oil_price_gal AS heating_oil,     -- US dollars a gallon
  palm.close AS palm,                       -- US dollars a tonne
  dollar.close AS dollar,                   -- index
  vix.close AS vix,                         -- index
  rates.close AS ten_year                   -- per cent
FROM yahoo_finance_comprehensive.biofuel_components_canonical AS spine
LEFT JOIN zl.palm AS palm USING (date)
LEFT JOIN zl.dollar AS dollar USING (date)
LEFT JOIN zl.vix AS vix USING (date)
LEFT JOIN zl.ten_year AS rates USING (date)
WHERE soybean_oil_price_cwt IS NOT NULL
