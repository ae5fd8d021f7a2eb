"""Without accumulation, with gradient descent and the same order, `kf.fit` gives what `keras.Model.fit` gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf

LAYERS = keras.layers


def agree(make, *given, **settings) -> tuple:
    """Fits two equal models, one by each; weights and curves must agree to rounding."""
    theirs, ours = make(), make()
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    settings = {"shuffle": False, "verbose": 0, "epochs": 2} | settings
    expected = theirs.fit(*given, **settings)
    history = kf.fit(ours, *given, **settings)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert set(history.history) == set(expected.history)
    for name, values in expected.history.items():
        np.testing.assert_allclose(history.history[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    assert history.epoch == expected.epoch
    return history, expected


def test_a_classifier_with_validation_split_and_a_ragged_last_batch(classifier, data) -> None:
    agree(classifier, *data, batch_size=16, validation_split=0.3)


def test_sample_weight_with_validation_data_of_its_own_and_initial_epoch(classifier, data) -> None:
    x, y = data
    weight = np.linspace(0, 2, len(x)).astype("float32")
    held = (x[:10], y[:10], weight[:10])
    agree(
        lambda: classifier(weighted_metrics=["accuracy"]),
        x,
        y,
        batch_size=16,
        sample_weight=weight,
        validation_data=held,
        validation_freq=2,
        initial_epoch=1,
        epochs=4,
    )


def test_class_weight(classifier, data) -> None:
    agree(classifier, *data, batch_size=16, class_weight={0: 0.5, 1: 1.0, 2: 3.0})


def test_steps_per_epoch_go_on_through_a_dataset_and_validation_steps_begin_anew(classifier, data) -> None:
    def batches() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(data).batch(8)

    agree(
        classifier,
        batches().repeat(),
        steps_per_epoch=3,
        epochs=3,
        validation_data=batches(),
        validation_steps=2,
    )


class Subclassed(keras.Model):
    """Unbuilt until it sees data; two inputs, two outputs, and a penalty added in the call."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = LAYERS.Dense(4, "tanh"), LAYERS.Dense(4, "tanh")
        self.kind, self.size = LAYERS.Dense(3, "softmax"), LAYERS.Dense(1)

    def call(self, inputs):
        hidden = self.left(inputs["left"]) + self.right(inputs["right"])
        self.add_loss(1e-2 * keras.ops.mean(keras.ops.square(hidden)))
        return {"kind": self.kind(hidden), "size": self.size(hidden)}


def several(data) -> tuple:
    x, y = data
    return {"left": x[:, :2], "right": x[:, 2:]}, {"kind": y, "size": x.sum(1, keepdims=True)}


def test_a_subclassed_model_with_several_inputs_outputs_and_an_added_cost(data) -> None:
    def make():
        keras.utils.set_random_seed(0)
        model = Subclassed()
        model.compile(
            keras.optimizers.SGD(0.05),
            {"kind": "sparse_categorical_crossentropy", "size": "mse"},
            metrics={"kind": ["accuracy"], "size": ["mae"]},
            loss_weights={"kind": 1.0, "size": 0.1},
        )
        return model

    x, y = several(data)
    unbuilt = make()
    kf.fit(unbuilt, x, y, verbose=0, engine="eager")
    assert len(unbuilt.trainable_variables) == 8

    def built():
        model = make()
        model(x)
        return model

    history, _ = agree(built, x, y, batch_size=20)
    assert {"kind_loss", "size_loss", "kind_accuracy", "size_mae"} <= set(history.rows[0])


def test_a_functional_model_with_lists_of_inputs_and_outputs(data) -> None:
    def make():
        keras.utils.set_random_seed(0)
        left, right = keras.Input((2,)), keras.Input((2,))
        hidden = LAYERS.Concatenate()([left, right])
        outputs = [LAYERS.Dense(3, "softmax", name="kind")(hidden), LAYERS.Dense(1, name="size")(hidden)]
        model = keras.Model([left, right], outputs)
        model.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
        return model

    x, y = data
    inputs, targets = [x[:, :2], x[:, 2:]], [y, x.sum(1)]
    agree(make, inputs, targets, batch_size=20)
    # Where batches differ in size, Keras' own kind_loss and size_loss are means over batches and miss the cost.
    row = kf.fit(make(), inputs, targets, batch_size=16, shuffle=False, verbose=0).rows[0]
    assert row["kind_loss"] + row["size_loss"] == pytest.approx(row["loss"], rel=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.97])
def test_validation_split_holds_out_the_samples_that_keras_does(classifier, data, share) -> None:
    x, y = data
    (kept, _), (held, _) = keras.src.trainers.data_adapters.array_slicing.train_validation_split((x, y), share)
    seen: list[int] = []

    class Sizes(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

        def on_test_batch_end(self, batch, logs=None):
            seen.append(-batch - 1)

    kf.fit(classifier(), x, y, batch_size=1, validation_split=share, verbose=0, engine="eager", callbacks=[Sizes()])
    assert (max(seen) + 1, -min(seen)) == (len(kept), len(held))


def test_adam_moves_a_word_by_its_whole_gradient_where_keras_squares_each_place_by_itself() -> None:
    """Adam's first step is the learning rate, whatever the gradient is; a word stands 16 times in this batch."""

    def largest_step(train) -> float:
        keras.utils.set_random_seed(0)
        layers = [keras.Input((2,), dtype="int64"), keras.layers.Embedding(5, 3), keras.layers.Flatten()]
        model = keras.Sequential([*layers, keras.layers.Dense(2, "softmax")])
        model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
        before = model.get_weights()[0]
        train(model)
        return float(np.abs(model.get_weights()[0] - before).max())

    x, y = np.full((16, 2), [3, 0]), np.ones(16, int)
    assert largest_step(lambda model: kf.fit(model, x, y, batch_size=16, verbose=0)) == pytest.approx(0.001, rel=1e-3)
    assert largest_step(lambda model: model.fit(x, y, batch_size=16, verbose=0)) == pytest.approx(0.004, rel=1e-2)
