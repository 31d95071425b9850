"""`edgessd build --finish`: refuse a bundle that TensorRT doesn't run, and a machine without TensorRT."""

from __future__ import annotations

import pytest
from command_line import edgessd

from edgessd.bundle.store import Bundle

pytestmark = pytest.mark.slow


def test_a_tflite_bundle_is_refused(tiny_bundles: dict[str, Bundle]) -> None:
    ended = edgessd("build", "--finish", tiny_bundles["host"].directory, code=1)
    assert "which TensorRT doesn't run" in " ".join(ended.err.split())


def test_a_machine_without_tensorrt_is_refused(tiny_bundles: dict[str, Bundle]) -> None:
    ended = edgessd("build", "--finish", tiny_bundles["jetson-orin-nano"].directory, code=1)
    assert "TensorRT isn't usable from this Python" in " ".join(ended.err.split())


def test_a_target_and_a_bundle_exclude_each_other(tiny_bundles: dict[str, Bundle]) -> None:
    edgessd("build", "--finish", tiny_bundles["host"].directory, "--target", "host", code=2)
