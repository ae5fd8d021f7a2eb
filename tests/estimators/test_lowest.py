"""scikit-learn's own checks in the oldest release that is supported, in a process that finds it first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# scikit-learn's own networks skip it, too: it wants a decision function.
SKIPPED = {"check_classifiers_multilabel_output_format_decision_function"}
HALF_A_MINUTE = pytest.mark.exhaustive  # each way to give a model is checked once by `make test`
LOWEST = Path(sys.prefix) / "lowest-scikit-learn"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        ("classifier", ["default", "callable"]),
        ("regressor", ["default", "spec"]),
        pytest.param("classifier", ["spec"], marks=HALF_A_MINUTE),
        pytest.param("regressor", ["callable"], marks=HALF_A_MINUTE),
    ],
)
def test_every_check_of_the_oldest_supported_scikit_learn_passes(kind, ways):
    if not LOWEST.exists():
        pytest.skip(f"the oldest supported scikit-learn is not in {LOWEST}: `make setup` puts it there")
    program = Path(__file__).with_name("lowest_program.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(LOWEST), str(ROOT)])}
    command = [sys.executable, program, kind, *ways]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    required = re.search(r'"scikit-learn>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert required is not None
    assert told["version"].startswith(required[1])
    assert list(told["ways"]) == ways
    for results in told["ways"].values():
        assert [result for result in results if result[1] == "failed"] == []
        assert {name for name, status, _ in results if status == "skipped"} <= SKIPPED
        assert {name for name, status, _ in results if status == "passed"} >= set(told["expected"]) - SKIPPED
    assert len(told["expected"]) > 40  # those that scikit-learn's own networks run
