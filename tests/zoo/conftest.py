"""torchvision's answers, weights by its names, and files as torch.save writes them, without torch."""

from __future__ import annotations

import collections
import functools
import importlib.util
import io
import json
import pickle
import sys
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

LENET5 = {
    "c1.weight": (6, 1, 5, 5),
    "c1.bias": (6,),
    "c3.weight": (16, 6, 5, 5),
    "c3.bias": (16,),
    "c5.weight": (120, 16, 5, 5),
    "c5.bias": (120,),
    "f6.weight": (84, 120),
    "f6.bias": (84,),
    "output.weight": (10, 84),
    "output.bias": (10,),
}


@pytest.fixture(scope="session")
def lenet5() -> dict[str, np.ndarray]:
    """A state dict for LeNet-5, which is small."""
    rng = np.random.default_rng(0)
    return {key: (0.1 * rng.standard_normal(shape)).astype("float32") for key, shape in LENET5.items()}


@pytest.fixture(scope="session")
def parity(assets: Path) -> Any:
    """What torchvision answered."""
    return np.load(assets / "reference" / "torchvision_parity.npz")


@pytest.fixture(scope="session")
def torchvision_weights(assets: Path, parity: Any) -> Callable[[str], dict[str, np.ndarray]]:
    """The weights that it answered with, by the network's name."""
    spec = importlib.util.spec_from_file_location("torchvision_weights", assets / "reference/torchvision_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    @functools.cache
    def weights(name: str) -> dict[str, np.ndarray]:
        begin = f"{name}/statistics/"
        statistics = {key.removeprefix(begin): parity[key] for key in parity.files if key.startswith(begin)}
        return module.state_dict(json.loads(str(parity[f"{name}/shapes"])), statistics=statistics)

    return weights


STORAGES = {
    np.dtype("float32"): "FloatStorage",
    np.dtype("float64"): "DoubleStorage",
    np.dtype("float16"): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype("int64"): "LongStorage",
    np.dtype("bool"): "BoolStorage",
}


@contextmanager
def _torch() -> Iterator[types.ModuleType]:
    """Modules with the names that torch's pickles mention, for pickle looks each of them up."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_: Any) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    torch._utils = utils
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield torch
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _Storage:
    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class _Pickler(pickle.Pickler):
    """Arrays as torch pickles tensors; a transposed one as a view of its storage."""

    def __init__(self, file: Any, torch: types.ModuleType, legacy: bool) -> None:
        super().__init__(file, protocol=2)
        self.torch, self.legacy = torch, legacy
        self.storages: dict[str, np.ndarray] = {}

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, _Storage):
            return None
        kind = getattr(self.torch, STORAGES[thing.values.dtype])
        return ("storage", kind, thing.key, "cpu", thing.values.size, *([None] if self.legacy else []))

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, np.ndarray):
            return NotImplemented
        key = str(len(self.storages))
        held = thing if thing.flags.c_contiguous else thing.T
        self.storages[key] = held.ravel()
        strides = tuple(stride // thing.itemsize for stride in thing.strides)
        state = (_Storage(key, self.storages[key]), 0, thing.shape, strides, False, collections.OrderedDict())
        return self.torch._utils._rebuild_tensor_v2, state


def _write_zip(path: Path, tree: Any) -> None:
    """The format since torch 1.6."""
    with _torch() as torch, zipfile.ZipFile(path, "w") as archive:
        text = io.BytesIO()
        pickler = _Pickler(text, torch, legacy=False)
        pickler.dump(tree)
        archive.writestr("archive/data.pkl", text.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, values in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", values.tobytes())
        archive.writestr("archive/version", "3\n")


def _write_legacy(path: Path, tree: Any) -> None:
    """The format before."""
    with _torch() as torch, path.open("wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(head, file, protocol=2)
        pickler = _Pickler(file, torch, legacy=True)
        pickler.dump(tree)
        pickle.dump(list(pickler.storages), file, protocol=2)
        for values in pickler.storages.values():
            file.write(values.size.to_bytes(8, "little") + values.tobytes())


@pytest.fixture(scope="session")
def torch_save() -> Callable[..., None]:
    """`torch.save(tree, path)`, in the format `zip` or `legacy`."""

    def save(tree: Any, path: Path, form: str = "zip") -> None:
        (_write_legacy if form == "legacy" else _write_zip)(path, tree)

    return save


@pytest.fixture(scope="session")
def state_dict() -> Callable[..., Any]:
    """Arrays as `model.state_dict()` gives them: ordered, with the modules' versions as an attribute."""

    def ordered(arrays: Mapping[str, np.ndarray]) -> Any:
        found = collections.OrderedDict(arrays)
        found._metadata = collections.OrderedDict({"": {"version": 1}})
        return found

    return ordered
