"""Searches by scikit-learn-intelex: the same choice, and what is kept is scikit-learn's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from kerasflow.transfer.classifier import make_classifier

# In a process of its own: OpenVINO brings a TBB of another age, and the first one that is loaded serves both.
PROGRAM = """
import json
import numpy as np
from skops import io
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from kerasflow.transfer.acceleration import scikit_learns_own
from kerasflow.transfer.classifier import make_classifier

X, y = load_iris(return_X_y=True)
grid = {"C": [0.01, 1.0, 100.0], "gamma": [0.01, 0.1]}
found = make_classifier("svm", {"kernel": "rbf"}, grid, "multiclass", 0).fit(X, y)
named = {f"svc__{name}": values for name, values in grid.items()}
plain = GridSearchCV(make_pipeline(StandardScaler(), SVC(random_state=0)), named, cv=5).fit(X, y)
mean = lambda search: search.cv_results_["mean_test_score"]
kept = scikit_learns_own(found.best_estimator_, X, y)
print(json.dumps({
    "searched_by": type(found.best_estimator_[-1]).__module__.partition(".")[0],
    "best": [found.best_params_, plain.best_params_],
    "scores_differ_by": float(np.abs(mean(found) - mean(plain)).max()),
    "kept": f"{type(kept[-1]).__module__.partition('.')[0]}.{type(kept[-1]).__name__}",
    "same": bool((kept.predict(X) == plain.predict(X)).all()),
    "untrusted": io.get_untrusted_types(data=io.dumps(kept)),
}))
"""


def test_a_search_is_intels_and_what_is_kept_is_scikit_learns() -> None:
    if find_spec("sklearnex") is None:
        pytest.skip("scikit-learn-intelex is not installed: pip install 'kerasflow[intelex]'")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["searched_by"] == "sklearnex"
    assert told["best"][0] == told["best"][1]
    assert told["scores_differ_by"] < 0.02
    assert (told["kept"], told["same"], told["untrusted"]) == ("sklearn.SVC", True, [])


def test_a_single_fit_is_scikit_learns_from_the_beginning() -> None:
    made = make_classifier("svm", {"kernel": "rbf"}, {}, "multiclass", 0)
    assert type(made[-1]).__module__.startswith("sklearn.")
