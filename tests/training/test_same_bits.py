"""A seed is a run: two processes end with the same bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("same_bits_program.py")


@pytest.mark.slow
def test_a_seed_gives_the_same_bits_in_another_process():
    command = [sys.executable, str(PROGRAM)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = []
    for process in both:
        out, errors = process.communicate(timeout=280)
        assert process.returncode == 0, errors
        told.append(dict(line.rsplit(" ", 1) for line in out.splitlines()))
    assert len(set(told[0].values())) == len(told[0]) == 5
    assert told[0] == told[1]
