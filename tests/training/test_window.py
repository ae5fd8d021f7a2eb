"""A window's applied gradient is the whole batch's. The reference is plain Keras on the batch in one piece."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf

N = 23  # no micro-batch size below divides it
LAYERS = keras.layers


def dense_model(dtype="float64", **head):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), dtype=dtype)
    hidden = LAYERS.Dense(7, "tanh", dtype=dtype, kernel_regularizer=keras.regularizers.L2(0.03))(inputs)
    hidden = LAYERS.Dense(6, "relu", dtype=dtype, activity_regularizer=keras.regularizers.L2(0.02))(hidden)
    return keras.Model(inputs, LAYERS.Dense(3, "softmax", dtype=dtype, **head)(hidden))


def masked_model(dtype="float64"):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6,), dtype="int32")
    embedded = LAYERS.Embedding(11, 4, mask_zero=True, dtype=dtype)(inputs)
    hidden = LAYERS.Dense(5, "tanh", dtype=dtype)(embedded)
    return keras.Model(inputs, LAYERS.Dense(3, "softmax", dtype=dtype)(hidden))


def two_output_model(dtype="float64"):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,), dtype="int32")
    embedded = LAYERS.Embedding(11, 4, mask_zero=True, dtype=dtype)(inputs)
    hidden = LAYERS.SimpleRNN(5, return_sequences=True, dtype=dtype)(embedded)
    tags = LAYERS.Dense(3, "softmax", dtype=dtype, name="tags")(hidden)
    pooled = LAYERS.GlobalAveragePooling1D(dtype=dtype)(hidden)
    return keras.Model(inputs, {"tags": tags, "value": LAYERS.Dense(1, dtype=dtype, name="value")(pooled)})


def sequences(rng):
    """Sorted by length, so that the micro-batches hold very different numbers of steps."""
    lengths = np.sort(rng.integers(1, 7, N))
    x = np.where(np.arange(6) < lengths[:, None], rng.integers(1, 11, (N, 6)), 0).astype("int32")
    return x, rng.integers(0, 3, (N, 6))


def whole_batch_gradient(model, x, y, loss, weight=None):
    """Cost and gradients of the batch in one piece; `loss` maps outputs and targets to the cost without penalties."""
    with tf.GradientTape() as tape:
        cost = tf.reduce_sum(loss(y, model(x, training=True), weight))
        cost += tf.add_n([tf.cast(penalty, cost.dtype) for penalty in model.losses]) if model.losses else 0.0
    return float(cost), [
        tf.convert_to_tensor(g).numpy() for g in tape.gradient(cost, [v.value for v in model.trainable_variables])
    ]


def window_gradient(model, x, y, weight, micro, engine="graph", batch_norm="micro"):
    """With plain gradient descent at a learning rate of one, what the weights lose is the applied gradient."""
    before = [v.numpy() for v in model.trainable_variables]
    history = kf.fit(
        model,
        x,
        y,
        N,
        verbose=0,
        sample_weight=weight,
        micro_batch_size=micro,
        engine=engine,
        shuffle=False,
        batch_norm=batch_norm,
    )
    return history, [b - v.numpy() for b, v in zip(before, model.trainable_variables, strict=True)]


def distance(a, b):
    flat_a, flat_b = (np.concatenate([np.ravel(part) for part in parts]) for parts in (a, b))
    return np.linalg.norm(flat_a - flat_b) / np.linalg.norm(flat_b)


def check(model, x, y, loss, weight=None, *, micros=(4,), tolerance=1e-10, engine="graph"):
    cost, expected = whole_batch_gradient(model, tf.constant(x), keras.tree.map_structure(tf.constant, y), loss, weight)
    start = model.get_weights()
    for micro in micros:
        model.set_weights(start)
        history, applied = window_gradient(model, x, y, weight, micro, engine)
        assert distance(applied, expected) < tolerance, f"micro-batches of {micro}"
        assert history.rows[0]["loss"] == pytest.approx(cost, rel=max(tolerance, 1e-9))
        assert history.updates == 1


def crossentropy(reduction="sum_over_batch_size", dtype="float64"):
    return keras.losses.SparseCategoricalCrossentropy(reduction=reduction, dtype=dtype)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_reduction_with_penalties(reduction, weighted):
    rng = np.random.default_rng(0)
    model, loss = dense_model(), crossentropy(reduction)
    model.compile(keras.optimizers.SGD(1.0), loss)
    weight = rng.uniform(0, 3, N) if weighted else None
    if weighted:
        weight[4:8] = 0.0  # a whole micro-batch that counts for nothing
    check(model, rng.normal(size=(N, 5)), rng.integers(0, 3, N), loss, weight)


def test_every_split():
    rng = np.random.default_rng(9)
    model, loss = dense_model(), crossentropy()
    model.compile(keras.optimizers.SGD(1.0), loss)
    check(model, rng.normal(size=(N, 5)), rng.integers(0, 3, N), loss, micros=(1, 8, 22, 23))


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_masked_sequences_of_unequal_length(reduction, weighted):
    rng = np.random.default_rng(1)
    x, y = sequences(rng)
    model, loss = masked_model(), crossentropy(reduction)
    assert keras.src.backend.get_keras_mask(model(x)) is not None, "the mask must reach the loss"
    model.compile(keras.optimizers.SGD(1.0), loss)
    check(model, x, y, loss, rng.uniform(0, 3, (N, 1)) if weighted else None, micros=(5,))


def test_several_outputs_of_which_one_is_masked():
    rng = np.random.default_rng(2)
    x, tags = sequences(rng)
    model = two_output_model()
    tag_loss, value_loss = crossentropy(), keras.losses.MeanSquaredError(dtype="float64")
    model.compile(
        keras.optimizers.SGD(1.0), {"tags": tag_loss, "value": value_loss}, loss_weights={"tags": 0.3, "value": 2.0}
    )

    def loss(y, y_pred, weight):
        return 0.3 * tag_loss(y["tags"], y_pred["tags"]) + 2.0 * value_loss(y["value"], y_pred["value"])

    check(model, x, {"tags": tags, "value": rng.normal(size=(N, 1))}, loss, micros=(5,))


@pytest.mark.parametrize("engine", ["graph", "eager", "xla"])
def test_every_engine_in_float32(engine):
    rng = np.random.default_rng(3)
    model, loss = dense_model("float32"), crossentropy(dtype="float32")
    model.compile(keras.optimizers.SGD(1.0), loss)
    x, y = rng.normal(size=(N, 5)).astype("float32"), rng.integers(0, 3, N)
    check(model, x, y, loss, tolerance=1e-5, engine=engine)


def test_class_weight_is_a_weight_of_each_sample():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(N, 5)), rng.integers(0, 3, N)
    model = dense_model()
    loss = crossentropy()
    model.compile(keras.optimizers.SGD(1.0), loss)
    by_class = {0: 0.5, 2: 3.0}
    _, expected = whole_batch_gradient(
        model, tf.constant(x), tf.constant(y), loss, np.array([by_class.get(c, 1.0) for c in y])
    )
    before = [v.numpy() for v in model.trainable_variables]
    kf.fit(model, x, y, N, verbose=0, class_weight=by_class, micro_batch_size=4, shuffle=False)
    assert distance([b - v.numpy() for b, v in zip(before, model.trainable_variables, strict=True)], expected) < 1e-10


@pytest.mark.parametrize("clip", [{"clipnorm": 0.01}, {"global_clipnorm": 0.01}, {"clipvalue": 0.001}])
def test_clipping_acts_on_the_windows_gradient(clip):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(N, 5)), rng.integers(0, 3, N)
    weights = []
    for micro in (23, 3):
        model = dense_model()
        model.compile(keras.optimizers.SGD(1.0, **clip), crossentropy())
        kf.fit(model, x, y, N, verbose=0, micro_batch_size=micro, shuffle=False)
        weights.append(model.get_weights())
    assert distance(weights[1], weights[0]) < 1e-10


def test_decay_averages_schedules_and_counts_act_once_an_update():
    """As under Keras on whole batches, the optimizer's own variables included."""
    rng = np.random.default_rng(17)
    x, y = rng.normal(size=(N, 5)), rng.integers(0, 3, N)

    def trained(train):
        model = dense_model("float32")
        rate = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.8)
        average = {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 2}
        model.compile(
            keras.optimizers.SGD(rate, momentum=0.9, weight_decay=0.1, **average), "sparse_categorical_crossentropy"
        )
        train(model)
        return model

    settings = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    whole = trained(lambda model: model.fit(x, y, **settings))
    split = trained(lambda model: kf.fit(model, x, y, micro_batch_size=3, **settings))
    assert distance(split.get_weights(), whole.get_weights()) < 1e-5
    for ours, keras_own in zip(split.optimizer.variables, whole.optimizer.variables, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-6, err_msg=ours.path)
    assert int(split.optimizer.iterations) == 2 * -(-N // 8)


def norm_model(dtype="float64"):
    keras.utils.set_random_seed(4)
    inputs = keras.Input((5,), dtype=dtype)
    hidden = LAYERS.BatchNormalization(dtype=dtype, momentum=0.9)(LAYERS.Dense(4, dtype=dtype)(inputs))
    return keras.Model(inputs, LAYERS.Dense(1, dtype=dtype)(hidden))


def test_moving_statistics_step_once_by_the_windows_mean_and_variance():
    rng = np.random.default_rng(6)
    x, y = rng.normal(3, 2, (N, 5)), rng.normal(size=(N, 1))
    model = norm_model()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    kernel, bias = model.layers[1].get_weights()
    activations = x @ kernel + bias
    for micro in (4, 10, 23):
        model.layers[2].moving_mean.assign(np.ones(4))
        model.layers[2].moving_variance.assign(np.full(4, 2.0))
        kf.fit(model, x, y, N, verbose=0, micro_batch_size=micro, shuffle=False)
        np.testing.assert_allclose(model.layers[2].moving_mean.numpy(), 0.9 + 0.1 * activations.mean(0), rtol=1e-10)
        np.testing.assert_allclose(model.layers[2].moving_variance.numpy(), 1.8 + 0.1 * activations.var(0), rtol=1e-10)


def test_frozen_batch_norm_normalises_by_the_moving_statistics_and_leaves_them():
    rng = np.random.default_rng(7)
    x, y = rng.normal(3, 2, (N, 5)), rng.normal(size=(N, 1))
    model = norm_model()
    model.compile(keras.optimizers.SGD(1.0), keras.losses.MeanSquaredError(dtype="float64"))
    with tf.GradientTape() as tape:
        cost = tf.reduce_mean(tf.square(model(tf.constant(x), training=False) - y))
    expected = [g.numpy() for g in tape.gradient(cost, [v.value for v in model.trainable_variables])]
    history, applied = window_gradient(model, x, y, None, 5, batch_norm="frozen")
    assert history.batch_norm == "frozen"
    assert distance(applied, expected) < 1e-10
    np.testing.assert_array_equal(model.layers[2].moving_mean.numpy(), np.zeros(4))
    assert model.layers[2].trainable


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight"])
def test_samples_that_the_loss_itself_ignores(reduction):
    rng = np.random.default_rng(10)
    y = rng.integers(0, 3, N)
    y[2:9] = -1
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1, reduction=reduction, dtype="float64")
    model = dense_model()
    model.compile(keras.optimizers.SGD(1.0), loss)
    check(model, rng.normal(size=(N, 5)), y, loss)


@pytest.mark.parametrize("loss", [keras.losses.Circle(), lambda y, p: keras.ops.sum(p)], ids=["circle", "one number"])
def test_a_loss_that_is_no_sum_over_samples_is_not_split(loss):
    model = dense_model("float32")
    model.compile(keras.optimizers.SGD(1.0), loss)
    x, y = np.ones((N, 5)), np.zeros(N, "int32")
    kf.fit(model, x, y, N, verbose=0)
    with pytest.raises(kf.TrainingError, match=r"no sum over samples.*leave out micro_batch_size"):
        kf.fit(model, x, y, N, verbose=0, micro_batch_size=5)


def test_weights_that_a_forward_pass_writes_are_refused():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, LAYERS.SpectralNormalization(LAYERS.Dense(1))(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(kf.TrainingError, match=r"kernel.*must stand still"):
        kf.fit(model, np.ones((4, 5)), np.ones((4, 1)), verbose=0)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
def test_the_cost_of_validation_does_not_depend_on_its_batches(reduction):
    x, y = sequences(np.random.default_rng(11))
    costs = []
    for size in (N, 5):
        model = masked_model()
        model.compile(keras.optimizers.SGD(1e-30), crossentropy(reduction))
        history = kf.fit(model, x, y, N, verbose=0, validation_data=(x, y), validation_batch_size=size)
        costs.append(history.rows[0]["val_loss"])
        assert history.rows[0]["loss"] == pytest.approx(costs[-1], rel=1e-10)
    assert costs[0] == pytest.approx(costs[1], rel=1e-10)


def test_penalties_are_part_of_the_cost_of_validation():
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(N, 5)), rng.integers(0, 3, N)
    model, loss = dense_model(), crossentropy()
    model.compile(keras.optimizers.SGD(1e-30), loss)
    cost, _ = whole_batch_gradient(model, tf.constant(x), tf.constant(y), loss)
    history = kf.fit(model, x, y, N, verbose=0, validation_data=(x, y))
    assert history.rows[0]["val_loss"] == pytest.approx(cost, rel=1e-6)


def test_every_window_has_masks_of_its_own():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((50,))
    scale = LAYERS.EinsumDense("bi,i->bi", 50, kernel_initializer="ones")
    model = keras.Model(inputs, scale(LAYERS.Dropout(0.5)(inputs)))
    model.compile(keras.optimizers.SGD(1.0), keras.losses.MeanAbsoluteError(reduction="sum"))
    taken = []
    for _ in range(2):  # the masks go on from one fit to the next, too
        before = model.get_weights()[0]
        kf.fit(model, np.ones((2, 50)), np.full((2, 50), -9.0), 1, verbose=0, shuffle=False)
        taken.append(before - model.get_weights()[0])
    kept = np.round(np.stack(taken) / (2 / 50))  # in none, one or both of the fit's two windows
    assert set(np.unique(kept)) == {0.0, 1.0, 2.0}
    assert (kept[0] != kept[1]).any()


def test_averaged_weights_take_their_place_at_the_end():
    rng = np.random.default_rng(13)
    x, y = rng.normal(size=(N, 5)), rng.integers(0, 3, N)
    weights = []
    for train in (kf.fit, keras.Model.fit):
        model = dense_model("float32")
        model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "sparse_categorical_crossentropy")
        train(model, x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    assert distance(weights[0], weights[1]) < 1e-5


def test_dropout_masks_differ_between_micro_batches_and_repeat_with_the_seed():
    x, y = np.ones((8, 50)), np.zeros((8, 50))
    runs = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((50,))
        scale = LAYERS.EinsumDense("bi,i->bi", 50, kernel_initializer="ones")
        model = keras.Model(inputs, scale(LAYERS.Dropout(0.5, seed=seed)(inputs)))
        model.compile(keras.optimizers.SGD(1.0), keras.losses.MeanAbsoluteError(reduction="sum"))
        kf.fit(model, x, y, 8, verbose=0, micro_batch_size=2, shuffle=False)
        runs.append(model.get_weights()[0])
    # Were the mask of each micro-batch the same, every weight would have lost a multiple of four kept samples.
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    kept = (1 - runs[0]) * 50 / 2
    assert (np.round(kept) % 4 != 0).any()


def test_batches_of_a_dataset_are_windows_whatever_their_size():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(40, 5)), rng.integers(0, 3, 40)
    sizes = [11, 7, 3, 12, 7]
    bounds = np.cumsum([0, *sizes])

    def batches():
        for a, b in itertools.pairwise(bounds):
            yield x[a:b], y[a:b]

    signature = (tf.TensorSpec((None, 5), tf.float64), tf.TensorSpec((None,), tf.int64))
    weights = []
    for micro in (64, 4):
        model = dense_model()
        model.compile(keras.optimizers.SGD(0.5), crossentropy())
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
        history = kf.fit(model, dataset, batch_size=64, epochs=2, verbose=0, micro_batch_size=micro)
        assert history.updates == 10
        weights.append(model.get_weights())
    assert distance(weights[1], weights[0]) < 1e-10
