"""Threads that an engine gets by default."""

from __future__ import annotations

import os

import pytest

from edgessd.runtime.catalog import default_threads


@pytest.mark.parametrize(("cores", "wanted", "threads"), [(1, 4, 1), (8, 4, 4), (2, 1, 1)])
def test_threads_are_at_most_the_usable_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, wanted: int, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_threads(wanted) == threads


def test_without_an_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads(4) == 1
