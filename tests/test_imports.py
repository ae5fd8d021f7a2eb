"""`import kerasflow` and `kerasflow --help` stay light: no framework loads before it is needed.

Costs are processor time inside a new interpreter, the median of several, so that a busy machine or a cold disk does not
decide them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

FRAMEWORKS = {"keras", "matplotlib", "mlflow", "pandas", "pyarrow", "scipy", "skops", "sklearn", "tensorflow"}

IMPORT = """
import json, sys, time
before, began = set(sys.modules), time.process_time()
import kerasflow
seconds = time.process_time() - began
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""

PURE_CORE = """
import json, sys
import kerasflow.errors, kerasflow.spec, kerasflow.tracking.port, kerasflow.training.history, kerasflow.training.stop
print(json.dumps({"modules": sorted(sys.modules)}))
"""

HELP = """
import json, sys, time
sys.argv = ["kerasflow", "--help"]
began = time.process_time()
try:
    from kerasflow.cli import main
    main()
    code = 0
except SystemExit as stop:
    code = stop.code or 0
seconds = time.process_time() - began
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules), "code": code}))
"""


def measure(program: str) -> dict[str, Any]:
    """What the program's last line says, run in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def packages(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_import_loads_the_standard_library_and_itself_alone() -> None:
    loaded = packages(measure(IMPORT)["modules"])
    assert loaded - sys.stdlib_module_names == {"kerasflow"}


def test_import_takes_less_than_150_ms() -> None:
    assert statistics.median(measure(IMPORT)["seconds"] for _ in range(5)) < 0.15


def test_the_pure_core_loads_no_framework() -> None:
    assert packages(measure(PURE_CORE)["modules"]) & FRAMEWORKS == set()


def test_help_loads_no_framework() -> None:
    answer = measure(HELP)
    assert answer["code"] == 0
    assert packages(answer["modules"]) & FRAMEWORKS == set()


def test_help_takes_less_than_half_a_second() -> None:
    assert statistics.median(measure(HELP)["seconds"] for _ in range(5)) < 0.5
