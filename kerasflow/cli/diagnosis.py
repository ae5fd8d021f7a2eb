"""A diagnosis as a person reads it in a terminal."""

from __future__ import annotations

import numpy as np
from rich.markup import escape

from kerasflow.cli.show import console
from kerasflow.diagnosing import Diagnosis


def show_diagnosis(found: Diagnosis) -> None:
    """Each finding with its numbers and what to try; of a healthy run, that it is."""
    console.print(f"[bold]{escape(found.title)}[/bold], {found.epochs} epochs; {escape(found.reason)}")
    for counter in found.stopping.counters[:-1] if found.stopping is not None else ():  # the last is divergence
        last = "unknown" if np.isnan(counter.values[-1]) else f"{counter.values[-1]:.4g}"
        console.print(f"  {escape(counter.rule)}: {last} in the end, stops at {counter.limit:.4g}")
    if not found.findings:
        console.print("Nothing has hindered this training, as far as its numbers tell.")
    for finding in found.findings:
        console.print(f"\n[bold]{escape(finding.name)}[/bold]: {escape(finding.words)}.")
        console.print(f"  try: {escape(finding.advice)}", soft_wrap=True)
    if found.unknown:
        console.print("\nNot judged:")
    for name, why in found.unknown.items():
        console.print(f"  {escape(name)}: {escape(why)}")
