"""The learning rate range test: what it finds where the answer is known, and that it leaves no trace."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf
from kerasflow.training.rate_curve import smooth, steepest_decade

LAYERS = keras.layers
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = np.digitize(X[:, 0], [-0.5, 0.5])
QUIET = {"verbose": 0, "engine": "eager"}


def bowl(curvatures, optimizer=None):
    """A linear model whose cost is a quadratic, on data that give its Hessian these eigenvalues."""
    n = len(curvatures)
    x = np.diag(np.sqrt(np.array(curvatures) * n / 2))  # of the mean squared error: 2 xᵀx / n
    model = keras.Sequential([keras.Input((n,)), LAYERS.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizer or keras.optimizers.SGD(0.01), "mse")
    return model, x.astype("float32"), np.zeros((n, 1), "float32")


@pytest.mark.parametrize("largest", [0.5, 50.0])
def test_a_quadratic_diverges_past_its_bound_and_the_suggestion_lies_below(largest) -> None:
    bound = 2 / largest  # of gradient descent: a step multiplies the steepest direction by 1 - rate * largest
    model, x, y = bowl([largest / 4, largest / 2, largest])
    found = kf.lr_find(model, x, y, batch_size=3, min_lr=1e-5, max_lr=1e3, **QUIET)
    assert found.stop_reason.startswith("divergence: the cost runs away")
    assert bound < found.rates[-1] < 10 * bound
    assert (np.diff(found.costs[found.rates < bound]) <= 0).all()
    assert bound / 100 < found.suggestion < bound


def test_the_costs_are_those_of_gradient_descent_written_out() -> None:
    model, x, y = bowl([1.0, 3.0])
    found = kf.lr_find(model, x, y, batch_size=2, micro_batch_size=1, min_lr=1e-3, max_lr=0.5, updates=20, verbose=0)
    w, hessian, expected = np.ones(2), np.array([1.0, 3.0]), []
    for rate in found.rates:
        expected.append(0.5 * hessian @ w**2)
        w = w - rate * hessian * w
    np.testing.assert_allclose(found.costs, expected, rtol=1e-5)
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], 500 ** (1 / 19))
    assert (found.rates[0], found.rates[-1]) == pytest.approx((1e-3, 0.5))
    assert found.stop_reason == "updates: all 20 are made"


def test_micro_batches_change_nothing_but_the_memory(classifier) -> None:
    def sweep(**settings):
        return kf.lr_find(classifier(), X, Y, batch_size=16, updates=20, verbose=0, **settings)

    whole, split = sweep(), sweep(micro_batch_size=5)
    np.testing.assert_allclose(split.costs, whole.costs, rtol=1e-5)
    assert np.ptp(whole.costs) > 0.01


# --- nothing is left behind ------------------------------------------------------------------------------------------


def rich_model(optimizer, dtype="float32"):
    """BatchNormalization, dropout and metrics, trained a little so that all of their state has moved."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = LAYERS.BatchNormalization()(LAYERS.Dense(6, "relu", dtype=dtype)(inputs))
    model = keras.Model(inputs, LAYERS.Dense(3, "softmax", dtype="float32")(LAYERS.Dropout(0.3, seed=1)(hidden)))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def state(model):
    from kerasflow.training.keras_internals import all_variables

    return {v.path + str(i): v.numpy().tobytes() for i, v in enumerate(all_variables(model))}


def constant():
    return 0.02


SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.02, 10, 0.9)
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.03, use_ema=True),
    "a function": lambda: keras.optimizers.SGD(constant),
    "a schedule": lambda: keras.optimizers.SGD(SCHEDULE, momentum=0.9),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.03), initial_scale=64.0),
    "a schedule within loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(SCHEDULE)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_model_and_optimizer_are_the_same_to_the_bit(name) -> None:
    model = rich_model(OPTIMIZERS[name](), "mixed_float16" if "scaling" in name else "float32")
    kf.fit(model, X, Y, batch_size=20, verbose=0)
    optimizer, before = model.optimizer, state(model)
    numpy_state, python_state = np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002 - that it is not used
    found = kf.lr_find(model, X, Y, batch_size=20, micro_batch_size=10, updates=30, verbose=0)
    assert np.ptp(found.costs) > 0.01, "the sweep must have trained"
    assert model.optimizer is optimizer
    assert model.compiled
    assert state(model) == before
    assert (np.random.get_state()[1].tobytes(), random.getstate()) == (numpy_state, python_state)  # noqa: NPY002


def test_a_training_after_it_is_the_training_without_it() -> None:
    def trained(search):
        model = rich_model(keras.optimizers.AdamW(0.01))
        if search:
            kf.lr_find(model, X, Y, batch_size=16, updates=10, **QUIET)
            assert not model.optimizer.built
        kf.fit(model, X, Y, batch_size=16, epochs=2, **QUIET)
        return model.get_weights()

    for with_search, without in zip(trained(True), trained(False), strict=True):
        np.testing.assert_array_equal(with_search, without)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_where_it_is_interrupted(error) -> None:
    model = rich_model(keras.optimizers.Adam(0.03))
    kf.fit(model, X, Y, batch_size=16, **QUIET)
    optimizer, before, batches = model.optimizer, state(model), 0

    def broken():
        nonlocal batches
        while True:
            batches += 1
            if batches > 6:
                raise error
            yield X, Y

    with pytest.raises((error, kf.TrainingError)):
        kf.lr_find(model, broken(), max_lr=1.0, **QUIET)
    assert batches == 7
    assert model.optimizer is optimizer
    assert state(model) == before


def test_the_twin_begins_where_the_optimizer_is() -> None:
    """Momentum that has gathered moves the weights in the first update, however small the rate."""
    x, y = np.ones((8, 1), "float32"), np.zeros((8, 1), "float32")
    model = keras.Sequential([keras.Input((1,)), LAYERS.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), "mse")
    kf.fit(model, x, y, batch_size=8, **QUIET)  # w: 1 -> 0.8, momentum -0.2
    found = kf.lr_find(model, x, y, batch_size=8, min_lr=1e-9, max_lr=1e-8, updates=10, **QUIET)
    np.testing.assert_allclose(found.costs[:3], [0.8**2, 0.7**2, 0.65**2], rtol=1e-5)


def test_what_weight_decay_leaves_out_it_leaves_out_in_the_sweep() -> None:
    def costs(exclude):
        model, x, y = bowl([1e-6, 1e-6], keras.optimizers.AdamW(0.01, weight_decay=0.5, beta_1=0.0))
        if exclude:
            model.optimizer.exclude_from_weight_decay(var_list=model.trainable_variables)
        sweep = kf.lr_find(model, x, y, batch_size=2, min_lr=0.01, max_lr=0.1, updates=10, **QUIET)
        return sweep.costs[-1] / sweep.costs[0]

    assert costs(exclude=True) > 1.05 * costs(exclude=False)


# --- data ------------------------------------------------------------------------------------------------------------


def test_short_data_begins_again_in_another_order_without_its_incomplete_windows() -> None:
    model, _, _ = bowl([1.0])
    x = np.arange(1, 8, dtype="float32")[:, None]  # 3 windows of 2, one sample left over
    settings = {"batch_size": 2, "min_lr": 1e-12, "max_lr": 1e-11, "updates": 12, **QUIET}
    costs = kf.lr_find(model, x, np.zeros((7, 1)), **settings).costs  # of a window: the mean square of its samples
    pairs = {(a * a + b * b) / 2 for a in range(1, 8) for b in range(a)[1:]}
    assert all(min(abs(cost - pair) for pair in pairs) < 1e-4 for cost in costs)
    assert len({tuple(costs[i : i + 3]) for i in range(0, 12, 3)}) == 4
    np.testing.assert_array_equal(costs, kf.lr_find(model, x, np.zeros((7, 1)), **settings).costs)
    assert (costs != kf.lr_find(model, x, np.zeros((7, 1)), **settings, seed=1).costs).any()


@pytest.mark.parametrize("endless", [False, True])
def test_datasets(classifier, endless) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    found = kf.lr_find(classifier(), data.repeat() if endless else data, updates=10, max_lr=0.1, **QUIET)
    assert len(found.rates) == 10


# --- the numbers -----------------------------------------------------------------------------------------------------


def test_the_suggestion_is_the_middle_of_the_steepest_decade() -> None:
    rates = np.geomspace(1e-6, 10, 141)
    decades = np.log10(rates)
    curve = np.where(decades < -2, -0.05 * decades, 0.1) - 2 * np.clip(decades + 2, 0, 1)  # steepest from 0.01 to 0.1
    curve += 20 * np.clip(decades + 0.5, 0, None)
    assert steepest_decade(rates, curve, 0.9) == pytest.approx(10**-1.5, rel=0.15)
    noise = np.random.default_rng(0).normal(0, 0.2, 141)
    assert steepest_decade(rates, curve + noise, 0.9) == pytest.approx(10**-1.5, rel=0.7)


def test_a_cost_that_only_scatters_suggests_nothing() -> None:
    rates, rng = np.geomspace(1e-7, 10, 100), np.random.default_rng(0)
    suggested = [steepest_decade(rates, 2.3 + rng.normal(0, 0.1, 100), 0.9) for _ in range(100)]
    assert sum(one is not None for one in suggested) <= 10
    assert steepest_decade(rates, np.full(100, 2.3), 0.9) is None
    assert steepest_decade(rates, np.linspace(1, 2, 100), 0.9) is None
    assert steepest_decade(rates[:3], np.array([3.0, 2.0, 1.0]), 0.9) is None


def test_the_moving_average_is_the_weighted_mean_so_far() -> None:
    costs = np.random.default_rng(0).normal(size=7)
    for k, point in enumerate(smooth(costs, 0.8)):
        assert point == pytest.approx(np.average(costs[: k + 1], weights=0.8 ** np.arange(k, -1, -1)))
    np.testing.assert_array_equal(smooth(costs, 0.0), costs)


def test_a_negative_cost_is_no_divergence() -> None:
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dense(4)])
    model.compile("sgd", keras.losses.CosineSimilarity())
    found = kf.lr_find(model, X, X, updates=40, **QUIET)
    assert found.costs.min() < 0
    assert found.stop_reason == "updates: all 40 are made"


def test_without_a_bound_only_what_is_not_finite_stops() -> None:
    model, x, y = bowl([1.0, 2.0])
    bounded = kf.lr_find(model, x, y, batch_size=2, max_lr=1e30, updates=60, **QUIET)
    free = kf.lr_find(model, x, y, batch_size=2, max_lr=1e30, updates=60, divergence=None, **QUIET)
    assert len(bounded.costs) < len(free.costs) < 60
    assert not np.isfinite(free.costs[-1])
    assert free.stop_reason.startswith("divergence: the cost is inf at a learning rate of")
    assert free.suggestion < 1


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED = {
    "rates the wrong way round": ({"min_lr": 1.0, "max_lr": 0.1}, "0 < min_lr < max_lr, got min_lr=1.0, max_lr=0.1"),
    "a rate of nothing": ({"min_lr": 0.0}, "got min_lr=0.0"),
    "a rate that is a word": ({"max_lr": "high"}, "max_lr='high'"),
    "a rate without end": ({"max_lr": float("inf")}, "max_lr=inf"),
    "few updates": ({"updates": 3}, "updates must be an integer >= 10, got 3"),
    "half an update": ({"updates": 99.5}, "got 99.5"),
    "all smoothed away": ({"smoothing": 1.0}, "smoothing must be a number from 0 to below 1, got 1.0"),
    "a bound below the lowest": ({"divergence": 0.5}, "divergence must be a number above 1, or None, got 0.5"),
    "micro-batches larger than the batch": ({"batch_size": 8, "micro_batch_size": 9}, "micro_batch_size=9"),
    "an engine that is none": ({"engine": "grpah"}, "did you mean 'graph'?"),
    "no targets": ({"y": None}, "no y was given"),
    "numbers of other samples": ({"y": Y[:30]}, "as many samples each, got 40 in x, 30 in y"),
    "a generator that ends": ({"x": iter([(X, Y)] * 4), "y": None}, "the generator ended after 4 batches"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence_without_a_trace(classifier, case) -> None:
    settings, words = REFUSED[case]
    model = classifier()
    optimizer, before = model.optimizer, model.get_weights()
    with pytest.raises(kf.TrainingError) as refused:
        kf.lr_find(model, **({"x": X, "y": Y} | QUIET | settings))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert model.optimizer is optimizer
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_cost_that_is_not_finite_to_begin_with(classifier) -> None:
    model = classifier()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    with pytest.raises(kf.TrainingError, match="the cost is nan before the first update"):
        kf.lr_find(model, X, Y, **QUIET)


def test_a_model_that_is_not_compiled_or_none_at_all() -> None:
    with pytest.raises(kf.TrainingError, match="not compiled"):
        kf.lr_find(keras.Sequential([keras.Input((4,)), LAYERS.Dense(1)]), X, Y)
    with pytest.raises(kf.TrainingError, match=r"expected a keras\.Model, got list"):
        kf.lr_find([], X, Y)


def test_optimizers_that_have_no_single_rate_or_no_twin(classifier) -> None:
    class Stubborn(keras.optimizers.SGD):
        def __init__(self, learning_rate, needed):
            super().__init__(learning_rate)

    with pytest.raises(kf.TrainingError, match=r"Stubborn cannot be copied.*get_config must give all arguments"):
        kf.lr_find(classifier(optimizer=Stubborn(0.1, 1)), X, Y, **QUIET)
    several = keras.src.optimizers.MultiOptimizer(lambda variable: keras.optimizers.SGD())
    with pytest.raises(kf.TrainingError, match="MultiOptimizer has no single learning rate"):
        kf.lr_find(classifier(optimizer=several), X, Y, **QUIET)


def test_an_optimizer_of_other_weights_is_named(classifier) -> None:
    model = classifier(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    kf.fit(model, X, Y, **QUIET)
    model.layers[0].trainable = False
    model.add(LAYERS.Dense(3, "softmax"))
    model.build()
    with pytest.raises(kf.TrainingError, match="compile the model again"):
        kf.lr_find(model, X, Y, **QUIET)


def test_it_says_what_it_found_in_one_line(classifier, capfd) -> None:
    kf.lr_find(classifier(), X, Y, batch_size=40, updates=20, engine="eager", verbose=2)
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("learning rates 1e-07 to ")
    assert " updates - " in line
    assert "suggestion" in line


def test_one_step_is_compiled(classifier) -> None:
    traces = 0

    class Counted(keras.losses.Loss):
        def call(self, y_true, y_pred):
            nonlocal traces
            traces += tf.inside_function()
            return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    kf.lr_find(classifier(loss=Counted()), X, Y, batch_size=16, updates=10, verbose=0)  # 40 = 16 + 16 + 8
    assert traces == 1
