"""PyTorch's files are read without torch, and run nothing."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kerasflow.errors import DataError
from kerasflow.zoo.torch_file import read_state_dict

FORMS = ["zip", "legacy"]
Save = Callable[..., None]


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "conv.weight": rng.standard_normal((4, 3, 2, 2)).astype("float32"),
        "transposed": rng.standard_normal((5, 7)).astype("float32").T,
        "double": rng.standard_normal(3),
        "half": rng.standard_normal((2, 2)).astype("float16"),
        "brain": rng.standard_normal((2, 3)).astype(ml_dtypes.bfloat16),
        "bn.num_batches_tracked": np.array(7),
        "mask": np.array([True, False]),
        "empty": np.zeros((0, 3), "float32"),
    }


def check(found: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array.astype(found[name].dtype))
        assert found[name].dtype == ("float32" if name == "brain" else array.dtype)


@pytest.mark.parametrize("form", FORMS)
def test_arrays_come_back(
    form: str, arrays: dict[str, np.ndarray], tmp_path: Path, torch_save: Save, state_dict: Any
) -> None:
    torch_save(state_dict(arrays), tmp_path / "w.pth", form)
    check(read_state_dict(tmp_path / "w.pth"), arrays)


def test_safetensors_come_back(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items() if name != "brain"}
    save_file(plain, tmp_path / "w.safetensors")
    found = read_state_dict(tmp_path / "w.safetensors")
    check({name: found[name] for name in plain}, plain)


def test_brain_floats_of_safetensors_become_float32(tmp_path: Path) -> None:
    data = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    head = b'{"w":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}'
    (tmp_path / "w.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data.tobytes())
    np.testing.assert_array_equal(read_state_dict(tmp_path / "w.safetensors")["w"], np.float32([[1.5, -2]]))


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_checkpoint_gives_its_state_dict(
    wrapper: str, arrays: dict[str, np.ndarray], tmp_path: Path, torch_save: Save, state_dict: Any
) -> None:
    torch_save({"epoch": 3, wrapper: state_dict(arrays)}, tmp_path / "w.pth")
    check(read_state_dict(tmp_path / "w.pth"), arrays)


class Hostile:
    """Makes a file when it is unpickled by a trusting reader."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", FORMS)
def test_code_is_refused_by_its_name(form: str, tmp_path: Path, torch_save: Save) -> None:
    torch_save({"w": Hostile(tmp_path / "was here")}, tmp_path / "w.pth", form)
    with pytest.raises(DataError, match=r"w\.pth: is refused: it asks for posix\.system") as refusal:
        read_state_dict(tmp_path / "w.pth")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize(
    "wanted", ["builtins eval", "builtins getattr", "torch load", "torch.hub load", "collections Counter", "os system"]
)
def test_what_is_not_on_the_list_is_refused(wanted: str, tmp_path: Path) -> None:
    module, name = wanted.split()
    _zip(tmp_path / "w.pth", f"c{module}\n{name}\n.".encode())
    with pytest.raises(DataError, match=f"asks for {module}.{name}"):
        read_state_dict(tmp_path / "w.pth")


def test_no_pickle_changes_the_reader(
    arrays: dict[str, np.ndarray], tmp_path: Path, torch_save: Save, state_dict: Any
) -> None:
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    for state in (b"}S'__call__'\nK\x01s", b"N}S'__call__'\nK\x01s\x86", b"N}S'shape'\nK\x01s\x86"):
        _zip(tmp_path / "w.pth", b"\x80\x02" + rebuild + state + b"b.")
        with pytest.raises(DataError):
            read_state_dict(tmp_path / "w.pth")
    torch_save(state_dict(arrays), tmp_path / "w.pth")
    check(read_state_dict(tmp_path / "w.pth"), arrays)


def _zip(path: Path, text: bytes, **records: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", text)
        for name, data in records.items():
            archive.writestr(f"archive/data/{name}", data)


def _tensor(offset: int, shape: str, strides: str) -> bytes:
    """The pickle of one tensor of four floats, `{"w": tensor}`."""
    storage = b"(S'storage'\nctorch\nFloatStorage\nS'four'\nS'cpu'\nI4\ntQ"
    return (
        b"}S'w'\nctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + f"I{offset}\n({shape}t({strides}tI00\n}}tRs.".encode()
    )


def test_a_tensor_lies_within_its_storage(tmp_path: Path) -> None:
    four = np.arange(4, dtype="float32").tobytes()
    _zip(tmp_path / "w.pth", _tensor(1, "I3\n", "I1\n"), four=four)
    np.testing.assert_array_equal(read_state_dict(tmp_path / "w.pth")["w"], [1, 2, 3])
    for wrong in (_tensor(2, "I3\n", "I1\n"), _tensor(0, "I2\n", "I9\n"), _tensor(-1, "I2\n", "I1\n")):
        _zip(tmp_path / "w.pth", wrong, four=four)
        with pytest.raises(DataError, match="tensor that"):
            read_state_dict(tmp_path / "w.pth")
    _zip(tmp_path / "w.pth", _tensor(0, "I4\n", "I1\n"), four=four[:8])
    with pytest.raises(DataError, match="larger than its numbers"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_cut_off_is_one_sentence(
    form: str, arrays: dict[str, np.ndarray], tmp_path: Path, torch_save: Save, state_dict: Any
) -> None:
    torch_save(state_dict(arrays), tmp_path / "whole.pth", form)
    whole = (tmp_path / "whole.pth").read_bytes()
    for length in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        (tmp_path / "w.pth").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"w\.pth: ") as refusal:
            read_state_dict(tmp_path / "w.pth")
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_flipped_byte_is_told_or_does_no_harm(
    form: str, arrays: dict[str, np.ndarray], tmp_path: Path, torch_save: Save, state_dict: Any
) -> None:
    torch_save(state_dict(arrays), tmp_path / "whole.pth", form)
    whole = (tmp_path / "whole.pth").read_bytes()
    for position in np.random.default_rng(2).integers(len(whole), size=300):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        (tmp_path / "w.pth").write_bytes(broken)
        with suppress(DataError):  # any other error fails the test
            read_state_dict(tmp_path / "w.pth")


OTHER_FILES = {
    "nothing": b"",
    "text": b"weights",
    "a pickled list": pickle.dumps([1, 2]),
    "an array": b"\x93NUMPY\x01\x00v\x00" + bytes(100),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_another_file_is_one_sentence(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(OTHER_FILES[kind])
    with pytest.raises(DataError, match=r"w\.\w+: ") as refusal:
        read_state_dict(path)
    assert "\n" not in str(refusal.value)


def test_an_archive_of_another_kind_is_told(tmp_path: Path, torch_save: Save) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match="none that PyTorch wrote"):
        read_state_dict(tmp_path / "w.pth")
    torch_save([1, 2, 3], tmp_path / "w.pth")
    with pytest.raises(DataError, match="holds no tensors by name"):
        read_state_dict(tmp_path / "w.pth")
