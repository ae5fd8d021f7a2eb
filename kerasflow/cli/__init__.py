"""The command line: parse, call, print, exit code. It decides nothing that Python users could not call.

Takes the words typed; gives text, and exit code 0, 2 for what the user can mend, 130 for Ctrl-C. Must not know how
anything is done.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The `kerasflow` command."""
    from kerasflow.cli.app import run_app

    sys.exit(run_app())
