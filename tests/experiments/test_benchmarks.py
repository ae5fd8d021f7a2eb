"""The benchmark's scripts work: a row is measured, and a table says what its readings do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.mark.slow
def test_a_row_is_measured_and_shown(tmp_path: Path) -> None:
    committed = {path: path.read_bytes() for path in BENCHMARKS.iterdir() if path.suffix in (".md", ".json")}
    command = [sys.executable, BENCHMARKS / "run.py", "--quick", "--only", "mlp-256"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    cells = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    peers = {line[0]: line[1:] for line in cells if len(line) == 7}  # theirs, ratio, CPU, reach, aim, target
    assert list(peers) == ["against", "Keras' fit", "MLPClassifier"]
    assert [line[3:5] for line in peers.values()] == [["reach", "aim"], ["9×", "12×"], ["1.2×", "2×"]]
    assert {path: path.read_bytes() for path in committed} == committed  # a quick run's figures go nowhere
    assert list(tmp_path.iterdir()) == []


def row(date: str, others: float, readings: dict[str, Any]) -> dict[str, Any]:
    machine = {"cpu": "a processor", "cores": 2, "memory": 8e9, "system": "Linux"}
    return {"date": date, "others": others, "machine": machine, "versions": {"keras": "3"}, "readings": readings}


def test_rows_that_are_not_measured_again_stay_as_they_were(monkeypatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from summary import renewed

    first, second, third = (row(f"2000-01-0{day}", 0.0, {}) for day in (1, 2, 3))
    kept = {"mobilenet-32": first, "no row of this table": first, "mlp-32": second}
    found = renewed(kept, {"mobilenet-32": third})
    assert found == {"mlp-32": second, "mobilenet-32": third}
    assert list(found) == ["mlp-32", "mobilenet-32"]  # as the table has them


@pytest.mark.parametrize("key", ["features-cached", "recorded", "sweep", "sweep-pruned"])
@pytest.mark.slow
def test_contenders_do_what_they_say(key: str, monkeypatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from rows import ROWS

    (wanted,) = (one.quick() for one in ROWS if one.key == key)
    for contender in wanted.contenders:
        assert isinstance(contender.prepare(replace(contender.job, samples=2), 0)(1), str)


def test_a_table_is_made_of_its_readings(tmp_path: Path) -> None:
    readings = {"wall": [4e-3, 5e-3, 6e-3], "cpu": [8e-3, 8e-3, 8e-3], "engine": ""}
    ours = {"wall": [1e-3, 1e-3, 1e-3], "cpu": [1e-3, 1e-3, 1e-3], "engine": "graph"}
    first = {"kerasflow": ours, "Keras' fit": readings, "MLPClassifier": readings}
    results = {
        "mlp-first-fit": row("2000-01-01", 0.25, first),
        "mlp-second-fit": row("2000-01-01", 0.05, {"kerasflow": ours, "MLPClassifier": readings}),
        "mobilenet-32": row("2000-02-02", 0.1, {"kerasflow": ours, "Keras' fit": readings}),
    }
    for path in BENCHMARKS.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "README.md").write_text((BENCHMARKS / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    subprocess.run([sys.executable, tmp_path / "run.py", "--render"], check=True, capture_output=True)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| Keras' fit | 5.00 ms ±0.50 | 5.00× ±0.50 | 8× | 4× | 6× | met |" in text
    assert "| MLPClassifier | 5.00 ms ±0.50 | 5.00× ±0.50 | 8× | – | 1× | aim met |" in text
    assert "- mlp-first-fit, mlp-second-fit: 2000-01-01 on a processor, 2 cores, 8 GB, Linux. Other " in text
    assert "Other processes took 0.05 to 0.25 of a core meanwhile, too much" in text
    assert "- mobilenet-32: 2000-02-02 on a processor" in text
    assert "Other processes took 0.10 of a core meanwhile. keras 3." in text
    assert "Not measured yet" not in text
    assert text.endswith((BENCHMARKS / "README.md").read_text(encoding="utf-8").partition("measured: end -->")[2])
