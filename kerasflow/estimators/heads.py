"""What a model's outputs are: how many numbers, of which loss, and so which targets they learn and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from kerasflow.builders.graph import HeadTask
from kerasflow.builders.objects import loss_of
from kerasflow.training.keras_internals import made_by
from kerasflow.training.labels import counts_labels

_MARGINS = ("hinge", "squaredhinge", "categoricalhinge")
# Of one number for each class, of which one alone is right; a single number for two classes is no use to them.
_OF_CLASSES = (
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "categoricalhinge",
    "kldivergence",
    "sparsecategoricalcrossentropy",
)


class Head(NamedTuple):
    """One output of a model.

    Attributes:
        width: how many numbers it gives for a sample; None where only a call would tell.
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


def heads_of(model: Any) -> list[Head]:
    """The outputs of a functional model, in its order; of one that tells of its outputs only when called, one head.

    Raises:
        ValueError: it gives its outputs as a dict.
    """
    loss = getattr(model, "loss", None)
    outputs = getattr(model, "outputs", None)
    if not outputs:
        losses = (
            list(loss.values()) if isinstance(loss, Mapping) else loss if isinstance(loss, list | tuple) else [loss]
        )
        return [Head(None, "", one) for one in losses]
    if isinstance(getattr(model, "output", None), Mapping):
        raise ValueError("the model gives its outputs as a dict; let it give a list, in the order of the columns of y")
    losses = losses_of(loss, getattr(model, "output_names", [""]))  # a Sequential has one, without a name
    return [Head(output.shape[-1], _activation(output), one) for output, one in zip(outputs, losses, strict=True)]


def losses_of(loss: Any, outputs: Sequence[str]) -> list[Any]:
    """The loss of each output, of one for all, of a list in their order, or of a dict by their names."""
    if isinstance(loss, Mapping):
        return [loss.get(name) for name in outputs]
    return list(loss) if isinstance(loss, list | tuple) else [loss] * len(outputs)


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
        if any(head.width is not None for head in heads):
            raise ValueError(
                f"the model gives {len(heads)} outputs for {len(columns)} columns of y; give it an output for each"
            )
        heads = heads[:1] * len(columns)
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


def check_numbers(heads: list[Head], n_targets: int) -> None:
    """Holds the output of a model that has one to the number of targets.

    Raises:
        ValueError: it gives more numbers, or fewer.
    """
    if len(heads) == 1 and heads[0].width not in (None, n_targets):
        raise ValueError(
            f"the model's last layer gives {heads[0].width} outputs for {n_targets} targets; give it {n_targets} "
            "units: a callable finds the number in meta['n_outputs_'], a spec has the layer 'head'"
        )


def probabilities(heads: list[Head], outputs: Any) -> Any:
    """Outputs as probabilities; logits pass the sigmoid (one number) or the softmax (one a class).

    Args:
        heads: of a compiled model, whose losses say whether outputs are logits.
        outputs: `(n_samples, n_outputs)`, or a list of such.
    """
    if not isinstance(outputs, list | tuple):
        return _linked(heads[0].loss, outputs)
    heads = heads if len(heads) == len(outputs) else heads[:1] * len(outputs)
    return [_linked(head.loss, part) for head, part in zip(heads, outputs, strict=True)]


def is_margin(loss: Any) -> bool:
    """Whether a loss, by name, class, object or function, asks for margins, not for probabilities."""
    return _name(loss) in _MARGINS


def _linked(loss: Any, outputs: Any) -> Any:
    if is_margin(loss):  # for the decision alone: what is above 0 comes above one half
        return 0.5 + outputs / 2
    if not _takes_logits(loss):
        return outputs
    each = outputs.shape[-1] == 1 or _name(loss).startswith("binary")
    return expit(outputs) if each else softmax(outputs, axis=-1)


def _takes_logits(loss: Any) -> bool:
    return bool(getattr(loss, "from_logits", False) or getattr(loss, "_fn_kwargs", {}).get("from_logits", False))


def _name(loss: Any) -> str:
    """A loss' name in lower case, however it is given."""
    function = getattr(loss, "fn", loss)
    name = loss if isinstance(loss, str) else getattr(function, "__name__", type(function).__name__)
    return name.lower().replace("_", "")
