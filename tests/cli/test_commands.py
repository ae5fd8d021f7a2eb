"""What each command prints and leaves when all is well."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

import kerasflow as kf
from kerasflow.cli.app import parse_overrides

# Python hides these from whoever runs the command; pytest shows them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")


def test_run_prints_the_result_and_where_the_rest_is(kerasflow, here) -> None:
    done = kerasflow("run", "spec.yaml", "--set", "train.epochs=1", "--set", "name=one epoch")
    assert done.code == 0
    (folder,) = (here / "runs" / "iris").iterdir()
    assert folder.name.startswith("one-epoch-")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"{metrics['test/accuracy']:.4f}" in done.out
    assert str(folder.relative_to(here)) in done.out
    assert "epochs: all 1 are completed" in done.out
    assert "kerasflow ui" not in done.out, "there is no store to look into"
    assert [line[:9] for line in done.err.splitlines()] == ["epoch 1/1"]


def test_run_goes_on_with_what_was_interrupted(kerasflow, here, monkeypatch) -> None:
    from kerasflow import figures

    def stumble(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(figures, "draw", stumble)
        stopped = kerasflow("run", "spec.yaml", "--set", "name=one more", "--quiet")
    (folder,) = (path.relative_to(here) for path in (here / "runs" / "iris").iterdir())
    assert stopped.code == 130
    assert stopped.err.splitlines() == [f"Interrupted after epoch 2; go on with: kerasflow run {folder} --resume"]
    done = kerasflow("run", "spec.yaml", "--set", "name=one more", "--resume")
    assert (done.code, done.err) == (0, "")
    assert str(folder) in done.out
    assert json.loads((folder / "status.json").read_text())["state"] == "FINISHED"


def test_run_quietly_prints_the_result_alone(kerasflow, here) -> None:
    done = kerasflow("run", "spec.yaml", "--quiet", "--runs", here / "elsewhere")
    assert (done.code, done.err) == (0, "")
    assert "test/accuracy" in done.out
    assert (here / "elsewhere" / "iris").is_dir()


def test_sweep_tells_how_far_it_is_and_what_to_do_with_the_best_trial(kerasflow, here) -> None:
    spec = yaml.safe_load((here / "spec.yaml").read_text())
    space = {"train.batch_size": {"choice": [20, 30]}}
    (here / "sweep.yaml").write_text(yaml.safe_dump(spec | {"sweep": {"space": space, "sampler": "grid"}}))
    done = kerasflow("sweep", "sweep.yaml", "--set", "train.epochs=1")
    assert done.code == 0
    assert "2 finished, 0 pruned, 0 failed" in done.out
    assert "best trial: kerasflow run runs/iris/tiny-sweep/best.yaml" in done.out
    assert [line[:10] for line in done.err.splitlines()] == ["0/2 trials", "1/2 trials", "2/2 trials"]
    assert "best val_loss" in done.err
    again = kerasflow("sweep", "sweep.yaml", "--set", "train.epochs=1", "--worker", "--storage", "sqlite:///other.db")
    assert (again.code, again.out) == (0, "")
    assert "2/2 trials" in again.err


@pytest.mark.filterwarnings("always:.*a run takes the spec")
def test_run_leaves_a_sweep_alone_and_says_so(kerasflow, here) -> None:
    spec = yaml.safe_load((here / "spec.yaml").read_text())
    sweep = {"space": {"train.batch_size": {"choice": [20, 30]}}, "trials": 2}
    (here / "sweep.yaml").write_text(yaml.safe_dump(spec | {"sweep": sweep}))
    done = kerasflow("run", "sweep.yaml", "--quiet", "--set", "train.epochs=1")
    assert done.code == 0
    assert len(list((here / "runs" / "iris").iterdir())) == 1
    (line,) = done.err.splitlines()
    assert line.startswith("warning: sweep.yaml:")
    assert line.endswith("sweep: a run takes the spec as it stands; kerasflow sweep tries what is in it")


def test_rerun_says_whether_the_end_is_the_same(kerasflow, here) -> None:
    assert kerasflow("run", "spec.yaml", "--quiet").code == 0
    (first,) = (here / "runs" / "iris").iterdir()
    done = kerasflow("rerun", first, "--quiet")
    assert done.code == 0
    assert "the same to the bit" in done.out
    (second,) = set((here / "runs" / "iris").iterdir()) - {first}
    loss = [json.loads((folder / "metrics.json").read_text())["test/loss"] for folder in (first, second)]
    assert loss[0] == loss[1]
    assert repr(loss[1]) in done.out
    other = kerasflow("rerun", first, "--quiet", "--set", "train.epochs=1")
    assert other.code == 0
    assert "train.epochs: 2 then, 1 now" in other.out
    assert "the same" not in other.out
    (first / "spec.yaml").write_text((first / "spec.yaml").read_text().replace("epochs: 2", "epochs: 3"))
    refused = kerasflow("rerun", first, "--quiet")
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith(f"error: {first}: spec.yaml is not what the run logged")


def test_check_shows_layers_windows_and_memory_and_writes_nothing(kerasflow, here) -> None:
    before = sorted(here.iterdir())
    done = kerasflow("check", "spec.yaml")
    assert (done.code, done.err) == (0, "")
    assert "105 train, 15 validation, 30 test; multiclass" in done.out
    assert "35, of which 35 are trained" in done.out  # (4 + 1) × 4 + (4 + 1) × 3
    assert "20 samples as 2 micro-batches of 10, one update" in done.out
    assert "6 an epoch, 12 at most" in done.out
    assert "memory" in done.out
    assert "symmetry" not in done.out
    assert sorted(here.iterdir()) == before


def test_check_names_the_demonstration_of_a_forced_symmetry(kerasflow, here) -> None:
    layers = "[{dense: {units: 3, kernel_initializer: zeros}}, head]"
    done = kerasflow("check", "spec.yaml", "--set", f"model.layers={layers}", "--set", "model.allow_symmetry=true")
    assert (done.code, done.err) == (0, "")
    assert "hidden kernels that begin all equal: 1; kf.explain.symmetry shows" in " ".join(done.out.split())


def test_schema_is_a_json_schema_that_knows_the_spec(kerasflow) -> None:
    done = kerasflow("schema")
    assert (done.code, done.err) == (0, "")
    schema = json.loads(done.out)
    assert set(schema["properties"]) == {"experiment", "name", "seed", "data", "model", "train", "track", "sweep"}
    assert {"experiment", "data", "model"} <= set(schema["required"])


@pytest.fixture
def two_runs(here) -> list[kf.RunResult]:
    change = {"train.optimizer": {"sgd": {"learning_rate": 0.5}}}
    return [kf.run("spec.yaml", changes, verbose=0) for changes in ({"name": "a"}, {"name": "b"} | change)]


def test_compare_names_the_best_and_draws_the_curves(kerasflow, here, two_runs) -> None:
    done = kerasflow("compare", "iris")
    assert (done.code, done.err) == (0, "")
    best = max(two_runs, key=lambda run: run.metrics["test/accuracy"])
    assert f"best         {best.spec.name}, by test/accuracy" in done.out
    assert "learning_rate" in done.out
    with Image.open(here / "runs" / "iris" / "comparison.png") as picture:
        assert min(picture.size) > 200
    by_loss = kerasflow("compare", "iris", "--metric", "test/loss", "--picture", here / "curves.svg")
    least = min(two_runs, key=lambda run: run.metrics["test/loss"])
    assert f"best         {least.spec.name}, by test/loss" in by_loss.out
    assert "<svg" in (here / "curves.svg").read_text()


def test_compare_tells_effects_and_writes_a_table_and_a_page(kerasflow, here, two_runs) -> None:
    assert "hyperparameter" not in kerasflow("compare", "iris").out, "two runs that the first table tells apart"
    third = kf.run("spec.yaml", {"name": "c", "seed": 1}, verbose=0)
    done = kerasflow("compare", "iris", "--metric", "val/loss", "--csv", "table.csv", "--html", "page.html")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["hyperparameter", "value", "runs", "val/loss"] in lines
    assert ["table", "table.csv"] in lines
    assert ["page", "page.html"] in lines
    frame = pd.read_csv(here / "table.csv", index_col="run")
    wanted = {run.spec.name: run.metrics["test/accuracy"] for run in [*two_runs, third]}
    assert frame["test/accuracy"].to_dict() == pytest.approx(wanted)
    assert '"metric":"val/loss"' in (here / "page.html").read_text(encoding="utf-8")


def test_predict_prints_or_writes_csv(kerasflow, here) -> None:
    found = kf.run("spec.yaml", verbose=0)
    printed = kerasflow("predict", found.folder, "iris.csv")
    assert (printed.code, printed.err) == (0, "")
    frame = pd.read_csv(io.StringIO(printed.out), index_col="row")
    assert len(frame) == 150
    assert set(frame["prediction"]) <= {"setosa", "versicolor", "virginica"}
    written = kerasflow("predict", found.folder, "iris.csv", "-o", "out.csv")
    assert written.out.strip() == "150 predictions in out.csv"
    pd.testing.assert_frame_equal(pd.read_csv("out.csv", index_col="row"), frame)


def test_version_and_help(kerasflow) -> None:
    assert kerasflow("--version").out == f"kerasflow {kf.__version__}\n"
    done = kerasflow("--help")
    assert done.code == 0
    for command in ("run", "check", "schema", "compare", "predict", "ui"):
        assert f" {command} " in done.out
        assert kerasflow(command, "-h").code == 0


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("train.epochs=3", 3),
        ("x=1e-3", 0.001),
        ("x = text with = in it", "text with = in it"),
        ("x=[1, 2]", [1, 2]),
        ("x={adam: {learning_rate: 0.1}}", {"adam": {"learning_rate": 0.1}}),
        ("x=null", None),
        ("x=true", True),
        ("x=", None),
    ],
)
def test_set_takes_values_as_yaml_has_them(typed, value) -> None:
    (found,) = parse_overrides([typed]).values()
    assert found == value
    assert type(found) is type(value)


def test_set_takes_fields_of_the_model_too(kerasflow, here: Path) -> None:
    done = kerasflow("check", "spec.yaml", "--set", "model.layers[0].dense.units=8")
    assert "67, of which 67 are trained" in done.out  # (4 + 1) × 8 + (8 + 1) × 3
