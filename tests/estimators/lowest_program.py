"""Runs scikit-learn's checks on one estimator with some ways of giving a model, and prints what came of them.

See test_lowest.py; what is run is test_checks.py's, in the scikit-learn that this process finds first.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import check_estimator

sys.path.insert(0, str(Path(__file__).parent))
from test_checks import QUICK, SPEC, names_of_checks, network

import kerasflow as kf

warnings.filterwarnings("ignore")
WAYS = {"default": None, "callable": network, "spec": SPEC}
KINDS = {"classifier": (kf.KerasClassifier, MLPClassifier), "regressor": (kf.KerasRegressor, MLPRegressor)}

if __name__ == "__main__":
    kind, peer = KINDS[sys.argv[1]]
    ways = {}
    for way in sys.argv[2:]:
        results = check_estimator(kind(WAYS[way], **QUICK), on_fail=None, on_skip=None)
        ways[way] = [(result["check_name"], result["status"], str(result["exception"])) for result in results]
    told = {"version": sklearn.__version__, "expected": sorted(names_of_checks(peer())), "ways": ways}
    sys.stdout.write(json.dumps(told))
