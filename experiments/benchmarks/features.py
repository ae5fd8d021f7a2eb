"""Who computes features, or trains a head on them: each contender makes its network and images ready.

Networks are those of `keras.applications` without a classifier, averaged over height and width, of random weights.
Images are uint8 of random numbers; the networks' own preprocessing is a part of the work.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from contenders import Fit, Job, Mark, repeated
from tasks import CLASSES

_ZOO = {"mobilenet": "mobilenet_v2", "resnet": "resnet50"}


def kerasflow_features(job: Job, seed: int) -> Fit:
    """`kf.FeatureExtractor`, its batches left to itself."""
    return _extracting(job, seed)


def openvino_features(job: Job, seed: int) -> Fit:
    """The same by OpenVINO."""
    return _extracting(job, seed, engine="openvino")


def bfloat16_features(job: Job, seed: int) -> Fit:
    """The same by OpenVINO in bfloat16."""
    return _extracting(job, seed, engine="openvino", precision="bfloat16")


def _extracting(job: Job, seed: int, **settings: Any) -> Fit:
    images = _images(job, seed)
    extractor = _extractor(job, seed, **settings).fit(images)
    return repeated(lambda: extractor.transform(images), f"{extractor.engine}, {extractor.precision}")


def keras_features(job: Job, seed: int) -> Fit:
    """`keras.Model.predict` by its defaults on what `preprocess_input` gives."""
    images, network, preprocess = _images(job, seed), _pooled(job, seed), _preprocess(job)
    return repeated(lambda: network.predict(preprocess(images.astype("float32")), verbose=0))


def kerasflow_blocks(job: Job, seed: int) -> Fit:
    """All blocks' outputs at once."""
    images = _images(job, seed)
    extractor = _extractor(job, seed, layer=_blocks(_network(job, seed))).fit(images)
    return repeated(lambda: extractor.transform(images), "tensorflow, float32")


def keras_blocks(job: Job, seed: int) -> Fit:
    """One model for each block's output, and one `predict` for each model."""
    import keras

    images, network, preprocess = _images(job, seed), _network(job, seed), _preprocess(job)
    pool = keras.layers.GlobalAveragePooling2D()
    models = [keras.Model(network.input, pool(network.get_layer(name).output)) for name in _blocks(network)]
    return repeated(lambda: [model.predict(preprocess(images.astype("float32")), verbose=0) for model in models])


def kerasflow_cached(job: Job, seed: int) -> Fit:
    """Features that are on the disk."""
    images, folder = _images(job, seed), tempfile.TemporaryDirectory()
    extractor = _extractor(job, seed, cache=folder.name).fit(images)
    extractor.transform(images)
    return repeated(lambda: np.array(extractor.transform(images)), "tensorflow, float32", keeps=folder)


def kerasflow_caching(job: Job, seed: int) -> Fit:
    """The same features computed, and written to the disk."""
    images, folder = _images(job, seed), tempfile.TemporaryDirectory()
    extractor = _extractor(job, seed).fit(images)

    def first() -> None:
        with tempfile.TemporaryDirectory(dir=folder.name) as own:
            np.array(extractor.set_params(cache=Path(own)).transform(images))

    return repeated(first, "tensorflow, float32", keeps=folder)


def kerasflow_head(job: Job, seed: int) -> Fit:
    """A stage of which the backbone is frozen."""
    from kerasflow import Trainer
    from kerasflow.transfer import Stage, StagedTrainer

    model, images, labels = _with_head(job, seed), _images(job, seed), _labels(job, seed)
    settings = {"metrics": ["accuracy"], "batch_size": job.batch_size, "seed": seed, "verbose": 0}
    trainer = Trainer(optimizer="adam", loss=_loss(), **settings)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        return StagedTrainer(trainer, [Stage(epochs)]).fit(model, images, labels).engine

    return fit


def keras_head(job: Job, seed: int) -> Fit:
    """`keras.Model.fit` on the whole model, its backbone frozen."""
    model, images, labels = _with_head(job, seed), _images(job, seed), _labels(job, seed)
    model.get_layer("backbone").trainable = False
    model.compile("adam", _loss(), metrics=["accuracy"])

    def fit(epochs: int, mark: Mark | None = None) -> str:
        model.fit(images, labels, batch_size=job.batch_size, epochs=epochs, verbose=0)
        return ""

    return fit


def _extractor(job: Job, seed: int, **settings: Any) -> Any:
    from kerasflow import FeatureExtractor

    return FeatureExtractor(_network(job, seed), preprocess=_ZOO[job.task.network], **settings)


def _network(job: Job, seed: int) -> Any:
    from kerasflow import zoo
    from kerasflow.cli.startup import load_tensorflow

    load_tensorflow()  # which would talk on a plain import
    import keras

    keras.utils.set_random_seed(seed)
    return zoo.load(_ZOO[job.task.network], weights=None, input_shape=job.task.input_shape, include_top=False)


def _pooled(job: Job, seed: int) -> Any:
    import keras

    network = _network(job, seed)
    if len(network.output_shape) == 2:
        return network
    return keras.Model(network.input, keras.layers.GlobalAveragePooling2D()(network.output))


def _with_head(job: Job, seed: int) -> Any:
    """Bytes in, probabilities out."""
    import keras

    network = _pooled(job, seed)
    backbone = keras.Model(network.input, network.output, name="backbone")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)  # MobileNetV2's preprocessing
    return keras.Sequential(
        [keras.Input(job.task.input_shape), scaled, backbone, keras.layers.Dense(CLASSES, "softmax")]
    )


def _loss() -> Any:
    import keras

    return keras.losses.SparseCategoricalCrossentropy()


def _preprocess(job: Job) -> Any:
    import keras

    module = {"mobilenet": keras.applications.mobilenet_v2, "resnet": keras.applications.resnet50}[job.task.network]
    return module.preprocess_input


def _blocks(network: Any) -> list[str]:
    """Where MobileNetV2's 16 numbered blocks end: in a sum, if there is a skip around the block."""
    names = {layer.name for layer in network.layers}
    ends = (f"block_{number}_add" for number in range(1, 17))
    return [end if end in names else end.replace("add", "project_BN") for end in ends]


def _images(job: Job, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (job.samples, *job.task.input_shape), dtype=np.uint8)


def _labels(job: Job, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CLASSES, job.samples, dtype="int32")
