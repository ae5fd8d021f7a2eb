"""What cannot train is refused in one sentence, before a weight moves."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf

EAGER = {"engine": "eager", "verbose": 0}
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = np.arange(40) % 3
SGD = keras.optimizers.SGD


def dataset(**_):
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def spoilt(array, value, *rows):
    """The array as floats, with a number that is not finite in some rows."""
    spoilt = array.astype("float32")
    spoilt[list(rows)] = value
    return spoilt


REFUSED = {
    "a micro-batch larger than the batch": ({}, (X, Y), {"batch_size": 8, "micro_batch_size": 9}, "micro_batch_size=9"),
    "a batch of nothing": ({}, (X, Y), {"batch_size": 0}, "batch_size=0"),
    "lengths that differ": ({}, (X, Y[:30]), {}, "as many samples each, got 40 in x, 30 in y"),
    "weights of another length": ({}, (X, Y), {"sample_weight": np.ones(3)}, "got 40 in x, 40 in y, 3 in weights"),
    "no samples": ({}, (X[:0], Y[:0]), {}, "no samples"),
    "a number for x": ({}, (5.0, Y), {}, "expected an array of shape (n_samples, ...)"),
    "objects": ({}, (np.array([[None] * 4] * 40), Y), {}, "numbers or text of one kind"),
    "text where numbers are due": ({}, (X, np.array(list("abcd") * 10)), {}, "Cast string to float"),
    "no targets": ({}, (X,), {}, "no y was given"),
    "no cost": ({"loss": None}, (X, Y), {}, "no cost to lower"),
    "inputs of another width": ({}, (X[:, :3], Y), {}, "samples of shape (3,)"),
    "targets of another width": (
        {"loss": "categorical_crossentropy"},
        (X, np.eye(4)[Y]),
        {},
        "a target has shape (4,), the model's output (3,)",
    ),
    "validation of another width": (
        {},
        (X, Y),
        {"validation_data": (X[:, :2], Y)},
        "validation data: the model cannot",
    ),
    "labels from 1 on": (
        {},
        (X, Y + 1),
        {},
        "row 2 of y (counted from 0) has the label 3, but the model has 3 outputs, so labels are 0 to 2; they begin",
    ),
    "more labels than outputs": ({}, (X, np.arange(40) % 5), {}, "row 3 of y (counted from 0) has the label 3, but"),
    "labels from 1 on, of the first samples": ({}, (X, 3 - Y), {}, "row 0 of y (counted from 0) has the label 3, but"),
    "labels with NaN among them": ({}, (X, spoilt(Y, np.nan, 4)), {}, "y has NaN or infinite numbers in 1 of 40"),
    "a label below 0 in a column": ({}, (X, np.r_[Y[:39], -1][:, None]), {}, "row 39 of y (counted from 0) has the"),
    "validation labels that the model lacks": (
        {},
        (X, Y),
        {"validation_data": (X, np.r_[Y[:39], 7])},
        "validation data: row 39 of y (counted from 0) has the label 7",
    ),
    "validation data of other lengths": (
        {},
        (X, Y),
        {"validation_data": (X, Y[:30])},
        "validation data: x, y and weights must have as many samples each, got 40 in x, 30 in y",
    ),
    "an empty validation dataset": ({}, (X, Y), {"validation_data": dataset().take(0)}, "validation data: the dataset"),
    "labels for a loss of one-hot rows": (
        {"loss": "categorical_crossentropy"},
        (X, Y),
        {},
        "the model's output (3,) (integer labels go with sparse_categorical_crossentropy)",
    ),
    "one-hot rows for a loss of labels": (
        {},
        (X, np.eye(3)[Y]),
        {},
        "the model's output (3,) (one number for each output goes with categorical_crossentropy, or with mse)",
    ),
    "a dataset of single samples": (
        {},
        (dataset().unbatch(),),
        {},
        "gives single samples, not batches; call its .batch",
    ),
    "accumulation in the optimizer": (
        {"optimizer": SGD(gradient_accumulation_steps=4)},
        (X, Y),
        {},
        "give micro_batch_size instead",
    ),
    "targets given twice": ({}, (dataset(), Y), {}, "pass the dataset alone"),
    "a dataset without end": ({}, (dataset().repeat(),), {}, "never ends; give steps_per_epoch"),
    "an empty dataset": ({}, (dataset().take(0),), {}, "the dataset has no batch"),
    "a split of a dataset": ({}, (dataset(),), {"validation_split": 0.2}, "validation_split cuts arrays"),
    "a split that leaves nothing": ({}, (X, Y), {"validation_split": 0.999}, "leaves a part empty"),
    "an engine that is none": ({}, (X, Y), {"engine": "grpah"}, "did you mean 'graph'?"),
    "a policy that is none": ({}, (X, Y), {"batch_norm": "froze"}, "did you mean 'frozen'?"),
    "no epochs": ({}, (X, Y), {"epochs": 0}, "epochs must be an integer >= 1, got 0"),
    "NaN in x": (
        {},
        (spoilt(X, np.nan, 3, 7, 20, 21), Y),
        {},
        "x has NaN or infinite numbers in 4 of 40 samples: rows 3, 7, 20, ... (counted from 0); fill them in, or leave",
    ),
    "infinity in y": ({"loss": "mse"}, (X, spoilt(np.eye(3)[Y], np.inf, 39)), {}, "y has NaN or infinite numbers in 1"),
    "NaN in weights": ({}, (X, Y), {"sample_weight": spoilt(np.ones(40), np.nan, 0)}, "sample_weight has NaN"),
    "NaN in validation data": (
        {},
        (X, Y),
        {"validation_data": (spoilt(X, -np.inf, 5), Y)},
        "validation data: x has NaN or infinite numbers in 1 of 40 samples: row 5 (counted from 0)",
    ),
    "a column against three outputs": (
        {"loss": "mse"},
        (X, Y[:, None]),
        {},
        "number by number, but a target has shape (1,) and the model's output (3,)",
    ),
    "validation targets that are a column": (
        {"loss": keras.losses.Huber()},
        (X, np.eye(3)[Y]),
        {"validation_data": (X, Y[:, None])},
        "validation data: the loss 'huber_loss' compares target and output",
    ),
    "a rule that is a word": ({}, (X, Y), {"stop": ["plateau"]}, "stop takes rules such as kf.stop.Plateau"),
    "a rule inside another that watches nothing": (
        {},
        (X, Y),
        {"stop": [kf.stop.AllOf(kf.stop.Deadline(1), kf.stop.AnyOf(kf.stop.Threshold("val_loss", below=1)))]},
        "Threshold watches 'val_loss', which this training does not have; there is no validation data",
    ),
    "a word for verbose": ({}, (X, Y), {"verbose": "loud"}, "verbose must be one of auto, 0, 1, 2"),
}


def failing(batches, error):
    for _ in range(batches):
        yield X[:8], Y[:8]
    raise error("the disk is gone")


def masked_labels(y, p):
    return keras.ops.sparse_categorical_crossentropy(keras.ops.maximum(y, 0), p) * keras.ops.cast(y >= 0, p.dtype)


masked_labels.__name__ = "sparse_categorical_crossentropy"


@pytest.mark.parametrize("loss", [keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), masked_labels])
def test_labels_that_the_loss_minds_are_its_own_matter(classifier, loss) -> None:
    history = kf.fit(classifier(loss=loss, metrics=[]), X, Y - 1, verbose=0)
    assert np.isfinite(history.rows[0]["loss"])


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence_before_a_weight_moves(classifier, case) -> None:
    compiling, given, settings, words = REFUSED[case]
    model = classifier(**compiling)
    before = model.get_weights()
    with pytest.raises(kf.TrainingError) as refused:
        kf.fit(model, *given, **(EAGER | {"shuffle": False} | settings))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("error", [OSError, ValueError])
@pytest.mark.parametrize("batches", [0, 2])
@pytest.mark.parametrize("engine", ["graph", "eager"])
def test_code_of_the_users_that_fails_within_tensorflow_is_named(classifier, engine, batches, error) -> None:
    kinds = tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int64)
    stream = tf.data.Dataset.from_generator(lambda: failing(batches, error), output_signature=kinds)
    with pytest.raises(kf.TrainingError, match=f"has failed: {error.__name__}: the disk is gone$") as refused:
        kf.fit(classifier(), stream, engine=engine, verbose=0)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("engine", ["graph", "eager"])
def test_a_label_that_comes_late_in_a_stream_is_named(classifier, engine) -> None:
    stream = tf.data.Dataset.from_tensor_slices((X, np.r_[Y[:39], 9])).batch(8)
    for given in ({"x": stream}, {"x": X, "y": Y, "validation_data": stream}):
        with pytest.raises(kf.TrainingError, match="a target is the label 9, and labels are 0 to 2 here") as refused:
            kf.fit(classifier(), **given, engine=engine, verbose=0)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("engine", ["eager", "graph", "xla"])
def test_another_shape_midway_is_one_sentence(classifier, engine) -> None:
    def batches(*more):
        return iter([(X[:8], np.eye(3)[Y[:8]]), *more])

    model = classifier(loss="mse", metrics=[])
    column = (X[:8], Y[:8, None].astype("float64"))
    with pytest.raises(kf.TrainingError, match=r"target has shape \(1,\) and the model's output \(3,\)"):
        kf.fit(model, batches(column), verbose=0, engine=engine)
    with pytest.raises(kf.TrainingError, match=r"refuses a batch of samples of shape \(2,\): .*to have value 4"):
        kf.fit(model, batches((X[:8, :2], column[1])), verbose=0, engine=engine)


def test_shapes_that_only_a_program_sees_are_compared_when_it_runs(classifier) -> None:
    def batches():
        yield X[:8], np.eye(3, dtype="float32")[Y[:8]]
        yield X[:8], Y[:8, None].astype("float32")

    signature = (tf.TensorSpec((None, 4)), tf.TensorSpec((None, None)))
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    with pytest.raises(kf.TrainingError, match=r": the loss 'mse' compares .* that differ in shape$"):
        kf.fit(classifier(loss="mse", metrics=[]), data, verbose=0, engine="graph")


def test_targets_that_a_loss_may_compare_so_are_not_refused(classifier) -> None:
    def own(y_true, y_pred):
        return tf.reduce_mean(tf.square(tf.cast(y_true, "float32") - y_pred), axis=-1)  # broadcasts, and means it

    one = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    one.compile("sgd", "mse")
    for targets in (Y, Y[:, None]):
        kf.fit(one, X, targets, **EAGER)
    for loss in (own, "sparse_categorical_crossentropy"):
        for targets in (Y, Y[:, None]) if isinstance(loss, str) else (Y[:, None],):
            kf.fit(classifier(loss=loss, metrics=[]), X, targets, **EAGER)


class InPython(keras.layers.Layer):
    """A layer that no compiler can see into."""

    def call(self, x):
        return tf.ensure_shape(tf.py_function(lambda value: 2 * value, [x], "float32"), x.shape)


def test_an_engine_that_cannot_compile_the_model_says_so() -> None:
    model = keras.Sequential([keras.Input((4,)), InPython(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(
        kf.TrainingError,
        match=r"engine 'xla' cannot run this model; give 'graph' or 'auto': it has no kernel for EagerPyFunc$",
    ):
        kf.fit(model, X, Y, engine="xla", verbose=0)
    assert len(kf.fit(model, X, Y, engine="graph", verbose=0).rows) == 1


def test_a_generator_that_ends_says_what_to_give_instead(classifier) -> None:
    def batches():
        return iter(list(dataset()))

    with pytest.raises(kf.TrainingError, match="no batch in epoch 2; a generator passes only once"):
        kf.fit(classifier(), batches(), epochs=2, **EAGER)
    with pytest.raises(kf.TrainingError, match="ended within epoch 2, which needs 3 batches"):
        kf.fit(classifier(), batches(), epochs=2, steps_per_epoch=3, **EAGER)
    with pytest.raises(kf.TrainingError, match="no batch to evaluate; a generator passes only once"):
        kf.fit(classifier(), X, Y, epochs=2, validation_data=batches(), **EAGER)


def test_a_model_that_is_not_compiled_or_none_at_all() -> None:
    with pytest.raises(kf.TrainingError, match="not compiled"):
        kf.fit(keras.Sequential([keras.layers.Dense(1)]), X, Y)
    with pytest.raises(kf.TrainingError, match=r"expected a keras\.Model, got list"):
        kf.Trainer(loss="mse").fit([], X, Y)


def test_the_trainer_checks_without_training(classifier) -> None:
    model = classifier()
    before = model.get_weights()
    trainer = kf.Trainer(loss="sparse_categorical_crossentropy", stop=[kf.stop.Plateau("val_loss")], verbose=0)
    trainer.check(model, X, Y, validation=(X, Y))
    with pytest.raises(kf.TrainingError, match="there is no validation data"):
        trainer.check(model, X, Y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
