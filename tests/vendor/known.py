"""Prints which of the given XGBoost parameters the library refuses or does not use: known.py '[{"names": […], "value": …, "beside": {…}}, …]'"""

import contextlib
import io
import json
import sys
import warnings

import numpy as np
import xgboost as xgb

x = np.linspace(0, 1, 100).reshape(50, 2)
rows = xgb.DMatrix(x, x[:, 0] ** 2)
unknown = []
for parameter in json.loads(sys.argv[1]):
    for name in parameter["names"]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                xgb.train({"verbosity": 2, **parameter["beside"], name: parameter["value"]}, rows, 2)
            except (ValueError, xgb.core.XGBoostError) as error:
                unknown.append(f"{name}: {error}")
        text = said.getvalue() + "".join(str(w.message) for w in warned)
        if "not used" in text:
            unknown.append(name)
with contextlib.redirect_stdout(io.StringIO()) as said, warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    xgb.train({"verbosity": 2, "no_such_parameter": 1}, rows, 2)
# The check itself works: a parameter that does not exist is noticed.
assert "not used" in said.getvalue() + "".join(str(w.message) for w in warned)
print(json.dumps(unknown))
