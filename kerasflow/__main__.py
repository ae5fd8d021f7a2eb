"""`python -m kerasflow`: the command line, by the interpreter that is to run it."""

from __future__ import annotations

from kerasflow.cli import main

main()
