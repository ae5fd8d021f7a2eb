"""Where a sweep's trials are kept, and found again by whoever goes on with it or joins it."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from kerasflow.errors import MissingExtra, RunError, sentence
from kerasflow.secrecy import without_password
from kerasflow.spec.experiment import ExperimentSpec
from kerasflow.spec.faults import short
from kerasflow.spec.sweep import SweepSpec
from kerasflow.sweeps.package import optuna
from kerasflow.sweeps.sampling import pruner, sampler
from kerasflow.tracking.folder import safe_name

SECONDS_OF_A_BEAT = 5
SECONDS_TO_BE_DEAD = 20
"""After a worker's last sign of life: its trial is run again then."""
SECONDS_TO_CONNECT = 5
_WANTED, _KEY = "wanted", "key"
_NOT_DECISIVE = ("experiment", "name", "track")
_MAY_DIFFER = ("trials", "minutes", "finalists")
_SHOWN = 3


def storage_in(folder: Path) -> str:
    """The address of the storage that a sweep's own folder holds."""
    return f"sqlite:///{folder / 'study.db'}"


def open_study(spec: ExperimentSpec, sweep: SweepSpec, url: str) -> Any:
    """The study of a sweep in a storage, begun if it is not there.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`.

    Raises:
        RunError: nobody answers there, or it holds another sweep of this name.
        MissingExtra: a package for this database is not installed.
    """
    package, wanted = optuna(), _wanted(spec)
    study = package.create_study(
        storage=_storage(url),
        study_name=f"{spec.experiment}/{spec.name}",
        directions=["maximize" if way == "max" else "minimize" for _, way in sweep.objective],
        sampler=sampler(sweep, spec.seed),
        pruner=pruner(sweep, spec.train.epochs),
        load_if_exists=True,
    )
    known = study.user_attrs
    if _WANTED not in known:
        study.set_user_attr(_KEY, f"{safe_name(spec.name)}-sweep-{secrets.token_hex(4)}")
        study.set_user_attr(_WANTED, json.dumps(wanted))
    elif differs := list(_differences(json.loads(known[_WANTED]), json.loads(json.dumps(wanted)), "")):
        more = f" and {len(differs) - _SHOWN} more" if len(differs) > _SHOWN else ""
        raise RunError(
            f"{without_password(url)}: holds another sweep named {spec.name!r} of {spec.experiment!r}: "
            f"{'; '.join(differs[:_SHOWN])}{more}; give this one a name of its own, bring that back, or remove "
            f"{'that file' if url.startswith('sqlite:///') else 'that study'} to begin anew"
        )
    return study


def key_of(study: Any) -> str:
    """The key of the run that the trials are parts of."""
    return str(study.user_attrs[_KEY])


def _wanted(spec: ExperimentSpec) -> dict[str, Any]:
    """What must be the same for trials to belong to one sweep; there may be more of them, and of finalists."""
    document = spec.to_document()
    sweep = {key: value for key, value in document["sweep"].items() if key not in _MAY_DIFFER}
    if document["sweep"].get("finalists"):
        sweep["finalists"] = True  # how many may differ, but not whether each trial is of one seed
    return {key: value for key, value in document.items() if key not in _NOT_DECISIVE} | {"sweep": sweep}


def _differences(then: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from _differences(then.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif then != now:
        yield f"{path} is {short(then)} there, {short(now)} here"


def _storage(url: str) -> Any:
    package = optuna()
    is_file = url.startswith("sqlite:///")
    options = {} if is_file else {"connect_args": {"connect_timeout": SECONDS_TO_CONNECT}, "pool_pre_ping": True}
    if is_file:
        _prepare(Path(url.removeprefix("sqlite:///")))
    for tries_left in (2, 1, 0):
        try:
            return package.storages.RDBStorage(
                _with_driver(url),
                engine_kwargs=options,
                heartbeat_interval=SECONDS_OF_A_BEAT,
                grace_period=SECONDS_TO_BE_DEAD,
            )
        except ImportError as error:
            raise MissingExtra(
                f"{without_password(url)}: needs a package: pip install 'kerasflow[sweep]' ({sentence(error)})"
            ) from None
        except Exception as error:  # SQLAlchemy's and each driver's own; workers that make the tables at once collide
            if not tries_left or "already exists" not in str(error).lower():
                raise RunError(
                    f"{without_password(url)}: the sweep's storage does not answer: "
                    f"{without_password(sentence(error))}; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
                ) from None
            time.sleep(1)
    raise AssertionError


def _with_driver(url: str) -> str:
    """PostgreSQL by the driver that the extra `sweep` brings; SQLAlchemy 2.1 would look for another."""
    return url.replace("postgresql://", "postgresql+psycopg2://", 1) if url.startswith("postgresql://") else url


def _prepare(file: Path) -> None:
    """A file to which several workers can write: changes go to a log beside it, one settled write each."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except (OSError, sqlite3.Error) as error:
        raise RunError(f"{file}: cannot be the sweep's storage: {error}") from None
