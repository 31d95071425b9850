"""Pipelines with a live page, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


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
