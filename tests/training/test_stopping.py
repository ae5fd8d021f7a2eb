"""What the loop does when a rule says stop: which weights remain, and what the history says."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf

EAGER = {"engine": "eager", "verbose": 0}


class Weights(keras.callbacks.Callback):
    """Keeps the weights of every epoch's end, and of the beginning."""

    def on_train_begin(self, logs=None):
        self.after = [self.model.get_weights()]

    def on_epoch_end(self, epoch, logs=None):
        self.after.append(self.model.get_weights())


def assert_same(a, b) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def zigzag(epoch: int) -> float:
    """Learning rates that lower the cost at first, then throw the weights far off."""
    return 0.5 if epoch < 3 else 40.0


def test_restore_best_gives_the_best_epochs_weights_back(classifier, data) -> None:
    model, weights = classifier(), Weights()
    plateau = kf.stop.Plateau("val_loss", patience=2, restore_best=True)
    callbacks = [keras.callbacks.LearningRateScheduler(zigzag), weights]
    history = kf.fit(model, *data, validation_data=data, epochs=20, stop=[plateau], callbacks=callbacks, **EAGER)
    costs = history.history["val_loss"]
    assert history.best_epoch == 1 + int(np.argmin(costs)) == 3
    assert len(costs) == 5
    assert history.stop_reason.startswith("plateau: val_loss")
    assert_same(model.get_weights(), weights.after[3])
    assert model.evaluate(*data, verbose=0)[0] == pytest.approx(min(costs), rel=1e-5)


def test_restore_best_holds_however_the_training_ended(classifier, data) -> None:
    model, weights = classifier(), Weights()
    rules = [kf.stop.Plateau("loss", patience=9), kf.stop.Plateau("val_loss", patience=9, restore_best=True)]
    callbacks = [keras.callbacks.LearningRateScheduler(zigzag), weights]
    history = kf.fit(model, *data, validation_data=data, epochs=4, stop=rules, callbacks=callbacks, **EAGER)
    assert history.stop_reason == "epochs: all 4 are completed"
    assert history.best_epoch == 1 + int(np.argmin(history.history["val_loss"]))
    assert_same(model.get_weights(), weights.after[history.best_epoch])


def test_without_restore_best_the_last_weights_stay(classifier, data) -> None:
    model, weights = classifier(), Weights()
    plateau = kf.stop.Plateau("loss", patience=1)
    history = kf.fit(
        model,
        *data,
        epochs=9,
        stop=plateau,
        callbacks=[keras.callbacks.LearningRateScheduler(zigzag), weights],
        **EAGER,
    )
    assert history.best_epoch < len(history.rows) < 9
    assert_same(model.get_weights(), weights.after[-1])


def test_weights_that_the_last_update_broke_are_not_kept(data) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e39), "mse")
    before = model.get_weights()
    history = kf.fit(model, *data, batch_size=len(data[0]), epochs=1, **EAGER)
    assert history.stop_reason == "divergence: weights are not finite after epoch 1"
    for kept, started in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, started)


@pytest.mark.parametrize("good_epochs", [0, 2])
def test_divergence_keeps_the_last_good_weights(data, good_epochs) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    weights = Weights()
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 if epoch < good_epochs else 1e30)
    history = kf.fit(model, *data, batch_size=8, epochs=9, callbacks=[rate, weights], **EAGER)
    assert history.stop_reason.startswith("divergence: loss is ")
    assert len(history.rows) == good_epochs + 1
    assert history.best_epoch == good_epochs
    assert_same(model.get_weights(), weights.after[good_epochs])


def test_a_cost_that_is_not_finite_ends_its_epoch_there(data) -> None:
    """At the same update, whatever steps the windows, and the epochs' number of windows is not reached."""

    def train(x, y=None, **settings):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.01), "mse")
        weights = Weights()
        rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 if epoch < 1 else 1e8)
        settings = {"epochs": 9, "verbose": 0, "callbacks": [rate, weights], "shuffle": False} | settings
        history = kf.fit(model, x, y, **settings)
        assert_same(model.get_weights(), weights.after[1])
        return history

    x, y = data
    found = [train(x, y, batch_size=1, engine=engine) for engine in ("graph", "xla", "eager")]
    found.append(train(tf.data.Dataset.from_tensor_slices((x, y)).batch(1), engine="graph"))
    updates = [history.rows[-1]["updates"] for history in found]
    assert 40 < updates[0] < 60
    assert updates == updates[:1] * 4
    for history in found:
        assert len(history.rows) == 2
        assert history.stop_reason.startswith("divergence: loss is ")
        assert f" in epoch 2, by update {updates[0]}; " in history.stop_reason
        assert history.stop["update"] == updates[0]


def test_threshold_and_deadline_end_a_training(classifier, data) -> None:
    above = kf.stop.Threshold("accuracy", above=0.0)
    assert kf.fit(classifier(), *data, epochs=5, stop=[above], **EAGER).stop_reason.startswith("threshold: accuracy = ")
    late = kf.fit(classifier(), *data, epochs=5, stop=[kf.stop.Deadline(minutes=1e-9)], **EAGER)
    assert late.stop_reason.startswith("deadline: ")
    assert len(late.rows) == 1


def test_a_rule_of_ones_own_is_a_function_of_rows(classifier, data) -> None:
    def enough(rows):
        return "enough: 3 updates" if rows[-1]["updates"] >= 3 else None

    history = kf.fit(classifier(), *data, batch_size=20, epochs=9, stop=[enough], **EAGER)
    assert (history.stop_reason, history.updates) == ("enough: 3 updates", 4)


def test_restore_best_deep_in_a_combination_is_found(classifier, data) -> None:
    model, weights = classifier(), Weights()
    best = kf.stop.Plateau("val_loss", patience=2, restore_best=True)
    stop = [kf.stop.Plateau("loss", patience=9), kf.stop.AllOf(kf.stop.AnyOf(best), kf.stop.Deadline(minutes=1e-9))]
    callbacks = [keras.callbacks.LearningRateScheduler(zigzag), weights]
    history = kf.fit(model, *data, validation_data=data, epochs=20, stop=stop, callbacks=callbacks, **EAGER)
    assert history.stop_reason.startswith("all: plateau: val_loss has not improved by 0 for 2 epochs; deadline: ")
    assert history.best_epoch == 1 + int(np.argmin(history.history["val_loss"])) == 3
    assert_same(model.get_weights(), weights.after[3])


def test_why_a_training_ended_is_data_too(classifier, data) -> None:
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    def enough(rows):
        return "seen enough"

    def ended(**given):
        history = kf.fit(classifier(), *data, epochs=2, **EAGER, **given)
        assert type(history.stop_reason) is str
        assert history.stop == json.loads(json.dumps(history.stop, allow_nan=False))
        return history.stop

    assert ended() == {"rule": "epochs", "epoch": 2, "epochs": 2}
    assert ended(stop=[enough]) == {"rule": "enough", "epoch": 1}
    assert ended(callbacks=[Enough()]) == {"rule": "callback", "epoch": 1, "callbacks": ["Enough"]}
    above = ended(stop=[kf.stop.AllOf(kf.stop.Threshold("accuracy", above=0))])
    assert (above["rule"], above["of"][0]["monitor"], above["of"][0]["above"]) == ("all", "accuracy", 0.0)


@pytest.mark.parametrize("engine", ["eager", "graph"])
def test_a_cost_that_is_spoilt_within_an_epoch_names_the_batch_and_keeps_the_weights_before(
    classifier, data, engine
) -> None:
    class Spoilt(keras.utils.PyDataset):
        """Good in its first pass, with NaN in the third of its five batches from then on."""

        passes = 0

        def __len__(self):
            return 5

        def __getitem__(self, index):
            x = data[0][index * 8 : index * 8 + 8].copy()
            if self.passes > 1 and index == 2:
                x[6, 1] = np.nan
            return x, data[1][index * 8 : index * 8 + 8]

        def on_epoch_begin(self):
            self.passes += 1

    model, weights = classifier(), Weights()
    history = kf.fit(model, Spoilt(), epochs=5, shuffle=False, callbacks=[weights], engine=engine, verbose=0)
    assert len(history.rows) == 2
    assert "divergence: loss is nan in epoch 2, by update 8" in history.stop_reason
    assert history.stop["found"].startswith("batch 3: x has NaN or infinite numbers in 1 of 8 samples: row 6")
    assert history.stop["found"] in history.stop_reason
    assert not np.isfinite(weights.after[2][0]).all()
    assert_same(model.get_weights(), weights.after[1])


def test_the_columns_that_measure_the_loop_can_be_watched(classifier, data) -> None:
    history = kf.fit(classifier(), *data, epochs=5, stop=[kf.stop.Threshold("grad_norm", below=1e9)], **EAGER)
    assert len(history.rows) == 1


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        ("acuracy", "Plateau watches 'acuracy', which this training does not have, did you mean 'accuracy'?"),
        ("val_loss", "there is no validation data"),
        ("val_los", "there is no validation data"),
        ("f2", "there are loss, accuracy"),
    ],
)
def test_a_rule_that_watches_nothing_is_refused_before_training(classifier, data, monitor, words) -> None:
    model = classifier()
    before = model.get_weights()
    with pytest.raises(kf.TrainingError) as refused:
        kf.fit(model, *data, stop=[kf.stop.Plateau(monitor)], **EAGER)
    assert words in str(refused.value)
    assert_same(model.get_weights(), before)
