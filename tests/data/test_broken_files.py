"""Whatever bytes a file holds, loading it either works or ends in one sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kerasflow.data import load
from kerasflow.errors import DataError
from kerasflow.spec.data import DataSpec


def written(write: Callable[[io.BytesIO], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


FRAME = pd.DataFrame({"a": np.linspace(0, 1, 30), "b": ["x", "y", "z"] * 10, "y": ["p", "q"] * 15})
PICTURE = Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
WHOLE = {
    "csv": FRAME.to_csv(index=False).encode(),
    "parquet": written(FRAME.to_parquet),
    "npz": written(lambda file: np.savez_compressed(file, x=np.eye(30), y=[0, 1] * 15)),
    "png": written(lambda file: PICTURE.save(file, "PNG")),
    "jpg": written(lambda file: PICTURE.save(file, "JPEG")),
}
EDIT = st.tuples(
    st.floats(0, 1), st.integers(0, 4), st.sampled_from([b"", b"\0", b"\xff", b",", b"\n", b'"', b"inf", b"9e99"])
)


def source_of(kind: str, folder: Path, content: bytes) -> dict[str, Any]:
    if kind in ("png", "jpg"):
        for name in ("a", "b"):
            (folder / name).mkdir(exist_ok=True)
            for number in range(4):
                (folder / name / f"{number}.{kind}").write_bytes(WHOLE[kind])
        (folder / "a" / f"0.{kind}").write_bytes(content)
        return {"images": {"path": str(folder), "size": (4, 4)}}
    path = folder / f"broken.{kind}"
    path.write_bytes(content)
    return {"npz": str(path)} if kind == "npz" else {kind: {"path": str(path), "target": "y"}}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WHOLE)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(EDIT, max_size=3), cut=st.floats(0.1, 1))
def test_broken_bytes_end_in_one_sentence(kind: str, tmp_path: Path, edits: list[Any], cut: float) -> None:
    content = WHOLE[kind]
    for where, length, put in edits:
        start = int(where * len(content))
        content = content[:start] + put + content[start + length :]
    content = content[: int(cut * len(content))] if len(edits) == 3 else content
    spec = DataSpec(source=source_of(kind, tmp_path, content), split={"test": 0.25, "validation": 0})
    sentence = str(tmp_path)
    try:
        x = load(spec, 0).train.x[:]
    except DataError as error:
        sentence = str(error)
    else:
        assert np.isfinite(x).all()
    assert "\n" not in sentence
    assert str(tmp_path) in sentence
