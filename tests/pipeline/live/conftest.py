"""Pipelines with a live page, shared by the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Test modules aren't in packages, so the shared file of this folder must be found by its path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def run() -> Iterator[Any]:
    from live_wire import running

    from edgessd.pipeline.live.hub import Extras

    extras = Extras(model="codes", celsius=lambda: 47.25)
    with running(extras=extras) as runs:
        yield runs


@pytest.fixture(scope="module")
def guarded() -> Iterator[Any]:
    from live_wire import TOKEN, running

    with running(host="0.0.0.0", token=TOKEN) as runs:
        yield runs
