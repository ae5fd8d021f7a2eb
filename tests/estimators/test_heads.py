"""What the outputs of a given model mean: their losses, widths and number decide."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score

import kerasflow as kf

X, Y = load_iris(return_X_y=True)
PAIR = np.stack([Y, Y == 2], axis=1)
ONE_HOT = np.eye(3, dtype=int)[Y]


def classifier(model=None, **parameters):
    return kf.KerasClassifier(model, **{"epochs": 3, "hidden_layer_sizes": (8,), "random_state": 0, **parameters})


def two_heads(activations=("softmax", "softmax")):
    inputs = keras.Input((4,))
    outputs = [
        keras.layers.Dense(units, activation, name=name)(inputs)
        for units, activation, name in zip((3, 2), activations, ("species", "is_virginica"), strict=True)
    ]
    return keras.Model(inputs, outputs)


def compiled(units, activation, loss):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
    model.compile(loss=loss)
    return model


def test_losses_by_the_names_of_the_outputs_are_each_outputs_own():
    losses = {"is_virginica": "categorical_crossentropy", "species": keras.losses.SparseCategoricalCrossentropy(True)}
    by_name = classifier(two_heads(("linear", "softmax")), loss=losses).fit(X, PAIR)
    in_order = classifier(two_heads(("linear", "softmax")), loss=[losses["species"], losses["is_virginica"]]).fit(
        X, PAIR
    )
    for one, other in zip(by_name.predict_proba(X), in_order.predict_proba(X), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one.sum(axis=1), 1, rtol=1e-5)  # the logits of the first passed the softmax


def test_a_model_with_fewer_outputs_than_y_has_columns_is_refused():
    with pytest.raises(ValueError, match="gives 1 outputs for 2 columns of y; give it an output for each"):
        classifier(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])).fit(X, PAIR)


def test_a_model_that_gives_a_dict_is_refused():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {"a": keras.layers.Dense(3)(inputs), "b": keras.layers.Dense(2)(inputs)})
    with pytest.raises(ValueError, match="gives its outputs as a dict; let it give a list"):
        classifier(model).fit(X, PAIR)


@pytest.mark.parametrize(("units", "loss"), [(1, "hinge"), (2, "categorical_hinge")])
def test_a_model_that_is_compiled_with_a_hinge_loss_gives_margins(units, loss):
    given = classifier(compiled(units, "linear", loss), epochs=60, learning_rate=0.01)
    assert not hasattr(given, "predict_proba")
    estimator = given.fit(X, Y == 2)
    margins = estimator.decision_function(X)
    assert margins.shape == (150,)
    np.testing.assert_array_equal(estimator.predict(X), margins > 0)
    assert roc_auc_score(Y == 2, margins) > 0.8
    assert not hasattr(pickle.loads(pickle.dumps(estimator)), "predict_proba")  # noqa: S301  # our own bytes


LOGITS = [keras.losses.BinaryCrossentropy(from_logits=True), "binary_crossentropy", "auto"]
SPEC = {"layers": [{"dense": 8}, "head"]}


@pytest.mark.parametrize("model", [None, SPEC], ids=["perceptron", "spec"])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", keras.losses.CategoricalHinge], ids=str)
def test_a_head_is_linear_under_a_loss_of_margins(model, loss):
    learned = classifier(model, loss=loss, epochs=30, learning_rate=0.05).fit(X, Y > 0)
    margins = learned.decision_function(X)
    assert margins.min() < 0 < margins.max()
    np.testing.assert_array_equal(learned.predict(X), margins > 0)
    assert learned.score(X, Y > 0) > 0.9


@pytest.mark.parametrize("model", [None, SPEC], ids=["perceptron", "spec"])
@pytest.mark.parametrize("loss", LOGITS, ids=["object", "routed", "auto"])
def test_a_head_is_linear_under_a_loss_of_logits(model, loss, recwarn):
    routed = {} if loss is LOGITS[0] else {"loss__from_logits": True}
    learned = classifier(model, loss=loss, epochs=30, learning_rate=0.05, **routed).fit(X, Y > 0)
    assert learned.score(X, Y > 0) > 0.9
    assert learned.predict_proba(X)[Y == 0, 1].max() < 0.5
    assert not [str(one.message) for one in recwarn if "from_logits" in str(one.message)]  # which Keras would say


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), Y),
        ("categorical_crossentropy", ONE_HOT),
        (keras.losses.CategoricalCrossentropy(from_logits=True), ONE_HOT),
        ("sparse_categorical_crossentropy", Y > 0),
        ("categorical_crossentropy", Y > 0),
    ],
    ids=["logits of classes", "one-hot", "logits of one-hot", "labels of two", "one-hot of two"],
)
def test_a_head_gives_classes_that_exclude_each_other_where_its_loss_wants_them(loss, y):
    learned = classifier(loss=loss, epochs=60, learning_rate=0.05).fit(X, y)
    np.testing.assert_allclose(learned.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert learned.score(X, y) > 0.9


@pytest.mark.parametrize(
    "loss",
    [
        [keras.losses.SparseCategoricalCrossentropy(from_logits=True), "categorical_crossentropy"],
        {"output_1": "categorical_crossentropy", "output_0": keras.losses.SparseCategoricalCrossentropy(True)},
    ],
    ids=["in order", "by name"],
)
def test_each_head_of_several_is_what_its_own_loss_wants(loss):
    learned = classifier(loss=loss, epochs=60, learning_rate=0.05).fit(X, PAIR)
    assert [(head.width, head.activation) for head in learned._fitted.heads] == [(3, "linear"), (2, "softmax")]
    for found in learned.predict_proba(X):
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert learned.score(X, PAIR) > 0.9


def test_labels_side_by_side_are_there_where_their_margins_are_above_nought():
    labels = np.stack([Y > 0, Y > 1], axis=1).astype(int)
    learned = classifier(loss="hinge", epochs=60, learning_rate=0.05).fit(X, labels)
    np.testing.assert_array_equal(learned.predict(X), learned.decision_function(X) > 0)
    assert learned.score(X, labels) > 0.9


def test_what_a_callable_compiles_with_a_hinge_loss_is_known_once_it_is_fitted():
    estimator = classifier(lambda: compiled(1, "linear", "hinge")).fit(X, Y == 2)
    assert hasattr(estimator, "decision_function")
    assert not hasattr(estimator, "predict_proba")


@pytest.mark.parametrize("loss", ["auto", "categorical_crossentropy"])
def test_one_hot_labels_learned_by_a_softmax_come_back_one_hot(loss):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    estimator = classifier(model, loss=loss, epochs=60, learning_rate=0.05).fit(X, ONE_HOT)
    found = estimator.predict(X)
    np.testing.assert_array_equal(found, np.eye(3)[estimator.predict_proba(X).argmax(1)])
    assert found.dtype == ONE_HOT.dtype
    assert estimator.score(X, ONE_HOT) > 0.9


@pytest.mark.parametrize("from_logits", [False, True])
def test_sigmoids_of_classes_that_exclude_each_other_sum_to_one(from_logits):
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, None if from_logits else "sigmoid")])
    learned = classifier(model, loss=loss, epochs=60, learning_rate=0.05).fit(X, Y)
    np.testing.assert_allclose(learned.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert roc_auc_score(Y, learned.predict_proba(X), multi_class="ovr") > 0.9


@pytest.mark.parametrize("losses", [[], ["hinge", "hinge"]], ids=["none", "two"])
def test_as_many_losses_as_outputs_are_asked_for(losses):
    with pytest.raises(kf.TrainingError, match=f"loss is a list of {len(losses)}, and the model has 1 outputs"):
        classifier(loss=losses).fit(X, Y > 0)


def test_labels_side_by_side_keep_their_own_probabilities():
    found = classifier(epochs=1).fit(X, ONE_HOT).predict_proba(X)
    assert np.abs(found.sum(axis=1) - 1).max() > 0.01  # sigmoids, no softmax


class TestClassesOfPartialFit:
    def test_of_several_outputs_are_lists(self):
        estimator = classifier().partial_fit(X[:50], PAIR[:50], classes=[[0, 1, 2], [0, 1]])
        estimator.partial_fit(X[100:], PAIR[100:])
        assert [len(labels) for labels in estimator.classes_] == [3, 2]

    def test_must_stay_what_they_were(self):
        estimator = classifier().partial_fit(X, Y, classes=[0, 1, 2, 3])
        with pytest.raises(ValueError, match="is not the same as on last call to partial_fit, was: "):
            estimator.partial_fit(X, Y, classes=[0, 1, 2])
        estimator.partial_fit(X, Y, classes=[3, 2, 1, 0])
        assert estimator.n_iter_ == 2

    def test_of_several_outputs_are_asked_for_as_lists(self):
        with pytest.raises(ValueError, match=r"a list with the labels of each of the 2 outputs, such as \[\[0, 1\]"):
            classifier().partial_fit(X, PAIR, classes=[0, 1, 2])


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_training_does_not_go_on_with_another_number_of_outputs(way):
    estimator = classifier(warm_start=True).fit(X, PAIR)
    with pytest.raises(ValueError, match=r"y has shape \(150,\), but was fitted with 2 outputs"):
        estimator.partial_fit(X, Y) if way == "partial_fit" else estimator.fit(X, Y)


class Waiting(keras.Model):
    """Tells of its outputs only when it is called."""

    def __init__(self, units=3, activation=None):
        super().__init__()
        self.last = keras.layers.Dense(units, activation)

    def call(self, x):
        return self.last(x)


class TestModelsThatTellOfTheirOutputsWhenCalled:
    def test_are_held_to_the_number_of_classes(self):
        with pytest.raises(ValueError, match="gives 5 outputs for 3 classes; give it 3 units"):
            classifier(Waiting, model__units=5, model__activation="softmax").fit(X, Y)

    def test_are_held_to_the_number_of_targets(self):
        with pytest.raises(ValueError, match="gives 3 outputs for 1 targets"):
            kf.KerasRegressor(Waiting, epochs=1).fit(X, Y)

    @pytest.mark.parametrize(("units", "activation"), [(1, "sigmoid"), (2, "softmax")])
    def test_learn_two_classes_by_one_number_or_two(self, units, activation):
        learned = classifier(
            Waiting, model__units=units, model__activation=activation, epochs=60, learning_rate=0.05
        ).fit(X, Y > 0)
        assert learned.score(X, Y > 0) > 0.9

    @pytest.mark.parametrize(("units", "y"), [(1, Y > 0), (3, Y)], ids=["two classes", "three"])
    def test_are_refused_where_they_give_logits_that_no_loss_is_told_of(self, units, y):
        with pytest.raises(kf.TrainingError, match=r"takes probabilities; end the model with a s.*from_logits=True"):
            classifier(Waiting, model__units=units).fit(X, y)

    def test_learn_logits_by_a_loss_that_takes_them(self):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        learned = classifier(Waiting, loss=loss, epochs=60, learning_rate=0.05).fit(X, Y)
        np.testing.assert_allclose(learned.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
        assert learned.score(X, Y) > 0.9

    def test_follow_from_the_seed(self):
        first, second = (classifier(Waiting, model__activation="softmax").fit(X, Y) for _ in range(2))
        np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_sigmoids_are_refused_where_the_loss_takes_one_class_of_several():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "sigmoid")])
    with pytest.raises(kf.TrainingError, match=r"outputs of one sample sum to .*; end the model with a softmax"):
        classifier(model).fit(X, Y)


class TestHingeLossesOfSeveralOutputs:
    def test_give_a_list_of_margins(self):
        learned = classifier(loss="hinge", epochs=60, learning_rate=0.05).fit(X, PAIR)
        species, is_virginica = learned.decision_function(X)
        assert species.shape == (150, 3)
        np.testing.assert_array_equal(learned.predict(X), np.stack([species.argmax(axis=1), is_virginica > 0], axis=1))
        assert learned.score(X, PAIR) > 0.9

    def test_and_other_losses_give_labels_alone(self):
        learned = classifier(loss=["sparse_categorical_crossentropy", "hinge"], epochs=60, learning_rate=0.05)
        learned.fit(X, PAIR)
        assert not hasattr(learned, "predict_proba")
        assert not hasattr(learned, "decision_function")
        assert learned.score(X, PAIR) > 0.9

    @pytest.mark.parametrize("loss", [["hinge", "hinge"], {"a": "hinge", "b": "hinge"}], ids=["list", "dict"])
    def test_are_known_before_the_first_fit(self, loss):
        assert not hasattr(classifier(loss=loss), "predict_proba")
        assert hasattr(classifier(loss=loss), "decision_function")


def one_head_for_each(units, activation=None):
    inputs = keras.Input((4,))
    return keras.Model(
        inputs, [keras.layers.Dense(n, activation, name=f"head_{i}")(inputs) for i, n in enumerate(units)]
    )


class TestHeadsThatShareTheColumnsOfTheTarget:
    THREE = np.stack([X[:, 2], X[:, 0], X[:, 1]], axis=1)

    @pytest.mark.parametrize("loss", ["auto", {"head_0": "mae", "head_1": "mse"}, ["mae", "mse"]], ids=str)
    def test_of_quantities_predict_what_one_head_does(self, loss):
        model = one_head_for_each((1, 2))
        learned = kf.KerasRegressor(model, loss=loss, epochs=60, learning_rate=0.05, random_state=0)
        learned.set_params(validation_fraction=0.1).fit(X, self.THREE)
        assert learned.predict(X).shape == (150, 3)
        assert learned.score(X, self.THREE) > 0.8

    def test_of_labels_predict_what_one_head_does(self):
        labels = np.stack([Y == 0, Y == 1, Y == 2], axis=1).astype(int)
        learned = classifier(one_head_for_each((1, 1, 1), "sigmoid"), epochs=60, learning_rate=0.05).fit(X, labels)
        assert learned.predict_proba(X).shape == (150, 3)
        assert (learned.predict(X)[:, 0] == labels[:, 0]).mean() > 0.9

    def test_of_a_spec_have_one_number_each(self):
        spec = {
            "layers": [
                {"dense": 8, "name": "trunk"},
                {"head": None, "name": "long", "inputs": ["trunk"]},
                {"head": None, "name": "wide", "inputs": ["trunk"]},
            ],
            "outputs": ["long", "wide"],
        }
        learned = kf.KerasRegressor(spec, epochs=60, learning_rate=0.05, random_state=0).fit(X, X[:, :2])
        assert learned.score(X, X[:, :2]) > 0.8

    def test_are_refused_where_they_give_another_number(self):
        with pytest.raises(ValueError, match=r"the model's 2 outputs give 1 \+ 1 outputs for 3 targets"):
            kf.KerasRegressor(one_head_for_each((1, 1)), epochs=1).fit(X, self.THREE)
