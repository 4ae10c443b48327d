"""Judges cbi's judgement: works out every figure of a `metrics` artifact again from its forecasts.

    metrics.py METRICS REGIMES OPEN BLOCK

METRICS is the artifact, REGIMES a JSON object day → regime, OPEN the most forecasts open at once, BLOCK the rows in a block of the bootstrap
(2,000 resamples, seed 42). Errors come from scikit-learn, Diebold and Mariano's test from statsmodels (its HAC regression on a constant, corrected
here as Harvey, Leybourne and Newbold say) and scipy, quantiles of resamples from numpy. What no library has (the Sharpe ratio over sequences that do
not overlap, the order of the random numbers) is written here a second time, by its formula. Prints the largest difference by column, relative where
the figure is above 1, and how far the intervals' ends are from those of arch's circular block bootstrap, in widths of the interval.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import statsmodels.api as sm
from arch.bootstrap import CircularBlockBootstrap
from scipy import stats
from sklearn import metrics as sk

SEED, RESAMPLES = 42, 2000
MASK = (1 << 64) - 1


def read(path):
    # The file itself: a path would be looked at as a dataset of many.
    with path.open("rb") as file:
        return pq.read_table(file).to_pylist()


def errors(price, actual, predicted):
    moved = actual != price
    direction = None
    if moved.any() and (predicted != price)[moved].any():
        direction = sk.accuracy_score(np.sign(actual - price)[moved], np.sign(predicted - price)[moved])
    return {
        "mape": 100 * sk.mean_absolute_percentage_error(actual, predicted),
        "mae": sk.mean_absolute_error(actual, predicted),
        "rmse": sk.root_mean_squared_error(actual, predicted),
        "r2": sk.r2_score(actual, predicted) if len(set(actual)) > 1 else None,
        "direction": direction,
    }


def diebold_mariano(model, naive, h):
    d, n = model - naive, len(model)
    if n < 2 * h or not d.any():
        return None, None, None
    for kernel in ["uniform", "bartlett"]:
        settings = {"maxlags": h - 1, "kernel": kernel, "use_correction": False}
        with np.errstate(invalid="ignore"):
            mean = sm.OLS(d, np.ones(n)).fit(cov_type="HAC", cov_kwds=settings)
        if mean.cov_params()[0, 0] > 0:
            break
    statistic = mean.tvalues[0] * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    return statistic, 2 * stats.t.sf(abs(statistic), n - 1), "rectangular" if kernel == "uniform" else kernel


def sharpe(price, actual, position, days, h):
    if (price <= 0).any():
        return None
    earned = position * (actual / price - 1)
    ratios = []
    for first in range(h):
        sequence = earned[first::h]
        if len(sequence) < 2 or len(set(sequence)) == 1:
            return None
        ratios.append(sequence.mean() / sequence.std(ddof=1))
    return np.mean(ratios) * np.sqrt(365.25 / days.mean())


def draw(rows, count):
    """Wang Yi's wyrand and Lemire's way into a range."""
    state, found = SEED, []
    while len(found) < count:
        state = (state + 0x2D358DCCAA6C78A5) & MASK
        product = state * (state ^ 0x8BB84B93962EACC9)
        scaled = ((product & MASK) ^ (product >> 64)) * rows
        if (scaled & MASK) >= rows or (scaled & MASK) >= (1 << 64) % rows:
            found.append(scaled >> 64)
    return np.array(found)


def resamples(rows, block):
    blocks = -(-rows // block)
    starts = draw(rows, blocks * RESAMPLES).reshape(RESAMPLES, blocks)
    at = (starts[:, :, None] + np.arange(block)) % rows
    return at.reshape(RESAMPLES, -1)[:, :rows]


def ends(values):
    low, high = np.quantile(values, [0.025, 0.975])
    return low, high


def by_arch(model, naive, block):
    bootstrap = CircularBlockBootstrap(block, model, naive, seed=np.random.default_rng(1))
    both = lambda model, naive: np.array([model.mean(), model.mean() / naive.mean()])
    return bootstrap.conf_int(both, reps=20_000, method="percentile").T


def worked_out(row, rows, h, block):
    column = lambda name: np.array([r[name] for r in rows])
    price, actual, predicted = column("price"), column("actual"), column("predicted")
    days = np.array([(r["outcome_date"] - r["date"]).days for r in rows])
    mine, naive, n = errors(price, actual, predicted), errors(price, actual, price), len(rows)
    found = {**mine, **{f"naive_{name}": naive[name] for name in ["mape", "mae", "rmse", "r2"]}}
    found |= {"n": n, "effective_n": max(n / h, 1), "mae_ratio": mine["mae"] / naive["mae"], "rmse_ratio": mine["rmse"] / naive["rmse"]}
    found["up"] = errors(price, actual, price + 1)["direction"]
    found["sharpe"] = sharpe(price, actual, np.sign(predicted - price), days, h)
    found["hold_sharpe"] = sharpe(price, actual, np.ones(n), days, h)
    off, beside = np.abs(actual - predicted), np.abs(actual - price)
    found["dm"], found["dm_p"], found["dm_kernel"] = diebold_mariano(off, beside, h)
    found["dm_squared"], found["dm_squared_p"], found["dm_squared_kernel"] = diebold_mariano(off**2, beside**2, h)
    for name in ["mae_low", "mae_high", "mae_ratio_low", "mae_ratio_high"]:
        found[name] = None
    if n >= 2 * block:
        at = resamples(n, block)
        found["mae_low"], found["mae_high"] = ends(off[at].mean(axis=1))
        found["mae_ratio_low"], found["mae_ratio_high"] = ends(off[at].mean(axis=1) / beside[at].mean(axis=1))
    level = row["quantile"]
    for name, values in [("", predicted), ("naive_", price)]:
        known = level is not None
        found[f"{name}pinball"] = sk.mean_pinball_loss(actual, values, alpha=level) if known else None
        found[f"{name}coverage"] = float(np.mean(actual <= values)) if known else None
    return found, (off, beside)


def difference(ours, theirs):
    if ours is None or theirs is None or isinstance(ours, str):
        return 0.0 if ours == theirs else float("inf")
    return float(abs(ours - theirs) / max(abs(theirs), 1.0))


def main():
    metrics, regimes, h, block = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3]), int(sys.argv[4])
    predictions = read(metrics / "predictions.parquet")
    name = {
        "all": lambda day: "all",
        "year": lambda day: str(day.year),
        "quarter": lambda day: f"{day.year}-Q{(day.month + 2) // 3}",
        "regime": lambda day: regimes[str(day)],
    }
    largest, simulated, measured, undefined = {}, [], 0, 0
    for row in read(metrics / "metrics.parquet"):
        rows = [r for r in predictions if r["model"] == row["model"] and name[row["by"]](r["date"]) == row["segment"]]
        found, losses = worked_out(row, rows, h, block)
        for column, theirs in found.items():
            largest[column] = max(largest.get(column, 0.0), difference(row[column], theirs))
            undefined += theirs is None
        measured += 1
        if row["by"] == "all" and row["dm"] is not None:
            ours = np.array([[row["mae_low"], row["mae_high"]], [row["mae_ratio_low"], row["mae_ratio_high"]]])
            widths = ours[:, 1] - ours[:, 0]
            simulated.append(float(np.max(np.abs(ours - by_arch(*losses, block)) / widths[:, None])))
    print(json.dumps({"measured": measured, "undefined": undefined, "largest": largest, "simulated": simulated}))


if __name__ == "__main__":
    main()
