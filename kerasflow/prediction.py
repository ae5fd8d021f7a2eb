"""A finished run applied to new rows or images, treated as the run treated its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kerasflow.errors import BuildError, DataError, RunError

if TYPE_CHECKING:
    import pandas as pd


def predict_file(run: str | Path, file: str | Path, batch_size: int = 256) -> pd.DataFrame:
    """Predictions for every row or image of a file or folder.

    Args:
        run: a run folder.
        file: a CSV, Parquet, `.npy` or `.npz` file, an image, or a folder of images, as fits the run's data.
        batch_size: samples for each forward pass.

    Returns:
        One row a sample, by row number or file name: `prediction` in the user's own labels, and each class'
            probability.

    Raises:
        RunError: the folder is no finished run.
        DataError: the file does not hold what the run was trained on.
    """
    from kerasflow.data import Preparation
    from kerasflow.spec.experiment import load_spec
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.training.evaluate import predict
    from kerasflow.transfer.backbone import load_network
    from kerasflow.transfer.classifier import FILE, features_of, load_classifier, outputs
    from kerasflow.transfer.images import Observed
    from kerasflow.transfer.joining import SAMPLES, check_images

    folder = RunFolder.open(run)
    if not (folder.directory / "model.keras").exists():
        raise RunError(f"{run}: the run holds no model; it is {folder.status.state}")
    preparation = Preparation.load(folder.path("preparation.skops"))
    x, index = preparation.read(Path(file))
    if len(x) == 0:
        raise DataError(f"{file}: there is nothing to predict")
    try:
        check_images(load_spec(folder.path("spec.yaml")).model, x[:SAMPLES])
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    try:
        model = load_network(folder.path("model.keras"))
    except BuildError as error:
        raise RunError(str(error)) from error
    if (folder.directory / FILE).is_file():
        y_pred = outputs(load_classifier(folder.path(FILE)), features_of(model)(Observed(x)))
    else:
        y_pred = predict(model, x, batch_size)
    return preparation.decode(y_pred).set_index(index)
