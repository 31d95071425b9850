"""The run folder belongs to one training at a time."""

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
    """Refuse a folder that holds another training, or is none.

    Raises:
        ConfigError: with what lies there.
    """
    if not resume and (folder / STATE).exists():
        raise ConfigError(
            f"{folder} already holds a training",
            fix="Go on with it (--resume), or name another folder with --out",
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError("The run folder is a file", found=str(folder))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder while a training writes to it; the system lets go of it when the process ends.

    The state appears only after the first epoch, so without this two trainings started shortly after
    each other would write over each other's settings and weights.

    Raises:
        ConfigError: another process trains here right now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"Another process is training in {folder} right now",
                fix="Wait for it, or name another folder with --out",
            ) from error
        yield
