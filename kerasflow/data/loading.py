"""The page that joins the room: source, target, split, preparation, summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kerasflow.data.dataset import Data, Part
from kerasflow.data.fingerprint import fingerprint
from kerasflow.data.preparation import Preparation
from kerasflow.data.splitting import PartName, draw
from kerasflow.data.target import Target, infer
from kerasflow.spec.data import DataSpec, Source, Split

if TYPE_CHECKING:
    from kerasflow.data.inputs import Raw
    from kerasflow.data.sources import Found

# What a part is before it is prepared: raw observations and encoded targets.
Encoded = tuple["Raw", NDArray[Any]]


def load(spec: DataSpec, seed: int) -> Data:
    """Reads, splits and prepares the data of an experiment.

    Args:
        spec: what is wanted.
        seed: draws the parts; the same seed draws the same rows.

    Returns:
        The parts, the preparation that was fitted on the training part alone, the fingerprint and a summary.

    Raises:
        DataError: data that is missing, malformed, or that nothing can be learned from.
    """
    from kerasflow.data.inputs import fit_input
    from kerasflow.data.selection import selected

    found = selected(_read(spec.source), spec.take)
    rows = found.parts["train"]
    wanted = spec.task if spec.task != "auto" else found.task or "auto"
    target = infer(rows.y, found.targets, wanted, found.where, found.order)
    encoded = _split(found, target, spec.split, seed)
    treat = fit_input(encoded["train"][0], spec.scale, found.separator, found.key)
    parts = {name: Part(treat(x), y) for name, (x, y) in encoded.items()}
    unknown = {name: treat.unknown_categories(x) for name, (x, _) in encoded.items()}
    return Data(
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        preparation=Preparation(target, treat),
        fingerprint=fingerprint(found.content()),
        summary=_summary(found, target, parts, unknown),
    )


def _read(source: Source) -> Found:
    from kerasflow.data import bundled, sources

    kind, chosen = source.chosen
    readers: dict[str, Any] = {
        "sklearn": bundled.read_sklearn,
        "keras": bundled.read_keras,
        "csv": sources.read_csv,
        "parquet": sources.read_parquet,
        "npz": sources.read_npz,
        "images": sources.read_images,
    }
    found: Found = readers[kind](chosen)
    return found


def _split(found: Found, target: Target, split: Split, seed: int) -> dict[PartName, Encoded]:
    """The source's own parts, and those still missing drawn from its training rows."""
    from kerasflow.data.inputs import take

    encoded: dict[PartName, Encoded] = {
        name: (rows.x, target.encode(rows.y, f"{found.where}: {name}")) for name, rows in found.parts.items()
    }
    x, y = encoded["train"]
    drawn = draw(
        y,
        target.classes,
        validation=0.0 if "validation" in encoded else split.validation,
        test=0.0 if "test" in encoded else split.test,
        seed=seed,
        where=found.where,
    )
    return encoded | {name: (take(x, rows), y[rows]) for name, rows in drawn.items()}


def _summary(
    found: Found, target: Target, parts: dict[PartName, Part], unknown: dict[PartName, dict[str, int]]
) -> dict[str, Any]:
    x = parts["train"].x
    facts: dict[str, Any] = {
        "source": found.where,
        "task": target.task,
        "targets": list(target.names),
        "rows": {name: len(part) for name, part in parts.items()},
        "shape": list(x.shape[1:]),
        "dtype": str(x.dtype),
    }
    if target.classes is not None:
        facts["classes"] = list(target.classes)
        facts["balance"] = {name: _balance(part.y, target) for name, part in parts.items()}
    table = found.table
    if table is not None:
        facts["features"] = table.columns.names
        facts["dropped_rows"] = table.dropped
        facts["imputed"] = table.imputed
        facts["unknown_categories"] = {name: counts for name, counts in unknown.items() if counts}
    return facts


def _balance(y: NDArray[Any], target: Target) -> dict[str, int]:
    """Rows a class; the labels as text, since JSON has no other keys."""
    classes = target.classes or ()
    counts = np.bincount(y, minlength=len(classes)).tolist()
    return {str(label): count for label, count in zip(classes, counts, strict=True)}
