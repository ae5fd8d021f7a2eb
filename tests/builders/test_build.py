"""`kf.build`: graphs, blocks, heads, seeds; a plain Keras model at the end, or one sentence that says where."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kerasflow as kf
from kerasflow.builders import objects
from kerasflow.builders.graph import build
from kerasflow.spec.experiment import load_spec


def names(model: Any) -> list[str]:
    return [layer.name for layer in model.layers if type(layer).__name__ != "InputLayer"]


RESIDUAL = {
    "residual": {
        "parameters": {"units": None, "depth": 1, "activation": "relu"},
        "layers": [
            {"dense": {"units": "$units", "activation": "$activation"}, "repeat": "$depth", "name": "body"},
            {"dense": "$units", "inputs": ["input"], "name": "shortcut"},
            {"add": None, "inputs": ["body", "shortcut"]},
        ],
    },
    "pair": {"parameters": {"width": 3}, "layers": [{"residual": {"units": "$width", "depth": 2}}, {"residual": 2}]},
}


class TestGraphs:
    def test_layers_in_a_row_take_one_another(self) -> None:
        model = build({"layers": [{"dense": 3}, "relu", {"dense": 2}]}, (4,), seed=0)
        assert names(model) == ["dense", "relu", "dense_2"]
        x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
        w1, b1, w2, b2 = (variable.numpy() for variable in model.weights)
        np.testing.assert_allclose(model(x), np.maximum(x @ w1 + b1, 0) @ w2 + b2, rtol=1e-5, atol=1e-6)

    def test_branches_join(self) -> None:
        layers = [
            {"dense": 3, "name": "left"},
            {"dense": 3, "name": "right", "inputs": ["input"]},
            {"subtract": None, "inputs": ["left", "right"]},
        ]
        model = build({"layers": layers}, (4,), seed=0)
        x = np.ones((1, 4), "float32")
        left, right = (model.get_layer(name)(x) for name in ("left", "right"))
        np.testing.assert_array_equal(model(x), left - right)

    def test_several_inputs_and_outputs_keep_their_order(self) -> None:
        spec = {
            "inputs": ["image", "table"],
            "layers": [
                {"flatten": None, "inputs": ["image"], "name": "pixels"},
                {"concatenate": None, "inputs": ["pixels", "table"], "name": "all"},
                {"head": None, "name": "kind"},
                {"head": None, "name": "price", "inputs": ["all"]},
            ],
            "outputs": ["price", "kind"],
        }
        shapes = {"table": (3,), "image": (2, 2)}
        model = build(spec, shapes, {"kind": 5, "price": 1}, {"kind": "classification", "price": "regression"})
        assert [tensor.name for tensor in model.inputs] == ["image", "table"]
        assert model.output_shape == [(None, 1), (None, 5)]
        assert model.get_layer("price").activation.__name__ == "linear"
        assert model.get_layer("kind").activation.__name__ == "softmax"

    def test_blocks_have_parameters_repeats_and_blocks_inside(self) -> None:
        model = build({"blocks": RESIDUAL, "layers": [{"pair": {"width": 4}, "repeat": 2}, "head"]}, (4,), 3)
        inside = ["residual.body", "residual.body_2", "residual.shortcut", "residual.add"]
        second = ["residual_2.body", "residual_2.shortcut", "residual_2.add"]
        expected = [f"{pair}.{name}" for pair in ("pair", "pair_2") for name in (*inside, *second)]
        assert sorted(names(model)) == sorted([*expected, "head"])
        assert model.get_layer("pair.residual.body").units == 4
        assert model.get_layer("pair.residual_2.body").units == 2
        assert model.get_layer("pair_2.residual.body").activation.__name__ == "relu"

    def test_given_names_stay_and_made_names_avoid_them(self) -> None:
        layers = [{"dense": 2}, {"dense": 2, "name": "dense"}, {"dense": 2}, {"dense": {"units": 2, "name": "mine"}}]
        assert names(build({"layers": layers}, (2,))) == ["dense_2", "dense", "dense_3", "mine"]

    def test_attention_to_itself_and_to_another(self) -> None:
        attention = {"multi_head_attention": {"num_heads": 2, "key_dim": 3}}
        itself = build({"layers": [attention]}, (5, 4))
        assert itself.output_shape == (None, 5, 4)
        spec = {"inputs": ["query", "value"], "layers": [{**attention, "inputs": ["query", "value"]}]}
        assert build(spec, {"query": (5, 4), "value": (7, 4)}).output_shape == (None, 5, 4)

    def test_wrappers_hold_layers_by_name(self) -> None:
        layers = [{"bidirectional": {"layer": {"gru": {"units": 3, "return_sequences": True}}}}]
        model = build({"layers": [*layers, {"time_distributed": {"layer": {"dense": 2}}}]}, (5, 4))
        assert model.output_shape == (None, 5, 2)

    def test_what_is_given_by_name_becomes_keras_own_object(self) -> None:
        import keras

        dense = {"units": 2, "kernel_regularizer": {"l1_l2": {"l1": 0.1, "l2": 0.2}}, "bias_regularizer": "l2",
                 "kernel_initializer": {"constant": 0.5}, "kernel_constraint": "non_neg"}  # fmt: skip
        layer = build({"layers": [{"dense": dense}]}, (3,)).layers[-1]
        assert layer.kernel_regularizer.get_config() == pytest.approx({"l1": 0.1, "l2": 0.2})
        assert isinstance(layer.bias_regularizer, keras.regularizers.L2)
        assert isinstance(layer.kernel_constraint, keras.constraints.NonNeg)
        np.testing.assert_array_equal(layer.kernel.numpy(), np.full((3, 2), 0.5))


@pytest.mark.parametrize(
    ("task", "n_outputs", "activation"),
    [
        ("classification", 3, "softmax"),
        ("classification", 1, "sigmoid"),
        ("multiclass", 3, "softmax"),
        ("binary", 1, "sigmoid"),
        ("multilabel", 3, "sigmoid"),
        ("regression", 2, "linear"),
    ],
)
def test_the_head_follows_from_the_task(task: Any, n_outputs: int, activation: str) -> None:
    head = build(kf.single_layer(), (4,), n_outputs, task).layers[-1]
    assert (head.name, head.units, head.activation.__name__) == ("head", n_outputs, activation)


class TestSeeds:
    spec = kf.cnn(filters=(2,), dense=(3,), dropout=0.5)

    def weights(self, seed: int | None) -> list[Any]:
        return [variable.numpy() for variable in build(self.spec, (8, 8, 1), 3, seed=seed).weights]

    def test_decide_every_weight_and_no_other_thing_does(self) -> None:
        random.seed(1)
        first = self.weights(3)
        random.seed(2)
        for one, other in zip(first, self.weights(3), strict=True):
            np.testing.assert_array_equal(one, other)
        assert not np.array_equal(first[0], self.weights(4)[0])
        assert not np.array_equal(self.weights(None)[0], self.weights(None)[0])

    def test_leave_the_global_generators_where_they_were(self) -> None:
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - it is the global generator that is watched
        before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - as above
        self.weights(3)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002 - as above

    def test_give_the_same_bits_in_a_new_process(self) -> None:
        program = (
            "import kerasflow as kf, numpy as np\n"
            "model = kf.build(kf.cnn(filters=(2,), dense=(3,), dropout=0.5), (8, 8, 1), 3, seed=3)\n"
            "print(b''.join(w.numpy().tobytes() for w in model.weights).hex())"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == b"".join(w.tobytes() for w in self.weights(3)).hex()


def test_a_saved_model_loads_and_predicts_without_kerasflow(tmp_path: Path) -> None:
    layers = [{"reshape": {"target_shape": [4, 4, 1]}}, {"conv2d": {"filters": 2, "kernel_size": 3}}, "flatten"]
    layers += [{"dense": {"units": 4, "kernel_regularizer": {"l2": 0.1}}}, {"dropout": 0.5}, {"pair": 3}, "head"]
    model = build({"blocks": RESIDUAL, "layers": layers}, (16,), 3, seed=0)
    x = np.random.default_rng(0).normal(size=(5, 16)).astype("float32")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys; sys.modules['kerasflow'] = None\n"
        "import keras, numpy as np\n"
        "model = keras.saving.load_model('model.keras')\n"
        "np.save('y.npy', model(np.load('x.npy')))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model(x))


class TestRefusals:
    @pytest.mark.parametrize(
        ("layers", "shape", "said"),
        [
            (["flatten", {"conv2d": {"filters": 2, "kernel_size": 3}}], (8, 8, 3),
             ["layers[1].conv2d: layer 'conv2d' cannot take an input of shape (192,)", "min_ndim=4"]),
            ([{"conv2d": {"filters": 2, "kernel_size": 9}}], (8, 8, 3), ["(8, 8, 3)", "kernel shape=(9, 9, 3, 2)"]),
            ([{"dense": 3, "name": "a"}, {"dense": 4, "name": "b"}, {"add": None, "name": "sum", "inputs": ["a", "b"]}],
             (5,), ["layers[2].add: layer 'sum' cannot take an input of shape (3,) and (4,)"]),
            ([{"reshape": {"target_shape": [3, 5]}}], (8,), ["(8,)", "(3, 5)"]),
            (["head"], (8, 3), ["layers[0].head", "one vector a sample, got shape (8, 3)", "flatten"]),
            ([{"dense": 4}], (8,), ["the model's output has shape (4,), but the task has 3 outputs"]),
            ([{"dense": 3, "inputs": ["input", "input"]}], (5,), ["expects 1 input(s)", "(5,) and (5,)"]),
            ([{"conv2d": {"filters": 2, "kernel_size": 3, "padding": "sam"}}], (8, 8, 3), ["`padding`", "sam"]),
            ([{"bidirectional": {"layer": {"dense": 3}}}], (5, 4), ["layers[0].bidirectional: Dense could not be"]),
            ([{"dense": 10**30}], (8,), ["layers[0].dense", "out-of-range integer"]),
        ],
    )  # fmt: skip
    def test_name_the_layer_and_the_shapes(self, layers: Any, shape: Any, said: list[str]) -> None:
        with pytest.raises(kf.BuildError) as caught:
            build({"layers": layers}, shape, 3)
        message = str(caught.value)
        assert "\n" not in message
        assert "<class" not in message
        assert "<Keras" not in message
        assert all(part in message for part in said), message

    def test_name_the_file_and_the_line(self, tmp_path: Path) -> None:
        path = tmp_path / "spec.yaml"
        path.write_text(
            "experiment: e\ndata: {source: {sklearn: digits}}\nmodel:\n  layers:\n    - dense: 4\n"
            "    - conv1d: {filters: 2, kernel_size: 3}\n    - head\n"
        )
        from kerasflow.inspection import inspect

        with pytest.raises(kf.BuildError) as caught:
            inspect(path)
        assert str(caught.value).startswith(
            f"{path}:6: model.layers[1].conv1d: layer 'conv1d' cannot take an input of shape (4,): "
        )

    def test_input_shapes_that_cannot_be(self) -> None:
        spec = {"inputs": ["a", "b"], "layers": [{"add": None, "inputs": ["a", "b"]}]}
        for shape, said in (
            ((3,), "several inputs (a, b), got one shape"),
            ({"a": (3,)}, "the model's inputs are a, b, got shapes for a"),
            ({"a": (3,), "b": (-3,)}, "the input_shape of 'b' must hold sizes >= 0"),
        ):
            with pytest.raises(kf.BuildError) as caught:
                build(spec, shape)
            assert said in str(caught.value)
        with pytest.raises(kf.BuildError, match="pass n_outputs"):
            build({"layers": ["head"]}, (3,))


class TestTrainingObjects:
    def train(self, text: str) -> Any:
        return load_spec(
            f"experiment: e\ndata: {{source: {{sklearn: iris}}}}\nmodel: {{layers: [head]}}\ntrain: {{{text}}}"
        ).train

    def test_a_schedule_is_the_optimizers_learning_rate(self) -> None:
        schedule = "{polynomial_decay: {initial_learning_rate: 0.1, decay_steps: 10, end_learning_rate: 0.0}}"
        made = objects.optimizer(self.train(f"optimizer: {{sgd: {{learning_rate: {schedule}}}}}").optimizer)
        rates = [float(made._learning_rate(step)) for step in (0, 5, 10)]
        np.testing.assert_allclose(rates, [0.1, 0.05, 0.0], atol=1e-8)

    @pytest.mark.parametrize(
        ("task", "loss"),
        [
            ("binary", "BinaryCrossentropy"),
            ("multilabel", "BinaryCrossentropy"),
            ("multiclass", "SparseCategoricalCrossentropy"),
            ("regression", "MeanSquaredError"),
        ],
    )
    def test_the_loss_follows_from_the_task(self, task: str, loss: str) -> None:
        assert type(objects.loss(self.train("loss: auto").loss, task)).__name__ == loss

    def test_metrics_fit_themselves_or_are_what_is_named(self) -> None:
        made = objects.metrics(self.train("metrics: [accuracy, mae, {auc: {curve: PR}}]").metrics, "binary")
        assert made[0] == "accuracy"
        assert [type(metric).__name__ for metric in made[1:]] == ["MeanAbsoluteError", "AUC"]
        assert objects.metrics("auto", "regression") == ["mean_absolute_error"]

    def test_an_argument_that_keras_refuses_is_one_sentence(self) -> None:
        with pytest.raises(kf.BuildError, match="mode"):
            objects.make("initializers", "variance_scaling", {"mode": "sideways"})


class TestComposition:
    def test_a_reused_layer_has_one_set_of_weights(self) -> None:
        spec = {
            "inputs": ["a", "b"],
            "layers": [
                {"dense": 3, "name": "shared", "inputs": ["a"]},
                {"reuse": "shared", "name": "again", "inputs": ["b"]},
                {"subtract": None, "inputs": ["shared", "again"]},
            ],
        }
        model = build(spec, {"a": (4,), "b": (4,)}, seed=0)
        a, b = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
        kernel, _ = (variable.numpy() for variable in model.weights)
        np.testing.assert_allclose(model([a, b]), (a - b) @ kernel, rtol=1e-4, atol=1e-5)

    def test_a_layer_reused_in_a_row(self) -> None:
        model = build({"layers": [{"dense": 4, "name": "step"}, {"reuse": "step", "repeat": 3}]}, (4,), seed=0)
        x = np.ones((1, 4), "float32")
        kernel = model.weights[0].numpy()
        assert len(model.weights) == 2
        np.testing.assert_allclose(model(x), x @ np.linalg.matrix_power(kernel, 4), rtol=1e-4)

    def test_a_model_reused_on_another_size_is_open_where_they_differ(self) -> None:
        inner = {"layers": [{"conv2d": {"filters": 2, "kernel_size": 3}}, "global_average_pooling2d"]}
        spec = {
            "inputs": ["a", "b"],
            "layers": [
                {"model": {"layers": [{"model": inner, "name": "deep"}]}, "name": "inner", "inputs": ["a"]},
                {"reuse": "inner", "name": "again", "inputs": ["b"]},
                {"add": None, "inputs": ["inner", "again"]},
            ],
        }
        model = build(spec, {"a": (8, 8, 3), "b": (8, 6, 3)}, seed=0)
        assert model.get_layer("inner").input_shape == (None, 8, None, 3)
        assert len(model.weights) == 2
        alike = build(spec, {"a": (8, 8, 3), "b": (8, 8, 3)}, seed=0)
        assert alike.get_layer("inner").input_shape == (None, 8, 8, 3)
        np.testing.assert_array_equal(alike.weights[0].numpy(), model.weights[0].numpy())

    def test_an_operation_takes_inputs_for_what_it_does_not_name(self) -> None:
        layers = [{"op": {"subtract": {"x1": 1.0}}}, {"op": "multiply", "inputs": ["input", "input"], "name": "square"}]
        layers += [{"op": {"concatenate": {"axis": 1}}, "inputs": ["square", "input"]}, {"op": {"sum": {"axis": 1}}}]
        model = build({"layers": [*layers, {"op": {"subtract": {"x1": 1.0}}, "name": "rest"}]}, (3,))
        x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
        np.testing.assert_allclose(model(x), 1 - (x**2 + x).sum(axis=1), rtol=1e-5, atol=1e-6)
        assert "rest" in [operation.name for operation in model.operations]

    def test_a_model_in_a_model_has_names_of_its_own(self, tmp_path: Path) -> None:
        inner = {
            "inputs": ["p", "q"],
            "layers": [{"dense": 3, "name": "a", "inputs": ["p"]}, {"add": None, "inputs": ["a", "q"]}],
        }
        layers = [{"dense": 3, "name": "a"}, {"model": inner, "name": "inner", "inputs": ["input", "a"]}, "head"]
        model = build({"layers": layers}, (3,), 2, seed=0)
        assert [v.path for v in model.weights][::2] == ["a/kernel", "inner/a/kernel", "head/kernel"]
        x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
        model.save(tmp_path / "model.keras")
        import keras

        np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))

    @pytest.mark.parametrize(
        ("layers", "said"),
        [
            ([{"model": {"layers": ["flatten", {"conv1d": {"filters": 2, "kernel_size": 3}}]}}],
             "layers[0].model.layers[1].conv1d: layer 'conv1d' cannot take an input of shape (12,)"),
            ([{"model": {"inputs": ["p", "q"], "layers": [{"add": None, "inputs": ["p", "q"]}]}, "name": "m"}],
             "layers[0].model: model 'm' takes 2 inputs (p, q), got 1"),
            ([{"dense": 3, "name": "d"}, "flatten", {"reuse": "d"}], "layers[2].reuse: layer"),
            ([{"op": "add"}], "layers[0].op: layer 'op' cannot take an input of shape (3, 4): it takes 2 inputs"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_named(self, layers: Any, said: str) -> None:
        with pytest.raises(kf.BuildError) as caught:
            build({"layers": layers}, (3, 4))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
