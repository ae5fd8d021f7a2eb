"""A probe measures how well classes separate, and training does not feel it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import kerasflow as kf
from kerasflow.columns import higher_is_better
from kerasflow.errors import BuildError, TrainingError
from kerasflow.tracking.record import metrics_of
from kerasflow.transfer.stages import Stage, StagedTrainer

LAYERS = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype("int64")  # which no linear classifier tells from X itself
HELD = (X[:80], Y[:80], X[80:], Y[80:])


def network() -> keras.Model:
    """Everything that has a state that a forward pass could move."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.Input((6,)),
        LAYERS.Dense(32, "relu", name="hidden"),
        LAYERS.BatchNormalization(),
        LAYERS.Dropout(0.3),
        LAYERS.GaussianNoise(0.1),
        LAYERS.Dense(1, "sigmoid", name="head"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    return model


def bits(model: keras.Model) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in [*model.variables, *model.optimizer.variables]]


def fit(how, model, **more):
    arguments = {"batch_size": 16, "epochs": 4, "verbose": 0, **more}
    if how == "keras":
        keras.utils.set_random_seed(5)
        return model.fit(X, Y, shuffle=True, **arguments)
    return kf.fit(model, X, Y, seed=5, engine=how, **arguments)


@pytest.mark.parametrize("how", ["keras", "graph"])
def test_training_ends_in_the_same_bits_with_a_probe_and_without(how) -> None:
    watched, alone = network(), network()
    probe = kf.Probe(["hidden", "head"], data=HELD, every=2)
    history = fit(how, watched, callbacks=[probe])
    other = fit(how, alone)
    assert bits(watched) == bits(alone)
    assert history.history["loss"] == other.history["loss"]
    curve = history.history["probe/hidden"]
    assert len([value for value in curve if value is not None]) == 2  # of four epochs, every second
    assert set(history.history) - set(other.history) == {"probe/hidden", "probe/head"}


def test_the_number_is_that_of_an_svm_on_what_the_layer_gives() -> None:
    model = network()
    history = fit("graph", model, epochs=1, callbacks=[kf.Probe("hidden", data=HELD)])
    train, test = (kf.taps(model, "hidden")(part)["hidden"] for part in (X[:80], X[80:]))
    svm = make_pipeline(StandardScaler(), LinearSVC(C=0.01, random_state=0)).fit(train, Y[:80])
    assert history.rows[0]["probe/hidden"] == svm.score(test, Y[80:])


def test_in_stages_it_sees_the_whole_model_while_a_part_is_trained() -> None:
    def staged(callbacks):
        keras.utils.set_random_seed(3)
        backbone = keras.Sequential([keras.Input((6,)), LAYERS.Dense(8, "relu", name="low")], name="backbone")
        model = keras.Sequential([keras.Input((6,)), backbone, LAYERS.Dense(2, "softmax", name="head")])
        trainer = kf.Trainer(loss="sparse_categorical_crossentropy", seed=1, verbose=0, callbacks=callbacks)
        return model, StagedTrainer(trainer, [Stage(2, 0.01), Stage(2, 0.01, ["*"])]).fit(model, X, Y)

    probe = kf.Probe(["backbone.low", "head"], data=HELD)
    watched, history = staged([probe])
    alone, _ = staged([])
    assert [variable.numpy().tobytes() for variable in watched.variables] == [
        variable.numpy().tobytes() for variable in alone.variables
    ]
    frozen, still_frozen, *_ = history["probe/backbone.low"]
    assert frozen == still_frozen  # in the first stage only the head learns
    train, test = (kf.taps(watched, "head")(part)["head"] for part in (X[:80], X[80:]))
    svm = make_pipeline(StandardScaler(), LinearSVC(C=0.01, random_state=0)).fit(train, Y[:80])
    assert history["probe/head"][-1] == svm.score(test, Y[80:])


def test_another_classifier_is_cloned_not_fitted() -> None:
    given = LogisticRegression()
    history = fit("graph", network(), epochs=2, callbacks=[kf.Probe("hidden", data=HELD, classifier=given)])
    assert not hasattr(given, "coef_")
    assert all(0 <= row["probe/hidden"] <= 1 for row in history.rows)


def test_its_column_is_a_metric_of_its_own_and_better_when_higher() -> None:
    assert metrics_of({"epoch": 1, "probe/backbone/out": 0.5}) == {"probe/backbone/out": 0.5}
    assert higher_is_better("probe/backbone/out")
    assert higher_is_better("probe/loss")  # a layer of this name


def test_a_checkpoint_holds_nothing_of_it(tmp_path) -> None:
    def trained(epochs: int) -> kf.History:
        probe = kf.Probe("hidden", data=HELD)
        return fit("graph", network(), epochs=epochs, callbacks=[probe], checkpoints=tmp_path / "kept")

    first = trained(2).rows
    resumed = trained(3).rows
    assert [row["probe/hidden"] for row in resumed[:2]] == [row["probe/hidden"] for row in first]
    assert "probe/hidden" in resumed[2]


def test_what_cannot_be_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(TrainingError, match="every must be an integer >= 1, got 0"):
        kf.Probe("hidden", data=HELD, every=0)
    with pytest.raises(TrainingError, match="80 samples in x_train and 79 classes in y_train"):
        kf.Probe("hidden", data=(X[:80], Y[:79], X, Y))
    with pytest.raises(TrainingError, match="data must be"):
        kf.Probe("hidden", data=(X, Y))  # type: ignore[arg-type]  # that is what is tested
    model = network()
    before = bits(model)
    with pytest.raises(BuildError, match="did you mean 'hidden'"):
        fit("graph", model, callbacks=[kf.Probe("hiden", data=HELD)])
    assert bits(model)[: len(before)] == before
