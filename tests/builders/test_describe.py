"""`kf.describe`: any Functional or Sequential model becomes a spec that builds its equal, or one sentence says where
it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kerasflow as kf

Describes = Callable[..., kf.ModelSpec]


def layers(spec: kf.ModelSpec) -> list[dict[str, Any]]:
    return list(spec.model_dump()["layers"])


class TestWhatKfBuilt:
    @pytest.mark.parametrize(
        ("spec", "shape"),
        [
            (kf.single_layer(), (4,)),
            (kf.mlp((8, 4), activation="gelu", dropout=0.2, batch_norm=True), (6,)),
            (kf.cnn((2, 3), dense=(4,), dropout=0.5, batch_norm=True), (8, 8, 1)),
        ],
    )
    def test_comes_back(self, spec: kf.ModelSpec, shape: tuple[int, ...], describes: Describes) -> None:
        described = describes(kf.build(spec, shape, 3))
        assert [layer.kind for layer in described.layers[:-1]] == [layer.kind for layer in spec.layers[:-1]]
        assert layers(described)[-1] == {"dense": {"units": 3, "activation": "softmax"}, "name": "head"}

    def test_comes_back_with_its_blocks_written_out(self, describes: Describes) -> None:
        inner = [
            {"dense": {"units": "$units", "kernel_regularizer": {"l2": 0.1}}},
            {"add": None, "inputs": ["input", "a"]},
        ]
        inner[0]["name"] = "a"
        spec = {"blocks": {"residual": {"parameters": {"units": 4}, "layers": inner}}}
        spec["layers"] = [{"residual": None, "repeat": 2, "name": "r"}, {"dense": 2}]
        assert layers(describes(kf.build(spec, (4,)))) == [
            {"dense": {"units": 4, "kernel_regularizer": {"l2": {"l2": 0.1}}}, "name": "r.a"},
            {"add": {}, "name": "r.add", "inputs": ["input", "r.a"]},
            {"dense": {"units": 4, "kernel_regularizer": {"l2": {"l2": 0.1}}}, "name": "r_2.a"},
            {"add": {}, "name": "r_2.add", "inputs": ["r.add", "r_2.a"]},
            {"dense": {"units": 2}},
        ]


class TestGraphs:
    def test_a_layer_called_twice_is_one_layer(self, describes: Describes) -> None:
        import keras

        left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
        dense = keras.layers.Dense(3, activation="relu", name="shared")
        joined = keras.layers.Concatenate(name="concatenate")([dense(left), dense(right)])
        spec = describes(keras.Model([left, right], keras.layers.Dense(2, name="last")(joined)))
        assert spec.model_dump(mode="json") == {
            "inputs": ["left", "right"],
            "layers": [
                {"dense": {"units": 3, "activation": "relu"}, "name": "shared", "inputs": ["left"]},
                {"reuse": {"layer": "shared"}, "name": "shared_2", "inputs": ["right"]},
                {"concatenate": {}, "inputs": ["shared", "shared_2"]},
                {"dense": {"units": 2}, "name": "last"},
            ],
        }

    def test_models_in_a_model_keep_their_names_and_may_be_shared(self, describes: Describes) -> None:
        import keras

        one, two = keras.Input((4,), name="p"), keras.Input((3,), name="q")
        outside = keras.layers.Concatenate(name="joined")([keras.layers.Dense(3, name="d")(one), two])
        inner = keras.Model([one, two], outside, name="inner")
        stack = keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(4, name="d"), keras.layers.BatchNormalization(name="norm")],
            name="stack",
        )
        a, b, c = keras.Input((6,), name="a"), keras.Input((6,), name="b"), keras.Input((3,), name="c")
        ends = keras.layers.Subtract(name="ends")([inner([stack(a), c]), inner([stack(b), c])])
        spec = describes(keras.Model([a, b, c], ends))
        models = {layer["name"]: layer["model"] for layer in layers(spec) if "model" in layer}
        assert models["inner"] == {
            "inputs": ["p", "q"],
            "layers": [
                {"dense": {"units": 3}, "name": "d", "inputs": ["p"]},
                {"concatenate": {}, "name": "joined", "inputs": ["d", "q"]},
            ],
        }
        assert [layer["name"] for layer in models["stack"]["layers"]] == ["d", "norm"]
        reused = [layer["reuse"]["layer"] for layer in layers(spec) if "reuse" in layer]
        assert sorted(reused) == ["inner", "stack"]

    def test_a_model_shared_by_inputs_of_several_sizes(self, describes: Describes) -> None:
        import keras

        image = keras.Input((None, None, 2), name="image")
        tower = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same", name="c")(image), name="tower")
        x = keras.Input((8, 8, 2), name="x")
        half = keras.layers.AveragePooling2D(2, name="half")(x)
        pooled = [keras.layers.GlobalMaxPooling2D(name=f"pool{n}")(tower(y)) for n, y in enumerate((x, half))]
        describes(keras.Model(x, keras.layers.Add(name="sum")(pooled)))

    def test_attention_takes_what_it_asks_apart(self, describes: Describes) -> None:
        import keras

        q, v = keras.Input((3, 4), name="q"), keras.Input((5, 4), name="v")
        key = keras.layers.Dense(4, name="key")(v)
        attended = keras.layers.MultiHeadAttention(2, 2, name="mha")(q, key=key, value=v)
        spec = describes(keras.Model([q, v], attended))
        assert spec.layers[-1].inputs == ("q", "v", "key")

    def test_several_outputs_keep_their_order(self, describes: Describes) -> None:
        import keras

        x = keras.Input((4,), name="x")
        first = keras.layers.Dense(3, name="first")(x)
        spec = describes(keras.Model(x, [keras.layers.Dense(2, name="second")(first), first]))
        assert (spec.inputs, spec.outputs) == (("x",), ("second", "first"))

    def test_a_sequential_needs_no_shape(self) -> None:
        import keras

        dense = keras.layers.Dense(3, name="dense")
        model = keras.Sequential([keras.layers.Flatten(name="flatten"), dense, keras.layers.ReLU(name="r"), dense])
        assert layers(kf.describe(model)) == [
            {"flatten": {}}, {"dense": {"units": 3}, "name": "dense"}, {"relu": {}, "name": "r"},
            {"reuse": {"layer": "dense"}},
        ]  # fmt: skip

    def test_part_of_a_model_is_a_model(self, describes: Describes) -> None:
        import keras

        x = keras.Input((4,), name="x")
        middle = keras.layers.Dense(3, name="middle")(x)
        last = keras.layers.Dense(2, name="last")(keras.layers.ReLU(name="bend")(middle))
        assert [layer.kind for layer in describes(keras.Model(middle, last)).layers] == ["relu", "dense"]

    def test_what_is_frozen_stays_frozen(self, describes: Describes) -> None:
        import keras

        stack = [keras.layers.Dense(3, name="a"), keras.layers.Dense(3, name="b")]
        inner = keras.Sequential([keras.Input((4,)), *stack], name="inner")
        inner.trainable = False
        stack[1].trainable = True
        model = keras.Sequential([keras.Input((4,)), inner, keras.layers.BatchNormalization(name="n")])
        spec = describes(model)
        built = kf.build(spec, (4,))
        assert layers(spec)[0]["model"]["layers"] == [
            {"dense": {"units": 3, "trainable": False}, "name": "a"},
            {"dense": {"units": 3}, "name": "b"},
        ]
        assert (
            [v.trainable for v in built.weights]
            == [v.trainable for v in model.weights]
            == [False, False, *[True] * 4, False, False]
        )
        model.trainable = False
        stack[1].trainable = True
        assert kf.build(kf.describe(model), (4,)).trainable_variables == model.trainable_variables == []

    def test_masks_travel_as_they_do_in_keras(self) -> None:
        import keras

        model = keras.Sequential(
            [
                keras.Input((6,), name="tokens"),
                keras.layers.Embedding(9, 4, mask_zero=True, name="e"),
                keras.layers.Bidirectional(keras.layers.LSTM(3, name="l"), name="b"),
                keras.layers.Dense(2, name="d"),
            ]
        )
        spec = kf.describe(model)
        assert [layer.kind for layer in spec.layers] == ["embedding", "bidirectional", "dense"]
        built = kf.build(spec, (6,))
        built.set_weights(model.get_weights())
        padded = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1]], "float32")
        np.testing.assert_array_equal(built(padded), model(padded))

    def test_mixed_precision_is_written_down(self) -> None:
        spec = {"layers": [{"dense": 4}, {"dense": 2}]}
        model = kf.build(spec, (3,), precision="mixed_bfloat16")
        built = kf.build(kf.describe(model), (3,))
        built.set_weights(model.get_weights())
        x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
        assert [layer.compute_dtype for layer in built.layers[1:]] == ["bfloat16", "bfloat16"]
        np.testing.assert_array_equal(np.asarray(built(x)), np.asarray(model(x)))


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "a number behind": lambda ops, x: x * 0.5 + 3.0,
    "a number before": lambda ops, x: 1.0 - x,
    "two tensors": lambda ops, x: x / ops.exp(x),
    "one tensor twice": lambda ops, x: x * x,
    "a list": lambda ops, x: ops.concatenate([x, ops.relu(x), x], axis=1),
    "stacked": lambda ops, x: ops.stack([x, -x], axis=-1),
    "an axis": lambda ops, x: ops.mean(x, axis=[1], keepdims=True) + x,
    "a shape": lambda ops, x: ops.reshape(x, (-1, 2, 6)),
    "a permutation": lambda ops, x: ops.transpose(x, (0, 2, 1)),
    "a product": lambda ops, x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "an equation": lambda ops, x: ops.einsum("bij,bkj->bik", x, ops.tanh(x)),
    "bounds": lambda ops, x: ops.clip(x, 0.5, 1.5),
    "a dtype": lambda ops, x: ops.cast(ops.cast(x, "int32"), "float32"),
    "a softmax": lambda ops, x: ops.softmax(x, axis=1),
    "padding": lambda ops, x: ops.pad(x, ((0, 0), (1, 0), (0, 2))),
    "dimensions": lambda ops, x: ops.squeeze(ops.expand_dims(x, 1), 1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_between_layers(name: str, describes: Describes) -> None:
    import keras

    x = keras.Input((3, 4), name="x")
    describes(keras.Model(x, OPERATIONS[name](keras.ops, x)))


class TestRefusals:
    def refused(self, model: Any) -> str:
        with pytest.raises(kf.BuildError) as caught:
            kf.describe(model)
        message = str(caught.value)
        assert "\n" not in message
        return message

    def nested(self, *inner: Any) -> Any:
        import keras

        return keras.Sequential([keras.Input((4,)), keras.Sequential([keras.Input((4,)), *inner], name="inside")])

    def test_code_is_named_by_its_path(self) -> None:
        import keras

        model = self.nested(keras.layers.Lambda(lambda x: x + 1, name="twist"))
        assert (
            self.refused(model) == "inside.twist: Lambda holds code, which a spec cannot; build such a model in Python"
        )

    def test_a_layer_of_the_users_own(self) -> None:
        import keras

        class Dense(keras.layers.Dense):
            pass

        assert self.refused(self.nested(Dense(3, name="mine"))) == (
            "inside.mine: Dense is no layer of Keras' own, and a spec names only those"
        )

    def test_a_subclassed_model(self) -> None:
        import keras

        class Mine(keras.Model):
            def __init__(self, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self.dense = keras.layers.Dense(2)

            def call(self, x: Any) -> Any:
                return self.dense(x)

        said = "Mine has a `call` of its own, which is code, and a spec holds none"
        assert self.refused(Mine(name="whole")) == f"whole: {said}"
        assert self.refused(self.nested(Mine(name="part"))) == f"inside.part: {said}"

    def test_a_model_that_only_trains_in_its_own_way_is_described(self, describes: Describes) -> None:
        import keras

        class Mine(keras.Model):
            def train_step(self, data: Any) -> Any:
                raise NotImplementedError

        x = keras.Input((4,), name="x")
        describes(Mine(x, keras.layers.Dense(2, name="d")(x)))

    def test_what_a_spec_has_no_words_for(self) -> None:
        import keras

        def bent(value: Any) -> Any:
            return value

        x = keras.Input((4,), name="x")
        own = keras.layers.Dense(2, activation=bent, name="own")(x)
        for model, said in (
            (keras.Model(x, own), "own: bent is none of Keras' own activations"),
            (keras.Model(x, x * float("inf")), "x2: must be finite"),
            ("resnet50", "describe takes a keras.Model, got 'resnet50'"),
        ):
            assert said in self.refused(model)


def test_the_names_of_reused_layers_meet_no_other(describes: Describes) -> None:
    import keras

    x = keras.Input((3,), name="x")
    dense, other = keras.layers.Dense(3, name="dense"), keras.layers.Dense(3, name="dense_2")
    spec = describes(keras.Model(x, other(dense(dense(x)))))
    assert [layer.name for layer in spec.layers] == ["dense", None, "dense_2"]
    assert kf.build(spec, (3,)).weights[0].path == "dense/kernel"
