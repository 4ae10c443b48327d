"""Lets the vendors' own packages explain a model that cbi made.

    contributions.py FIT MODEL EXPLANATION

FIT is a frame's `fit` artifact, MODEL the `model` artifact made from it, EXPLANATION what cbi says of the last 252 rows: {"gains": …,
"contributions": …}. Prints one JSON object: the largest differences, and how far contributions are from adding up to the raw prediction.
"""

import json
import sys
from pathlib import Path

import numpy as np
from parity import Frame


def lightgbm(frame, model, x):
    import lightgbm as lgb

    loaded = lgb.Booster(model_str=(model / "model.txt").read_text())
    return loaded.predict(x, pred_contrib=True), loaded.feature_importance("gain"), loaded.predict(x, raw_score=True)


def xgboost(frame, model, x):
    import xgboost as xgb

    loaded = xgb.Booster(params={"nthread": 1}, model_file=model / "model.ubj")
    rows = xgb.DMatrix(x, feature_names=frame.names, nthread=1)
    gains = loaded.get_score(importance_type="total_gain")
    gains = np.array([gains.get(name, 0.0) for name in frame.names])
    return loaded.predict(rows, pred_contribs=True), gains, loaded.predict(rows, output_margin=True)


fit, model, told = map(Path, sys.argv[1:])
frame, ours = Frame(fit), json.loads(told.read_text())
kind = json.loads((model / "model.json").read_text())["kind"]
x = frame.x[-252:]
contributions, gains, raw = {"lightgbm": lightgbm, "xgboost": xgboost}[kind](frame, model, x)
mine = np.array(ours["contributions"]).reshape(contributions.shape)
print(
    json.dumps(
        {
            "rows": len(x),
            "moved": float(np.abs(mine[:, :-1]).max()),
            "contributions": float(np.abs(mine - contributions).max()),
            "gains": float(np.max(np.abs(np.array(ours["gains"]) - gains) / np.maximum(np.abs(gains), 1.0))),
            "sum": float(np.max(np.abs(mine.sum(axis=1) - raw) / np.maximum(np.abs(raw), 1.0))),
        }
    )
)
