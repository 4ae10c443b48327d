-- Exchange rates per US dollar, one row a day. The source exports each row two or three times, and MYR comes from two feeds on 21 days:
-- the day's average settles both. This is `models_v4.currency_complete`, made again from its source.
SELECT
  date,
  AVG(IF(to_currency = 'CNY', rate, NULL)) AS usd_cny_rate,
  AVG(IF(to_currency = 'BRL', rate, NULL)) AS usd_brl_rate,
  AVG(IF(to_currency = 'ARS', rate, NULL)) AS usd_ars_rate,
  AVG(IF(to_currency = 'MYR', rate, NULL)) AS usd_myr_rate
FROM forecasting_data_warehouse.currency_data
WHERE to_currency IN ('CNY', 'BRL', 'ARS', 'MYR')
GROUP BY date
