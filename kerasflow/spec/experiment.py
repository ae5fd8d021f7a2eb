"""A whole experiment as one value: what is wanted, checked, hashed, written out again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from kerasflow.errors import Fault, SpecError
from kerasflow.secrecy import without_password
from kerasflow.spec.base import Part
from kerasflow.spec.data import DataSpec
from kerasflow.spec.document import Document, DocumentPath, as_yaml, dotted, open_document, split_path
from kerasflow.spec.faults import Found, refuse, short, spec_error
from kerasflow.spec.model import ModelSpec
from kerasflow.spec.overriding import override
from kerasflow.spec.sweep import Chosen, SweepSpec, corners
from kerasflow.spec.symmetry import copies
from kerasflow.spec.train import TrainSpec

_NAME = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]*$")


class TrackSpec(Part):
    """Where runs are recorded beside their folder.

    Attributes:
        uri: MLflow's tracking store, such as `sqlite:///mlflow.db` or `http://host:5000`; `none` records in the run
            folder alone; `auto` is MLFLOW_TRACKING_URI where that is set, else `sqlite:///mlflow.db`.
        system_metrics: whether the machine's load and memory are curves, too.
        updates: whether the cost of each update's window is a curve, too, `update/loss` by updates; each update is a
            call of its own then, which takes longer.
    """

    uri: Annotated[str, Field(min_length=1)] = "auto"
    system_metrics: bool = True
    updates: bool = False


class ExperimentSpec(Part):
    """One experiment, written down.

    Attributes:
        experiment: the name that runs to be compared share.
        name: the run's own.
        seed: of the split, the initial weights, the order of samples and every mask; same seed, same bits.
        sweep: what `kf.sweep` tries; a run leaves it alone.
    """

    experiment: Annotated[str, _NAME]
    name: Annotated[str, _NAME] = "run"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataSpec
    model: ModelSpec
    train: TrainSpec = TrainSpec()
    track: TrackSpec = TrackSpec()
    sweep: SweepSpec | None = None

    @model_validator(mode="after")
    def _route_fits_the_model(self) -> ExperimentSpec:
        found: Found = []
        backbone = self.model.backbone
        if self.train.route != "scratch" and backbone is None:
            found.append((("train", "route"), f"{self.train.route} needs a backbone: name one under model"))
        if self.train.route != "scratch" and backbone is not None and backbone.aux_heads:
            message = f"help a network to learn from its first epoch; got route {self.train.route}"
            found.append((("model", "backbone", "aux_heads"), f"{message}, set scratch or leave them out"))
        if backbone is not None and backbone.name is not None and self.data.scale != "none":
            message = f"must be none: {backbone.name} has its own way of scaling images, which the model does itself"
            found.append((("data", "scale"), f"{message}; got {self.data.scale!r}"))
        if not self.model.allow_symmetry:
            found += [(("model", *path), message) for path, message in copies(self.model)]
        refuse(found)
        return self

    _document: Document = PrivateAttr(default_factory=lambda: Document(None))

    def __eq__(self, other: object) -> bool:
        """Equal in what is wanted, wherever it was read from."""
        return isinstance(other, ExperimentSpec) and self.to_document() == other.to_document()

    def __hash__(self) -> int:
        return hash(self.content_hash())

    def to_document(self) -> dict[str, Any]:
        """The spec as plain dicts and lists, every default filled in; `load_spec` gives back an equal spec."""
        document = self.model_dump(mode="json")
        return document if self.sweep else {key: value for key, value in document.items() if key != "sweep"}

    def idle(self) -> dict[str, str]:
        """What is written and does nothing on this route, by its dotted path, and why."""
        train, usual = self.train, TrainSpec()
        found: dict[str, str] = {}
        if train.stages and train.epochs != usual.epochs:
            found["train.epochs"] = "does nothing: each of the stages says its own"
        if train.route == "features":
            unused = {
                "train.epochs": train.epochs != usual.epochs,
                "train.stop": bool(train.stop),
                "model.augmentation": bool(self.model.augmentation),
            }
            why = "does nothing on route: features, which passes each image through the network once, as it is"
            found |= {path: why for path, written in unused.items() if written}
        return found

    def to_yaml(self) -> str:
        """The same as YAML text."""
        return as_yaml(self.to_document())

    def without_password(self) -> ExperimentSpec:
        """The same with `***` for who may enter the tracking store, to be written down."""
        track = self.track.model_copy(update={"uri": without_password(self.track.uri)})
        return self.model_copy(update={"track": track})

    def with_values(self, chosen: Chosen) -> ExperimentSpec:
        """A trial of the sweep: a plain spec, without `sweep:`, that has these values by dotted path.

        Raises:
            SpecError: with every fault that the spec has then.
        """
        found = self.model_copy(update={"sweep": None})
        found._document = self._document
        waiting = dict(chosen)
        while waiting:  # a whole is set, and filled in, before its parts are
            parts = {path for path in waiting for other in waiting if _lies_in(path, other)}
            found = load_spec(found, {path: value for path, value in waiting.items() if path not in parts})
            waiting = {path: value for path, value in waiting.items() if path in parts}
        return found

    def content_hash(self) -> str:
        """SHA-256, in hex, of what decides the run's numbers: seed, data, model and train, however written."""
        document = self.to_document()
        decisive = {key: document[key] for key in ("seed", "data", "model", "train")}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def where(self, path: DocumentPath) -> str:
        """`file:line: dotted.path` of a part, to put in front of an error about it."""
        return ": ".join(part for part in (self._document.where(path), dotted(path)) if part)


def load_spec(
    source: str | Path | Mapping[str, Any] | ExperimentSpec, overrides: Mapping[str, Any] | None = None
) -> ExperimentSpec:
    """Reads an experiment and checks it whole.

    Args:
        source: a path to YAML or JSON, such text itself, or the same as a dict.
        overrides: values by dotted path, e.g. `{"train.epochs": 3, "model.layers[0].dense.units": 64}`.

    Raises:
        SpecError: with every fault that the spec has.
    """
    if isinstance(source, ExperimentSpec):
        document = source._document
        spec = source
    else:
        document = open_document(source)
        spec = _validate(document, {})
    if not overrides:
        return spec
    changed, changes = _override(spec, overrides, document)
    return _validate(changed, changes)


def _validate(document: Document, changes: Mapping[DocumentPath, Any]) -> ExperimentSpec:
    if not isinstance(document.value, dict):
        raise SpecError(
            [
                Fault(
                    "", f"must be a mapping with experiment, data and model, got {short(document.value)}", document.file
                )
            ]
        )
    try:
        spec = ExperimentSpec.model_validate(document.value, context={"folder": document.folder})
    except ValidationError as error:
        raise spec_error(error, ExperimentSpec, document, changes) from None
    spec._document = document
    if spec.sweep is not None:
        _check_space(spec, spec.sweep)
    return spec


def _check_space(spec: ExperimentSpec, sweep: SweepSpec) -> None:
    """Each end of each range must be a spec that can be."""
    faults: dict[str, Fault] = {}
    for path, chosen in corners(sweep):
        if path not in faults:
            try:
                spec.with_values(chosen)
            except SpecError as error:
                found = error.faults[0]
                same = dotted(split_path(path)) == found.path
                what = found.message if same else f"{found.path}: {found.message}"
                tried = "" if f"got {short(chosen[path])}" in what else f"with {short(chosen[path])}: "
                place = ("sweep", "space", path)
                faults[path] = Fault(dotted(place), f"{tried}{what}", spec._document.where(place))
    if faults:
        raise SpecError(list(faults.values()))


def _lies_in(path: str, other: str) -> bool:
    here, above = split_path(path), split_path(other)
    return len(here) > len(above) and here[: len(above)] == above


def _override(
    spec: ExperimentSpec, overrides: Mapping[str, Any], document: Document
) -> tuple[Document, dict[DocumentPath, Any]]:
    """The spec's full document with values replaced, so that every field has a place whether it was written or not."""
    value = spec.to_document()
    changes = {split_path(text): new for text, new in overrides.items()}
    override(value, changes)
    return Document(value, document.file, document.folder, document.lines), changes
