"""CPU time of training through cbi against the vendors' own Python packages: same rows, same parameters, one thread, paired in one run.

    benches/training.py [--fit DIR] [--action PROGRAM] [--repeats N]

DIR is a frame's `fit` artifact; without it, `cbi get 'frame/wti/1m#fit'` gives one. Needs the packages of scripts/test-python.txt
(./test.sh puts them into target/test-python). Prints one line a learner:

  cbi       user and system CPU of the whole `cbi-action` process: start, read the frame, train, write, read back, measure
  package   the same of a Python that reads the same Parquet file, trains and saves
  train     of that, the CPU between the first and the last call into the package (no imports, no file)
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LEARNERS = {
    "lightgbm": {
        "params": {"num_iterations": 1000, "learning_rate": 0.03, "num_leaves": 31, "bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction": 0.8},
        "fixed": {"seed": 42, "deterministic": True, "force_row_wise": True, "verbosity": -1},
        "threads": "num_threads",
    },
    "xgboost": {
        "params": {"num_boost_round": 1000, "eta": 0.03, "max_depth": 6, "subsample": 0.8, "colsample_bytree": 0.8},
        "fixed": {"seed": 42, "device": "cpu"},
        "threads": "nthread",
    },
}

CHILD = r"""
import json, sys, time
import numpy as np, pyarrow.parquet as pq
fit, kind, params = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if kind == "lightgbm": import lightgbm as lgb
else: import xgboost as xgb
names = json.load(open(f"{fit}/frame.json"))["features"]
with open(f"{fit}/table.parquet", "rb") as file: table = pq.read_table(file)
train = np.array(table.column("split").to_pylist()) == "train"
column = lambda name: table.column(name).to_numpy(zero_copy_only=False).astype("float64")[train]
x, label = np.column_stack([column(name) for name in names]), column("label")
before = time.process_time()
if kind == "lightgbm":
    rounds = params.pop("num_iterations")
    model = lgb.train(params, lgb.Dataset(x, label, feature_name=names, params=params), num_boost_round=rounds)
    model.model_to_string()
else:
    rounds = params.pop("num_boost_round")
    model = xgb.train(params, xgb.DMatrix(x, label, feature_names=names, nthread=1), rounds)
    model.save_raw("ubj")
print(time.process_time() - before)
"""


def cpu(command):
    """CPU seconds of a process, and what it printed."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"error: {command[0]} ended with {child.returncode}")
        out.seek(0)
        return usage.ru_utime + usage.ru_stime, out.read().decode()


def through_cbi(action, fit, kind, learner, folder):
    request = {
        "kind": kind,
        "params": {"params": {**learner["params"], **learner["fixed"]}},
        "threads": 1,
        "inputs": {"frame": str(fit)},
        "out": str(folder / "out"),
        "response": str(folder / "response.json"),
    }
    file = folder / "request.json"
    file.write_text(json.dumps(request))
    return cpu([str(action), str(file)])[0]


def through_package(fit, kind, learner):
    params = {**learner["params"], **learner["fixed"], learner["threads"]: 1}
    whole, printed = cpu([sys.executable, "-c", CHILD, str(fit), kind, json.dumps(params)])
    return whole, float(printed)


def compare(action, fit, kind, learner, repeats, folder):
    ours, whole, train = [], [], []
    for _ in range(repeats):
        ours.append(through_cbi(action, fit, kind, learner, folder))
        one, part = through_package(fit, kind, learner)
        whole.append(one)
        train.append(part)
    median = statistics.median
    ratio = lambda theirs: median(a / b for a, b in zip(ours, theirs))
    seconds = f"cbi {median(ours):6.2f} s   package {median(whole):6.2f} s   train {median(train):6.2f} s"
    return f"{kind:9} {seconds}   cbi/package {ratio(whole):.3f}   cbi/train {ratio(train):.3f}"


def main():
    root = Path(__file__).resolve().parent.parent
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--fit", type=Path)
    arguments.add_argument("--action", type=Path, default=root / "target/release/cbi-action")
    arguments.add_argument("--repeats", type=int, default=5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fit = given.fit
        if fit is None:
            fit = folder / "fit"
            subprocess.run([given.action.with_name("cbi"), "get", "frame/wti/1m#fit", "-o", fit], cwd=root, check=True)
        for kind, learner in LEARNERS.items():
            print(compare(given.action, fit, kind, learner, given.repeats, folder), flush=True)


main()
