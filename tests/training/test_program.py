"""A program compiled for one model serves every model of the same making, and only those."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf
from kerasflow.training.making import making
from kerasflow.training.program import POOLED, Compiler

LAYERS = keras.layers
N = 40


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """A pool of this test's own."""
    fresh = type(Compiler._pool)()
    monkeypatch.setattr(Compiler, "_pool", fresh)
    return fresh


def model(seed=0, rate=0.3, units=6, learning_rate=0.01, **optimizer):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,))
    hidden = LAYERS.Dropout(rate, seed=seed)(LAYERS.Dense(units, "relu")(inputs))
    made = keras.Model(inputs, LAYERS.Dense(3, "softmax")(LAYERS.BatchNormalization()(hidden)))
    made.compile(
        keras.optimizers.Adam(learning_rate, **optimizer), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return made


def samples(seed, n=N):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)).astype("float32"), rng.integers(0, 3, n)


def trained(made, seed, engine="graph", **settings):
    settings = {"batch_size": 16, "epochs": 3, "verbose": 0, "engine": engine} | settings
    history = kf.fit(made, *samples(seed), validation_data=samples(9), seed=seed, **settings)
    return history.rows, made.get_weights()


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_another_fit_of_that_making_traces_nothing_and_gives_the_same_bits(engine, traces, pool):
    trained(model(1), 1, engine)
    first = len(traces)
    assert first > 0
    rows, weights = trained(model(2, learning_rate=0.1), 2, engine)
    assert len(traces) == first
    pool.clear()
    own_rows, own_weights = trained(model(2, learning_rate=0.1), 2, engine)
    assert len(traces) > first
    for a, b in zip(weights, own_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(rows, own_rows, strict=True):
        assert {k: a[k] for k in ("loss", "val_loss", "accuracy", "lr")} == {
            k: b[k] for k in ("loss", "val_loss", "accuracy", "lr")
        }


def test_a_graph_serves_another_number_of_whole_windows(traces):
    for n in (48, 96):
        kf.fit(model(), *samples(0, n), batch_size=16, verbose=0)
    assert len(traces) == 1


@pytest.mark.parametrize("n", [97, 767])
def test_a_graph_serves_folds_whose_last_windows_differ(traces, n):
    kf.fit(model(), *samples(0, n), batch_size=10, verbose=0)  # few windows in a pass, and many
    first = len(traces)
    kf.fit(model(), *samples(0, n + 1), batch_size=10, verbose=0)
    assert len(traces) == first > 0


def test_where_windows_are_few_a_graph_serves_every_batch_size_with_a_smaller_last_window(traces, pool):
    trained(model(1), 1, batch_size=16)
    first = len(traces)
    rows, weights = trained(model(2), 2, batch_size=14)
    assert len(traces) == first > 0
    pool.clear()
    own_rows, own_weights = trained(model(2), 2, batch_size=14)
    assert len(traces) > first
    assert [row["loss"] for row in rows] == [row["loss"] for row in own_rows]
    for a, b in zip(weights, own_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_xla_serves_folds_of_nearly_one_size(traces):
    for n in (1200, 1216):
        kf.fit(model(), *samples(0, n), batch_size=16, verbose=0, engine="xla")
    assert len(traces) == 1


def test_the_first_model_is_not_kept_alive(pool):
    made = model()
    trained(made, 0)
    watched = [weakref.ref(made), weakref.ref(made.optimizer), weakref.ref(made.trainable_variables[0].value)]
    assert pool
    del made
    gc.collect()
    assert [reference() for reference in watched] == [None, None, None]


def test_the_pool_has_an_end(pool):
    pool.update({("filler", number): object() for number in range(POOLED)})
    trained(model(), 0)
    assert len(pool) == POOLED
    assert ("filler", 0) not in pool


def built(made):
    made.optimizer.build(made.trainable_variables)
    x, y = samples(0, 2)
    made.evaluate(x, y, verbose=0)
    return making(made)


def adapted(scale):
    norm = LAYERS.Normalization()
    norm.adapt(np.random.default_rng(0).normal(0, scale, (20, 4)))
    made = keras.Sequential([keras.Input((4,)), norm, LAYERS.Dense(3, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def with_rate_changed_later():
    made = model()
    made.layers[2].rate = 0.9
    return made


def with_bias_not_decayed():
    made = model(weight_decay=0.1)
    made.optimizer.exclude_from_weight_decay(var_names=["bias"])
    return made


def named_after_its_activation(word):
    layers = [LAYERS.Dense(4, word, name=word), LAYERS.Dense(3, "softmax")]
    made = keras.Sequential([keras.Input((4,)), *layers])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def with_a_frozen_layer():
    made = model()
    made.layers[1].trainable = False
    made.compile(made.optimizer.__class__(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def test_names_rates_seeds_and_weights_are_no_part_of_the_making():
    assert built(model(1)) == built(model(2, learning_rate=0.5)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (model, lambda: model(units=7)),
        (model, lambda: model(rate=0.4)),
        (model, with_rate_changed_later),
        (model, with_a_frozen_layer),
        (model, lambda: model(clipnorm=1.0)),
        (model, lambda: model(learning_rate=keras.optimizers.schedules.CosineDecay(0.01, 10))),
        (lambda: model(weight_decay=0.1), with_bias_not_decayed),
        (lambda: adapted(1.0), lambda: adapted(2.0)),
        (lambda: named_after_its_activation("relu"), lambda: named_after_its_activation("tanh")),
    ],
    ids=[
        "units",
        "rate",
        "rate changed later",
        "frozen",
        "clipping",
        "schedule",
        "decay",
        "adapted statistics",
        "name that is a word",
    ],
)
def test_what_a_trace_freezes_is_part_of_the_making(one, other):
    assert built(one()) is not None
    assert built(one()) == built(one())
    assert built(one()) != built(other())


class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@pytest.mark.parametrize(
    ("layer", "metric"),
    [
        (Doubled(), "accuracy"),
        (LAYERS.Lambda(lambda x: 2 * x), "accuracy"),
        (LAYERS.Activation(lambda x: x), "accuracy"),
        (LAYERS.ReLU(), lambda y, p: keras.ops.mean(p)),
    ],
    ids=["own layer", "lambda", "own activation", "own metric"],
)
def test_a_part_that_is_not_keras_own_is_compiled_for_its_model_alone(layer, metric, pool):
    made = keras.Sequential([keras.Input((4,)), layer, LAYERS.Dense(3, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=[metric])
    assert built(made) is None
    trained(made, 0)
    assert not pool


def reader(words):
    vectors = LAYERS.TextVectorization(max_tokens=9, output_sequence_length=2)
    vectors.adapt(words)
    made = keras.Sequential(
        [keras.Input((), dtype="string"), vectors, LAYERS.Embedding(9, 3), LAYERS.Flatten(), LAYERS.Dense(2, "softmax")]
    )
    made.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    return made


def test_a_model_that_reads_text_trains_by_its_own_vocabulary():
    texts, y = np.array(["good", "bad", "good bad", "bad bad"] * 4), np.array([1, 0, 1, 0] * 4)
    words = {"known": ["good", "bad"], "unknown": ["cat", "dog"]}
    rows = {}
    for name, known in words.items():
        keras.utils.set_random_seed(0)
        rows[name] = [
            row["loss"]
            for row in kf.fit(reader(known), texts, y, epochs=3, batch_size=16, verbose=0, engine="graph").rows
        ]
        keras.utils.set_random_seed(0)
        expected = (
            reader(known).fit(tf.constant(texts), y, epochs=3, verbose=0, shuffle=False, batch_size=16).history["loss"]
        )
        np.testing.assert_allclose(rows[name], expected, rtol=1e-5)
    assert rows["known"] != rows["unknown"]
    with pytest.raises(kf.TrainingError, match="engine 'xla' cannot run this model"):
        kf.fit(reader(words["known"]), texts, y, epochs=3, verbose=0, engine="xla")
    with pytest.raises(kf.TrainingError, match="engine 'xla' cannot run this model"):
        kf.lr_find(reader(words["known"]), texts, y, verbose=0, engine="xla")
