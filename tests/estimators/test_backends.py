"""Searches in other processes: joblib's own, Dask's and Ray's give the numbers of this one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import kerasflow as kf

X, Y = load_iris(return_X_y=True)


PAGE = (Path(__file__).parents[2] / "docs" / "scikit_learn.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def search() -> GridSearchCV:
    estimator = kf.KerasClassifier(epochs=3, hidden_layer_sizes=(8,), random_state=0)
    return GridSearchCV(estimator, {"learning_rate": [0.001, 0.01]}, cv=2, refit=False)


def scores_of_the_page(library: str) -> np.ndarray:
    """Of the search, run by the block of the page that imports a library."""
    (block,) = [block for block in BLOCKS if re.search(rf"^(from|import) {library}", block, re.MULTILINE)]
    names = {"X": X, "y": Y, "joblib": joblib, "search": search()}
    exec(block, names)
    return names["search"].cv_results_["mean_test_score"]


@pytest.fixture(scope="module")
def here() -> np.ndarray:
    return search().fit(X, Y).cv_results_["mean_test_score"]


def threads_of_tensorflow(seed: int) -> tuple[int, int]:
    """This process, and how many threads TensorFlow computes with in it."""
    kf.KerasClassifier(epochs=1, hidden_layer_sizes=(8,), random_state=seed).fit(X, Y)
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    return os.getpid(), names.count("tf_Compute")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted where Linux lists them")
def test_two_workers_share_the_machine_out_among_them():
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(threads_of_tensorflow)(seed) for seed in range(4))
    allowed = max(1, joblib.cpu_count() // 2)
    assert os.getpid() not in {process for process, _ in found}
    assert {threads for _, threads in found} == {allowed}


def test_dask_gives_the_same_numbers(here):
    pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
    np.testing.assert_array_equal(scores_of_the_page("dask"), here)


def test_ray_gives_the_same_numbers(here, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    monkeypatch.setattr(ray, "init", lambda: None)
    try:
        np.testing.assert_array_equal(scores_of_the_page("ray"), here)
    finally:
        ray.shutdown()
