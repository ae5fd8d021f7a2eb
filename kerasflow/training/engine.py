"""Which engine runs a training: decided before it begins, from the model and the data alone.

What happens to be compiled already must not count: two runs of one spec would round differently.
"""

from __future__ import annotations

from typing import Any, Literal

from kerasflow.training.arrays import Arrays
from kerasflow.training.feed import Feed
from kerasflow.training.keras_internals import flatten_layers
from kerasflow.training.own_step import own_methods

Engine = Literal["auto", "graph", "xla", "eager"]

# XLA fuses what surrounds a small matrix product; on the CPU its convolutions and recurrences are slower than
# TensorFlow's own. experiments/benchmarks has the figures.
FUSED_BY_XLA = frozenset(
    {
        "InputLayer",
        "Dense",
        "Activation",
        "ReLU",
        "LeakyReLU",
        "PReLU",
        "ELU",
        "Softmax",
        "Dropout",
        "GaussianNoise",
        "GaussianDropout",
        "Flatten",
        "Reshape",
        "BatchNormalization",
        "LayerNormalization",
        "RMSNormalization",
        "Normalization",
        "Rescaling",
        "Add",
        "Subtract",
        "Multiply",
        "Average",
        "Concatenate",
        "Functional",
        "Sequential",
    }
)
PAYING_UPDATES = 5_000  # compiling takes about a second: as long as XLA saves over so many small updates
LARGEST_PRODUCT = 10_000_000  # weights times samples of a micro-batch: above, arithmetic outweighs what XLA saves


def choose_engine(
    asked: Engine, model: Any, data: Feed, epochs: int, micro_batch_size: int | None = None
) -> tuple[str, str]:
    """The engine and why.

    Args:
        epochs: as many as there may be.
    """
    if own := own_methods(model):
        note = f"; updates by the model's own {' and '.join(own)}, so accumulation is its own"
    else:
        note = ""
    if asked != "auto":
        return asked, f"asked for{note}"
    if model.run_eagerly:
        return "eager", f"auto: compiled with run_eagerly=True{note}"
    if model.jit_compile:
        return "xla", f"auto: compiled with jit_compile=True{note}"
    if own:
        return "graph", f"auto: compiled as a TensorFlow graph{note}"
    reason = _against_xla(model, data, epochs, micro_batch_size)
    if reason:
        return "graph", f"auto: compiled as a TensorFlow graph, for {reason}"
    return "xla", f"auto: a small dense model and {epochs} epochs of {data.windows} updates repay compiling it with XLA"


def _against_xla(model: Any, data: Feed, epochs: int, micro_batch_size: int | None) -> str:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return "only the CPU was measured with XLA"
    if not (isinstance(data, Arrays) and data.resident):
        return "the data are streamed"
    others = {type(layer).__name__ for layer in flatten_layers(model)} - FUSED_BY_XLA
    if others:
        return f"XLA on the CPU is not known to be faster with {', '.join(sorted(others))}"
    samples = min(data.batch_size, data.n) if micro_batch_size is None else micro_batch_size
    if model.count_params() * samples > LARGEST_PRODUCT:
        return f"{model.count_params()} weights and {samples} samples at a time are mostly arithmetic"
    updates = epochs * (data.windows or 0)
    if updates < PAYING_UPDATES:
        return f"at most {updates} updates do not repay compiling with XLA"
    return ""
