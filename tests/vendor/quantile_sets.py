"""Judges a quantile set: asks the vendor's package for its quantiles again, and scikit-learn for its figures.

    quantile_sets.py FIT TEST MODEL METRICS OPEN BLOCK

FIT and TEST are a frame's artifacts, MODEL the set that learnt from the first, METRICS the artifact of its evaluation on the second. The set's models are read by
the vendor's own package, its forecasts sorted by numpy; naive quantiles are numpy's of the changes over the train rows; losses are scikit-learn's. Prints the
largest difference by what was compared.
"""

import json
import sys
from pathlib import Path

import numpy as np
from metrics import difference, ends, read, resamples
from parity import Frame, levels
from sklearn.metrics import mean_pinball_loss


def raw(model, record, x):
    names = [f"p{round(level['level'] * 100, 4):g}.model" for level in record["levels"]]
    if record["params"]["learner"] == "lightgbm":
        import lightgbm as lgb

        return np.array([lgb.Booster(model_str=(model / name).read_text()).predict(x) for name in names])
    import xgboost as xgb

    boosters = [xgb.Booster(model_file=bytearray((model / name).read_bytes())) for name in names]
    return np.array([b.predict(xgb.DMatrix(x, feature_names=record["features"])).astype("float64") for b in boosters])


def main():
    fit, test, model, metrics = (Frame(Path(argument)) if index < 2 else Path(argument) for index, argument in enumerate(sys.argv[1:5]))
    h, block = int(sys.argv[5]), int(sys.argv[6])
    record = json.loads((model / "model.json").read_text())
    qs = [level["level"] for level in record["levels"]]
    own = levels(raw(model, record, test.x), test.price, test.kind)
    outcome = levels(fit.label, fit.price, fit.kind)[fit.train]
    change = np.quantile(np.log(outcome / fit.price[fit.train]), qs)
    largest = {}

    def compare(name, ours, theirs):
        largest[name] = max(largest.get(name, 0.0), difference(ours, theirs))

    told = read(metrics / "quantile_predictions.parquet")
    for at, row in enumerate(told):
        day, level = divmod(at, len(qs))
        assert row["level"] == qs[level], row
        compare("quantile", row["predicted"], np.sort(own[:, day])[level])
        compare("naive quantile", row["naive"], test.price[day] * np.exp(change[level]))
        compare("crossed", float(row["crossed"]), float((np.diff(own[:, day]) < 0).any()))
    when = {"all": lambda d: "all", "year": lambda d: str(d.year), "quarter": lambda d: f"{d.year}-Q{(d.month + 2) // 3}"}
    part = lambda row, level: [r for r in told if r["level"] == level and when[row["by"]](r["date"]) == row["segment"]]
    column = lambda rows, name: np.array([r[name] for r in rows], "float64")

    def interval(name, row, values):
        low, high = ends(values) if values is not None else (None, None)
        compare(f"{name}_low", row[f"{name}_low"], low)
        compare(f"{name}_high", row[f"{name}_high"], high)

    measured = 0
    for row in read(metrics / "quantiles.parquet"):
        rows = part(row, row["level"])
        actual, predicted, naive, n = column(rows, "actual"), column(rows, "predicted"), column(rows, "naive"), len(rows)
        q = row["level"]
        pinball, beside = mean_pinball_loss(actual, predicted, alpha=q), mean_pinball_loss(actual, naive, alpha=q)
        for name, value in [("n", n), ("effective_n", max(n / h, 1)), ("pinball", pinball), ("naive_pinball", beside)]:
            compare(name, row[name], value)
        compare("pinball_ratio", row["pinball_ratio"], pinball / beside)
        compare("coverage", row["coverage"], np.mean(actual <= predicted))
        compare("naive_coverage", row["naive_coverage"], np.mean(actual <= naive))
        at = resamples(n, block) if n >= 2 * block else None
        loss = lambda of: np.maximum(q * (actual - of), (q - 1) * (actual - of))
        interval("coverage", row, None if at is None else (actual <= predicted)[at].mean(axis=1))
        interval("pinball_ratio", row, None if at is None else loss(predicted)[at].mean(axis=1) / loss(naive)[at].mean(axis=1))
        measured += 1
    for row in read(metrics / "intervals.parquet"):
        lower, upper = part(row, row["lower"]), part(row, row["upper"])
        actual = column(lower, "actual")
        low, high = column(lower, "predicted"), column(upper, "predicted")
        held = (low <= actual) & (actual <= high)
        compare("interval coverage", row["coverage"], held.mean())
        compare("width", row["width"], (high - low).mean())
        below, above = column(lower, "naive"), column(upper, "naive")
        compare("naive interval coverage", row["naive_coverage"], ((below <= actual) & (actual <= above)).mean())
        compare("naive_width", row["naive_width"], (above - below).mean())
        compare("share crossed", row["crossed"], column(lower, "crossed").mean())
        interval("coverage", row, held[resamples(len(held), block)].mean(axis=1) if len(held) >= 2 * block else None)
        sets = [(part(row, q), q) for q in qs]
        whole = np.mean([mean_pinball_loss(column(rows, "actual"), column(rows, "predicted"), alpha=q) for rows, q in sets])
        compare("set_pinball", row["set_pinball"], whole)
        measured += 1
    print(json.dumps({"measured": measured, "largest": largest}))


if __name__ == "__main__":
    main()
