"""What an experiment asks of a way to train, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kerasflow.training.checkpoint import Checkpoints
    from kerasflow.training.evaluate import Judged
    from kerasflow.training.history import History, Row


class Training(Protocol):
    """One of the ways to train; `kf.Trainer` says what each of these is."""

    @property
    def is_chief(self) -> bool: ...

    @property
    def cost(self) -> str: ...

    def check(self, model: Any, x: Any, y: Any = None, *, validation: Any = None) -> None: ...

    def engine_for(self, model: Any, x: Any, y: Any = None) -> tuple[str, str]: ...

    def fit(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        *,
        validation: Any = None,
        on_epoch: Callable[[Row], None] | None = None,
        on_update: Callable[[int, float], None] | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> History: ...

    def evaluate(self, model: Any, x: Any, y: Any, engine: str = "graph") -> dict[str, float]: ...

    def predict(self, model: Any, x: Any) -> Any: ...

    def judge(self, model: Any, x: Any, y: Any) -> Judged: ...

    def keep(self, folder: Path) -> tuple[str, ...]: ...
