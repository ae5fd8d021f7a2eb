"""Runs that were made to have a fault are told it; healthy ones are told nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, make_blobs, make_classification

import kerasflow as kf
from kerasflow.data import load
from kerasflow.diagnosing import ARITHMETIC, Diagnosis, diagnose, draw, explained_run
from kerasflow.explanation import write_page
from kerasflow.tracking.folder import RunFolder

Run = Callable[..., Path]
RELU: dict[str, Any] = {"dense": {"units": 32, "activation": "relu"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run's folder: `run(source or (x, y), epochs, rate, ...)`."""
    folder = tmp_path_factory.mktemp("diagnosed")

    def trained(data: Any, epochs: int = 12, rate: float = 0.01, **more: Any) -> Path:
        source = data if isinstance(data, dict) else {"csv": {"path": _written(folder, *data), "target": "label"}}
        layers, optimizer = more.pop("layers", [RELU, "head"]), more.pop("optimizer", "adam")
        spec = {
            "experiment": "diagnosed",
            "data": {"source": source, "split": {"test": 0.2, "validation": 0.2}, "scale": "standard"},
            "model": {"layers": layers},
            "train": {"optimizer": {optimizer: {"learning_rate": rate}}, "epochs": epochs, **more},
            "track": {"uri": "none", "system_metrics": False},
        }
        return kf.run(spec, root=folder / "runs", verbose=0).folder

    return trained


def _written(folder: Path, x: np.ndarray, y: np.ndarray) -> str:
    path = folder / f"{np.random.default_rng(int(x.sum() * 1000) % 2**32).integers(1 << 30)}.csv"
    table = pd.DataFrame(x.round(4), columns=[f"c{i}" for i in range(x.shape[1])])
    table.assign(label=[f"k{k}" for k in y]).to_csv(path, index=False)
    return str(path)


def digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(seed).permutation(len(x))[:n]
    return x[rows][:, x[rows].std(axis=0) > 0], y[rows]


def names(found: Diagnosis) -> set[str]:
    return {finding.name for finding in found.findings}


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_training_raises_no_alarm(run: Run, seed: int) -> None:
    found = diagnose(run(digits(600, seed)))
    assert found.findings == ()
    assert found.unknown == {}
    assert found.epochs == 12


def test_an_output_that_is_sure_and_right_raises_none(run: Run) -> None:
    apart = make_blobs(400, 6, centers=2, random_state=0)
    assert diagnose(run(apart, rate=0.1, layers=["head"])).findings == ()


def test_a_healthy_regression_raises_none_and_says_what_it_cannot_judge(run: Run) -> None:
    found = diagnose(run({"sklearn": "diabetes"}, epochs=25, rate=0.1))
    assert found.findings == ()
    assert set(found.unknown) == {"label noise and class imbalance"}


def test_a_regression_that_ends_above_the_variance_underfits(run: Run) -> None:
    folder = run({"sklearn": "diabetes"})
    found = diagnose(folder)
    assert names(found) == {"underfitting"}
    y = load(kf.load_spec(folder / "spec.yaml").data, 0).train.y
    assert found.findings[0].evidence["guess"] == pytest.approx(np.var(y), rel=1e-6)


def test_a_rate_that_is_too_high_is_told_alone(run: Run) -> None:
    diverged = diagnose(run(digits(300), rate=10.0, optimizer="sgd"))
    assert names(diverged) == {"learning rate too high"}
    assert diverged.findings[0].advice == "--set train.optimizer.sgd.learning_rate=1"


def test_a_rate_that_is_too_low_crawls(run: Run) -> None:
    found = diagnose(run(digits(300), rate=0.0003, optimizer="sgd"))
    assert "learning rate too low" in names(found)
    told = next(finding for finding in found.findings if finding.name == "learning rate too low")
    assert "learning_rate=0.003" in told.advice
    assert f"{told.evidence['last']:.4g}" in told.words


@pytest.mark.parametrize("data", [digits(300), {"sklearn": "diabetes"}], ids=["classes", "numbers"])
def test_a_rate_at_which_nothing_moves_is_too_low(run: Run, data: Any) -> None:
    found = diagnose(run(data, rate=1e-12))
    assert names(found) == {"learning rate too low", "underfitting"}
    assert "learning_rate=1e-10" in found.findings[0].advice


def test_overfitting_and_what_each_rule_counted_are_told(run: Run, tmp_path: Path) -> None:
    noisy = make_classification(160, 20, n_informative=3, flip_y=0.3, random_state=0)
    stop = [{"plateau": {"monitor": "loss", "patience": 35}}]
    found = diagnose(run(noisy, epochs=40, layers=[{"dense": {"units": 128, "activation": "relu"}}, "head"], stop=stop))
    assert names(found) == {"overfitting"}
    assert found.findings[0].evidence["last"] > 1.1 * found.findings[0].evidence["best"]
    assert found.stopping is not None
    assert [counter.limit for counter in found.stopping.counters[:-1]] == [35]
    picture = draw(found, tmp_path / "pictures")
    assert picture is not None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_who_learns_nothing_underfits(run: Run) -> None:
    rng = np.random.default_rng(0)
    found = diagnose(run((rng.normal(size=(400, 5)), rng.integers(0, 2, 400)), epochs=8, layers=["head"]))
    assert names(found) == {"underfitting"}


def test_wrong_labels_are_named(run: Run) -> None:
    x, y = digits(900)
    wrong = np.random.default_rng(1).permutation(900)[:90]
    noisy = y.copy()
    noisy[wrong] = (y[wrong] + 3) % 10
    found = diagnose(run((x, noisy)))
    assert "label noise" in names(found)
    told = next(finding for finding in found.findings if finding.name == "label noise")
    assert told.evidence["disagreements"] >= 0.04 * told.evidence["samples"]


def test_a_class_that_is_rare_and_missed_is_named(run: Run) -> None:
    few = make_classification(800, 10, weights=[0.95], n_informative=2, class_sep=0.6, flip_y=0, random_state=1)
    found = diagnose(run(few, epochs=8))
    assert names(found) == {"class imbalance"}
    assert found.findings[0].words.startswith("k1 has 24 rows")


def test_units_that_never_fire_are_dead(run: Run) -> None:
    dead = {"dense": {"units": 32, "activation": "relu", "bias_initializer": {"constant": -30.0}}}
    found = diagnose(run(digits(300), epochs=6, layers=[dead, "head"]))
    assert "dead units" in names(found)
    assert next(f for f in found.findings if f.name == "dead units").evidence["share"] == 1.0


def test_without_its_data_the_curves_alone_are_judged(run: Run) -> None:
    folder = run(digits(300), epochs=6)
    spec = kf.load_spec(folder / "spec.yaml")
    Path(str(spec.data.source.chosen[1].path)).unlink()
    found = diagnose(folder)
    assert {"the data", "dead units and saturation", "label noise and class imbalance"} <= set(found.unknown)
    with pytest.raises(kf.RunError):
        diagnose(folder.parent / "nobody")


def test_a_run_is_found_by_its_id_in_mlflow(result: kf.RunResult) -> None:
    root = result.folder.parents[1]
    assert diagnose(result.run_id, root=root).title == diagnose(result.folder).title
    with pytest.raises(kf.RunError, match=r"no run below .* is recorded in MLflow by this id; give its folder"):
        diagnose("0" * 32, root=root)


def test_a_page_of_a_run_has_its_stop_its_findings_and_the_arithmetic_of_the_trained_model(
    run: Run, tmp_path: Path
) -> None:
    stop = [{"plateau": {"monitor": "val_loss", "patience": 3}}]
    folder = run(digits(300), rate=0.0003, optimizer="sgd", stop=stop)
    found = diagnose(folder)
    shown = explained_run(found, sample=4)
    assert [section.name for section in shown.sections] == ["diagnosis", "stopping", *ARITHMETIC]
    told, stopping = (section.told for section in shown.sections[:2])
    assert [row[0] for row in told.tables[0].rows] == [finding.name for finding in found.findings]
    rule = stopping.tables[0].rows[0]
    assert found.stopping is not None
    assert (rule[0], rule[2]) == (found.stopping.counters[0].rule, 3)
    losses = [row["loss"] for row in RunFolder.open(folder).rows]
    assert list(stopping.charts[0].lines[0].y) == pytest.approx(losses)
    trained = keras.saving.load_model(folder / "model.keras", compile=False)
    answer = next(section.numbers for section in shown.sections if section.name == "forward").output[0]
    np.testing.assert_allclose(answer, trained(shown.subject.x[:1])[0], rtol=1e-5)
    assert "as they were after 12 epochs" in shown.subject.facts
    text = write_page(shown, tmp_path / "run.html").read_text(encoding="utf-8")
    assert 'id="stopping"' in text
    (folder / "model.keras").unlink()
    with pytest.raises(kf.RunError, match="arithmetic cannot be shown: the model the run holds no model"):
        explained_run(diagnose(folder))
