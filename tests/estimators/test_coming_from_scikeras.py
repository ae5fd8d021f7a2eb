"""What SciKeras documents runs with only the import changed, and the page for those who come from it says what is so.

The snippets are those of SciKeras' notebooks and pages, told anew: as they call the estimators, with fewer samples and
epochs, a seed where they have none, and what Keras 3 and scikit-learn dropped replaced as the page's table says. Where
SciKeras downloads MNIST, scikit-learn's digits stand in.
"""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_diabetes,
    load_digits,
    load_iris,
    make_classification,
    make_moons,
    make_multilabel_classification,
)
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

import kerasflow as kf
from kerasflow import KerasClassifier, KerasRegressor

PAGE = Path(__file__).parents[2] / "docs" / "coming_from_scikeras.md"
TESTED: set[tuple[str, str]] = set()


def row(section: str, *cells: str) -> Any:
    """Says of which rows of the page, by their first cells, a test is."""
    TESTED.update((section, cell) for cell in cells)
    return lambda test: test


PARAMETERS, PREFIXES, ARGUMENTS = "Constructor parameters", "Routed prefixes", "Arguments of the callable"
ATTRIBUTES, METHODS, ENCODERS, SAVING = "Attributes", "Methods", "Encoders", "Saving"
GONE = "What SciKeras' documentation shows and no longer runs"
KERAS = "`keras.wrappers` of Keras 3"

NAMES = np.array(["no", "yes"])
ONCE = ShuffleSplit(1, test_size=0.3, random_state=0)


@pytest.fixture(scope="module")
def two() -> tuple[np.ndarray, np.ndarray]:
    """Two classes that a line parts well."""
    X, y = make_classification(80, 6, n_informative=4, n_redundant=0, class_sep=2.0, random_state=0)
    return X.astype("float32"), y


@pytest.fixture(scope="module")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(80, 6)).astype("float32")
    return X, (X @ np.arange(1, 7)).astype("float32") / 5


def small(meta: dict[str, Any], units: int = 8) -> keras.Model:
    """A classifier of two classes that is not compiled."""
    layers = keras.layers
    return keras.Sequential(
        [layers.Input((meta["n_features_in_"],)), layers.Dense(units, "relu"), layers.Dense(1, "sigmoid")]
    )


def line(meta: dict[str, Any]) -> keras.Model:
    return keras.Sequential([keras.layers.Input((meta["n_features_in_"],)), keras.layers.Dense(1)])


def eight(kind: type = KerasClassifier, **more: Any) -> Any:
    """A perceptron that is lent from fit to fit, which costs no time."""
    return kind(**{"hidden_layer_sizes": (8,), "epochs": 2, "random_state": 0, **more})


@pytest.fixture(scope="module")
def fitted(two: Any) -> KerasClassifier:
    X, y = two
    return eight(metrics=["accuracy"], epochs=30, learning_rate=0.01).fit(X, NAMES[y])


@pytest.fixture(scope="module")
def regressor(numbers: Any) -> KerasRegressor:
    return eight(KerasRegressor, epochs=30, learning_rate=0.01).fit(*numbers)


def test_each_row_of_the_page_has_a_test_and_each_test_of_a_row_has_it() -> None:
    section, rows = "", []
    for text in PAGE.read_text().splitlines():
        if text.startswith("## "):
            section, place = text.removeprefix("## "), 0
        elif text.startswith("|"):
            place += 1
            if place > 2:  # behind the heads and the rule
                rows.append((section, re.split(r"(?<!\\)\|", text)[1].strip()))
    assert len(rows) == len(set(rows))
    assert set(rows) == TESTED


# ---- SciKeras' quick start ---------------------------------------------------------------------------------------


def quick(hidden_layer_dim: int, meta: dict[str, Any]) -> keras.Model:
    model = keras.models.Sequential()
    model.add(keras.layers.Input(meta["X_shape_"][1:]))
    model.add(keras.layers.Dense(meta["n_features_in_"]))
    model.add(keras.layers.Activation("relu"))
    model.add(keras.layers.Dense(hidden_layer_dim))
    model.add(keras.layers.Activation("relu"))
    model.add(keras.layers.Dense(meta["n_classes_"]))
    model.add(keras.layers.Activation("softmax"))
    return model


@row(GONE, "a callable not compiled, and no `loss`")
def test_the_quick_start_runs_and_finds_the_loss_itself(two: Any) -> None:
    X, y = two[0].astype(np.float32), two[1].astype(np.int64)
    clf = KerasClassifier(quick, hidden_layer_dim=100, epochs=20, random_state=0)
    clf.fit(X, y)
    y_proba = clf.predict_proba(X)
    assert y_proba.shape == (80, 2)
    np.testing.assert_allclose(y_proba.sum(1), 1, rtol=1e-5)
    assert clf.score(X, y) > 0.7
    pipe = Pipeline([("scale", StandardScaler()), ("clf", clf)])
    pipe.fit(X, y)
    assert accuracy_score(y, pipe.predict_proba(X).argmax(1)) > 0.7


def test_the_quick_start_s_search_sets_the_callable_s_arguments_the_loss_and_the_optimizer(two: Any) -> None:
    params = {
        "hidden_layer_dim": [20],
        "loss": ["sparse_categorical_crossentropy"],
        "optimizer": ["adam"],
        "optimizer__learning_rate": [0.00001, 0.05],
    }
    clf = KerasClassifier(quick, hidden_layer_dim=100, epochs=8, random_state=0)
    search = GridSearchCV(clf, params, refit=False, cv=ONCE, scoring="accuracy").fit(*two)
    assert search.best_params_["optimizer__learning_rate"] == 0.05
    assert search.best_score_ > 0.8
    assert search.best_params_["hidden_layer_dim"] == 20


# ---- Basic usage ---------------------------------------------------------------------------------------------------


def get_clf(meta: dict[str, Any], hidden_layer_sizes: Any, dropout: float) -> keras.Model:
    model = keras.models.Sequential()
    model.add(keras.layers.Input(shape=(meta["n_features_in_"],)))
    for hidden_layer_size in hidden_layer_sizes:
        model.add(keras.layers.Dense(hidden_layer_size, activation="relu"))
        model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    return model


def get_reg(meta: dict[str, Any], hidden_layer_sizes: Any, dropout: float) -> keras.Model:
    model = keras.models.Sequential()
    model.add(keras.layers.Input(shape=(meta["n_features_in_"],)))
    for hidden_layer_size in hidden_layer_sizes:
        model.add(keras.layers.Dense(hidden_layer_size, activation="relu"))
        model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(1))
    return model


def test_basic_usage_trains_a_classifier_alone_and_in_a_pipeline(two: Any) -> None:
    X, y = two
    clf = KerasClassifier(
        model=get_clf, loss="binary_crossentropy", hidden_layer_sizes=(100,), dropout=0.5, epochs=20, random_state=0
    )
    clf.fit(X, y)
    assert set(clf.predict(X[:5])) <= {0, 1}
    assert clf.predict_proba(X[:5]).shape == (5, 2)
    assert clf.score(X, y) > 0.8
    pipe = Pipeline([("scale", StandardScaler()), ("clf", clf)])
    assert accuracy_score(y, pipe.fit(X, y).predict(X)) > 0.8


@row(GONE, "`KerasRegressor.r_squared`", "`KerasRegressor.predict_proba`", '`model_.save("folder")`')
@row(SAVING, '`model_.save("model.keras")`', "`KerasRegressor(loaded).initialize(X, y)`")
def test_basic_usage_trains_a_regressor_and_saves_it_in_keras_own_file(numbers: Any, tmp_path: Path) -> None:
    X, y = numbers
    reg = KerasRegressor(
        model=get_reg,
        loss="mse",
        metrics=[keras.metrics.R2Score],
        hidden_layer_sizes=(100,),
        dropout=0.0,
        epochs=10,
        random_state=0,
        fit__validation_data=(X, y),
    )
    reg.fit(X, y)
    pred_old = reg.predict(X)
    assert reg.history_["val_r2_score"][-1] == pytest.approx(reg.score(X, y), abs=1e-4)
    assert reg.score(X, y) == pytest.approx(r2_score(y, pred_old))
    assert not hasattr(reg, "r_squared")
    assert not hasattr(reg, "predict_proba")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reg)).predict(X), pred_old)  # noqa: S301
    with pytest.raises(ValueError, match=r"\.keras"):
        reg.model_.save(tmp_path / "folder")
    reg.model_.save(tmp_path / "model.keras")
    reg_new = KerasRegressor(keras.models.load_model(tmp_path / "model.keras"))
    reg_new.initialize(X, y)
    np.testing.assert_allclose(pred_old, reg_new.predict(X), rtol=1e-5, atol=1e-6)


class MaxValLoss(keras.callbacks.Callback):
    def __init__(self, monitor: str, threashold: float):
        self.monitor = monitor
        self.threashold = threashold

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs[self.monitor] > self.threashold:
            self.model.stop_training = True


def test_basic_usage_s_callback_ends_the_training_at_its_threshold() -> None:
    X, y = make_moons(n_samples=100, noise=0.2, random_state=0)
    kwargs = {
        "model": get_clf,
        "loss": "binary_crossentropy",
        "dropout": 0.5,
        "hidden_layer_sizes": (100,),
        "metrics": ["binary_accuracy"],
        "fit__validation_split": 0.2,
        "epochs": 20,
        "verbose": False,
        "random_state": 0,
    }
    clf = KerasClassifier(**kwargs)
    clf.fit(X, y)
    assert len(clf.history_["loss"]) == 20
    reached = clf.history_["val_binary_accuracy"]
    cb = MaxValLoss(monitor="val_binary_accuracy", threashold=reached[4] - 0.01)
    clf = KerasClassifier(**kwargs, callbacks=[cb])
    clf.fit(X, y)
    assert len(clf.history_["loss"]) <= 5
    assert clf.history_["val_binary_accuracy"][-1] > cb.threashold


@row(GONE, "`optimizer__lr`")
def test_basic_usage_s_search_sets_layers_dropout_and_rate_once_the_rate_has_keras_3_s_name(two: Any) -> None:
    clf = KerasClassifier(
        model=get_clf,
        loss="binary_crossentropy",
        optimizer="adam",
        optimizer__learning_rate=0.1,
        model__hidden_layer_sizes=(100,),
        model__dropout=0.5,
        verbose=False,
        epochs=2,
    )
    params = {
        "optimizer__learning_rate": [0.05],
        "model__hidden_layer_sizes": [(7, 3)],
        "model__dropout": [0],
    }
    gs = GridSearchCV(clf, params, scoring="accuracy", cv=ONCE).fit(*two)
    widths = [layer.units for layer in gs.best_estimator_.model_.layers if hasattr(layer, "units")]
    assert tuple(widths[:-1]) == gs.best_params_["model__hidden_layer_sizes"]
    assert float(gs.best_estimator_.model_.optimizer.learning_rate) == pytest.approx(0.05)
    with pytest.raises(Exception, match="lr"):
        eight(optimizer__lr=0.1).fit(*two)


# ---- MLPClassifier and MLPRegressor ----------------------------------------------------------------------------------


def get_clf_model(hidden_layer_sizes: Any, meta: dict[str, Any], compile_kwargs: dict[str, Any]) -> keras.Model:
    model = keras.Sequential()
    model.add(keras.layers.Input(shape=(meta["n_features_in_"],)))
    for hidden_layer_size in hidden_layer_sizes:
        model.add(keras.layers.Dense(hidden_layer_size, activation="relu"))
    if meta["target_type_"] == "binary":
        units, activation, loss = 1, "sigmoid", "binary_crossentropy"
    elif meta["target_type_"] == "multiclass":
        units, activation, loss = meta["n_classes_"], "softmax", "sparse_categorical_crossentropy"
    else:
        raise NotImplementedError(f"Unsupported task type: {meta['target_type_']}")
    model.add(keras.layers.Dense(units, activation=activation))
    model.compile(loss=loss, optimizer=compile_kwargs["optimizer"])
    return model


@pytest.mark.parametrize("data", [make_classification(random_state=0), load_iris(return_X_y=True)], ids=["2", "3"])
def test_the_perceptron_of_a_callable_compiles_itself_for_two_and_for_more_classes(data: Any) -> None:
    clf = KerasClassifier(
        model=get_clf_model,
        hidden_layer_sizes=(100,),
        optimizer="adam",
        optimizer__learning_rate=0.003,
        epochs=30,
        verbose=0,
        random_state=0,
    )
    assert clf.fit(*data).score(*data) > 0.7
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.003)


class MLPClassifier(KerasClassifier):
    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        optimizer: Any = "adam",
        optimizer__learning_rate: float = 0.001,
        epochs: int = 200,
        verbose: Any = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden_layer_sizes = hidden_layer_sizes
        self.optimizer = optimizer
        self.epochs = epochs
        self.verbose = verbose

    def _keras_build_fn(self, compile_kwargs: dict[str, Any]) -> keras.Model:
        model = keras.Sequential()
        model.add(keras.layers.Input(shape=(self.n_features_in_,)))
        for hidden_layer_size in self.hidden_layer_sizes:
            model.add(keras.layers.Dense(hidden_layer_size, activation="relu"))
        if self.target_type_ == "binary":
            units, activation, loss = 1, "sigmoid", "binary_crossentropy"
        else:
            units, activation, loss = self.n_classes_, "softmax", "sparse_categorical_crossentropy"
        model.add(keras.layers.Dense(units, activation=activation))
        model.compile(loss=loss, optimizer=compile_kwargs["optimizer"])
        return model


class MLPRegressor(KerasRegressor):
    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        optimizer: Any = "adam",
        optimizer__learning_rate: float = 0.001,
        epochs: int = 200,
        verbose: Any = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden_layer_sizes = hidden_layer_sizes
        self.optimizer = optimizer
        self.epochs = epochs
        self.verbose = verbose

    def _keras_build_fn(self, compile_kwargs: dict[str, Any]) -> keras.Model:
        model = keras.Sequential()
        model.add(keras.layers.Input(shape=(self.n_features_in_,)))
        for hidden_layer_size in self.hidden_layer_sizes:
            model.add(keras.layers.Dense(hidden_layer_size, activation="relu"))
        model.add(keras.layers.Dense(1))
        model.compile(loss="mse", optimizer=compile_kwargs["optimizer"])
        return model


@row(PARAMETERS, "`model=None` with `_keras_build_fn`")
def test_a_subclass_holds_its_network_within_and_is_cloned_and_searched_like_any_other() -> None:
    X, y = make_classification(random_state=0)
    clf = MLPClassifier(epochs=20, random_state=0)
    assert clf.fit(X, y).score(X, y) > 0.7
    copied = clone(clf.set_params(hidden_layer_sizes=(9,), batch_size=50, epochs=1)).fit(X, y)
    assert [layer.units for layer in copied.model_.layers] == [9, 1]
    assert copied.get_params()["batch_size"] == 50
    perceptron = eight(hidden_layer_sizes=(4, 3), epochs=1).fit(X, y)
    assert [layer.units for layer in perceptron.model_.layers if hasattr(layer, "units")][:2] == [4, 3]


def test_a_subclassed_regressor_learns_a_line() -> None:
    y = np.arange(100)
    X = (y / 2).reshape(-1, 1)
    reg = MLPRegressor(epochs=60, random_state=0).fit(X, y)
    assert reg.score(X, y) > 0.9


# ---- Data transformers ---------------------------------------------------------------------------------------------


class MultiOutputTransformer(BaseEstimator, TransformerMixin):
    def fit(self, y: Any) -> MultiOutputTransformer:
        self.bin_encoder_, self.cat_encoder_ = LabelEncoder(), LabelEncoder()
        self.bin_encoder_.fit(y[:, 0])
        self.cat_encoder_.fit(y[:, 1])
        self.n_classes_ = [self.bin_encoder_.classes_.size, self.cat_encoder_.classes_.size]
        self.n_outputs_expected_ = 2
        return self

    def transform(self, y: Any) -> list[Any]:
        return [self.bin_encoder_.transform(y[:, 0]), self.cat_encoder_.transform(y[:, 1])]

    def inverse_transform(self, y: list[Any], return_proba: bool = False) -> Any:
        if return_proba:
            return np.column_stack(y)
        y_pred_bin = (y[0] > 0.5).astype(int).reshape(-1)
        y_pred_cat = np.argmax(y[1], axis=1)
        return np.column_stack(
            [self.bin_encoder_.inverse_transform(y_pred_bin), self.cat_encoder_.inverse_transform(y_pred_cat)]
        )

    def get_metadata(self) -> dict[str, Any]:
        return {"n_classes_": self.n_classes_, "n_outputs_expected_": self.n_outputs_expected_}


class MultiOutputClassifier(KerasClassifier):
    @property
    def target_encoder(self) -> Any:
        return MultiOutputTransformer()

    @staticmethod
    def scorer(y_true: Any, y_pred: Any, **kwargs: Any) -> float:
        return np.mean([accuracy_score(y_true[:, 0], y_pred[:, 0]), accuracy_score(y_true[:, 1], y_pred[:, 1])])


def two_heads(meta: dict[str, Any]) -> keras.Model:
    inp = keras.layers.Input(shape=(meta["n_features_in_"],))
    x1 = keras.layers.Dense(100, activation="relu")(inp)
    out_bin = keras.layers.Dense(1, activation="sigmoid")(x1)
    out_cat = keras.layers.Dense(meta["n_classes_"][1], activation="softmax")(x1)
    model = keras.Model(inputs=inp, outputs=[out_bin, out_cat])
    model.compile(loss=["binary_crossentropy", "sparse_categorical_crossentropy"])
    return model


@row(ENCODERS, "`target_encoder`")
@row(METHODS, "`scorer`")
@row(GONE, "`np.column_stack(y, axis=1)`", "`preprocess_X`, `preprocess_y`")
def test_an_own_target_encoder_feeds_two_heads_and_an_own_scorer_tells_their_mean() -> None:
    draw = np.random.default_rng(0)
    y = np.column_stack([draw.integers(0, 2, 100), draw.integers(0, 5, 100)])
    X = StandardScaler().fit_transform(y)
    clf = MultiOutputClassifier(model=two_heads, verbose=0, epochs=50, random_state=0)
    score = clf.fit(X, y).score(X, y)
    assert score > 0.75
    right = clf.predict(X) == y
    assert score == pytest.approx(right.mean())  # not the share of rows that are all right
    assert clf.n_classes_ == [2, 5]
    assert clf.predict_proba(X).shape == (100, 1 + 5)
    with pytest.raises(TypeError, match="axis"):
        np.column_stack([X], axis=1)


class Tagged(TransformerMixin, BaseEstimator):
    def fit(self, values: Any, y: Any = None) -> Tagged:
        self.seen_ = len(values)
        return self

    def transform(self, values: Any) -> Any:
        return values

    def inverse_transform(self, values: Any, return_proba: bool = False) -> Any:
        return values[:, 0]

    def get_metadata(self) -> dict[str, Any]:
        return {"my_param_": f"foobarbaz of {self.seen_}"}


@row(ENCODERS, "`get_metadata`")
@pytest.mark.parametrize("which", ["target_encoder", "feature_encoder"])
def test_what_an_encoder_s_metadata_say_is_in_meta_and_on_the_estimator(which: str, numbers: Any) -> None:
    told = []

    def get_model(meta: dict[str, Any]) -> keras.Model:
        told.append(meta["my_param_"])
        return line(meta)

    own = type("Own", (KerasRegressor,), {which: property(lambda self: Tagged())})
    reg = own(get_model, loss="mse", epochs=1, engine="eager").fit(*numbers)
    assert told == ["foobarbaz of 80"]
    assert reg.my_param_ == "foobarbaz of 80"


@row(ARGUMENTS, "`meta` with an own encoder")
def test_meta_tells_the_target_s_type_under_an_encoder_that_does_not(two: Any) -> None:
    told: dict[str, Any] = {}

    def get_model(meta: dict[str, Any]) -> keras.Model:
        told.update(meta)
        return small(meta)

    own = type("Own", (KerasClassifier,), {"target_encoder": property(lambda self: Tagged())})
    own(get_model, loss="binary_crossentropy", epochs=1, engine="eager").fit(*two)
    assert told["target_type_"] == "binary"
    assert told["y_dtype_"] == two[1].dtype
    assert told["y_ndim_"] == 1


class MultiInputRegressor(KerasRegressor):
    @property
    def feature_encoder(self) -> Any:
        return FunctionTransformer(func=lambda X: [X[:, 0], X[:, 1]])


def get_reg_model() -> keras.Model:
    inp1, inp2 = keras.layers.Input(shape=(1,)), keras.layers.Input(shape=(1,))
    x1 = keras.layers.Dense(100, activation="relu")(inp1)
    x2 = keras.layers.Dense(50, activation="relu")(inp2)
    out = keras.layers.Dense(1)(keras.layers.Concatenate(axis=-1)([x1, x2]))
    model = keras.Model(inputs=[inp1, inp2], outputs=out)
    model.compile(loss="mse")
    return model


@row(ENCODERS, "`feature_encoder`")
def test_an_own_feature_encoder_feeds_two_inputs() -> None:
    X = np.random.default_rng(0).random((100, 2))
    y = X.sum(axis=1)
    reg = MultiInputRegressor(model=get_reg_model, verbose=0, epochs=50, random_state=0)
    assert reg.fit(X, y).score(X, y) > 0.9
    assert len(reg.model_.inputs) == 2


IMAGE = (8, 8, 1)


def images(meta: dict[str, Any]) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input(IMAGE),
            keras.layers.Conv2D(16, kernel_size=(3, 3), activation="relu"),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy")
    return model


class MultiDimensionalClassifier(KerasClassifier):
    @property
    def feature_encoder(self) -> Any:
        return FunctionTransformer(func=lambda X: X.reshape(X.shape[0], *IMAGE))


def test_rows_of_pixels_become_images_for_a_network_of_convolutions() -> None:
    X, y = load_digits(return_X_y=True)
    X = MinMaxScaler().fit_transform(X[:800])
    clf = MultiDimensionalClassifier(
        model=images, epochs=15, batch_size=32, fit__validation_split=0.1, random_state=0
    ).fit(X[:600], y[:600])
    assert clf.score(X[600:], y[600:800]) > 0.7
    assert len(clf.history_["val_loss"]) == 15


# ---- Meta-estimators -----------------------------------------------------------------------------------------------


@row(GONE, "`AdaBoostClassifier(base_estimator=...)`")
def test_boosting_and_bagging_take_a_wrapped_network_and_give_each_member_its_own_weights() -> None:
    clf = KerasClassifier(
        model=get_clf_model,
        hidden_layer_sizes=(20,),
        optimizer="adam",
        optimizer__learning_rate=0.01,
        verbose=0,
        epochs=20,
        random_state=0,
    )
    X, y = make_moons(random_state=0)
    with pytest.raises(TypeError, match="base_estimator"):
        AdaBoostClassifier(base_estimator=clf, random_state=0)
    for ensemble in (
        AdaBoostClassifier(estimator=clf, n_estimators=2, random_state=0),
        BaggingClassifier(estimator=clf, n_estimators=2, random_state=0),
    ):
        assert ensemble.fit(X, y).score(X, y) > 0.8
        first, second = (member.model_.get_weights()[0] for member in ensemble.estimators_)
        assert not np.array_equal(first, second)


# ---- Autoencoders ------------------------------------------------------------------------------------------------


class AutoEncoder(TransformerMixin, KerasRegressor):
    """SciKeras' `AutoEncoder`, on a regressor instead of `BaseWrapper`."""

    def _keras_build_fn(self, encoding_dim: int, meta: dict[str, Any]) -> keras.Model:
        return self._chained((), encoding_dim, meta["n_features_in_"])

    def _chained(self, hidden: Any, encoding_dim: int, n_features_in: int) -> keras.Model:
        encoder_input = x = keras.Input(shape=(n_features_in,))
        for layer_size in hidden:
            x = keras.layers.Dense(layer_size, activation="relu")(x)
        encoder = keras.Model(encoder_input, keras.layers.Dense(encoding_dim, "relu")(x), name="encoder")
        decoder_input = x = keras.Input(shape=(encoding_dim,))
        for layer_size in reversed(hidden):
            x = keras.layers.Dense(layer_size, activation="relu")(x)
        decoder = keras.Model(decoder_input, keras.layers.Dense(n_features_in, "sigmoid")(x), name="decoder")
        image = keras.Input(shape=(n_features_in,))
        return keras.Model(image, decoder(encoder(image)))

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AutoEncoder:
        return super().fit(X, X, sample_weight=sample_weight)

    def score(self, X: Any, y: Any = None) -> float:
        return 1 - mean_squared_error(self.predict(X), X)

    def transform(self, X: Any) -> Any:
        return self.model_.get_layer("encoder").predict(X, verbose=0)

    def inverse_transform(self, X: Any) -> Any:
        return self.model_.get_layer("decoder").predict(X, verbose=0)


class DeepAutoEncoder(AutoEncoder):
    def _keras_build_fn(self, encoding_dim: int, hidden_layer_sizes: Any, meta: dict[str, Any]) -> keras.Model:
        return self._chained(hidden_layer_sizes, encoding_dim, meta["n_features_in_"])


@row(ENCODERS, "`BaseWrapper`")
@row(ARGUMENTS, "arguments of `_keras_build_fn`")
@pytest.mark.parametrize(("kind", "more"), [(AutoEncoder, {}), (DeepAutoEncoder, {"hidden_layer_sizes": [32]})])
def test_an_autoencoder_is_a_regressor_that_transforms_and_comes_back(kind: type, more: dict[str, Any]) -> None:
    X = (load_digits().data[:400] / 16).astype("float32")
    autoencoder = kind(
        loss="binary_crossentropy",
        encoding_dim=16,
        random_state=0,
        epochs=30,
        verbose=False,
        optimizer="adam",
        optimizer__learning_rate=0.005,
        **more,
    )
    codes = autoencoder.fit(X).transform(X)
    assert codes.shape == (400, 16)
    roundtrip = autoencoder.inverse_transform(codes)
    np.testing.assert_allclose(roundtrip, autoencoder.predict(X), rtol=1e-4, atol=1e-5)
    mean_alone = 1 - X.var(axis=0).mean()
    assert autoencoder.score(X) > mean_alone
    assert clone(autoencoder).get_params()["encoding_dim"] == 16


# ---- Sparse inputs -----------------------------------------------------------------------------------------------


@row(GONE, "`OneHotEncoder(sparse=True)`")
def test_sparse_one_hot_columns_train_as_dense_ones_do() -> None:
    X = np.arange(40).reshape(-1, 1)
    y = np.random.default_rng(0).uniform(0, 1, size=40)

    def get_net(meta: dict[str, Any]) -> keras.Model:
        model = keras.models.Sequential()
        model.add(keras.layers.Input(shape=(meta["n_features_in_"],)))
        model.add(keras.layers.Dense(100, activation="relu"))
        model.add(keras.layers.Dense(1))
        return model

    for dtype in (np.float64, np.uint8):
        found = []
        for sparse in (False, True):
            model = KerasRegressor(get_net, loss="mse", epochs=2, verbose=False, random_state=0, engine="eager")
            encoder = OneHotEncoder(sparse_output=sparse, dtype=dtype)
            found.append(Pipeline([("encoder", encoder), ("model", model)]).fit(X, y).predict(X))
        np.testing.assert_array_equal(*found)
    with pytest.raises(TypeError, match="sparse"):
        OneHotEncoder(sparse=True)


# ---- Advanced usage ----------------------------------------------------------------------------------------------


@row(PARAMETERS, "`model`, a callable", "`optimizer`")
@row(ARGUMENTS, "`compile_kwargs`")
def test_a_callable_compiles_its_model_or_leaves_that_and_both_train_alike(two: Any) -> None:
    def compiled(meta: dict[str, Any], compile_kwargs: dict[str, Any]) -> keras.Model:
        assert isinstance(compile_kwargs["optimizer"], keras.optimizers.Adam)
        model = small(meta)
        model.compile(**compile_kwargs)
        return model

    found = []
    for function in (small, compiled):
        clf = KerasClassifier(
            function,
            loss="binary_crossentropy",
            optimizer=keras.optimizers.Adam,
            optimizer__learning_rate=0.02,
            epochs=3,
            random_state=0,
            engine="eager",
        )
        found.append(clf.fit(*two).predict_proba(two[0]))
    np.testing.assert_array_equal(*found)
    assert eight().get_params()["optimizer"] == "adam"


def with_sgd(meta: dict[str, Any]) -> keras.Model:
    model = small(meta)
    model.compile("sgd", "mse")
    return model


@row(PARAMETERS, "`loss`", "`metrics`")
def test_a_compiled_model_keeps_what_it_has_unless_something_else_is_given(two: Any) -> None:
    kept = KerasClassifier(with_sgd, epochs=1, engine="eager").fit(*two)
    assert isinstance(kept.model_.optimizer, keras.optimizers.SGD)
    assert keras.losses.get(kept.model_.loss) is keras.losses.mean_squared_error
    given = KerasClassifier(
        with_sgd,
        optimizer="rmsprop",
        loss="binary_crossentropy",
        metrics=["binary_accuracy"],
        epochs=1,
        engine="eager",
    ).fit(*two)
    assert isinstance(given.model_.optimizer, keras.optimizers.RMSprop)
    assert "binary_accuracy" in given.history_
    assert "binary_crossentropy" in str(given.model_.loss)


@row(PARAMETERS, "arguments of the callable")
@row(PREFIXES, "`model__`")
def test_arguments_of_the_callable_need_no_declaration_but_a_wrong_name_is_told(two: Any) -> None:
    for clf in (
        KerasClassifier(small, units=5),
        KerasClassifier(small, model__units=5),
        KerasClassifier(small).set_params(units=5),
    ):
        assert clf.set_params(epochs=1, engine="eager").fit(*two).model_.layers[0].units == 5
    with pytest.raises(TypeError, match="did you mean 'units'"):
        KerasClassifier(small, unitz=5).fit(*two)
    spec = {"layers": [{"dense": {"units": 8}}, "head"]}
    changed = KerasClassifier(spec, model__layers__0__dense__units=3, epochs=1, engine="eager").fit(*two)
    assert next(layer.units for layer in changed.model_.layers if hasattr(layer, "units")) == 3


@row(ARGUMENTS, "`meta`", "`params`")
def test_the_callable_is_told_of_the_data_and_of_the_estimator_s_parameters(two: Any) -> None:
    told: dict[str, Any] = {}

    def curious(meta: dict[str, Any], params: dict[str, Any]) -> keras.Model:
        told.update(meta=meta, params=params)
        return small(meta)

    clf = KerasClassifier(curious, optimizer="sgd", epochs=1, engine="eager").fit(*two)
    assert told["params"]["optimizer"] == "sgd"
    assert told["meta"]["X_shape_"] == (80, 6)
    for name, fact in told["meta"].items():
        np.testing.assert_array_equal(fact, getattr(clf, name))
    assert set(told["meta"]) >= {
        "X_dtype_",
        "classes_",
        "n_classes_",
        "n_features_in_",
        "n_outputs_",
        "n_outputs_expected_",
        "target_type_",
        "y_dtype_",
        "y_ndim_",
    }


def two_binary(meta: dict[str, Any]) -> keras.Model:
    inp = keras.Input((meta["n_features_in_"],))
    return keras.Model(inp, [keras.layers.Dense(1, name="first")(inp), keras.layers.Dense(3, name="second")(inp)])


@row(PREFIXES, "`loss__`", "`loss__1__label_smoothing`")
@row(GONE, "`loss__param_groups`")
def test_arguments_of_several_losses_go_to_all_or_to_one_by_its_place_or_its_key(two: Any) -> None:
    X, y = two
    targets = np.column_stack([y, np.arange(80) % 3])
    binary, categorical = keras.losses.BinaryCrossentropy, keras.losses.CategoricalCrossentropy
    common = {"loss__from_logits": True, "loss__label_smoothing": 0.1, "epochs": 1, "engine": "eager"}
    listed = KerasClassifier(two_binary, loss=[binary, categorical], loss__1__label_smoothing=0.5, **common)
    losses = listed.fit(X, targets).model_.loss
    assert [loss.get_config()["label_smoothing"] for loss in losses] == [0.1, 0.5]
    assert all(loss.get_config()["from_logits"] for loss in losses)
    of_one = KerasClassifier(loss=keras.losses.BinaryCrossentropy(), loss__label_smoothing=0.2, epochs=1).fit(X, y)
    assert of_one.model_.loss.get_config()["label_smoothing"] == 0.2
    keyed = {"first": binary, "second": categorical}
    named = KerasClassifier(two_binary, loss=keyed, loss__second__label_smoothing=0.5, **common)
    losses = named.fit(X, targets).model_.loss
    smoothing = {name: loss.get_config()["label_smoothing"] for name, loss in losses.items()}
    assert smoothing == {"first": 0.1, "second": 0.5}
    with pytest.raises(Exception, match="param_groups"):
        eight(loss=binary, loss__param_groups=[("first", {"label_smoothing": 0.1})]).fit(X, y)


class Schedule:
    """A rate that falls."""

    def __init__(self, wait_until_epoch: int = 1, coef: float = 0.1) -> None:
        self.wait_until_epoch = wait_until_epoch
        self.coef = coef

    def __call__(self, epoch: int, lr: float) -> float:
        return lr if epoch < self.wait_until_epoch else lr * float(tf.math.exp(-self.coef))


class TensorSchedule(Schedule):
    def __call__(self, epoch: int, lr: float) -> Any:
        return lr if epoch < self.wait_until_epoch else lr * tf.math.exp(-self.coef)


@row(PREFIXES, "`callbacks__0=Schedule`")
@pytest.mark.parametrize("argument", ["0", "schedule"])
def test_a_callback_s_argument_may_be_a_class_with_arguments_of_its_own(argument: str, two: Any) -> None:
    clf = eight(
        epochs=3,
        callbacks=keras.callbacks.LearningRateScheduler,
        **{f"callbacks__{argument}": Schedule, f"callbacks__{argument}__coef": 0.2},
    ).fit(*two)
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.001 * np.exp(-0.4), rel=1e-5)


@row(GONE, "a schedule that returns `lr * tf.math.exp(...)`")
def test_a_schedule_that_returns_a_tensor_is_refused_by_keras(two: Any) -> None:
    clf = eight(epochs=3, callbacks=[keras.callbacks.LearningRateScheduler(TensorSchedule())])
    with pytest.raises(ValueError, match="should be a float"):
        clf.fit(*two)


@row(PARAMETERS, "`callbacks`")
@row(PREFIXES, "`callbacks__`")
@pytest.mark.parametrize(
    ("callbacks", "place"),
    [
        (keras.callbacks.EarlyStopping, ""),
        ([keras.callbacks.TerminateOnNaN, keras.callbacks.EarlyStopping], "1__"),
        ({"nan": keras.callbacks.TerminateOnNaN, "es": keras.callbacks.EarlyStopping}, "es__"),
        (keras.callbacks.EarlyStopping("loss", min_delta=10), None),
    ],
    ids=["class", "list", "dict", "object"],
)
def test_callbacks_get_their_arguments_by_place_or_key_and_are_made_anew(callbacks: Any, place: Any, two: Any) -> None:
    is_object = place is None
    arguments = {} if is_object else {f"callbacks__{place}monitor": "loss", f"callbacks__{place}min_delta": 10}
    clf = eight(epochs=9, callbacks=callbacks, **arguments)
    for _ in range(2):  # a callback that was used up would not stop again
        assert clf.fit(*two).n_iter_ == 2
    if is_object:
        assert callbacks.wait == 0
        assert callbacks.model is None


@row(PREFIXES, "`fit__callbacks__`")
def test_callbacks_of_fit_alone_get_their_arguments_too(two: Any) -> None:
    clf = eight(
        epochs=9,
        fit__callbacks=[keras.callbacks.EarlyStopping],
        fit__callbacks__0__monitor="loss",
        fit__callbacks__0__min_delta=10,
    )
    assert clf.fit(*two).n_iter_ == 2


@row(PREFIXES, "`optimizer__`")
@pytest.mark.parametrize("optimizer", ["sgd", keras.optimizers.SGD, keras.optimizers.SGD(0.3)])
def test_an_optimizer_gets_its_arguments_however_it_was_given(optimizer: Any, two: Any) -> None:
    clf = eight(optimizer=optimizer, optimizer__learning_rate=0.2, optimizer__momentum=0.5, epochs=1).fit(*two)
    assert isinstance(clf.model_.optimizer, keras.optimizers.SGD)
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.2)
    assert clf.model_.optimizer.momentum == 0.5


@row(PREFIXES, "`metrics__`")
def test_a_metric_gets_its_arguments(two: Any) -> None:
    never = eight(metrics=[keras.metrics.BinaryAccuracy], metrics__threshold=2.0, epochs=1).fit(*two)
    assert never.history_["binary_accuracy"] == [pytest.approx((two[1] == 0).mean())]


@row(PREFIXES, "`fit__`")
def test_arguments_of_fit_stand_above_the_estimator_s_own(two: Any) -> None:
    clf = eight(epochs=9, fit__epochs=3, batch_size=10, fit__batch_size=40).fit(*two)
    assert clf.n_iter_ == 3
    assert clf.history_.rows[-1]["updates"] == 3 * 2
    assert clone(clf).get_params()["fit__batch_size"] == 40


@row(PREFIXES, "`predict__`")
@row(METHODS, "`predict(X, batch_size=8)`")
def test_the_batches_of_predict_are_given_by_their_prefix_and_not_to_predict(two: Any) -> None:
    sizes: list[int] = []

    class Counting(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.ensure_shape(tf.py_function(self.count, [x], x.dtype), x.shape)

        def count(self, x: Any) -> Any:
            sizes.append(len(x))
            return x

    def watched() -> keras.Model:
        return keras.Sequential([keras.layers.Input((6,)), Counting(), keras.layers.Dense(1, "sigmoid")])

    X, y = two
    clf = KerasClassifier(watched, epochs=1, engine="eager", predict__batch_size=8).fit(X, y)
    sizes.clear()
    clf.predict(X)
    assert sizes == [8] * 10
    with pytest.raises(TypeError, match="batch_size"):
        clf.predict(X, batch_size=8)
    with pytest.raises(TypeError, match="verbose"):
        clf.predict_proba(X, verbose=0)


def test_an_argument_of_predict_that_nobody_takes_is_refused(two: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="batch_sise"):
        eight(predict__batch_sise=8).fit(*two).predict(two[0])


@row(PREFIXES, "`score__`")
def test_arguments_of_the_scorer_are_given_by_their_prefix(two: Any) -> None:
    share = eight().fit(*two)
    count = eight(score__normalize=False).fit(*two)
    assert count.score(*two) == pytest.approx(80 * share.score(*two))


@row(PREFIXES, "`compile__`")
def test_arguments_of_compile_are_given_by_their_prefix(two: Any) -> None:
    X, y = two
    targets = np.column_stack([y, np.arange(80) % 3])
    common = {"epochs": 1, "batch_size": 80, "random_state": 0, "engine": "eager"}
    plain = KerasClassifier(two_binary, **common).fit(X, targets)
    doubled = KerasClassifier(two_binary, compile__loss_weights=[2.0, 2.0], **common).fit(X, targets)
    assert doubled.history_["loss"][0] == pytest.approx(2 * plain.history_["loss"][0], rel=1e-5)


# ---- Migration ---------------------------------------------------------------------------------------------------


@row(METHODS, "`fit(X, y, epochs=3)`")
@row(KERAS, "`fit(X, y, epochs=5)`")
def test_fit_gives_the_estimator_and_takes_no_keywords_of_keras(two: Any) -> None:
    clf = eight(epochs=3)
    assert clf.fit(*two) is clf
    assert len(clf.fit(*two).history_["loss"]) == 3
    with pytest.raises(TypeError, match="epochs"):
        clf.fit(*two, epochs=3)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@row(KERAS, "one-hot targets")
def test_labels_are_encoded_as_the_loss_wants_them_also_by_a_model_that_is_compiled(loss: str) -> None:
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)

    def compiled(meta: dict[str, Any]) -> keras.Model:
        layers = keras.layers
        model = keras.Sequential([layers.Input((4,)), layers.Dense(8, "relu"), layers.Dense(3, "softmax")])
        model.compile(loss=loss, optimizer=keras.optimizers.Adam(0.05))
        return model

    names = np.array(["setosa", "versicolor", "virginica"])[y]
    assert KerasClassifier(compiled, epochs=10, random_state=0).fit(X, names).score(X, names) > 0.9
    outside = eight(loss=loss, learning_rate=0.05, epochs=10).fit(X, names)
    assert outside.score(X, names) > 0.9


def test_one_unit_learns_two_classes_by_the_binary_cross_entropy(two: Any) -> None:
    clf = KerasClassifier(small, loss="binary_crossentropy", learning_rate=0.05, epochs=10, random_state=0)
    assert clf.fit(two[0], NAMES[two[1]]).score(two[0], NAMES[two[1]]) > 0.8


@row(PARAMETERS, "`build_fn`")
def test_the_old_name_build_fn_is_refused_by_its_name_and_works_by_its_place(two: Any) -> None:
    with pytest.raises(TypeError, match="build_fn"):
        KerasClassifier(build_fn=small, epochs=1).fit(*two)
    assert KerasClassifier(small, epochs=1, engine="eager").fit(*two).predict(two[0]).shape == (80,)


# ---- Constructor parameters --------------------------------------------------------------------------------------


@row(PARAMETERS, "`model`, a `keras.Model`")
@row(KERAS, "a compiled `keras.Model`")
@pytest.mark.parametrize("compiled", [True, False])
def test_a_keras_model_keeps_its_weights_and_each_fit_begins_with_them(compiled: bool, two: Any) -> None:
    model = small({"n_features_in_": 6})
    if compiled:
        model.compile("sgd", "binary_crossentropy")
    before = model.get_weights()
    clf = KerasClassifier(model, epochs=1, random_state=0, engine="eager")
    clf.initialize(*two)
    np.testing.assert_array_equal(clf.model_.get_weights()[0], before[0])
    first, second = (clf.fit(*two).model_.get_weights() for _ in range(2))
    assert not np.array_equal(first[0], before[0])
    for a, b, old, now in zip(first, second, before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(old, now)


@pytest.mark.parametrize(
    ("name", "value"), [("optimizer", "adam"), ("loss", "auto"), ("epochs", 100), ("batch_size", 32), ("verbose", 0)]
)
@pytest.mark.parametrize("kind", [KerasClassifier, KerasRegressor])
def test_defaults_are_those_that_the_page_tells(kind: type, name: str, value: Any) -> None:
    assert kind().get_params()[name] == value


def test_the_loss_found_is_a_cross_entropy_or_the_mean_squared_error(fitted: Any, regressor: Any) -> None:
    assert isinstance(fitted.model_.loss, keras.losses.BinaryCrossentropy)
    found = keras.losses.get(regressor.model_.loss)
    assert isinstance(found, keras.losses.MeanSquaredError) or found is keras.losses.mean_squared_error


def test_curves_of_metrics_have_the_names_that_were_given(numbers: Any) -> None:
    history = eight(KerasRegressor, metrics=["mae"]).fit(*numbers).history_
    assert len(history["mae"]) == 2
    assert "mean_absolute_error" not in history


def test_a_single_metric_needs_no_list(two: Any) -> None:
    assert len(eight(metrics="accuracy").fit(*two).history_["accuracy"]) == 2


@row(PARAMETERS, "`epochs`", "`batch_size`")
def test_epochs_and_batch_size_count_the_updates_and_minus_one_is_refused(two: Any) -> None:
    assert eight(epochs=3, batch_size=20).fit(*two).history_.updates == 3 * 4
    assert eight(epochs=1, batch_size=len(two[0])).fit(*two).history_.updates == 1
    with pytest.raises(ValueError, match="batch_size"):
        eight(batch_size=-1).fit(*two)


@row(PARAMETERS, "`validation_split`", "`validation_batch_size`")
def test_the_held_out_part_is_stratified_or_the_last_samples_as_keras_has_it(two: Any) -> None:
    X, y = two
    order = np.argsort(y, kind="stable")  # the last samples are all of one class
    X, y = X[order], y[order]
    never = {"metrics": [keras.metrics.BinaryAccuracy], "metrics__threshold": 2.0, "epochs": 1}
    drawn = eight(validation_fraction=0.25, **never).fit(X, y)
    assert drawn.history_["val_binary_accuracy"][-1] == pytest.approx(0.5, abs=0.06)
    last = eight(fit__validation_split=0.25, fit__validation_batch_size=7, **never).fit(X, y)
    assert last.history_["val_binary_accuracy"][-1] == 0.0
    with pytest.raises(TypeError, match="did you mean 'validation_fraction'"):
        eight(validation_split=0.25).fit(X, y)


@row(PARAMETERS, "`shuffle`", "`run_eagerly`")
def test_samples_come_in_their_order_without_shuffle_and_one_by_one_with_the_eager_engine(two: Any) -> None:
    X, y = two
    order = np.argsort(y, kind="stable")
    kept = eight(fit__shuffle=False, epochs=1).fit(X[order], y[order])
    mixed = eight(epochs=1).fit(X[order], y[order])
    again = eight(fit__shuffle=False, epochs=1, engine="eager").fit(X[order], y[order])
    assert not np.array_equal(kept.predict_proba(X), mixed.predict_proba(X))
    np.testing.assert_allclose(kept.predict_proba(X), again.predict_proba(X), rtol=1e-4)
    assert again.history_.engine == "eager"


@row(PARAMETERS, "`verbose`")
def test_a_fit_is_silent_unless_it_is_asked_to_speak(two: Any, capfd: Any) -> None:
    eight().fit(*two)
    assert "epoch" not in "".join(capfd.readouterr())
    eight(verbose=2).fit(*two)
    assert "loss" in capfd.readouterr().err


@row(PARAMETERS, "`class_weight`")
def test_classes_are_weighed_by_the_user_s_own_labels(two: Any) -> None:
    X, y = two
    rare = np.r_[np.flatnonzero(y == 1)[:5], np.flatnonzero(y == 0)]
    X, names = X[rare], NAMES[y[rare]]
    n = len(names)
    balanced = {name: n / (2 * (names == name).sum()) for name in NAMES}
    by_name = eight(class_weight=balanced).fit(X, names).predict_proba(X)
    np.testing.assert_array_equal(by_name, eight(class_weight="balanced").fit(X, names).predict_proba(X))
    assert by_name[:, 1].mean() > eight().fit(X, names).predict_proba(X)[:, 1].mean()


@row(PARAMETERS, "`warm_start`")
@row(KERAS, "`warm_start`")
def test_a_warm_start_goes_on_with_weights_and_history(two: Any) -> None:
    clf = eight(warm_start=True, epochs=3).fit(*two)
    costs = list(clf.history_["loss"])
    clf.fit(*two)
    assert clf.n_iter_ == 6
    assert clf.history_["loss"][:3] == costs
    assert clf.history_["loss"][3] < costs[0]
    assert eight(epochs=3).fit(*two).fit(*two).n_iter_ == 3


@row(PARAMETERS, "`random_state`")
def test_a_random_state_that_is_a_number_repeats_and_a_generator_goes_on(two: Any) -> None:
    X, y = two
    same = [eight(random_state=3).fit(X, y).predict_proba(X) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    shared = np.random.RandomState(3)
    other = [eight(random_state=shared).fit(X, y).predict_proba(X) for _ in range(2)]
    assert not np.array_equal(*other)


# ---- Attributes --------------------------------------------------------------------------------------------------


CLASSIFIER_FACTS = {
    "classes_": ["no", "yes"],
    "n_classes_": 2,
    "n_features_in_": 6,
    "n_outputs_": 1,
    "n_outputs_expected_": 1,
    "target_type_": "binary",
    "X_shape_": (80, 6),
    "X_dtype_": np.dtype("float32"),
    "y_dtype_": NAMES.dtype,
    "y_ndim_": 1,
    "feature_encoder_": None,
    "n_iter_": 30,
}


@row(ATTRIBUTES, *(f"`{name}`" for name in CLASSIFIER_FACTS if name != "n_iter_"), "`current_epoch`")
@pytest.mark.parametrize("name", CLASSIFIER_FACTS)
def test_attributes_say_what_a_fit_has_seen(name: str, fitted: KerasClassifier) -> None:
    np.testing.assert_array_equal(getattr(fitted, name), CLASSIFIER_FACTS[name])


@pytest.mark.parametrize(
    ("y", "kind", "n_outputs"),
    [
        (np.arange(80), "continuous", 1),
        (np.linspace(0, 1, 80), "continuous", 1),
        (np.column_stack([np.arange(80)] * 2), "continuous-multioutput", 2),
    ],
    ids=["whole", "real", "two columns"],
)
def test_a_regressor_s_targets_are_quantities_whole_numbers_too(y: Any, kind: str, n_outputs: int, two: Any) -> None:
    reg = eight(KerasRegressor, epochs=1).fit(two[0], y)
    assert reg.target_type_ == kind
    assert reg.n_outputs_ == n_outputs
    assert reg.predict(two[0]).shape == y.shape


@row(ATTRIBUTES, "`model_`", "`target_encoder_`")
@row(METHODS, "`predict`", "`predict_proba`")
def test_predictions_are_the_model_s_outputs_through_the_encoder(fitted: Any, regressor: Any, two: Any) -> None:
    X = two[0]
    raw = fitted.model_.predict(X, verbose=0)
    proba = fitted.predict_proba(X)
    logits = bool(getattr(fitted.model_.loss, "from_logits", False))
    yes = 1 / (1 + np.exp(-raw[:, 0])) if logits else raw[:, 0]
    np.testing.assert_allclose(proba, np.column_stack([1 - yes, yes]), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(fitted.predict(X), NAMES[proba.argmax(1)])
    np.testing.assert_array_equal(fitted.target_encoder_.transform(NAMES), [0, 1])
    np.testing.assert_allclose(regressor.predict(X), regressor.model_.predict(X, verbose=0)[:, 0], rtol=1e-4, atol=1e-6)
    assert regressor.predict(X).dtype == np.float32


def test_samples_of_float64_give_predictions_of_float64(numbers: Any) -> None:
    X, y = (part.astype("float64") for part in numbers)
    assert eight(KerasRegressor).fit(X, y).predict(X).dtype == np.float64


def test_logits_become_probabilities_when_the_loss_says_that_they_are_logits(two: Any) -> None:
    X, y = two
    clf = KerasClassifier(line, loss=keras.losses.BinaryCrossentropy, loss__from_logits=True, epochs=1, engine="eager")
    proba = clf.fit(X, y).predict_proba(X)
    raw = clf.model_.predict(X, verbose=0)[:, 0]
    np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-raw)), rtol=1e-4)


@row(ATTRIBUTES, "`history_`")
@row(KERAS, "`history_`", "`epoch_`")
def test_the_history_reads_like_a_dict_of_curves_and_like_keras_history(fitted: KerasClassifier) -> None:
    history = fitted.history_
    assert len(history["loss"]) == len(history["accuracy"]) == fitted.n_iter_ == 30
    assert set(history.keys()) == {"loss", "accuracy"}
    assert "loss" in history
    assert history.history == dict(history)
    assert history.epoch == list(range(30))
    assert fitted.loss_curve_ == history["loss"]


def test_the_history_may_be_walked_through_like_a_dict(fitted: KerasClassifier) -> None:
    assert set(fitted.history_) == {"loss", "accuracy"}
    assert dict(fitted.history_.items()) == fitted.history_.history


@row(ATTRIBUTES, "`initialized_`")
@row(METHODS, "`initialize(X, y)`")
def test_initialize_makes_a_model_that_predicts_and_has_no_history(two: Any) -> None:
    clf = eight()
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    with pytest.raises(NotFittedError):
        clf.predict(two[0])
    assert clf.initialize(*two).predict(two[0]).shape == (80,)
    check_is_fitted(clf)
    assert clf.n_iter_ == 0
    assert clf.partial_fit(*two).n_iter_ == 1


# ---- Methods -----------------------------------------------------------------------------------------------------


@row(METHODS, "`fit(X, y, sample_weight)`")
def test_of_sample_weights_only_the_ratios_count(two: Any) -> None:
    X, y = two
    weight = np.where(y == 1, 4.0, 1.0)
    first, second = (eight().fit(X, y, sample_weight=scale * weight).predict_proba(X) for scale in (1, 8))
    np.testing.assert_array_equal(first, second)
    assert first[:, 1].mean() > eight().fit(X, y).predict_proba(X)[:, 1].mean()


@row(METHODS, "`partial_fit`")
def test_partial_fit_adds_one_epoch_and_takes_the_classes_to_come(two: Any) -> None:
    X, y = two
    clf = eight().partial_fit(X, y, classes=[0, 1, 2])
    clf.partial_fit(X, np.where(y == 1, 2, 0))
    assert len(clf.history_["loss"]) == 2
    assert clf.predict_proba(X).shape == (80, 3)
    with pytest.raises(ValueError, match="classes"):
        clf.partial_fit(X, y + 5)
    assert eight(epochs=4).fit(X, y).partial_fit(X, y).n_iter_ == 5


@row(METHODS, "`score`")
def test_score_is_the_accuracy_or_the_coefficient_of_determination(fitted: Any, regressor: Any, two: Any) -> None:
    X, y = two[0], NAMES[two[1]]
    weight = np.arange(1.0, 81.0)
    assert fitted.score(X, y, weight) == pytest.approx(accuracy_score(y, fitted.predict(X), sample_weight=weight))
    target = two[1].astype("float32")
    assert regressor.score(X, target) == pytest.approx(r2_score(target, regressor.predict(X)))


@row(METHODS, "`get_params`, `set_params`, `clone`")
def test_parameters_behind_a_prefix_are_parameters_and_a_clone_has_them_all() -> None:
    model = small({"n_features_in_": 6})
    clf = KerasClassifier(model, optimizer__learning_rate=0.1, fit__batch_size=8)
    clf.set_params(loss__label_smoothing=0.1)
    copied = clone(clf)
    ours, theirs = clf.get_params(), copied.get_params()
    for a, b in zip(ours.pop("model").get_weights(), theirs.pop("model").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert ours == theirs
    assert theirs["optimizer__learning_rate"] == 0.1
    assert theirs["loss__label_smoothing"] == 0.1


@row(SAVING, "`pickle`, `joblib`, `copy.deepcopy`")
@pytest.mark.parametrize("way", ["pickle", "joblib", "deepcopy"])
def test_a_copy_predicts_the_same_bits_and_goes_on_alike(way: str, two: Any, tmp_path: Path) -> None:
    X, y = two
    clf = eight().fit(X, y)
    if way == "pickle":
        copied = pickle.loads(pickle.dumps(clf))  # noqa: S301
    elif way == "joblib":
        joblib.dump(clf, tmp_path / "clf.joblib")
        copied = joblib.load(tmp_path / "clf.joblib")
    else:
        copied = copy.deepcopy(clf)
    np.testing.assert_array_equal(copied.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(copied.partial_fit(X, y).predict_proba(X), clf.partial_fit(X, y).predict_proba(X))


@row(SAVING, "none")
def test_a_file_of_kf_save_gives_back_a_pipeline_that_predicts_the_same_bits(two: Any, tmp_path: Path) -> None:
    X, y = two
    pipe = make_pipeline(StandardScaler(), eight()).fit(X, NAMES[y])
    kf.save(pipe, tmp_path / "pipe.skops")
    loaded = kf.load(tmp_path / "pipe.skops")
    np.testing.assert_array_equal(loaded.predict_proba(X), pipe.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), pipe.predict(X))


# ---- What no longer runs -----------------------------------------------------------------------------------------


@row(GONE, "`Input(shape=(n))`")
def test_keras_takes_no_int_for_a_shape() -> None:
    with pytest.raises(ValueError, match="shape"):
        keras.layers.Input(shape=6)
    assert keras.layers.Input(shape=(6,)).shape == (None, 6)


# ---- keras.wrappers ----------------------------------------------------------------------------------------------


def dynamic_model(meta: dict[str, Any], layers: Any = (10,)) -> keras.Model:
    """The model of Keras' own example, from `meta` instead of `X` and `y`."""
    hidden = inp = keras.layers.Input(shape=(meta["n_features_in_"],))
    for layer_size in layers:
        hidden = keras.layers.Dense(layer_size, activation="relu")(hidden)
    if "n_classes_" in meta:
        out = keras.layers.Dense(meta["n_classes_"], activation="softmax")(hidden)
    else:
        out = keras.layers.Dense(meta["n_outputs_"])(hidden)
    return keras.Model(inp, out)


@row(KERAS, "`SKLearnClassifier(model)`", "a callable of `X` and `y`")
@row(KERAS, '`model_kwargs={"layers": [4]}`', '`fit_kwargs={"epochs": 3}`', "`decision_function`")
def test_the_classifier_of_keras_example_is_searched_by_the_names_of_its_arguments(two: Any) -> None:
    clf = KerasClassifier(
        dynamic_model, loss="categorical_crossentropy", layers=[4], fit__epochs=20, learning_rate=0.05, random_state=0
    )
    assert clone(clf).get_params()["fit__epochs"] == 20
    search = GridSearchCV(clf, {"layers": [[5]]}, cv=ONCE).fit(*two)
    best = search.best_estimator_
    assert best.n_iter_ == 20
    assert best.score(*two) > 0.8
    assert best.predict_proba(two[0]).shape == (80, 2)
    assert [layer.units for layer in best.model_.layers[1:-1]] == search.best_params_["layers"]
    prefixed = KerasClassifier(dynamic_model, model__layers=[4], epochs=1, engine="eager").fit(*two)
    assert prefixed.model_.layers[1].units == 4


@row(KERAS, "`SKLearnRegressor(model)`")
def test_the_regressor_of_keras_example_learns() -> None:
    X, y = load_diabetes(return_X_y=True)
    reg = KerasRegressor(dynamic_model, loss="mse", layers=[20, 20], epochs=30, learning_rate=0.01, random_state=0)
    scaled = TransformedTargetRegressor(make_pipeline(StandardScaler(), reg), transformer=StandardScaler())
    assert scaled.fit(X[:150], y[:150]).score(X[:150], y[:150]) > 0.4


@row(KERAS, "`SKLearnTransformer(model)`")
def test_a_function_transformer_of_a_model_s_predict_embeds_samples_within_a_pipeline(two: Any) -> None:
    keras.utils.set_random_seed(0)
    embedding = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(12, "tanh")])
    embed = FunctionTransformer(embedding.predict, kw_args={"verbose": 0})
    pipe = make_pipeline(embed, LogisticRegression()).fit(*two)
    assert pipe[:-1].transform(two[0]).shape == (80, 12)
    assert pipe.score(*two) > 0.8


@row(KERAS, "1-D targets")
def test_several_labels_a_sample_are_learned() -> None:
    X, y = make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    clf = eight(epochs=3).fit(X, y)
    assert clf.predict(X).shape == (80, 3)
    assert set(np.unique(clf.predict(X))) <= {0, 1}
