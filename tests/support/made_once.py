"""Files that take seconds to make, made by one of the parallel test processes and copied by the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Copy of a folder that `make` fills, once in a run of the tests.

    Args:
        factory: Gives the folder of this process.
        name: Name of the folder.
        make: Called with the empty folder, in one process only.

    Returns:
        A folder of this process alone, which its tests may change.
    """
    own = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(folder := factory.mktemp(name, numbered=False))
        return folder
    # The processes' folders lie side by side in the folder of the run.
    common = own.parent / "made_once" / name
    common.parent.mkdir(exist_ok=True)
    with FileLock(f"{common}.lock"):
        if not common.exists():
            unfinished = common.with_name(f"{name}.unfinished")
            unfinished.mkdir(exist_ok=True)
            make(unfinished)
            unfinished.rename(common)
    return Path(shutil.copytree(common, own / name))
