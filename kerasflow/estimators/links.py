"""From a network's outputs to probabilities: what lies between depends on the loss that it was trained with."""

from __future__ import annotations

from typing import Any

from scipy.special import expit, softmax


def probabilities(model: Any, outputs: Any) -> Any:
    """Outputs as probabilities; logits pass the sigmoid (one number) or the softmax (one a class).

    Args:
        model: compiled; its loss says whether outputs are logits.
        outputs: `(n_samples, n_outputs)`, or a list of such.
    """
    if isinstance(outputs, list | tuple):
        losses = model.loss if isinstance(model.loss, list | tuple) else [model.loss] * len(outputs)
        return [_linked(loss, part) for loss, part in zip(losses, outputs, strict=True)]
    return _linked(model.loss[0] if isinstance(model.loss, list | tuple) else model.loss, outputs)


def is_margin(loss: Any) -> bool:
    """Whether a loss, by name, class, object or function, asks for margins, not for probabilities."""
    name = loss if isinstance(loss, str) else _name(loss) or getattr(loss, "__name__", type(loss).__name__)
    return name.lower().replace("_", "") in ("hinge", "squaredhinge", "categoricalhinge")


def _linked(loss: Any, outputs: Any) -> Any:
    if is_margin(loss):  # for the decision alone: above 0 is the second of two classes
        return expit(outputs) if outputs.shape[-1] == 1 else outputs
    if not _takes_logits(loss):
        return outputs
    each = outputs.shape[-1] == 1 or "binary" in _name(loss)
    return expit(outputs) if each else softmax(outputs, axis=-1)


def _takes_logits(loss: Any) -> bool:
    return bool(getattr(loss, "from_logits", False) or getattr(loss, "_fn_kwargs", {}).get("from_logits", False))


def _name(loss: Any) -> str:
    return str(getattr(getattr(loss, "fn", loss), "__name__", ""))
