"""What a user can mend is said in one sentence on standard error, with exit code 2, and nothing is left behind."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import kerasflow as kf

# What is typed, and words of the answer. `{run}` is a finished run's folder.
WRONG_WORDS = {
    "no such spec": (["run", "spce.yaml"], "there is no such file"),
    "a folder for a spec": (["run", "."], "is a folder"),
    "a spec that is no YAML": (["run", "broken.yaml"], "broken.yaml:2"),
    "a spec that is a list": (["check", "list.yaml"], "must be a mapping"),
    "an empty spec": (["check", "empty.yaml"], "empty.yaml"),
    "a spec in another encoding": (["check", "latin.yaml"], "latin.yaml"),
    "an unknown field": (["check", "spec.yaml", "--set", "train.epoch=3"], "did you mean 'epochs'?"),
    "an unknown layer": (["check", "spec.yaml", "--set", "model.layers[0]={dnse: 3}"], "did you mean 'dense'?"),
    "an unknown argument": (
        ["check", "spec.yaml", "--set", "model.layers[0]={dense: {units: 3, activaton: relu}}"],
        "'activation'",
    ),
    "an unknown optimizer": (["check", "spec.yaml", "--set", "train.optimizer=adamm"], "did you mean 'adam'?"),
    "an unknown metric": (["check", "spec.yaml", "--set", "train.metrics=[acuracy]"], "did you mean 'accuracy'?"),
    "a word for a number": (["check", "spec.yaml", "--set", "train.epochs=many"], "must be an integer, got 'many'"),
    "a negative number": (["check", "spec.yaml", "--set", "train.batch_size=-1"], "got -1"),
    "a batch below a micro-batch": (["check", "spec.yaml", "--set", "train.batch_size=5"], "micro"),
    "an item that is not there": (["check", "spec.yaml", "--set", "model.layers[7]=head"], "there is no 7"),
    "a kernel for a table": (
        ["run", "spec.yaml", "--set", "model.layers[0]={conv2d: {filters: 2, kernel_size: 3}}"],
        "conv2d",
    ),
    "a head of another width": (["run", "spec.yaml", "--set", "model.layers[1]={dense: 7}"], "3 outputs"),
    "a rule that watches nothing": (
        ["run", "spec.yaml", "--set", "train.stop=[{plateau: {monitor: val_acuracy}}]"],
        "did you mean 'val_accuracy'?",
    ),
    "check finds that too": (
        ["check", "spec.yaml", "--set", "train.stop=[{threshold: {monitor: los, below: 1}}]"],
        "did you mean 'loss'?",
    ),
    "a loss for another target": (["run", "spec.yaml", "--set", "train.loss=mean_squared_error"], "does not fit"),
    "a column that is not there": (
        ["run", "spec.yaml", "--set", "data.source.csv.target=kinds"],
        "did you mean 'kind'?",
    ),
    "a table that is not there": (["run", "spec.yaml", "--set", "data.source.csv.path=/no/such.csv"], "/no/such.csv"),
    "missing values": (["run", "spec.yaml", "--set", "data.source.csv.path=holes.csv"], "missing"),
    "one class alone": (["run", "spec.yaml", "--set", "data.source.csv.path=one.csv"], "setosa"),
    "too few samples": (["run", "spec.yaml", "--set", "data.source.csv.path=few.csv"], "few.csv"),
    "a table without rows": (["run", "spec.yaml", "--set", "data.source.csv.path=header.csv"], "header.csv"),
    "a set that nobody has": (["run", "spec.yaml", "--set", "data.source={sklearn: irsi}"], "did you mean 'iris'?"),
    "a store in a folder": (["run", "spec.yaml", "--set", "track.uri=./mlruns"], "sqlite:///"),
    "a store that is no store": (["run", "spec.yaml", "--set", "track.uri=sqlite:///iris.csv"], "no SQLite database"),
    "no experiment": (["compare", "irsi", "--runs", "{runs}"], "did you mean 'iris'?"),
    "no runs at all": (["compare", "iris"], "nothing has run there yet"),
    "no such metric": (["compare", "iris", "--runs", "{runs}", "--metric", "f1"], "no run has the metric 'f1'"),
    "no such kind of picture": (
        ["compare", "iris", "--runs", "{runs}", "--picture", "x.foo"],
        "'foo' is not supported",
    ),
    "no place for a table": (["compare", "iris", "--runs", "{runs}", "--csv", "/no/x.csv"], "cannot be written"),
    "no place for a page": (["compare", "iris", "--runs", "{runs}", "--html", "/no/x.html"], "cannot be written"),
    "no place for a picture": (["compare", "iris", "--runs", "{runs}", "--picture", "/no/x.png"], "cannot be written"),
    "no such run": (["predict", "runs/iris/none", "iris.csv"], "does not exist"),
    "a folder that is no run": (["predict", ".", "iris.csv"], "is not a run folder"),
    "rows that are not there": (["predict", "{run}", "none.csv"], "none.csv"),
    "rows without a column": (["predict", "{run}", "narrow.csv"], "'d'"),
    "rows with missing values": (["predict", "{run}", "holes.csv"], "holes.csv"),
    "an array of another width": (["predict", "{run}", "narrow.npy"], "narrow.npy"),
    "no place for predictions": (["predict", "{run}", "iris.csv", "-o", "/no/out.csv"], "cannot be written"),
    "a run folder for a spec": (["run", "{run}"], "add --resume"),
    "a run that has finished": (["run", "{run}", "--resume"], "there is nothing to go on with"),
    "a change of a run that goes on": (["run", "{run}", "--resume", "--set", "train.epochs=9"], "leave out --set"),
    "no run of this spec waits": (["run", "spec.yaml", "--resume", "--runs", "{runs}"], "waits to go on"),
    "no run of this spec at all": (["run", "spec.yaml", "--resume"], "nothing has run there yet"),
    "a folder that is no run to go on with": (["run", ".", "--resume"], "is not a run folder"),
    "no store to look into": (["ui"], "there is no such store yet"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, rows, spec_text) -> kf.RunResult:
    """A run to compare and to predict with."""
    place = tmp_path_factory.mktemp("finished")
    (place / "iris.csv").write_text(rows)
    (place / "spec.yaml").write_text(spec_text)
    return kf.run(place / "spec.yaml", root=place / "runs", verbose=0)


@pytest.fixture
def wrong_files(here: Path, rows: str) -> Path:
    lines = rows.splitlines()
    files = {
        "broken.yaml": "experiment: iris\nname: [tiny}\nseed: 1\n",
        "list.yaml": "- experiment\n",
        "empty.yaml": "",
        "holes.csv": "\n".join([*lines[:5], ",".join(["", *lines[5].split(",")[1:]]), *lines[6:]]),
        "one.csv": "\n".join(lines[:40]),
        "few.csv": "\n".join([lines[0], lines[1], lines[60], lines[120]]),
        "header.csv": lines[0],
        "narrow.csv": "a,b,c\n1,2,3\n",
    }
    for name, text in files.items():
        (here / name).write_text(text)
    (here / "latin.yaml").write_bytes("experiment: é\n".encode("latin-1"))
    np.save(here / "narrow.npy", np.ones((3, 2)))
    return here


@pytest.mark.parametrize("case", WRONG_WORDS)
def test_one_sentence_and_exit_code_2(kerasflow, wrong_files, finished, case) -> None:
    words, answer = WRONG_WORDS[case]
    before = sorted(wrong_files.rglob("*"))
    places = {"run": finished.folder, "runs": finished.folder.parents[1]}
    done = kerasflow(*(word.format(**places) if word.startswith("{run") else word for word in words))
    assert done.code == 2, done.out
    assert answer in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert "Traceback" not in done.err
    assert done.out == "" or words[0] == "compare"
    assert sorted(wrong_files.rglob("*")) == before


def test_all_faults_of_a_spec_are_told_at_once_each_with_its_line(kerasflow, here) -> None:
    text = (here / "spec.yaml").read_text().replace("epochs: 2", "epochs: 0").replace("units: 4", "units: four")
    (here / "spec.yaml").write_text(text)
    done = kerasflow("run", "spec.yaml")
    assert done.code == 2
    told = done.err.strip().splitlines()
    assert len(told) == 2
    for fault, words in zip(told, ("units: four", "epochs: 0"), strict=True):
        line = text.splitlines().index(next(line for line in text.splitlines() if words in line)) + 1
        assert re.match(rf"spec.yaml:{line}: ", fault)


@pytest.mark.parametrize(
    "words", [["frobnicate"], ["run"], ["run", "spec.yaml", "--set", "epochs"], ["ui", "--port", "0"]]
)
def test_a_command_line_that_is_none_exits_with_2(kerasflow, here, words) -> None:
    done = kerasflow(*words)
    assert (done.code, done.out) == (2, "")
    assert "Error" in done.err
    assert "Traceback" not in done.err
