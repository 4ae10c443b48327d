"""Lets the vendors' own packages read a model that cbi made, predict with it, and train the same from the same rows.

    parity.py FIT MODEL PREDICTIONS

FIT is a frame's `fit` artifact, MODEL the `model` artifact made from it, PREDICTIONS a JSON list with cbi's price forecast for each row.
Prints one JSON object: how far apart the forecasts are, and the error on the valid rows of either model.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def levels(answers, price, kind):
    return price * np.exp(answers) if kind == "log_return" else answers


class Frame:
    def __init__(self, folder):
        self.record = json.loads((folder / "frame.json").read_text())
        # The file itself: a path would be looked at as a dataset of many.
        with (folder / "table.parquet").open("rb") as file:
            table = pq.read_table(file)
        column = lambda name: table.column(name).to_numpy(zero_copy_only=False).astype("float64")
        self.names = self.record["features"]
        self.x = np.column_stack([column(name) for name in self.names])
        self.label = column("label")
        self.price = column("price")
        self.weight = column("weight") if self.record["weight"] else None
        split = np.array(table.column("split").to_pylist())
        self.train, self.valid = split == "train", split == "valid"
        self.kind = self.record["label"]["kind"]

    def part(self, rows):
        return self.x[rows], self.label[rows], None if self.weight is None else self.weight[rows]

    def valid_mae(self, forecast):
        outcome = levels(self.label, self.price, self.kind)
        return float(np.mean(np.abs(forecast[self.valid] - outcome[self.valid])))


def lightgbm(frame, model, params):
    import lightgbm as lgb

    text = (model / "model.txt").read_text()
    loaded = lgb.Booster(model_str=text)
    assert loaded.feature_name() == frame.names, loaded.feature_name()
    categories = params.pop("categorical_feature", "auto")
    rounds = params.pop("num_iterations")
    # The package knows names of categorical features only; the others it takes by their place.
    if isinstance(params.get("monotone_constraints"), dict):
        params["monotone_constraints"] = [params["monotone_constraints"].get(name, 0) for name in frame.names]
    if "interaction_constraints" in params:
        params["interaction_constraints"] = [[frame.names.index(name) for name in group] for group in params["interaction_constraints"]]
    x, label, weight = frame.part(frame.train)
    train = lgb.Dataset(x, label, weight=weight, feature_name=frame.names, categorical_feature=categories, params=params)
    valid = []
    if "early_stopping_round" in params:
        x, label, weight = frame.part(frame.valid)
        valid = [lgb.Dataset(x, label, weight=weight, reference=train)]
    trained = lgb.train(params, train, num_boost_round=rounds, valid_sets=valid)
    best = trained.best_iteration or rounds
    trees = lambda text: text[text.index("Tree=0") : text.index("end of trees")]
    same = trees(text) == trees(trained.model_to_string(num_iteration=best))
    splits = loaded.trees_to_dataframe()
    categorical = splits.loc[splits["decision_type"] == "==", "split_feature"]
    return loaded.predict(frame.x), trained.predict(frame.x, num_iteration=best), best, same, sorted(set(categorical))


def xgboost(frame, model, params):
    import xgboost as xgb

    loaded = xgb.Booster(params={"nthread": 1}, model_file=model / "model.ubj")
    assert loaded.feature_names == frame.names, loaded.feature_names
    rounds = params.pop("num_boost_round")
    patience = params.pop("early_stopping_rounds", None)
    if isinstance(params.get("monotone_constraints"), list):
        params["monotone_constraints"] = tuple(params["monotone_constraints"])
    about = {"feature_names": frame.names, "nthread": 1}
    if "feature_types" in params:
        given = params.pop("feature_types")
        about |= {"feature_types": [given.get(name, "q") for name in frame.names], "enable_categorical": True}
        assert loaded.feature_types == about["feature_types"], loaded.feature_types
    matrix = lambda rows: xgb.DMatrix(frame.part(rows)[0], frame.part(rows)[1], weight=frame.part(rows)[2], **about)
    evals = [(matrix(frame.valid), "valid")] if patience else []
    trained = xgb.train(params, matrix(frame.train), rounds, evals=evals, early_stopping_rounds=patience, verbose_eval=False)
    best = trained.best_iteration + 1 if patience else rounds
    if patience:
        trained = trained[:best]
    everything = xgb.DMatrix(frame.x, **about)
    # The package adds attributes of its own to a model; trees and everything else are compared.
    bare = lambda booster: {k: v for k, v in json.loads(bytes(booster.save_raw("json")))["learner"].items() if k != "attributes"}
    same = bare(loaded) == bare(trained)
    booster = bare(loaded)["gradient_booster"]
    trees = booster.get("gbtree", booster).get("model", {}).get("trees", [])
    categorical = {frame.names[tree["split_indices"][node]] for tree in trees for node in tree["categories_nodes"]}
    return loaded.predict(everything), trained.predict(everything), best, same, sorted(categorical)


def main():
    fit, model, predictions = (Path(argument) for argument in sys.argv[1:])
    frame = Frame(fit)
    record = json.loads((model / "model.json").read_text())
    read, trained, best, same, categorical = {"lightgbm": lightgbm, "xgboost": xgboost}[record["kind"]](frame, model, dict(record["params"]))
    ours = np.array(json.loads(predictions.read_text()))
    theirs = levels(np.asarray(read, "float64"), frame.price, frame.kind)
    trained = levels(np.asarray(trained, "float64"), frame.price, frame.kind)
    print(
        json.dumps(
            {
                "largest_difference": float(np.max(np.abs(ours - theirs) / np.abs(theirs))),
                "rows": len(ours),
                "rounds": best,
                "same_trees": same,
                "categorical": categorical,
                "mae_cbi": frame.valid_mae(ours),
                "mae_vendor": frame.valid_mae(trained),
            }
        )
    )


if __name__ == "__main__":
    main()
