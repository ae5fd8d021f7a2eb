"""What a trained model makes of observations that it has not learned from, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from kerasflow.data import Data, Part
    from kerasflow.data.preparation import Preparation
    from kerasflow.training.evaluate import Judged
    from kerasflow.training.port import Training

ERRORS_IN_THE_TABLE = 100


@dataclass(frozen=True, eq=False)
class Outcome:
    """A model's answers to the part that is held out to the end.

    Attributes:
        name: of the part: the test part where there is one.
        part: its observations and targets.
        judged: the answers and their errors.
        preparation: the task and its labels.
    """

    name: Literal["test", "validation"]
    part: Part
    judged: Judged
    preparation: Preparation

    @classmethod
    def of(cls, trainer: Training, model: keras.Model, data: Data) -> Outcome | None:
        """What a trained model makes of the test part, or without one of the validation part; None without either."""
        name: Literal["test", "validation"] = "validation" if data.test is None else "test"
        part = data.validation if data.test is None else data.test
        if part is None:
            return None
        return cls(name, part, trainer.judge(model, part.x, part.y), data.preparation)

    @property
    def answers(self) -> NDArray[Any]:
        """Class indices `(n_samples,)`; 0 and 1 a label `(n_samples, n_labels)`; of regression the outputs."""
        outputs, target = self.judged.outputs, self.preparation.target
        if target.task == "regression":
            return outputs
        return (outputs > 0.5).astype(np.int64) if target.task == "multilabel" else target.chosen(outputs)

    def largest_errors(self, count: int) -> NDArray[np.intp]:
        """The indices of the observations with the highest error, the highest first; none where there is no error."""
        errors = self.judged.errors
        if errors is None:
            return np.zeros(0, np.intp)
        return np.argsort(-errors, kind="stable")[:count]

    def words(self, values: NDArray[Any]) -> list[str]:
        """Targets or answers as a person reads them, one a sample."""
        prep = self.preparation
        if prep.classes is not None:
            return [str(prep.classes[int(index)]) for index in values.reshape(-1)]
        rows = values.reshape(len(values), -1)
        if prep.task == "multilabel":
            chosen = [[name for name, holds in zip(prep.targets, row, strict=True) if holds] for row in rows]
            return [", ".join(names) or "none" for names in chosen]
        return [", ".join(f"{value:.4g}" for value in row) for row in rows]


def tables(outcome: Outcome | None, data: Data) -> dict[str, pd.DataFrame]:
    """The tables of a run by the names of their files, which are the same in every run.

    Returns:
        Of classes `balance.csv`: rows of each class a part; of classes and labels `report.csv`: precision, recall, f1
        and support of each; `largest_errors.csv`: the observations of the held-out part with the highest error.
    """
    import pandas as pd

    found = {}
    if "balance" in data.summary:
        found["balance.csv"] = pd.DataFrame(data.summary["balance"]).rename_axis("class")
    if outcome is not None and outcome.preparation.task != "regression":
        found["report.csv"] = _report(outcome)
    if outcome is not None and outcome.judged.errors is not None:
        found["largest_errors.csv"] = _largest_errors(outcome, outcome.judged.errors)
    return found


def _report(outcome: Outcome) -> pd.DataFrame:
    """Of each class, and their means: each class alike (`macro avg`), and by its support (`weighted avg`)."""
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    prep, true = outcome.preparation, outcome.part.y
    names = prep.classes if prep.classes is not None else prep.targets

    def measured(average: str | None) -> Any:
        return precision_recall_fscore_support(
            true, outcome.answers, labels=range(len(names)), average=average, zero_division=0
        )

    rows = [(str(name), *row) for name, *row in zip(names, *measured(None), strict=True)]
    total = sum(row[-1] for row in rows)
    rows += [(f"{average} avg", *measured(average)[:3], total) for average in ("macro", "weighted")]
    return pd.DataFrame(rows, columns=["class", "precision", "recall", "f1", "support"]).set_index("class")


def _largest_errors(outcome: Outcome, errors: NDArray[np.float64]) -> pd.DataFrame:
    import pandas as pd

    rows = outcome.largest_errors(ERRORS_IN_THE_TABLE)
    columns = {
        **_columns("target", outcome.part.y[rows], outcome.preparation),
        **_columns("prediction", outcome.answers[rows], outcome.preparation),
        "error": errors[rows],
    }
    return pd.DataFrame(columns, index=pd.Index(rows, name="index"))


def _columns(title: str, values: NDArray[Any], prep: Preparation) -> dict[str, Any]:
    if prep.classes is not None:
        return {title: [prep.classes[int(index)] for index in values.reshape(-1)]}
    wide = values.reshape(len(values), -1)
    if wide.shape[1] == 1:
        return {title: wide[:, 0]}
    return {f"{title}_{name}": wide[:, index] for index, name in enumerate(prep.targets)}
