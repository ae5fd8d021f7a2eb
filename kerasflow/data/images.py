"""Images on disk, decoded when they are asked for."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kerasflow.data.scaling import apply_scaler
from kerasflow.data.target import listed
from kerasflow.errors import DataError

Color = Literal["rgb", "grayscale"]
Result = TypeVar("Result")

FORMATS = ("JPEG", "PNG", "GIF", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp"})
CHANNELS: dict[Color, int] = {"rgb": 3, "grayscale": 1}
_MODES: dict[Color, Literal["RGB", "L"]] = {"rgb": "RGB", "grayscale": "L"}


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images as `Observations`: `(n_samples, height, width, channels)` float32, decoded by several threads on access.

    Each is turned upright (EXIF), converted to the colours, resized (bilinear, antialiased) without regard to its
    proportions, and scaled. Of a GIF the first frame is read.

    Attributes:
        files: one an image.
        size: height and width in pixels.
        color: three channels or one.
        scaler: a fitted scikit-learn scaler of the channels, or None for 0..255.
    """

    files: tuple[Path, ...]
    size: tuple[int, int]
    color: Color
    scaler: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.files), *self.size, CHANNELS[self.color])

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: NDArray[np.integer[Any]] | slice, /) -> NDArray[np.float32]:
        """Raises DataError for a file that has changed since it was checked."""
        files = self.take(index).files
        if not files:
            return np.zeros((0, *self.shape[1:]), np.float32)
        pixels = np.stack(_in_threads(lambda file: _pixels(file, self.size, self.color), files))
        return apply_scaler(self.scaler, pixels)

    def take(self, index: NDArray[np.integer[Any]] | slice) -> ImageFiles:
        """The same images, fewer or in another order; nothing is decoded."""
        files = self.files[index] if isinstance(index, slice) else tuple(self.files[i] for i in index)
        return replace(self, files=files)


def check_images(files: Sequence[Path], skip_broken: bool | None = None) -> dict[Path, str]:
    """Decodes every file once, so that a broken one is found before training, and digests the bytes.

    Args:
        files: images.
        skip_broken: whether broken ones are left out, with a warning; None where nobody can choose.

    Returns:
        SHA-256 (hex) of each good file's bytes, in the order of the files.

    Raises:
        DataError: the files that are empty, corrupt, or no image of 8 bits a channel.
    """
    checked = dict(zip(files, _in_threads(_digest_or_fault, files), strict=True))
    faults = [str(fault) for fault in checked.values() if isinstance(fault, DataError)]
    told = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more files" if len(faults) > 5 else "")
    if faults and not skip_broken:
        remedy = "" if skip_broken is None else "; mend or remove them, or leave them out by skip_broken"
        raise DataError(f"{told}{remedy}")
    if faults:
        warnings.warn(f"{len(faults)} of {len(files)} images are left out: {told}", stacklevel=2)
    return {file: digest for file, digest in checked.items() if isinstance(digest, str)}


def image_files(folder: Path, skip_broken: bool = False) -> tuple[Path, ...]:
    """Every file below a folder, by name; hidden ones and Windows' thumbnail caches are not data.

    Args:
        folder: of images.
        skip_broken: whether files that are no images are left out, with a warning.

    Raises:
        DataError: files that are no images, by their suffix.
    """
    found = sorted(file for file in folder.rglob("*") if file.is_file() and not _is_litter(file.relative_to(folder)))
    strangers = [file.relative_to(folder).as_posix() for file in found if file.suffix.lower() not in SUFFIXES]
    if strangers and not skip_broken:
        raise DataError(f"{folder}: expected images ({', '.join(sorted(SUFFIXES))}) only, found {listed(strangers, 5)}")
    if strangers:
        warnings.warn(f"{folder}: {listed(strangers, 5)} left out, which by their names are no images", stacklevel=2)
    return tuple(file for file in found if file.suffix.lower() in SUFFIXES)


def _is_litter(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts) or name.name.lower() in ("thumbs.db", "desktop.ini")


def _in_threads(work: Callable[[Path], Result], files: Sequence[Path]) -> list[Result]:
    with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1, 16) or 1) as pool:
        return list(pool.map(work, files))


def _digest_or_fault(file: Path) -> str | DataError:
    try:
        content = _content(file)
        _decoded(file, content, (1, 1), "grayscale")
    except DataError as error:
        return error
    return hashlib.sha256(content).hexdigest()


def _pixels(file: Path, size: tuple[int, int], color: Color) -> NDArray[np.uint8]:
    height, width = size
    image = _decoded(file, _content(file), size, color).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, CHANNELS[color])


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    if not content:
        raise DataError(f"{file}: is empty")
    return content


def _decoded(file: Path, content: bytes, size: tuple[int, int], color: Color) -> Image.Image:
    """The upright image in its colours, at least of the size asked for."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{file}: holds more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
            # JPEG decodes at a half, quarter or eighth of its size for a fraction of the time.
            image.draft(_MODES[color], (max(size), max(size)))
            upright: Image.Image = ImageOps.exif_transpose(image)
            return upright.convert(_MODES[color])
    except UnidentifiedImageError as error:
        raise DataError(f"{file}: is not an image that can be read ({', '.join(FORMATS)})") from error
    except DataError:
        raise
    # Pillow's decoders let whatever they stumble over through.
    except Exception as error:
        raise DataError(f"{file}: is corrupt: {error}") from error
