"""The cards: what a network is, who published it, what it takes. Nothing heavy loads to read one."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from kerasflow.errors import BuildError, did_you_mean
from kerasflow.zoo import networks

# The modes of keras.applications.imagenet_utils.preprocess_input, in words.
_MODES = {
    "caffe": "BGR, minus ImageNet's mean (103.939, 116.779, 123.68)",
    "tf": "RGB, x/127.5 − 1",
    "torch": "RGB, (x/255 − mean) / deviation of ImageNet",
    "none": "RGB, 0..255: the network scales its input itself",
}


@dataclass(frozen=True)
class Paper:
    """Where a network was published."""

    authors: str
    year: int
    title: str
    link: str

    @property
    def cited(self) -> str:
        """`He et al. 2016`."""
        return f"{self.authors} {self.year}"

    def __str__(self) -> str:
        return f"{self.cited}, {self.title[0].upper()}{self.title[1:]}, {self.link}"


@dataclass(frozen=True)
class Card:
    """A network, in facts. What a newer Keras brings and nobody has described yet is None.

    Attributes:
        name: that `load` takes; in lower case, with `_` between words.
        title: as people write it.
        constructor: what makes it: a name in `keras.applications`, or a spec of kerasflow's.
        family: networks of one family share paper and preprocessing.
        preprocessing: what `preprocess` makes of images in 0..255.
        paper: where it was published.
        input_shape: (height, width, channels) where none is asked for.
        min_size: the least height and width.
        parameters: trainable ones, with the classifier, without auxiliary heads.
        taps: layers worth tapping: the last at each resolution; with those of the classifier in small networks.
        weights: where trained ones come from.
        classes: of the classifier where no number is asked for.
        loss_weights: what each output's loss counts in training with `aux_heads=True`, for `compile(loss_weights=…)`.
    """

    name: str
    title: str
    constructor: str
    family: str
    preprocessing: str
    paper: Paper | None = None
    input_shape: tuple[int, int, int] | None = None
    min_size: int | None = None
    parameters: int | None = None
    taps: tuple[str, ...] = ()
    weights: str = "imagenet (Keras downloads them once)"
    classes: int = 1000
    loss_weights: dict[str, float] = field(default_factory=dict)


def cards() -> tuple[Card, ...]:
    """A card for every network: those of the installed `keras.applications`, and kerasflow's own."""
    return tuple(_cards().values())


def card(name: str) -> Card:
    """The card of a network.

    Args:
        name: as in `cards()`, or as Keras spells the constructor: `mobilenet_v2`, `MobileNetV2`.

    Raises:
        BuildError: there is no such network; the message has the near name.
    """
    known = {_key(name): card for name, card in _cards().items()}
    if not isinstance(name, str) or _key(name) not in known:
        hint = did_you_mean(str(name).lower(), _cards()) or "; `kerasflow zoo` lists them"
        raise BuildError(f"there is no network {name!r}{hint}")
    return known[_key(name)]


@cache
def _cards() -> dict[str, Card]:
    families = yaml.safe_load((Path(__file__).parent / "keras_applications.yaml").read_text(encoding="utf-8"))
    described = [_of_keras(constructor, family, families) for constructor, family in _constructors().items()]
    described += [_own(name) for name in networks.names()]
    return {card.name: card for card in sorted(described, key=lambda card: card.name)}


def _own(name: str) -> Card:
    told = networks.read(name)["card"]
    return Card(
        name=name,
        constructor=f"kerasflow/zoo/specs/{name}.yaml",
        family=name,
        **told
        | {
            "paper": Paper(**told["paper"]),
            "input_shape": tuple(told["input_shape"]),
            "taps": tuple(told["taps"]),
        },
    )


def _of_keras(constructor: str, family: str, families: dict[str, Any]) -> Card:
    bare: dict[str, Any] = {
        "name": _name(constructor),
        "title": constructor,
        "constructor": f"keras.applications.{constructor}",
        "family": family,
    }
    told = families.get(family)
    if told is None or constructor not in told["networks"]:
        return Card(**bare, preprocessing=f"keras.applications.{family}.preprocess_input")
    numbers = told["networks"][constructor]
    return Card(
        **bare,
        preprocessing=_MODES[told["mode"]],
        paper=Paper(**told["paper"]),
        input_shape=(numbers["size"], numbers["size"], 3),
        min_size=told["min_size"],
        parameters=numbers["parameters"],
        taps=tuple(numbers["taps"]),
    )


def _constructors() -> dict[str, str]:
    """The constructors that the installed Keras exports, each with its module, read without importing Keras."""
    spec = find_spec("keras")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("keras is not installed")
    source = Path(spec.submodule_search_locations[0]) / "applications" / "__init__.py"
    imports = [node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return {
        alias.name: node.module.rpartition(".")[2]
        for node in imports
        if node.module and node.module.startswith("keras.src.applications.")
        for alias in node.names
    }


def _name(constructor: str) -> str:
    """`EfficientNetV2B0` -> `efficientnet_v2_b0`: `Net` and `NeXt` begin no word, other capitals do."""
    joined = constructor.replace("NeXt", "next").replace("Net", "net")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", joined).lower()


def _key(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())
