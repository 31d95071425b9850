"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real datasets and weights, kept outside the project; tests that need them skip without."""
    folder = Path(os.environ.get("EDGESSD_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(
            f"no real data at {folder}; set EDGESSD_SHARED to a folder that has data/ and weights/"
        )
    return folder


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    """Keep numerical libraries from oversubscribing a small machine."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
