"""A name becomes a plain keras.Model of the shape, with the head and the weights that were asked for."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kerasflow as kf
from kerasflow.zoo import weights
from kerasflow.zoo.networks import own


def numbers(model: Any) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.mark.parametrize(
    ("name", "shape", "features"),
    [
        ("alexnet", (63, 63, 3), (1, 1, 256)),
        ("alexnet", (224, 224, 3), (6, 6, 256)),
        ("googlenet", (15, 15, 1), (1, 1, 1024)),
        ("efficientnet_lite0", (32, 40, 3), (1, 2, 1280)),
        ("lenet5", (32, 48, 1), (1, 5, 120)),
    ],
)
def test_features_of_the_least_size_and_of_others(name: str, shape: Any, features: Any) -> None:
    model = kf.zoo.load(name, input_shape=shape, include_top=False)
    assert model(np.zeros((1, *shape), "float32")).shape == (1, *features)


def test_the_least_size_of_alexnets_classifier_works_in_a_graph() -> None:
    import tensorflow as tf

    model = kf.zoo.load("alexnet", input_shape=(95, 95, 3), classes=2)
    assert tf.function(model, jit_compile=True)(np.zeros((1, 95, 95, 3), "float32")).shape == (1, 2)


def test_lenet5_is_as_the_paper_sizes_it() -> None:
    model = kf.zoo.load("lenet5")
    assert (model.input_shape, model.output_shape) == ((None, 32, 32, 1), (None, 10))
    assert numbers(model) == 61_706 == kf.zoo.card("lenet5").parameters
    assert [tuple(model.get_layer(name).output.shape[1:]) for name in ("c1", "s2", "c3", "s4", "c5", "f6")] == [
        (28, 28, 6),
        (14, 14, 6),
        (10, 10, 16),
        (5, 5, 16),
        (1, 1, 120),
        (84,),
    ]


def test_classes_and_activation_are_the_callers(lenet5: dict[str, np.ndarray]) -> None:
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 1)).astype("float32")
    logits = np.asarray(kf.zoo.load("lenet5", lenet5, classifier_activation=None)(images))
    chances = np.asarray(kf.zoo.load("LeNet-5", lenet5)(images))
    np.testing.assert_allclose(chances, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), rtol=1e-5)
    each = np.asarray(kf.zoo.load("lenet5", lenet5, classifier_activation="sigmoid")(images))
    np.testing.assert_allclose(each, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert kf.zoo.load("lenet5", classes=3).output_shape == (None, 3)
    assert kf.zoo.load("MobileNet", input_shape=(32, 32, 3), classes=3).output_shape == (None, 3)


def test_lenet5_computes_what_a_plain_loop_does(lenet5: dict[str, np.ndarray]) -> None:
    image = np.random.default_rng(0).standard_normal((32, 32))

    def convolve(maps: np.ndarray, layer: str) -> np.ndarray:  # (channels, height, width)
        kernel, bias = lenet5[f"{layer}.weight"], lenet5[f"{layer}.bias"]
        windows = np.lib.stride_tricks.sliding_window_view(maps, (5, 5), axis=(1, 2))
        return np.tanh(np.einsum("cyxij,ocij->oyx", windows, kernel) + bias[:, None, None])

    def halve(maps: np.ndarray) -> np.ndarray:
        channels, height, width = maps.shape
        return maps.reshape(channels, height // 2, 2, width // 2, 2).mean((2, 4))

    c5 = convolve(halve(convolve(halve(convolve(image[None], "c1")), "c3")), "c5").ravel()
    f6 = np.tanh(lenet5["f6.weight"] @ c5 + lenet5["f6.bias"])
    expected = lenet5["output.weight"] @ f6 + lenet5["output.bias"]
    model = kf.zoo.load("lenet5", lenet5, classifier_activation=None)
    np.testing.assert_allclose(np.asarray(model(image[None, :, :, None].astype("float32")))[0], expected, atol=1e-5)


@pytest.mark.parametrize("form", ["zip.pth", "legacy.pth", "w.safetensors", "w.weights.h5", "w.keras", "w.h5"])
def test_weights_come_from_every_kind_of_file(
    form: str, lenet5: dict[str, np.ndarray], tmp_path: Path, torch_save: Any, state_dict: Any
) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / form
    model = kf.zoo.load("lenet5", lenet5)
    if form.endswith("h5") and "weights" in form:
        model.save_weights(path)
    elif form.startswith(("zip", "legacy")):
        torch_save(state_dict(lenet5), path, form.partition(".")[0])
    elif form.endswith("safetensors"):
        save_file(lenet5, path)
    else:
        model.save(path)
    found = kf.zoo.load("lenet5", path)
    for ours, theirs in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    below = kf.zoo.load("lenet5", str(path), include_top=False) if not form.endswith("w.h5") else None
    for ours, theirs in zip(below.get_weights() if below else [], model.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)


def refusal(*arguments: Any, **named: Any) -> str:
    with pytest.raises(kf.KerasflowError) as raised:
        kf.zoo.load(*arguments, **named)
    assert isinstance(raised.value, kf.BuildError | kf.DataError)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_weights_of_another_network_are_told_by_layer_and_shape(
    lenet5: dict[str, np.ndarray], tmp_path: Path, torch_save: Any, state_dict: Any
) -> None:
    wider = lenet5 | {"f6.weight": np.zeros((99, 120), "float32")}
    said = refusal("lenet5", wider)
    assert said == "the state dict does not fit lenet5: f6.weight is (99, 120) there and (84, 120) here"
    lacking = {key: array for key, array in lenet5.items() if not key.startswith("c3")}
    said = refusal("lenet5", lacking)
    assert "c3.weight (16, 6, 5, 5) is missing; c3.bias (16,) is missing" in said
    said = refusal("lenet5", lenet5 | {"conv9.weight": np.zeros((1, 1, 3, 3), "float32")})
    assert said.endswith("conv9.weight has no place here")
    torch_save(state_dict(lenet5), tmp_path / "lenet5.pth")
    said = refusal("efficientnet_lite0", tmp_path / "lenet5.pth")
    assert said.startswith(f"{tmp_path}/lenet5.pth does not fit efficientnet_lite0: conv_stem.weight (32, 3, 3, 3) is")
    assert "more" in said
    assert len(said) < 400 + len(str(tmp_path))
    assert "output.weight is (10, 84) there and (7, 84) here" in refusal("lenet5", lenet5, classes=7)
    kf.zoo.load("lenet5", lenet5, classes=7, include_top=False)


def test_weights_of_keras_for_another_network_are_told(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    kf.zoo.load("lenet5", classes=7).save_weights(path)
    said = refusal("lenet5", path)
    assert said == f"{path} does not fit lenet5: output is (84, 7) + (7,) there and (84, 10) + (10,) here"
    path.write_bytes(path.read_bytes()[:1000])
    assert "cannot be read as weights of Keras" in refusal("lenet5", path)


@pytest.mark.parametrize("form", ["w.weights.h5", "w.keras"])
def test_weights_of_a_network_with_other_layers_are_told_without_a_flood_of_warnings(
    form: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path, small = tmp_path / form, {"input_shape": (32, 32, 3), "include_top": False}
    other = kf.zoo.load("mobilenet", **small)
    (other.save if form == "w.keras" else other.save_weights)(path)
    recwarn.clear()
    said = refusal("resnet50", path, **small)
    assert said.startswith(
        f"{path} does not fit resnet50: conv1_conv is (3, 3, 3, 32) there and (7, 7, 3, 64) + (64,) here; "
        "conv1_bn is 4 × (32,) there and 4 × (64,) here; "
    )
    assert re.search(r"; and \d+ more$", said)
    assert not [one for one in recwarn if "Skipping" in str(one.message)]


def test_weights_that_are_not_there_or_of_no_kind_are_told(tmp_path: Path, lenet5: dict[str, np.ndarray]) -> None:
    assert "there is no such file of weights" in refusal("lenet5", tmp_path / "w.pth")
    assert "weights must be 'imagenet', 'none', or a path" in refusal("lenet5", "imagnet")
    assert "lenet5 has no weights to download: none are published" in refusal("lenet5", "imagenet")
    said = refusal("mobilenet_v2", lenet5, input_shape=(32, 32, 3), include_top=False)
    assert "alexnet, efficientnet_lite0, googlenet, lenet5 take PyTorch's weights" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "alexnet", "input_shape": (32, 32, 3)}, "at least 63×63, got 32×32"),
        ({"name": "alexnet", "input_shape": (94, 120, 3)}, "alexnet's classifier takes larger images than 94×120"),
        ({"name": "vgg16", "input_shape": (31, 40, 3)}, "vgg16 takes images of at least 32×32, got 31×40"),
        ({"name": "alexnet", "input_shape": (224, 224)}, "must be (height, width, channels), got (224, 224)"),
        ({"name": "alexnet", "input_shape": (224.0, 224, 3)}, "must be (height, width, channels)"),
        (
            {"name": "alexnet", "input_shape": (None, None, 3)},
            "must know the size of its images, got",
        ),
        ({"name": "alexnet", "aux_heads": True}, "alexnet has no auxiliary heads; networks that have: googlenet"),
        ({"name": "lenet5", "classes": 0}, "classes must be an integer >= 1, got 0"),
        ({"name": "lenet5", "classifier_activation": "softmx"}, "did you mean 'softmax'?"),
        ({"name": "mobilenet_v2", "weights": "imagenet", "classes": 7}, "mobilenet_v2: If using"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(arguments: dict[str, Any], words: str) -> None:
    assert words in refusal(**arguments)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its files can be downloaded."""
    folder = tmp_path / "published"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Keras cache of its own, which Keras has found when it was imported."""
    home = tmp_path / "home"
    home.mkdir()
    from keras.src.backend import config

    monkeypatch.setattr(config, "_KERAS_DIR", str(home))
    return home


def test_imagenet_is_downloaded_once_by_keras(
    published: tuple[Path, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.applications import mobilenet

    folder, address = published
    monkeypatch.setattr(mobilenet, "BASE_WEIGHT_PATH", address)
    file = "mobilenet_1_0_128_tf_no_top.h5"
    what = {"name": "mobilenet", "input_shape": (128, 128, 3), "include_top": False}
    said = refusal(weights="imagenet", **what)
    assert said.startswith("the weights of mobilenet are neither in Keras' cache nor to be had (URL fetch failure")
    ways = f"; connect to a network, put the file at {cache}/models/{file}, or load with weights=PATH or none"
    assert said.endswith(ways)
    source = kf.zoo.load(**what)
    source.save(folder / file)
    for _ in range(2):
        found = kf.zoo.load(weights="imagenet", **what)
        for ours, theirs in zip(found.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        (folder / file).unlink(missing_ok=True)  # the second time, the cache alone has it
    cached = cache / "models" / file
    cached.write_bytes(cached.read_bytes()[:1000])
    assert "in Keras' cache cannot be read" in refusal(weights="imagenet", **what)


def test_published_weights_of_our_networks_are_downloaded_once(
    published: tuple[Path, str],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    lenet5: dict[str, np.ndarray],
    torch_save: Any,
    state_dict: Any,
) -> None:
    folder, address = published
    torch_save(state_dict(lenet5), folder / "w.pth", "legacy")
    digest = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()[:8]
    file = (folder / "w.pth").rename(folder / f"lenet5-{digest}.pth")
    network = own("lenet5")
    assert network is not None
    monkeypatch.setattr(weights, "own", lambda _: replace(network, url=f"{address}{file.name}"))
    for _ in range(2):
        found = kf.zoo.load("lenet5", "imagenet")
        np.testing.assert_array_equal(found.get_layer("f6").bias, lenet5["f6.bias"])
        file.unlink(missing_ok=True)
    cached = cache / "models" / file.name
    cached.write_bytes(cached.read_bytes() + b"?")
    assert "is not what was published; delete it" in refusal("lenet5", "imagenet")
    cached.unlink()
    assert f"put the file at {cached}" in refusal("lenet5", "imagenet")
