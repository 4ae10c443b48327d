-- The dollar index, one close a day. One market, two symbols: DXY to 2019 (each row exported twice), DX-Y.NYB from 2018.
-- They agree to the cent on the 503 days that both have, so averaging a day's rows takes care of both defects.
SELECT time AS date, AVG(close) AS close
FROM forecasting_data_warehouse.usd_index_prices
WHERE symbol IN ('DXY', 'DX-Y.NYB') AND close IS NOT NULL
GROUP BY date
