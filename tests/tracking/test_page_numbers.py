from __future__ import annotations

import json
import math
from pathlib import Path

from kerasflow.tracking.compare import compare
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker
from kerasflow.tracking.page_numbers import page_numbers


def test_numbers_are_json_and_each_lies_where_its_name_does(tmp_path: Path) -> None:
    folders = []
    for seed, losses in ((0, [1.0, 0.123456789]), (1, [math.inf])):
        folder = RunFolder.create(tmp_path, "mlps", f"run {seed}")
        tracker = JournalTracker(folder)
        tracker.start("mlps", "", {"seed": seed, "train/batch_size": 32}, {})
        for epoch, loss in enumerate(losses, start=1):
            tracker.epoch({"epoch": epoch, "loss": loss, "stage": "head", "seconds": 0.5})
        tracker.log_metrics({"test/loss": losses[-1]}, 1)
        folders.append(folder)
    numbers = json.loads(json.dumps(page_numbers(compare(folders)), allow_nan=False))
    assert numbers["metric"] == "test/loss"
    assert numbers["metrics"] == [{"name": "test/loss", "higher": False}, {"name": "train/loss", "higher": False}]
    assert numbers["params"] == [{"name": "seed", "short": "seed", "seed": True, "values": [0, 1]}]
    assert numbers["curves"] == ["train/loss", "perf/epoch_seconds"]
    first, second = numbers["runs"]
    assert (first["epochs"], first["curves"][0]) == ([1, 2], [1.0, 0.123457])
    assert second["curves"] == [[None], [0.5]]
    assert (second["params"], second["metrics"]) == ([1], ["inf", "inf"])
