"""What a model's outputs are: how many numbers, of which loss, and so which targets they learn and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from kerasflow.builders.graph import HeadTask
from kerasflow.builders.objects import loss_of
from kerasflow.errors import TrainingError
from kerasflow.training.keras_internals import made_by
from kerasflow.training.labels import counts_labels
from kerasflow.training.refusal import explained

_MARGINS = ("hinge", "squaredhinge", "categoricalhinge")
# Of one number for each class, of which one alone is right; a single number for two classes is no use to them.
_OF_CLASSES = (
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "categoricalhinge",
    "kldivergence",
    "sparsecategoricalcrossentropy",
)
_CROSS_ENTROPIES = (
    "binarycrossentropy",
    "binaryfocalcrossentropy",
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "sparsecategoricalcrossentropy",
)
ROUNDING = 1e-2  # of probabilities in half precision


class Head(NamedTuple):
    """One output of a model.

    Attributes:
        width: how many numbers it gives for a sample; None where that varies, or there is no model yet.
        activation: of its last layer, by name; empty where it is not known.
        loss: that it is compiled with; None before that.
    """

    width: int | None
    activation: str
    loss: Any

    @property
    def excludes(self) -> bool:
        """Whether its numbers are of classes of which one alone is right."""
        return self.activation == "softmax" or _name(self.loss) in _OF_CLASSES


def heads_of(model: Any, sample: Any) -> list[Head]:
    """The outputs of a model, in its order.

    Args:
        sample: one, as the model takes them: a model that tells of its outputs only when called is called on it.

    Raises:
        ValueError: it gives its outputs as a dict.
        TrainingError: it does not take such a sample.
    """
    outputs = list(getattr(model, "outputs", None) or [])
    found = getattr(model, "output", None) if outputs else called(model, sample)
    if isinstance(found, Mapping):
        raise ValueError("the model gives its outputs as a dict; let it give a list, in the order of the columns of y")
    activations = [_activation(tensor) for tensor in outputs]
    if not outputs:
        outputs = list(found) if isinstance(found, list | tuple) else [found]
        activations = [""] * len(outputs)
    losses = losses_of(getattr(model, "loss", None), getattr(model, "output_names", [""] * len(outputs)))
    return [Head(tensor.shape[-1], *each) for tensor, *each in zip(outputs, activations, losses, strict=True)]


def called(model: Any, x: Any) -> Any:
    """A model's outputs in inference, without a program of their own.

    Raises:
        TrainingError: it does not take such samples.
    """
    with explained("eager", x):
        return model(x)


def losses_of(loss: Any, outputs: Sequence[str]) -> list[Any]:
    """The loss of each output, of one for all, of a list in their order, or of a dict by their names.

    Raises:
        TrainingError: a list is longer or shorter.
    """
    if isinstance(loss, Mapping):
        return [loss.get(name) for name in outputs]
    if not isinstance(loss, list | tuple):
        return [loss] * len(outputs)
    if len(loss) != len(outputs):
        raise TrainingError(
            f"loss is a list of {len(loss)}, and the model has {len(outputs)} outputs; give one for each"
        )
    return list(loss)


def head_for(task: HeadTask, n_outputs: int, loss: Any) -> tuple[int, HeadTask]:
    """Units of a spec's layer `head`, and what it is built for: linear where its loss wants margins or logits.

    Args:
        n_outputs: classes, labels or quantities.
        loss: by name or as an object.
    """
    exclusive = task in ("binary", "multiclass")
    of_classes = _name(loss) in _OF_CLASSES
    units = 1 if exclusive and n_outputs == 2 and not of_classes else n_outputs
    if is_margin(loss) or _takes_logits(loss):
        return units, "regression"
    return units, "classification" if exclusive or of_classes else task


def _activation(output: Any) -> str:
    layer = made_by(output).layer
    while hasattr(layer, "layers"):  # a model within the model
        layer = layer.layers[-1]
    known = type(layer).__name__ in ("Dense", "EinsumDense", "Activation")
    return getattr(getattr(layer, "activation", None), "__name__", "") if known else ""


def loss_for(task: HeadTask, heads: list[Head]) -> tuple[Any, dict[str, Any]]:
    """The loss that the task and each last layer ask for, and its arguments: of logits where a layer is linear."""
    named = [_loss_for(task, head) for head in heads]
    logits = [task != "regression" and head.activation == "linear" for head in heads]
    if len(heads) == 1:
        return named[0], {"from_logits": True} if logits[0] else {}
    return named, {f"{place}__from_logits": True for place, linear in enumerate(logits) if linear}


def _loss_for(task: HeadTask, head: Head) -> str:
    if task == "multilabel" and head.excludes:
        return "categorical_crossentropy"
    two = task == "binary" and head.width is not None and head.width > 1
    one = task == "multiclass" and head.width == 1
    return loss_of("multiclass" if two else "binary" if one else task)


def class_targets(heads: list[Head], columns: list[Any], n_classes: list[int], dtype: str) -> list[Any]:
    """Indices of labels as each head's loss wants them: as they are, one number for each class, or 0 and 1.

    Args:
        columns: of each target `(n_samples,)`, from 0.
        n_classes: of each target.
        dtype: of targets that are no indices.

    Raises:
        ValueError: there are not as many heads as targets, or a head has not as many outputs as there are classes.
    """
    if len(heads) != len(columns):
        raise ValueError(
            f"the model gives {len(heads)} outputs for {len(columns)} columns of y; give it an output for each"
        )
    return [_targets(*each, dtype) for each in zip(heads, columns, n_classes, strict=True)]


def _targets(head: Head, column: Any, n_classes: int, dtype: str) -> Any:
    if head.width is not None and head.width != n_classes and (head.width, n_classes) != (1, 2):
        allowed = "1 or 2" if n_classes == 2 else str(n_classes)
        raise ValueError(
            f"the model's last layer gives {head.width} outputs for {n_classes} classes; give it {allowed} units: a "
            "callable finds the number in meta['n_classes_'], a spec has the layer 'head'"
        )
    if counts_labels(head.loss):
        return column
    if head.width == 1 or (head.width is None and n_classes == 2):
        return column.astype(dtype)
    return np.eye(n_classes, dtype=dtype)[column]


def number_targets(heads: list[Head], numbers: Any) -> Any:
    """Quantities, or labels side by side, as the heads share them: each learns the columns that it has numbers for.

    Args:
        numbers: `(n_samples,)` or `(n_samples, n_targets)`.

    Raises:
        ValueError: together they give more numbers, or fewer.
    """
    widths, n_targets = [head.width for head in heads], 1 if numbers.ndim == 1 else numbers.shape[-1]
    known = [width for width in widths if width is not None]
    if len(known) == len(widths) and sum(known) != n_targets:
        gives = "last layer gives" if len(widths) == 1 else f"{len(widths)} outputs give"
        raise ValueError(
            f"the model's {gives} {' + '.join(map(str, known))} outputs for {n_targets} targets; give it {n_targets} "
            "units: a callable finds the number in meta['n_outputs_'], a spec has the layer 'head'"
        )
    if len(heads) == 1:
        return numbers
    return np.split(numbers.reshape(len(numbers), -1), np.cumsum(known)[:-1], axis=-1)


def check_probabilities(heads: list[Head], outputs: Any) -> None:
    """Holds outputs to what cross-entropies take that are told of no logits.

    Args:
        heads: of a compiled model.
        outputs: of some samples, `(n_samples, n_outputs)`, or a list of such.

    Raises:
        TrainingError: some are no probabilities, which Keras would cut to some, and learn nothing.
    """
    for head, found in zip(heads, _each(outputs), strict=True):
        if not _takes_probabilities(head.loss):
            continue
        found = np.asarray(found, dtype="float64")
        lowest, highest, sums = found.min(), found.max(), found.sum(axis=-1)
        one_of_several = found.shape[-1] > 1 and _name(head.loss) in _OF_CLASSES
        if lowest < -ROUNDING or highest > 1 + ROUNDING:
            fault = f"range from {lowest:.3g} to {highest:.3g}"
        elif one_of_several and np.abs(sums - 1).max() > ROUNDING:
            fault = f"of one sample sum to {sums[np.abs(sums - 1).argmax()]:.3g}"
        else:
            continue
        last = "softmax" if one_of_several else "sigmoid"
        raise TrainingError(
            f"the model's outputs {fault}, but {_shown(head.loss)} takes probabilities; end the model with a {last}, "
            "or give a loss that takes logits, made with from_logits=True"
        )


def need_a_look(heads: list[Head]) -> bool:
    """Whether only a call of the model tells whether its outputs are the probabilities that its losses take."""
    alone = [head.activation == "sigmoid" and not (head.excludes and head.width != 1) for head in heads]
    return any(
        _takes_probabilities(head.loss) and not (head.activation == "softmax" or sigmoid)
        for head, sigmoid in zip(heads, alone, strict=True)
    )


def probabilities(heads: list[Head], outputs: Any, exclusive: bool) -> Any:
    """Outputs as probabilities; logits pass the sigmoid (one number) or the softmax (one a class).

    Args:
        heads: of a compiled model, whose losses say whether outputs are logits.
        outputs: `(n_samples, n_outputs)`, or a list of such.
        exclusive: whether one class alone is right, so that they sum to 1: sigmoids of several classes are divided by
            their sum, as scikit-learn's one-vs-rest does.
    """
    found = [_linked(head.loss, part, exclusive) for head, part in zip(heads, _each(outputs), strict=True)]
    return found if isinstance(outputs, list | tuple) else found[0]


def labels_side_by_side(heads: list[Head], likely: Any) -> Any:
    """Probabilities of labels, of which one alone is right where a head excludes the others: 1 for it, 0 for them.

    Args:
        likely: `(n_samples, n_labels)`, or a list of such.
    """
    parts = zip(heads, _each(likely), strict=True)
    return np.hstack([np.eye(part.shape[1])[part.argmax(1)] if head.excludes else part for head, part in parts])


def _each(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def is_margin(loss: Any) -> bool:
    """Whether a loss, by name, class, object or function, asks for margins, not for probabilities."""
    return _name(loss) in _MARGINS


def _linked(loss: Any, outputs: Any, exclusive: bool) -> Any:
    if is_margin(loss):  # for the decision alone: what is above 0 comes above one half
        return 0.5 + outputs / 2
    one_by_one = outputs.shape[-1] == 1 or _name(loss).startswith("binary")
    if _takes_logits(loss):
        outputs = expit(outputs) if one_by_one else softmax(outputs, axis=-1)
    if exclusive and one_by_one and outputs.shape[-1] > 1:
        return outputs / np.maximum(outputs.sum(axis=-1, keepdims=True), np.finfo(outputs.dtype).tiny)
    return outputs


def _takes_probabilities(loss: Any) -> bool:
    return not _takes_logits(loss) and _name(loss) in _CROSS_ENTROPIES


def _takes_logits(loss: Any) -> bool:
    return bool(getattr(loss, "from_logits", False) or getattr(loss, "_fn_kwargs", {}).get("from_logits", False))


def _name(loss: Any) -> str:
    """A loss' name in lower case, however it is given."""
    function = getattr(loss, "fn", loss)
    name = loss if isinstance(loss, str) else getattr(function, "__name__", type(function).__name__)
    return name.lower().replace("_", "")


def _shown(loss: Any) -> str:
    return repr(loss) if isinstance(loss, str) else str(getattr(loss, "__name__", type(loss).__name__))
