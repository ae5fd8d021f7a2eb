"""Image folders: streamed, decoded alike in training and prediction, and broken files named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerasflow.data import Data, Preparation, load
from kerasflow.data.images import ImageFiles
from kerasflow.errors import DataError
from kerasflow.spec.data import DataSpec


def write_image(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (12, 10), **options: Any) -> None:
    """One plain image; `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images of each of two classes: the red of `cat` is n, of `dog` 100 + n."""
    root = tmp_path / "pets"
    for number in range(10):
        write_image(root / "cat" / f"{number}.png", (number, 50, 0))
        write_image(root / "dog" / f"{number}.png", (100 + number, 50, 255))
    return root


def load_images(folder: Path, seed: int = 0, spec: Any = None, **source: Any) -> Data:
    return load(DataSpec(source={"images": {"path": str(folder), "size": (8, 6), **source}}, **(spec or {})), seed)


def reds(part: Any) -> list[float]:
    return [float(value) for value in part.x[:][:, 0, 0, 0]]


def test_images_are_streamed_in_step_with_their_labels(folder: Path) -> None:
    data = load_images(folder)
    assert isinstance(data.train.x, ImageFiles)
    assert data.train.x.shape == (14, 8, 6, 3)
    assert data.preparation.classes == ("cat", "dog")
    assert data.summary["balance"]["test"] == {"cat": 2, "dog": 2}
    x = data.train.x[np.array([3, 0, 3])]
    assert x.dtype == np.float32
    assert np.array_equal(x[0], x[2])
    for part in (data.train, data.validation, data.test):
        assert part is not None
        assert [red >= 100 for red in reds(part)] == (part.y == 1).tolist()


def test_grayscale_has_one_channel(folder: Path) -> None:
    assert load_images(folder, color="grayscale").train.x[:2].shape == (2, 8, 6, 1)


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_streamed_images_are_scaled_by_channel(folder: Path, scale: str) -> None:
    data = load_images(folder, spec={"scale": scale, "split": {"test": 0, "validation": 0}})
    x = data.train.x[:]
    if scale == "unit":
        assert x[..., 1].max() == pytest.approx(50 / 255)
    else:
        np.testing.assert_allclose(x[..., 0].mean(), 0, atol=1e-6)
        np.testing.assert_allclose(x[..., 2].std(), 1, rtol=1e-6)


def test_train_and_test_folders_are_kept(folder: Path, tmp_path: Path) -> None:
    split = tmp_path / "split"
    split.mkdir()
    folder.rename(split / "train")
    for name in ("test", "val"):
        write_image(split / name / "dog" / "a.png", (111, 0, 0))
        write_image(split / name / "cat" / "b.png", (11, 0, 0))
    data = load_images(split)
    assert data.test is not None
    assert data.validation is not None
    assert reds(data.test) == [11.0, 111.0]
    assert (len(data.train), len(data.validation)) == (20, 2)


def test_a_test_class_unknown_in_training_is_refused(folder: Path, tmp_path: Path) -> None:
    split = tmp_path / "split"
    split.mkdir()
    folder.rename(split / "train")
    write_image(split / "test" / "bird" / "a.png", (1, 0, 0))
    with pytest.raises(DataError, match="test: holds labels that the training rows do not: 'bird'"):
        load_images(split)


def test_the_fingerprint_is_over_names_and_bytes(folder: Path, tmp_path: Path) -> None:
    first = load_images(folder, seed=0).fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_images(moved, seed=5).fingerprint == first
    write_image(moved / "cat" / "0.png", (1, 50, 0))
    assert load_images(moved).fingerprint != first


def test_new_images_are_treated_alike(folder: Path, tmp_path: Path) -> None:
    data = load_images(folder, spec={"scale": "standard", "split": {"test": 0, "validation": 0}})
    data.preparation.save(tmp_path / "preparation")
    x, index = Preparation.load(tmp_path / "preparation").read(folder)
    assert np.array_equal(x[:], data.train.x[:])
    assert index.tolist() == [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(10)]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    photo = np.zeros((40, 80, 3), np.uint8)
    photo[:, :40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(photo).save(tmp_path / "photos" / name / f"{number}.jpg", exif=exif)
    x = load_images(tmp_path / "photos", spec={"split": {"test": 0, "validation": 0}}).train.x[:1]
    assert x[0, 0].mean() > 250
    assert x[0, -1].mean() < 5


def test_every_broken_file_is_named(folder: Path) -> None:
    (folder / "cat" / "empty.png").touch()
    (folder / "cat" / "text.jpg").write_text("not an image")
    whole = (folder / "dog" / "0.png").read_bytes()
    (folder / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(folder / "dog" / "deep.png")
    with pytest.raises(DataError) as caught:
        load_images(folder)
    for fault in (
        "empty.png: is empty",
        "text.jpg: is not an image",
        "half.png: is",
        "deep.png: holds more than 8 bits",
    ):
        assert fault in str(caught.value)


def test_broken_files_are_left_out_with_their_labels_where_that_is_asked(folder: Path) -> None:
    whole = load_images(folder)
    (folder / "cat" / "00.png").touch()
    (folder / "dog" / "notes.txt").write_text("not an image")
    with pytest.warns(UserWarning, match="left out") as told:
        data = load_images(folder, skip_broken=True)
    assert sorted("notes.txt" in str(one.message) for one in told) == [False, True]
    assert data.fingerprint == whole.fingerprint
    assert reds(data.train) == reds(whole.train)
    assert data.train.y.tolist() == whole.train.y.tolist()


@pytest.mark.filterwarnings("ignore:10 of 20 images are left out")
def test_a_class_of_which_nothing_is_left_is_told(folder: Path) -> None:
    for file in (folder / "cat").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="class folder 'cat' holds no image that can be read"):
        load_images(folder, skip_broken=True)


def test_a_truncated_photograph_is_found_before_training(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "cat" / "photo.jpg")
    whole = (folder / "cat" / "photo.jpg").read_bytes()
    (folder / "cat" / "photo.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"photo\.jpg: is corrupt"):
        load_images(folder)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "bird").mkdir(), "class folder 'bird' holds no images"),
        (lambda folder: (folder / "cat" / "notes.txt").write_text("x"), "expected images .* found 'notes.txt'"),
        (lambda folder: write_image(folder / "stray.png", (0, 0, 0)), "images of no class: 'stray.png'"),
        (lambda folder: (folder / "dog").rename(folder.parent / "dog"), "only one class, 'cat'"),
        (lambda folder: folder.rename(folder.parent / "moved"), "there is no such folder"),
    ],
)
def test_a_folder_that_cannot_be_learned_from(folder: Path, break_it: Any, message: str) -> None:
    break_it(folder)
    with pytest.raises(DataError, match=message):
        load_images(folder)


def test_images_without_class_folders(tmp_path: Path) -> None:
    write_image(tmp_path / "flat" / "a.png", (0, 0, 0))
    with pytest.raises(DataError, match="has no class folders"):
        load_images(tmp_path / "flat")


def test_litter_of_file_managers_is_no_data(folder: Path) -> None:
    first = load_images(folder).fingerprint
    (folder / "cat" / ".DS_Store").write_text("x")
    (folder / "dog" / "Thumbs.db").write_text("x")
    (folder / "README.txt").write_text("x")
    assert load_images(folder).fingerprint == first
