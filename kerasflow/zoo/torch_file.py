"""Files of tensors that PyTorch wrote, read without torch and without running anything that they hold.

A `.pth` file is a pickle that describes tensors, and the storages that they lie in: as a zip archive (torch >= 1.6), or
one behind the other (before). The pickle may name what is on the list below, and nothing else.
"""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kerasflow.errors import DataError, KerasflowError, MissingExtra, sentence

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ZIP = b"PK\x03\x04"

# PyTorch's storages and safetensors' kinds, as NumPy has them. NumPy has no bfloat16: its bits are a float32's first.
_KINDS = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip

# Where a training keeps the state dict beside other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file, by name.

    Args:
        path: `.pth` or `.pt` of `torch.save(model.state_dict(), path)`, or `.safetensors`.

    Returns:
        Arrays, float32 for bfloat16.

    Raises:
        DataError: the file is cut off, of another kind, or holds what is no tensor; its pickle wants to run code.
        MissingExtra: safetensors is not installed.
    """
    try:
        found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except KerasflowError:
        raise
    except Exception as error:  # whatever a damaged file makes pickle, zipfile and NumPy say
        raise DataError(f"{path}: is damaged, cut off, or no such file: {sentence(error)}") from error
    if not found:
        raise DataError(f"{path}: holds no tensors by name; save it with torch.save(model.state_dict(), path)")
    return found


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors import deserialize
    except ImportError:
        wanted = "reading .safetensors needs a package: pip install 'kerasflow[safetensors]'"
        raise MissingExtra(f"{path}: {wanted}") from None
    read: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize  # it has no types of its own
    tensors = read(path.read_bytes())
    return {name: _flat(told["dtype"], told["data"]).reshape(told["shape"]) for name, told in tensors}


def _read_torch(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        zipped = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        tree, storages = _read_zip(file, path) if zipped else _read_legacy(file, path)
    for wrapper in _WRAPPERS:
        if isinstance(tree, Mapping) and isinstance(tree.get(wrapper), Mapping):
            tree = tree[wrapper]
    tensors = tree.items() if isinstance(tree, Mapping) else ()
    return {str(name): _array(tensor, storages) for name, tensor in tensors if isinstance(tensor, _Tensor)}


def _read_zip(file: IO[bytes], path: Path) -> tuple[Any, dict[str, NDArray[Any]]]:
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise DataError(f"{path}: is a compressed archive, and PyTorch writes none")
        name = next((name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"), None)
        if name is None:
            raise DataError(f"{path}: is a zip archive, but none that PyTorch wrote")
        root = name.removesuffix("data.pkl")
        reader = _Reader(io.BytesIO(archive.read(name)), path)
        tree = reader.load()
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise DataError(f"{path}: was written on a big-endian machine, which is not supported")
        return tree, {key: _flat(kind, archive.read(f"{root}data/{key}")) for key, kind in reader.storages.items()}


def _read_legacy(file: IO[bytes], path: Path) -> tuple[Any, dict[str, NDArray[Any]]]:
    if _Reader(file, path).load() != _MAGIC or _Reader(file, path).load() != _PROTOCOL:
        raise DataError(f"{path}: is no file of PyTorch's")
    machine = _Reader(file, path).load()
    if not machine["little_endian"]:
        raise DataError(f"{path}: was written on a big-endian machine, which is not supported")
    reader = _Reader(file, path)
    tree = reader.load()
    keys = _Reader(file, path).load()
    size = os.fstat(file.fileno()).st_size
    storages = {}
    for key in keys:
        kind, begin = reader.storages[key], file.tell()
        length = int.from_bytes(file.read(8), "little") * _dtype(kind).itemsize
        if begin + 8 + length > size:
            raise DataError(f"{path}: is cut off before its last tensors")
        storages[key] = _flat(kind, file.read(length))
    return tree, storages


class _Storage(NamedTuple):
    """A row of numbers in the file."""

    key: str
    start: int


class _Tensor(NamedTuple):
    """A view of a storage. Strides are in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _RebuildTensor:
    """What a pickle may call to describe a tensor. Without attributes, so that no pickle can change it."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        sizes = (*shape, *strides)
        whole = all(isinstance(number, int) and number >= 0 for number in (offset, *sizes))
        if not isinstance(storage, _Storage) or not whole or len(shape) != len(strides):
            raise ValueError("it holds a tensor that cannot be")
        return _Tensor(storage, storage.start + offset, tuple(shape), tuple(strides))


class _RebuildParameter:
    """Likewise for a tensor that was saved as a parameter."""

    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> Any:
        return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{("torch", kind): kind for kind in _KINDS if kind.endswith("Storage")},
}


class _Reader(pickle.Unpickler):
    """A pickle as a description: tensors become `_Tensor`, and what is not on the list is refused by its name."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file)
        self.path = path
        self.storages: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError(
                f"{self.path}: is refused: it asks for {module}.{name}, and weights need no code; "
                "save a plain state dict: torch.save(model.state_dict(), path)"
            )
        return _ALLOWED[module, name]

    def persistent_load(self, told: Any) -> _Storage:
        word, kind, key, _, _, *view = told
        if word != "storage" or kind not in _KINDS or not isinstance(key, str):
            raise ValueError("it holds a storage of an unknown kind")
        self.storages[key] = kind
        return _Storage(key, int(view[0][1]) if view and view[0] else 0)


def _dtype(kind: str) -> np.dtype[Any]:
    if _KINDS[kind] == "bfloat16":
        return np.dtype("<u2")
    return np.dtype(_KINDS[kind])


def _flat(kind: str, data: bytes | bytearray) -> NDArray[Any]:
    row = np.frombuffer(data, _dtype(kind))
    if _KINDS[kind] == "bfloat16":
        return (row.astype("<u4") << 16).view("<f4")
    return row


def _array(tensor: _Tensor, storages: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    row = storages[tensor.storage.key][tensor.offset :]
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if 0 not in tensor.shape and last >= len(row):
        raise ValueError("it holds a tensor that is larger than its numbers")
    strides = [stride * row.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(row, tensor.shape, strides, writeable=False)
