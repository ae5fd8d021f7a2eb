"""The columns of a history, as every room reads them: which measure the loop, and which way each is better."""

from __future__ import annotations

PROBE = "probe/"
"""Begins the columns of `kf.Probe`, which are accuracies."""

# What measures the training's course and not the model.
BOOKKEEPING = (
    "epoch",
    "stage",
    "trainable",
    "frozen",
    "updates",
    "lr",
    "grad_norm",
    "features",
    "feature_seconds",
    "seconds",
    "samples_per_second",
)

_BETTER_WHEN_HIGHER = (
    "acc", "accuracy", "auc", "precision", "recall", "f1", "fbeta", "f_beta", "r2", "iou", "specificity", "sensitivity",
    "cosine_similarity", "correlation", "samples_per_second",
)  # fmt: skip


def higher_is_better(name: str) -> bool:
    """Whether a number is to be large, by its name: accuracies and their kin are, costs and errors are not.

    Args:
        name: a column such as `val_accuracy`, or a metric as it is tracked, such as `test/accuracy`.
    """
    if name.startswith(PROBE):
        return True
    bare = name.rsplit("/", 1)[-1].lower().removeprefix("val_")
    if bare.endswith(("error", "loss", "crossentropy")):
        return False
    return any(bare == word or bare.endswith(f"_{word}") or bare.startswith(f"{word}_") for word in _BETTER_WHEN_HIGHER)
