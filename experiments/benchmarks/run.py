"""Measures kerasflow against its peers, prints the table, and writes results.json and the README's table.

python experiments/benchmarks/run.py             # the whole table
python experiments/benchmarks/run.py --only a b  # rows of the table; the others stay as they were measured
python experiments/benchmarks/run.py --quick     # whether the scripts work; writes nothing
python experiments/benchmarks/run.py --render    # the table of results.json again, with the remarks as they are now
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measures import Reading
from rich.console import Console
from rounds import ProcessDied, measured
from rows import ROWS, Row
from summary import Measured, Results, lines, renewed
from table import about, markdown, remarks, terminal

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PACKAGES = ("kerasflow", "keras", "tensorflow", "openvino", "scikit-learn", "scikeras", "skorch", "torch", "numpy")
console = Console(highlight=False)


def main() -> None:
    """Parses the command line and does what it says."""
    asked = _arguments()
    rows = [row for row in ROWS if asked.only is None or row.key in asked.only]
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    found: Results = {}
    for key, readings in () if asked.render else _measure([row.quick() for row in rows] if asked.quick else rows):
        found[key] = readings
        if not asked.quick:  # at once: who is interrupted keeps what was measured
            _write(renewed(kept, found))
    if asked.quick:
        _show(found)
        console.print("Nothing written: these figures mean nothing.")
        return
    results = renewed(kept, found)
    _show(results if asked.render else found)
    _write(results)
    console.print(f"Written: {_near(RESULTS)} and the table of {_near(README)}")


def _write(results: Results) -> None:
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    _write_readme(results)


def _arguments() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two updates an epoch, twice; the figures mean nothing")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=[r.key for r in ROWS], help="rows by their key")
    parser.add_argument("--render", action="store_true", help="measure nothing, show results.json again")
    return parser.parse_args()


def _measure(rows: list[Row]) -> Iterator[tuple[str, Measured]]:
    # What the processes inherit: no GPU, and no TensorFlow that talks. Threads are each framework's own choice.
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    load = os.getloadavg()[0]
    if load > 0.5:
        console.print(f"Other processes are at work (load {load:.1f}): the figures may mislead, torch's most of all.")
    contenders = [contender for row in rows for contender in row.contenders]
    wanted = sorted({one.needs for one in contenders if one.needs and importlib.util.find_spec(one.needs) is None})
    if wanted:
        console.print(f"Not installed, so their lines are left out: `pip install {' '.join(wanted)}` brings them.")
    possible = [row.without(set(wanted)) for row in rows if row.ours.needs not in wanted]
    for row in possible:
        if row.peers:
            yield row.key, _measured(row)


def _measured(row: Row) -> Measured:
    """A row's readings, and where and when they were taken."""
    started, busy, own = time.monotonic(), _busy(), _own()
    with console.status(row.key) as status:
        found = measured(row, lambda what: status.update(f"{row.key}: {what}"))
    took = time.monotonic() - started
    console.print(f"{row.key}: {row.rounds} rounds in {took:.0f} s")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "others": max(0.0, (_busy() - busy) - (_own() - own)) / took,
        "machine": _machine(),
        "versions": {name: version(name) for name in PACKAGES if importlib.util.find_spec(_module(name))},
        "readings": {name: _by_quantity(readings) for name, readings in found.items()},
    }


def _by_quantity(readings: list[Reading]) -> dict[str, Any]:
    values = {quantity: [reading.values[quantity] for reading in readings] for quantity in readings[0].values}
    return values | {"engine": readings[-1].engine}


def _machine() -> dict[str, Any]:
    cpu = next(line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    memory = next(int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    system = f"{platform.system()}, Python {platform.python_version()}"
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory": memory, "system": system}


def _busy() -> float:
    """CPU seconds that the whole machine has spent, what a hypervisor gave to others included; see proc(5)."""
    ticks = [int(part) for part in _lines("/proc/stat")[0].split()[1:9]]
    idle, waiting = ticks[3:5]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """CPU seconds of this process and of those that it has started and ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _show(results: Results) -> None:
    found = lines(results)
    console.print(terminal(found, console.width))
    for remark in [*remarks(found), *about(results)]:
        console.print(f"- {remark}")


def _write_readme(results: Results) -> None:
    found = lines(results)
    parts = [
        "\n".join(f"- {told}" for told in about(results)),
        markdown(found),
        "\n".join(f"- {remark}" for remark in remarks(found)),
    ]
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = "\n\n".join(part for part in parts if part)
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _module(package: str) -> str:
    return {"scikit-learn": "sklearn"}.get(package, package)


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _near(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    try:
        main()
    except ProcessDied as error:
        sys.exit(str(error))
