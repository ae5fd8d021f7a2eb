"""Training in stages, against Keras' own fit on the whole frozen network."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerasflow as kf
from kerasflow.data.images import ImageFiles
from kerasflow.training.checkpoint import Checkpoints
from kerasflow.transfer.chain import fixed_part, rest_behind, with_frozen_at_rest
from kerasflow.transfer.freezing import freeze
from kerasflow.transfer.stages import Stage, StagedTrainer

LAYERS = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(1, 2, (40, 6)).astype("float32")
Y = (X.sum(axis=1) > 6).astype("int64")
LOSS = "sparse_categorical_crossentropy"


def network(*before, dropout=0.0):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    hidden = LAYERS.Dense(8, "relu", name="low")(inputs)
    hidden = LAYERS.BatchNormalization(name="norm")(hidden)
    hidden = LAYERS.Dropout(dropout, seed=1, name="drop")(hidden) if dropout else hidden
    backbone = keras.Model(inputs, LAYERS.Dense(7, "relu", name="high")(hidden), name="backbone")
    return keras.Sequential([keras.Input((6,)), *before, backbone, LAYERS.Dense(2, "softmax", name="head")])


def trainer(**parameters):
    given = {"optimizer": "adam", "loss": LOSS, "metrics": ["accuracy"], "batch_size": 8, "seed": None, "verbose": 0}
    return kf.Trainer(**given | {"engine": "graph"} | parameters)


def staged(stages, model=None, **parameters):
    model = network() if model is None else model
    history = StagedTrainer(trainer(), stages).fit(model, X, Y, **parameters)
    return model, history


def staged_with(optimizer):
    return StagedTrainer(trainer(optimizer=optimizer), [Stage(1)]).check(network(), X, Y)


def by_keras(model, stages):
    """The same stages by Keras' own fit; each begins with a new optimizer."""
    for epochs, rate, unfreeze in stages:
        freeze(model, unfreeze)
        model.compile(keras.optimizers.SGD(rate), LOSS)
        model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def test_stages_end_where_keras_ends_with_the_same_layers_frozen():
    stages = [Stage(2, 0.05), Stage(3, 0.01, unfreeze=["high"])]
    model = network()
    StagedTrainer(trainer(optimizer="sgd"), stages).fit(model, X, Y)
    expected = by_keras(network(), [(2, 0.05, ()), (3, 0.01, ["high"])])
    for mine, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_one_history_counts_epochs_updates_and_stages_on():
    seen = []
    _, history = staged([Stage(2), Stage(1, 1e-4, ["*"])], validation=(X, Y), on_epoch=seen.append)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]
    assert [row["updates"] for row in history.rows] == [5, 10, 15]
    assert [row["stage"] for row in history.rows] == [1, 1, 2]
    assert [row["trainable"] for row in history.rows] == [16, 16, 56 + 16 + 63 + 16]
    assert [row["trainable"] + row["frozen"] for row in history.rows] == [network().count_params()] * 3
    assert [row["lr"] for row in history.rows] == pytest.approx([1e-3, 1e-3, 1e-4])
    assert seen == history.rows
    assert history.stop_reason.startswith("stage 1: epochs: ")
    assert history.best_epoch == 1 + int(np.argmin([row["val_loss"] for row in history.rows]))


def test_layers_learn_at_rates_of_their_own():
    """Gradients of one update of SGD are the steps over the rates."""
    before = network()
    model = network()
    stage = Stage(1, 0.1, ["*"], rates={"low": 0.1, "back*": 0.5})
    StagedTrainer(trainer(optimizer="sgd", batch_size=40), [stage]).fit(model, X, Y)
    plain = network()
    StagedTrainer(trainer(optimizer="sgd", batch_size=40), [Stage(1, 0.1, ["*"])]).fit(plain, X, Y)
    for path, factor in (("low", 0.1), ("high", 0.5), ("head", 1.0)):
        start, mine, full = (_kernel(m, path) for m in (before, model, plain))
        np.testing.assert_allclose(mine - start, factor * (full - start), rtol=1e-3, atol=1e-6)


def _kernel(model, name):
    owner = model if name == "head" else model.get_layer("backbone")
    return owner.get_layer(name).kernel.numpy()


def test_what_stays_keeps_its_moments():
    """Two stages that freeze the same are one stage."""
    one, _ = staged([Stage(4, 0.01)])
    two, _ = staged([Stage(2, 0.01), Stage(2, 0.01)])
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class TestTheFixedPart:
    def test_is_computed_once_for_each_sample(self):
        passes = []

        class Counting(LAYERS.Layer):
            def call(self, x):
                passes.append(x.shape)
                return x

        model = network(Counting())
        StagedTrainer(trainer(engine="eager"), [Stage(20)]).fit(model, X, Y)
        assert sum(shape[0] or 0 for shape in passes) <= 3 * len(X)  # its making and the check among them

    def test_lets_images_on_disk_be_decoded_once(self, tmp_path):
        files = [tmp_path / f"{place}.png" for place in range(12)]
        for file in files:
            Image.fromarray(RNG.integers(0, 256, (2, 3), dtype=np.uint8)).save(file)
        decoded = []

        class Images(ImageFiles):
            def __getitem__(self, index):
                decoded.extend(self.take(index).files)
                return super().__getitem__(index)

        def fitted(x):
            model = keras.Sequential([keras.Input((2, 3, 1)), LAYERS.Flatten(), *network().layers])
            history = StagedTrainer(trainer(), [Stage(5)]).fit(model, x, Y[:12], validation=(x, Y[:12]))
            return model.get_weights(), history["val_loss"]

        images = Images(tuple(files), (2, 3), "grayscale")
        weights, curve = fitted(images)
        seen = len(decoded)
        assert seen < 3 * len(files)  # for the training, for the validation, and two here and there to check shapes
        expected, expected_curve = fitted(images[:])
        for mine, theirs in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert curve == expected_curve

    def test_of_a_dataset_is_computed_as_its_batches_come(self):
        held_out = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
        _, history = staged([Stage(2)], validation=held_out)
        _, expected = staged([Stage(2)], validation=(X, Y))
        np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-5)

    def test_ends_before_what_learns_or_draws(self):
        model = network()
        freeze(model)
        assert fixed_part(model).output_shape == (None, 7)
        assert rest_behind(model, fixed_part(model)).input_shape == (None, 7)
        freeze(model, ["high"])
        assert fixed_part(model) is None
        augmented = network(LAYERS.GaussianNoise(0.1))
        freeze(augmented)
        assert fixed_part(augmented) is None

    def test_with_the_rest_is_the_model(self):
        model = network()
        freeze(model)
        fixed = fixed_part(model)
        np.testing.assert_array_equal(rest_behind(model, fixed)(fixed(X)), model(X))

    def test_a_frozen_backbone_runs_in_inference_even_where_it_is_computed_anew(self):
        model = network(LAYERS.GaussianNoise(0.0), dropout=0.5)
        freeze(model)
        at_rest = with_frozen_at_rest(model)
        np.testing.assert_array_equal(at_rest(X, training=True), model(X, training=False))

    def test_a_graph_that_branches_is_trained_whole(self):
        inputs = keras.Input((6,))
        backbone = keras.Sequential([keras.Input((6,)), LAYERS.Dense(4)], name="backbone")
        merged = LAYERS.Concatenate()([backbone(inputs), inputs])
        model = keras.Model(inputs, LAYERS.Dense(2, "softmax")(merged))
        _, history = staged([Stage(2)], model)
        assert len(history.rows) == 2


def test_a_training_that_was_killed_between_stages_ends_in_the_same_bits(tmp_path):
    stages = [Stage(2, 0.01), Stage(2, 0.001, ["*"])]

    class Killed(Exception):
        pass

    def kill(row):
        if row["epoch"] == 3:
            raise Killed

    whole, history = staged(stages)
    again = [Checkpoints(tmp_path / "c", apart=0.0, share=1e9) for _ in range(2)]
    with pytest.raises(Killed):
        staged(stages, checkpoints=again[0], on_epoch=kill)
    rows = []
    resumed, joined = staged(stages, checkpoints=again[1], on_epoch=rows.append)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [row["epoch"] for row in rows] == [3, 4]
    assert [row["loss"] for row in joined.rows] == [row["loss"] for row in history.rows]
    assert [row["epoch"] for row in again[1].rows()] == [1, 2, 3, 4]
    again[1].clear()
    assert not (tmp_path / "c").exists()


def penalized(**penalty):
    backbone = keras.Sequential([keras.Input((6,)), LAYERS.Dense(8, "relu", **penalty)], name="backbone")
    return keras.Sequential([keras.Input((6,)), backbone, LAYERS.Dense(2, "softmax", name="head")])


def test_the_cost_counts_the_penalties_of_frozen_weights_so_that_stages_are_comparable():
    model = penalized(kernel_regularizer=keras.regularizers.L2(1.0))
    penalty = float((model.get_layer("backbone").layers[0].kernel.numpy() ** 2).sum())
    staging = StagedTrainer(trainer(), [Stage(1, 1e-6), Stage(1, 1e-6, ["*"]), Stage(1, 1e-6)])
    history = staging.fit(model, X, Y, validation=(X, Y))
    for name in ("loss", "val_loss"):
        values = [row[name] for row in history.rows]
        assert min(values) > penalty
        np.testing.assert_allclose(values, values[0], rtol=1e-3)
    tested = staging.evaluate(model, X, Y)["loss"]
    np.testing.assert_allclose(tested, history.rows[-1]["val_loss"], rtol=1e-5)


def test_what_a_frozen_layer_adds_to_the_cost_by_its_outputs_is_not_computed_away():
    model = penalized(activity_regularizer=keras.regularizers.L2(1.0))
    _, history = staged([Stage(1, 1e-6)], model)
    freeze(model)
    model.compile(keras.optimizers.SGD(1e-6), LOSS)
    expected = model.evaluate(X, Y, batch_size=8, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(history.rows[0]["loss"], expected, rtol=1e-3)


def test_layers_that_have_nothing_to_learn_are_no_trouble():
    layers = [LAYERS.BatchNormalization(center=False, scale=False), LAYERS.Dense(2, "softmax")]
    _, history = staged([Stage(1)], keras.Sequential([keras.Input((6,)), network().layers[0], *layers]))
    assert history.rows[0]["trainable"] == 7 * 2 + 2


def test_a_normalization_without_weights_still_learns_its_statistics():
    layers = [network().layers[0], LAYERS.BatchNormalization(center=False, scale=False), LAYERS.Dense(2, "softmax")]
    model, _ = staged([Stage(2)], keras.Sequential([keras.Input((6,)), *layers]))
    assert np.abs(model.layers[1].moving_mean.numpy()).max() > 0


def test_the_best_epoch_is_the_one_whose_weights_the_model_ends_with():
    stop = [kf.stop.Plateau("val_loss", patience=9, restore_best=True)]
    stages = [Stage(3, 0.05), Stage(3, 5.0, ["*"])]  # the second spoils what the first has learned
    model = network()
    history = StagedTrainer(trainer(stop=stop), stages).fit(model, X, Y, validation=(X, Y))
    assert history.best_epoch > 3
    cost = keras.losses.sparse_categorical_crossentropy(Y, model(X)).numpy().mean()
    np.testing.assert_allclose(history.best["val_loss"], cost, rtol=1e-4)


def test_ten_stages_keep_their_order(tmp_path):
    saved = Checkpoints(tmp_path / "c", apart=0.0, share=1e9)
    staged([Stage(1)] * 11, checkpoints=saved)
    assert [row["stage"] for row in saved.rows()] == list(range(1, 12))


def test_a_stage_ends_by_its_own_rule_and_the_next_begins():
    stop = [kf.stop.Threshold("loss", below=1e9)]
    _, history = staged([Stage(5, stop=stop), Stage(1, 1e-4, ["*"])])
    assert [row["stage"] for row in history.rows] == [1, 2]


def test_what_a_stage_does_is_told_as_it_begins(capsys):
    StagedTrainer(trainer(verbose=2), [Stage(1)]).fit(network(), X, Y)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "Stage 1 of 1: 1 layers learn, 16 weights; 151 are frozen. Learning rate 0.001."
    assert second.startswith("epoch 1/1 - ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stage(1, -1.0), "learning_rate of a stage must be a number above 0, got -1.0"),
        (lambda: Stage(1, "1e-3"), "learning_rate of a stage must be a number above 0, got '1e-3'"),
        (lambda: Stage(1, rates={"low": 0.0}), "low of a stage must be a number above 0"),
        (lambda: Stage(0), "epochs of a stage must be an integer >= 1, got 0"),
        (lambda: Stage(1, unfreeze="block_*"), r"unfreeze must be a list of patterns, got the text .*; write \['bl"),
        (lambda: StagedTrainer(trainer(), []), "needs at least one stage"),
        (lambda: StagedTrainer(trainer(), [Stage(1, unfreeze=["hihg"])]).check(network(), X, Y), "did you mean.*high"),
        (lambda: StagedTrainer(trainer(), [Stage(1, rates={"x": 2})]).check(network(), X, Y), "rates: no layer is na"),
        (lambda: StagedTrainer(trainer(), [Stage(1, rates={"x": 2})]).fit(network(), X, Y), "rates: no layer is na"),
        (
            lambda: StagedTrainer(trainer(callbacks=[keras.callbacks.ModelCheckpoint("x.keras")]), [Stage(1)]),
            "ModelCheckpoint would see the part of the model that a stage trains",
        ),
        (
            lambda: staged_with(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9))),
            "the optimizer has a schedule; give a number",
        ),
    ],
)
def test_a_stage_that_cannot_be_is_told(make, message):
    with pytest.raises(kf.TrainingError, match=message):
        make()
