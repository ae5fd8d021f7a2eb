"""What Keras and TensorFlow say when they refuse a model, a loss or a batch, as a person can use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kerasflow.errors import KerasflowError, TrainingError, sentence

# Where in its own code TensorFlow was, around the sentence that says what is wrong.
_PLACE = re.compile(r"^\(\d+\) \w+:\s*|\{\{function_node [^}]*\}\}\s*|\s*\[Op:[^\]]*\]\s*(name:\s*\S*)?$")

# What an assertion in a program says, before the numbers that it compared.
_FLOAT32_ALONE = re.compile(r"cannot compute (\w+) as input .* expected to be a float tensor but is a double tensor")
_ASSERTED = re.compile(r"assertion failed: \[(.*?)\] \[Condition")
# The sparse cross-entropy's sentence, before every label of the batch.
_LABEL = re.compile(r"Received a label value of (-?\d+) which is outside the valid range of \[(\d+), (\d+)\)")
# What Python raised within TensorFlow, which gives it a class of its own.
_PYTHONS_OWN = re.compile(r"(\w+: [^\n]*)\nTraceback \(most recent call last\)")
# XLA's list of what it cannot compile. Arguments it takes of every kind but text.
_NO_KERNEL = re.compile(r"(\w+) \(No registered '\w+' OpKernel for XLA")


@contextmanager
def explained(engine: str, x: Any) -> Iterator[None]:
    """Around the step on a batch with inputs `x`: what a framework raises becomes one sentence.

    Raises:
        TrainingError: the batch cannot be computed with.
    """
    import tensorflow as tf

    try:
        with called_back():
            yield
    except KerasflowError:
        raise  # it is one sentence
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"a batch of samples of shape {shapes(x)} does not fit in memory; give a smaller micro_batch_size"
        ) from error
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, ValueError, TypeError) as error:
        if engine == "xla" and isinstance(error, tf.errors.OpError):
            raise TrainingError(
                f"engine 'xla' cannot run this model; give 'graph' or 'auto': {reason(error)}"
            ) from error
        raise TrainingError(f"the model refuses a batch of samples of shape {shapes(x)}: {reason(error)}") from error


@contextmanager
def called_back() -> Iterator[None]:
    """Around what may call Python within TensorFlow, such as the generator behind a `tf.data.Dataset`.

    Raises:
        TrainingError: that has failed, with what it raised.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if raised := _PYTHONS_OWN.search(str(error)):
            raise TrainingError(f"code that TensorFlow calls, such as a generator, has failed: {raised[1]}") from error
        raise


def reason(error: BaseException) -> str:
    """The sentence of a framework's error that says what is wrong, without where in its own code it was."""
    told = str(error).strip()
    if told.startswith("Graph execution error"):  # a trace of the graph's making stands before the sentence
        told = told.split("\n\t [[")[0].strip().splitlines()[-1].strip()
    if asserted := _ASSERTED.search(told):
        return asserted[1].replace("\\'", "'")
    if label := _LABEL.search(told):
        last = int(label[3]) - 1
        return f"a target is the label {label[1]}, and labels are {label[2]} to {last} here, one for each output"
    if single := _FLOAT32_ALONE.search(told):
        return f"{single[1]} computes in float32 alone; give samples in float32"
    missing = _NO_KERNEL.findall(told)
    if missing:
        names = ", ".join("text" if name == "_Arg" else name for name in dict.fromkeys(missing))
        return f"it has no kernel for {names}"
    return _PLACE.sub("", sentence(ValueError(told) if told else error)).rstrip(". ")


def shapes(part: Any) -> str:
    """The shape of one sample of each array in a nest, for a message."""
    import keras

    found = [str(tuple(leaf.shape[1:])) for leaf in keras.tree.flatten(part) if leaf is not None]
    return " and ".join(found) or "nothing"
