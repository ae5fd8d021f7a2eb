"""A file to an experiment: all faults at once at their lines, overrides, what a dump and a hash promise."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kerasflow.errors import SpecError
from kerasflow.spec.document import parse_document
from kerasflow.spec.experiment import ExperimentSpec, load_spec

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

SMALL = "experiment: e\ndata: {source: {sklearn: iris}}\nmodel: {layers: [head]}\n"


def faults(source: Any, overrides: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(source, overrides)
    assert [str(fault) for fault in caught.value.faults] == str(caught.value).splitlines()
    return str(caught.value).splitlines()


BROKEN = """\
experimnt: digits
seed: -1
data:
  source: {sklearm: digits}
  split: {test: 20%}
  scale: Unit
model:
  layers:
    - dense: {unit: 64, activation: rellu}
    - dropuot: 0.3
    - dropout: 20
    - conv2d: {filters: 32}
    - hed
train:
  optimizer: {adam: {learning_rate: fast}}
  loss: mze
  metrics: [acuracy]
  batch_size: "64"
  epochs: 1e3
  stop: plateau
"""


def test_all_faults_of_a_file_are_told_at_once_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "digits.yaml"
    path.write_text(BROKEN, encoding="utf-8")
    told = [line.removeprefix(f"{path}:") for line in faults(path)]
    no_layer = "is no layer of the installed Keras and no block of this model, did you mean"
    a_rate = "must be a number > 0, or a schedule such as {cosine_decay: {...}}, got"
    assert told == [
        "1: experiment: is required",
        "1: experimnt: is not known here, did you mean 'experiment'?",
        "2: seed: must be >= 0, got -1",
        "4: data.source.sklearm: is not known here, did you mean 'sklearn'?",
        "5: data.split.test: must be a number, got '20%'",
        "6: data.scale: must be 'none', 'unit' or 'standard', got 'Unit', did you mean 'unit'?",
        "9: model.layers[0].dense: needs units",
        "9: model.layers[0].dense.unit: is no argument of dense, did you mean 'units'?",
        "9: model.layers[0].dense.activation: 'rellu' is no activation, did you mean 'relu'?",
        f"10: model.layers[1].dropuot: {no_layer} 'dropout'?",
        "11: model.layers[2].dropout: 'rate' must be a number from 0 to below 1, got 20",
        "12: model.layers[3].conv2d: needs kernel_size",
        f"13: model.layers[4]: 'hed' {no_layer} 'head'?",
        f"15: train.optimizer.adam.learning_rate: {a_rate} 'fast'",
        "16: train.loss: 'mze' is no loss, did you mean 'mse'?",
        "17: train.metrics[0]: 'acuracy' is no metric, did you mean 'accuracy'?",
        "18: train.batch_size: must be an integer, got '64'",
        "19: train.epochs: must be an integer, got 1000.0",
        "20: train.stop: must be a list, got 'plateau'; write [plateau]",
    ]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("model: {layers: dense}", "model.layers: must be a list with at least one layer, got 'dense'"),
        ("model: {layers: {dense: 3}}", "got {'dense': 3}; begin each layer with '-'"),
        ("model: {layers: [{dense: 3, dropout: 0.1}]}", "got 2 names (dense, dropout); begin each layer with '-'"),
        (
            "model: [dense]",
            "model: must be a mapping (backbone, augmentation, layers, blocks, inputs, outputs, allow_symmetry)",
        ),
        ("model: {layers: [{dense: {units: true}}]}", "units: must be an integer >= 1, got true"),
        (
            "model: {layers: [{dense: {units: 3, bias_initializer: zeroes}}]}",
            "'zeroes' is no initializer, did you mean",
        ),
        ("model: {layers: [{dense: {units: 3, kernel_regularizer: 0.1}}]}", "must be one regularizer by name"),
        ("model: {layers: [{dense: {units: 3, activation: {leaky_relu: 0.1}}}]}", "leaky_relu: takes no arguments"),
        ("model: {layers: [{dense: {units: 3, use_bias: maybe}}]}", "use_bias: must be true or false, got 'maybe'"),
        ("model: {layers: [{rescaling: .nan}]}", "'scale' must be finite, got nan"),
        ("model: {layers: [{lambda: {function: x}}]}", "lambda: holds code, which a spec cannot"),
        ("model: {layers: [gru_cell]}", "'gru_cell' is a cell; write the layer that runs it"),
        ("model: {layers: [{head: 3}]}", "head: takes its units and activation from the task"),
        ("model: {layers: [{head: {units: 3}}]}", "head.units: follows from the task"),
        ("model: {layers: [{dense: {units: 3, name: [a]}}]}", "layers[0].name: must be a word without '/'"),
        ("model: {layers: [{dense: $n}]}", "names '$n', which is no parameter; only a block has parameters"),
        ("model: {layers: [{dense: 3, inputs: [a]}]}", "no layer before this one is named 'a'; there are input"),
        ("model: {layers: [head], outputs: [haed]}", "outputs[0]: no layer is named 'haed'"),
        ("model: {layers: [head], inputs: [a, b]}", "layers[0]: must say which of the model's inputs it takes"),
        ("model: {layers: [{dense: 3, repeat: 0}]}", "repeat: must be an integer >= 1, got 0"),
        ("model: {layers: [{dense: 3, repeat: 1000000000}]}", "must be at most 10000 layers"),
        ("model: {layers: [b], blocks: {b: {layers: [b]}}}", "blocks.b: contains itself: b -> b"),
        ("model: {layers: [head], blocks: {head: {layers: [flatten]}}}", "blocks.head: must be a word"),
        (
            "model: {layers: [{b: {n: x}}], blocks: {b: {parameters: {n: 3}, layers: [{dense: $n}]}}}",
            "model.layers[0].b: blocks.b.layers[0].dense.units must be an integer >= 1, got 'x'",
        ),
        ("data: {source: digits}", "data.source: 'digits' is not known here; expected one of sklearn, keras"),
        ("data: {source: {csv: a.csv}}", "csv: must be a mapping (path, target, features, drop, missing, separator)"),
        ("data: {source: {sklearn: iris, keras: mnist}}", "must be exactly one of sklearn, keras"),
        ("data: {source: {sklearn: iris}, split: {test: 0.7, validation: 0.5}}", "must leave something to train on"),
        ("data: {source: {images: {path: x, size: [28]}}}", "size[1]: is required"),
        ("train: {batch_size: 4, micro_batch_size: 8}", "micro_batch_size: must not be larger than batch_size (4)"),
        ("train: {stop: [threshold]}", "train.stop[0]: 'threshold.monitor' is required"),
        ("train: {stop: [{plateau: {restore_best: yes}}]}", "restore_best: must be true or false, got 'yes'"),
        ("train: {stop: [{all: []}]}", "train.stop[0].all: must be a list with at least one rule"),
        ("train: {stop: [all]}", "train.stop[0]: 'all' must be a list with at least one rule"),
        ("train: {stop: [{any: plateau}]}", "train.stop[0].any: must be a list, got 'plateau'; write [plateau]"),
        (
            "train: {stop: [{any: [deadline: 1, all: [{plateau: {patience: 0}}]]}]}",
            "train.stop[0].any[1].all[0].plateau.patience: must be >= 1, got 0",
        ),
        ("train: {stop: [{all: [plato]}]}", "stop[0].all[0]: 'plato' is not known here, did you mean 'plateau'?"),
        ("train: {metrics: [crossentropy]}", "metrics[0]: 'crossentropy' is no metric, did you mean"),
        ("train: {precision: float16}", "precision: must be 'float32', 'mixed_bfloat16' or 'mixed_float16'"),
        ("train: {optimizer: {adam: {lr: 0.1}}}", "adam.lr: is no argument of adam; it takes learning_rate, beta_1"),
        ("train: {optimizer: {adam: -1}}", "train.optimizer.adam: 'learning_rate' must be a number > 0"),
        ("train: {optimizer: {adam: 1, sgd: 1}}", "must be one name with its arguments, got 2 names: adam, sgd"),
        ("name: a/b", "name: must begin with a letter or digit and hold only"),
    ],
)
def test_what_people_type_is_answered(part: str, said: str) -> None:
    key = part.partition(":")[0]
    lines = [line for line in SMALL.splitlines() if not line.startswith(f"{key}:")]
    told = faults("\n".join([*lines, part]))
    assert len(told) == 1
    assert said in told[0]


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("optimizer: SGD", "optimizer: {sgd: {}}"),
        ("optimizer: {adam: 0.1}", "optimizer: {adam: {learning_rate: 1e-1}}"),
        ("loss: mse", "loss: {MeanSquaredError: }"),
        ("metrics: [acc]", "metrics: [accuracy]"),
        ("stop: [plateau]", "stop: [{plateau: {monitor: val_loss}}]"),
        ("stop: [all: [plateau]]", "stop: [{all: [{plateau: {monitor: val_loss}}]}]"),
        ("stop: [{deadline: 3}]", "stop: [{deadline: {minutes: 3.0}}]"),
    ],
)
def test_short_and_full_forms_are_one_spec(written: str, same: str) -> None:
    one, other = (load_spec(f"{SMALL}train: {{{text}}}") for text in (written, same))
    assert one == other
    assert one.content_hash() == other.content_hash()


def test_a_layers_names_and_forms_are_one() -> None:
    one, other = (
        load_spec(SMALL.replace("[head]", layers))
        for layers in (
            "[max_pool2d, {dropout: 0.3}, {dense: {units: 3, activation: ReLU, kernel_regularizer: {l2: }}}, head]",
            "[MaxPooling2D, Dropout: {rate: 0.3}, Dense: {units: 3, activation: relu, kernel_regularizer: l2}, head: ]",
        )
    )
    assert one.content_hash() == other.content_hash()


def test_the_hash_changes_with_what_decides_the_numbers_and_with_nothing_else(in_a_row: str) -> None:
    spec = load_spec(in_a_row)
    same = [{"experiment": "other"}, {"name": "other"}, {"track.uri": "http://host:5000"}]
    other: list[dict[str, Any]] = [
        {"seed": 4}, {"data.split.test": 0.3}, {"data.scale": "standard"}, {"data.source": {"sklearn": "wine"}},
        {"model.layers[1].dense.units": 17}, {"train.epochs": 3}, {"train.loss": "auto"}, {"train.engine": "eager"},
        {"train.optimizer.adam.clipnorm": 2.0}, {"train.stop[0].plateau.patience": 4}, {"train.batch_norm": "micro"},
    ]  # fmt: skip
    assert {load_spec(in_a_row, change).content_hash() for change in same} == {spec.content_hash()}
    hashes = {load_spec(in_a_row, change).content_hash() for change in other}
    assert len(hashes | {spec.content_hash()}) == len(other) + 1


def test_the_hash_is_the_same_in_a_new_process(in_a_row: str) -> None:
    program = "import sys; from kerasflow import load_spec; print(load_spec(sys.stdin.read()).content_hash())"
    done = subprocess.run([sys.executable, "-c", program], input=in_a_row, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == load_spec(in_a_row).content_hash()


LAYERS = st.one_of(
    st.sampled_from(["flatten", {"dense": 3}, {"dense": {"units": 4, "activation": "tanh"}}, {"dropout": 0.1}, "head"]),
    st.sampled_from([{"block": 2}, {"block": {"n": 5}, "repeat": 2}, {"time_distributed": {"layer": {"dense": 3}}}]),
)
BLOCK = {"block": {"parameters": {"n": None}, "layers": [{"dense": "$n"}]}}
SPECS = st.fixed_dictionaries(
    {
        "experiment": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _.\-]{0,20}", fullmatch=True),
        "data": st.fixed_dictionaries(
            {"source": st.sampled_from([{"sklearn": "iris"}, {"csv": {"path": "a.csv", "target": ["x", "y"]}}])},
            optional={
                "split": st.fixed_dictionaries({"test": st.floats(0, 0.4), "validation": st.floats(0, 0.4)}),
                "scale": st.sampled_from(["none", "unit", "standard"]),
            },
        ),
        "model": st.fixed_dictionaries(
            {"layers": st.lists(LAYERS, min_size=1, max_size=5), "blocks": st.just(BLOCK)},
        ),
    },
    optional={
        "seed": st.integers(0, 2**31 - 1),
        "train": st.fixed_dictionaries(
            {},
            optional={
                "optimizer": st.sampled_from(["sgd", "Adam", {"adam": {"learning_rate": {"exponential_decay": {
                    "initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}}}}]),
                "epochs": st.integers(1, 10**6),
                "metrics": st.sampled_from(["auto", ["accuracy"], ["mae", {"auc": {"curve": "PR"}}], []]),
                "stop": st.lists(st.sampled_from(["plateau", {"deadline": 3}, {"threshold": {"monitor": "loss",
                    "below": 0.1}}]), max_size=3),
            },
        ),
    },
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(SPECS)
@example({"experiment": "0E0", "data": {"source": {"sklearn": "iris"}}, "model": {"layers": ["head"]}})
def test_what_is_written_out_reads_back_as_the_same_spec(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    spec = load_spec(document)
    assert document == before
    for again in (load_spec(spec.to_document()), load_spec(spec.to_yaml()), load_spec(spec)):
        assert again == spec
        assert again.to_document() == spec.to_document()
        assert again.content_hash() == spec.content_hash()


def test_a_spec_cannot_be_changed(in_a_row: str) -> None:
    spec = load_spec(in_a_row)
    with pytest.raises(ValueError, match="frozen"):
        spec.train.epochs = 3
    load_spec(spec, {"train.epochs": 99})
    assert spec.train.epochs == 2


class TestOverrides:
    @pytest.mark.parametrize("path", ["model.layers[1].dense.units", "model.layers.1.dense.units"])
    def test_reach_any_place(self, in_a_row: str, path: str) -> None:
        spec = load_spec(in_a_row, {path: 5, "train.epochs": 7})
        assert spec.model.layers[1].arguments["units"] == 5
        assert spec.train.epochs == 7

    def test_reach_what_is_not_written(self) -> None:
        spec = load_spec(SMALL, {"train.batch_size": 8, "data.split.test": 0.5, "train.optimizer.adam.beta_1": 0.8})
        assert (spec.train.batch_size, spec.data.split.test) == (8, 0.5)
        assert spec.train.optimizer.arguments == {"learning_rate": 0.001, "beta_1": 0.8}

    def test_replace_a_part_whole(self) -> None:
        assert load_spec(SMALL, {"train.optimizer": {"sgd": 0.1}}).train.optimizer.name == "sgd"

    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            ({"trian.epochs": 3}, "override: trian.epochs: the spec has no 'trian', did you mean 'train'?"),
            ({"train.epoch": 3}, "override: train.epoch: is not known here, did you mean 'epochs'?"),
            ({"train.epochs": 0}, "override: train.epochs: must be >= 1, got 0"),
            ({"model.layers[9].dense": 0}, "model.layers has 1 items, numbered from 0; there is no 9"),
            ({"model.layers.first": 0}, "expected a number from 0 to 0, got 'first'"),
            ({"seed.deeper": 0}, "override: seed.deeper: seed is 0, which holds nothing"),
            ({"": 0}, "override: is not known here"),
        ],
    )
    def test_that_cannot_be_are_refused(self, overrides: dict[str, Any], said: str) -> None:
        (told,) = faults(SMALL, overrides)
        assert said in told

    def test_are_told_after_the_faults_of_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "spec.yaml"
        path.write_text(SMALL)
        assert len(faults(path, {"train.epochs": 0, "seed": -1, "name": ""})) == 3


def test_relative_paths_are_taken_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "spec.yaml"
    path.parent.mkdir()
    path.write_text("experiment: e\ndata: {source: {csv: {path: ../a.csv, target: y}}}\nmodel: {layers: [head]}\n")
    monkeypatch.chdir(path.parent)
    for spec in (load_spec(path), load_spec("spec.yaml"), load_spec(path, {"seed": 1})):
        assert spec.data.source.csv is not None
        assert spec.data.source.csv.path == str(tmp_path / "a.csv")
        assert load_spec(spec.to_yaml()) == spec


def test_a_path_a_text_and_a_dict_are_one(tmp_path: Path, in_a_row: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(in_a_row)
    assert load_spec(path) == load_spec(str(path)) == load_spec(in_a_row) == load_spec(parse_document(in_a_row).value)


@pytest.mark.parametrize("text", ["", "3", "[a]", "a word\n", "{"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    (told,) = faults(path)
    assert told.startswith(f"{path}")


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_the_example_specs_are_valid(path: Path) -> None:
    assert isinstance(load_spec(path), ExperimentSpec)


def test_reading_a_spec_loads_no_framework(tmp_path: Path, graph: str) -> None:
    program = (
        "import sys; from kerasflow import load_spec; spec = load_spec(sys.stdin.read()); spec.content_hash();"
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=graph, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_whole_number_is_a_learning_rate() -> None:
    spec = load_spec(SMALL, {"train.optimizer": {"sgd": 1}})
    rate = spec.train.optimizer.arguments["learning_rate"]
    assert (rate, type(rate)) == (1.0, float)
