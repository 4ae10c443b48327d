-- How much a day counts in training: the platform's own calendar of market regimes. Policy, not a measurement, and so a weight, never a feature.
SELECT CAST(date AS DATE) AS date, regime, CAST(training_weight AS FLOAT64) AS training_weight
FROM registry.regime_calendar
