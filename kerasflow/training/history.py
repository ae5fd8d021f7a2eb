"""What happened in a training, as plain rows. Plots, stops, trackers and reports read nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kerasflow.columns import BOOKKEEPING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Row = dict[str, Any]


@dataclass
class History:
    """The record of one training.

    Attributes:
        rows: one dict an epoch, under Keras' names: `epoch` (completed, from 1), `loss`, each metric, `val_...`, and
            `updates` (so far), `lr` (of the epoch's last update), `grad_norm` (mean L2 norm of the applied gradients,
            before clipping), `seconds` (of this epoch, validation included), `samples_per_second`; of a training in
            stages, `stage` (from 1), `trainable` and `frozen` (how many weights learn in it, and how many do not).
        stop_reason: why the training ended, in words.
        stop: the same as data: `rule` (`plateau`, `threshold`, `deadline`, `divergence`, `all`, `callback`, `epochs`,
            or the name of a function), `epoch`, and what the rule compared.
        best_epoch: the epoch with the best monitored number, from 1; 0 if no epoch was completed.
        engine: `graph`, `xla` or `eager`, as it ran; `engine_reason` says why it was chosen.
        batch_norm: `micro` or `frozen` where the model has BatchNormalization that trains, else `none`. Under
            `micro` the moving statistics step by the window's where a layer is called once, without a mask.
    """

    rows: list[Row] = field(default_factory=list)
    stop_reason: str = ""
    stop: dict[str, Any] = field(default_factory=dict)
    best_epoch: int = 0
    engine: str = ""
    engine_reason: str = ""
    batch_norm: str = "none"

    @property
    def updates(self) -> int:
        """Updates of the weights so far."""
        return int(self.rows[-1]["updates"]) if self.rows else 0

    @property
    def history(self) -> dict[str, list[float]]:
        """The curves as `keras.callbacks.History` has them: a list for each of `loss`, the metrics and `val_...`."""
        names = dict.fromkeys(name for row in self.rows for name in row if name not in BOOKKEEPING)
        return {name: [row[name] for row in self.rows if name in row] for name in names}

    def __getitem__(self, name: str) -> list[float]:
        """One curve of `history`: `history["val_loss"]`."""
        return self.history[name]

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def keys(self) -> list[str]:
        """The names of the curves."""
        return list(self.history)

    def items(self) -> list[tuple[str, list[float]]]:
        """The curves with their names."""
        return list(self.history.items())

    @property
    def epoch(self) -> list[int]:
        """Indices of the epochs, from 0, as `keras.callbacks.History` has them."""
        return [int(row["epoch"]) - 1 for row in self.rows]

    @property
    def best(self) -> Mapping[str, Any]:
        """The row of the best epoch; empty if there is none."""
        return next((row for row in self.rows if row["epoch"] == self.best_epoch), {})

    def to_frame(self) -> pd.DataFrame:
        """The rows as a DataFrame, indexed by epoch."""
        import pandas as pd

        return pd.DataFrame(self.rows).set_index("epoch") if self.rows else pd.DataFrame()

    def plot(self) -> Figure:
        """The cost and every metric against epochs completed."""
        from kerasflow.viz.curves import cost_curves

        return cost_curves(self.rows, best_epoch=self.best_epoch, stop_reason=self.stop_reason)
