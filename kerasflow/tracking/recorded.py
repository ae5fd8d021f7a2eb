"""What a run needs to be done again, read from its record and from nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from kerasflow.errors import RunError
from kerasflow.tracking.delivery import recorded_in
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import told_by
from kerasflow.tracking.record import DIGEST_TAG

FILES = ("spec.yaml", "data.json", "environment.txt")


@dataclass(frozen=True)
class Recorded:
    """A run, as its record has it.

    Attributes:
        where: the record, for messages.
        run: its id in the tracking store, or its folder's name.
        finished: whether it ended by itself.
        tags: by name.
        metrics: each one's last value.
        files: those that the run has logged, by name, their bytes, which anybody may have changed since: `text` checks.
    """

    where: str
    run: str
    finished: bool
    tags: dict[str, str]
    metrics: dict[str, float]
    files: dict[str, bytes]

    def text(self, name: str) -> str:
        """A file's text, which is what the run has logged.

        Raises:
            RunError: it is not.
        """
        wanted = self.tags.get(f"{DIGEST_TAG}{name}")
        if wanted is None:
            raise RunError(
                f"{self.where}: no tag tells the digest of {name}, so it is not used; a run that kf.run has recorded "
                "has one, and can be done again"
            )
        found = hashlib.sha256(self.files[name]).hexdigest()
        if found != wanted:
            raise RunError(
                f"{self.where}: {name} is not what the run logged (SHA-256 {wanted[:12]}… then, {found[:12]}… now); "
                "bring that file back"
            )
        return self.files[name].decode()


def logged(tags: Mapping[str, str]) -> list[str]:
    """Those of `FILES` that a run has logged, as its tags tell."""
    return [name for name in FILES if f"{DIGEST_TAG}{name}" in tags]


def of_folder(folder: RunFolder) -> Recorded:
    """The record of a run in its folder.

    Raises:
        RunError: the run ended before it had one.
    """
    told = told_by(folder)
    files = {}
    for name in logged(told.tags):
        try:
            files[name] = (folder.directory / name).read_bytes()
        except OSError as error:
            raise RunError(f"{folder.directory / name}: cannot be read: {error.strerror}") from error
    run_id = recorded_in(folder)[1] or folder.directory.name
    return Recorded(str(folder), run_id, folder.status.state == "FINISHED", told.tags, told.metrics, files)
