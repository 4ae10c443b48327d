"""Works out a regime classifier's figures again with scikit-learn: regimes.py DAYS, the artifact's table of days. Prints them as JSON."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

with open(sys.argv[1], "rb") as file:
    days = pq.read_table(file).to_pylist()
column = lambda name, rows: [row[name] for row in rows]
seen = [row for row in days if row["probability"] is not None]
found = {"n": len(days), "unseen": len(days) - len(seen)}
for name, of in [("model", "predicted"), ("newest", "newest"), ("majority", "majority")]:
    found[f"{name}/accuracy"] = accuracy_score(column("regime", days), column(of, days))
    found[f"{name}/accuracy_seen"] = accuracy_score(column("regime", seen), column(of, seen))
# The loss of the day's own class hangs on no other: one class against all the rest.
for name, of in [("model", "probability"), ("majority", "share")]:
    own = np.array(column(of, seen))
    found[f"{name}/log_loss_seen"] = log_loss(np.ones(len(seen)), np.column_stack([1 - own, own]), labels=[0, 1])
names = sorted({row["regime"] for row in days} | {row["predicted"] for row in days})
matrix = confusion_matrix(column("regime", days), column("predicted", days), labels=names)
confusion = {a: {b: int(n) for b, n in zip(names, row) if n} for a, row in zip(names, matrix) if row.sum()}
print(json.dumps({"figures": found, "confusion": confusion}))
