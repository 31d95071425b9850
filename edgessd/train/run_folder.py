"""Protect a run folder from a second training."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgessd.core.errors import ConfigError
from edgessd.train.loop import STATE

CONFIG = "config.toml"
_LOCK = ".training"


def check_folder(folder: Path, *, resume: bool) -> None:
    """Check that a training may use the folder.

    Raises:
        ConfigError: The folder holds another training, or the path is a file.
    """
    if not resume and (folder / STATE).exists():
        raise ConfigError(
            f"{folder} already holds a training",
            fix="Continue it with --resume, or name another folder with --out",
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(
            "The run folder can't be made, because a file has its name",
            found=str(folder),
            fix="Name another folder with --out",
        )


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock the folder while a training writes to it; the system unlocks it when the process ends.

    The state file appears only after the first epoch. Without the lock, a second training that starts
    before that would overwrite the first one's settings and weights.

    Raises:
        ConfigError: Another process is training in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"Another process is training in {folder}",
                fix="Wait until it ends, or name another folder with --out",
            ) from error
        yield
