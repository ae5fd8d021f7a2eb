"""Runs scikit-learn's checks on both estimators and prints what came of them; see test_lowest.py."""

from __future__ import annotations

import json
import sys
import warnings

import sklearn
from sklearn.utils.estimator_checks import check_estimator

import kerasflow as kf

warnings.filterwarnings("ignore")
ESTIMATORS = {"classifier": kf.KerasClassifier, "regressor": kf.KerasRegressor}

if __name__ == "__main__":
    estimator = ESTIMATORS[sys.argv[1]](epochs=20, learning_rate=0.01)  # it fits a hundred times
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    told = [(result["check_name"], result["status"], str(result["exception"])) for result in results]
    sys.stdout.write(json.dumps({"version": sklearn.__version__, "results": told}))
