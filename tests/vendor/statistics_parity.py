"""Lets scikit-learn, statsmodels and arch fit the same as cbi did, from the same rows.

    statistics_parity.py FIT MODEL ANSWERS

FIT is a frame's `fit` artifact, MODEL the `model` artifact made from it. ANSWERS is a JSON object: `rows`, indexes of rows; `forecasts`, cbi's price
forecast for each; `volatility`, its forecast standard deviation, where it has one. Prints one JSON object: how far apart the two are.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def table(path):
    with path.open("rb") as file:
        return pq.read_table(file)


def numbers(rows, name):
    return rows.column(name).to_numpy(zero_copy_only=False).astype("float64")


def apart(ours, theirs):
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert ours.shape == theirs.shape and np.isfinite(ours).all(), (ours.shape, theirs.shape)
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


class Frame:
    def __init__(self, folder, rows):
        self.record = json.loads((folder / "frame.json").read_text())
        read = table(folder / "table.parquet")
        self.x = np.column_stack([numbers(read, name) for name in self.record["features"]])
        self.label, self.price = numbers(read, "label"), numbers(read, "price")
        self.weight = numbers(read, "weight") if self.record["weight"] else None
        self.train = np.array(read.column("split").to_pylist()) == "train"
        prices = table(folder / "prices.parquet")
        self.known = numbers(prices, "price")
        days = prices.column("date").to_pylist()
        dates = read.column("date").to_pylist()
        self.at = [days.index(dates[row]) for row in rows]
        last = max(day for day, train in zip(read.column("outcome_date").to_pylist(), self.train) if train)
        assert days[0] == dates[0]
        self.learnt = self.known[: days.index(last) + 1]
        self.steps = self.record["label"]["horizon"]["rows"]


def linear(frame, record, model, rows):
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import ElasticNet, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learner = {"ridge": Ridge, "elastic_net": ElasticNet}[record["kind"]](**record["params"])
    fitted = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), learner)
    weight = None if frame.weight is None else frame.weight[frame.train]
    step = fitted.steps[-1][0]
    fitted.fit(frame.x[frame.train], frame.label[frame.train], **{f"{step}__sample_weight": weight})
    answers = fitted.predict(frame.x[rows])
    levels = frame.price[rows] * np.exp(answers) if frame.record["label"]["kind"] == "log_return" else answers
    kept = [feature["name"] for feature in model["features"] if feature["coefficient"] != 0]
    theirs = [name for name, c in zip(frame.record["features"], learner.coef_) if c != 0]
    return levels, {"same_features": kept == theirs, "features": len(kept)}


def scaled(scale, prices):
    return (np.log(prices), np.exp) if scale == "log_price" else (prices, lambda level: level)


def ar(frame, record, model, rows):
    from statsmodels.tsa.ar_model import AutoReg

    model = model["form"]["ar"]
    params = {name: record["params"][name] for name in ["lags", "trend"]}
    params["lags"] = params["lags"] or None
    levels, back = scaled(model["scale"], frame.known)
    changes = np.diff(levels)
    fitted = AutoReg(changes[: len(frame.learnt) - 1], **params).fit()
    ours = model["deterministic"] + model["coefficients"]
    forecasts = []
    for at in frame.at:
        ahead = AutoReg(changes[:at], **params).predict(fitted.params, start=at, end=at + frame.steps - 1)
        forecasts.append(back(levels[at] + ahead.sum()))
    return forecasts, {"parameters": float(np.max(np.abs(np.array(ours) - fitted.params)))}


def smoothing(frame, record, model, rows):
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    model = model["form"]["exponential_smoothing"]
    fixed = {name: record["params"][name] for name in ["smoothing_level", "smoothing_trend", "damping_trend"] if name in record["params"]}
    asked = {name: record["params"].get(name) for name in ["trend", "seasonal", "seasonal_periods"]}
    asked["damped_trend"] = record["params"].get("damped_trend", False)
    levels, back = scaled(model["scale"], frame.known)
    learnt = levels[: len(frame.learnt)]
    best = ExponentialSmoothing(learnt, initialization_method="estimated", **asked).fit(**fixed)

    known = {"initial_level": model["initial_level"], "initial_trend": model["initial_trend"]}
    known["initial_seasonal"] = model["initial_seasons"] or None
    weights = {name: model[name] for name in ["smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend"]}

    def ours(values):
        given = {name: value for name, value in {**asked, **known}.items() if value is not None}
        return ExponentialSmoothing(values, initialization_method="known", **given).fit(optimized=False, **weights)

    forecasts = [back(ours(levels[: at + 1]).forecast(frame.steps)[-1]) for at in frame.at]
    return forecasts, {"same_sse": apart(model["sse"], ours(learnt).sse), "above_their_best": model["sse"] / best.sse - 1}


def garch(frame, record, model, rows):
    from arch import arch_model

    model = model["form"]["garch"]
    returns = 100 * np.diff(np.log(frame.known))
    asked = {"vol": "GARCH", "rescale": False, **record["params"]}
    learnt = arch_model(returns[: len(frame.learnt) - 1], **asked)
    fitted = learnt.fit(disp="off", options={"ftol": 1e-13, "maxiter": 1000})
    ours = np.array([model[name] for name in fitted.params.index])
    at_ours = learnt.fix(ours).loglikelihood
    variance = arch_model(returns, **asked).fix(ours).forecast(horizon=frame.steps, start=0, reindex=False).variance.to_numpy()
    # A return stands one place before the price it leads to.
    volatility = [np.sqrt(variance[at - 1].sum()) / 100 for at in frame.at]
    forecasts = [frame.known[at] * np.exp(frame.steps * model["mu"] / 100) for at in frame.at]
    return forecasts, {
        "parameters": apart(ours, fitted.params),
        "same_likelihood": apart(model["log_likelihood"], at_ours),
        "below_their_best": (fitted.loglikelihood - model["log_likelihood"]) / abs(fitted.loglikelihood),
        "volatility": apart(json.loads(Path(sys.argv[3]).read_text())["volatility"], volatility),
    }


def main():
    warnings.simplefilter("ignore")
    fit, folder = Path(sys.argv[1]), Path(sys.argv[2])
    answers = json.loads(Path(sys.argv[3]).read_text())
    record = json.loads((folder / "model.json").read_text())
    judge, file = {
        "ridge": (linear, "linear.json"),
        "elastic_net": (linear, "linear.json"),
        "ar": (ar, "series.json"),
        "exponential_smoothing": (smoothing, "series.json"),
        "garch": (garch, "series.json"),
    }[record["kind"]]
    frame = Frame(fit, answers["rows"])
    record["params"].pop("series", None)
    theirs, verdict = judge(frame, record, json.loads((folder / file).read_text()), answers["rows"])
    print(json.dumps({"rows": len(theirs), "forecasts": apart(answers["forecasts"], theirs), **verdict}))


main()
