"""A new detector: its anchors, its refusals, and no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgessd.core.errors import ConfigError
from edgessd.model.new_detector import new_detector

LABELS = ("cat", "dog", "bird")


def test_impossible_detectors_are_refused() -> None:
    with pytest.raises(ConfigError, match="too small"):
        new_detector(LABELS, input_size=(300, 16))
    with pytest.raises(ConfigError, match="scales"):
        new_detector(LABELS, scales=(0.5, 0.4, 0.6, 0.7, 0.8, 0.9))
    with pytest.raises(ConfigError, match="scales"):
        new_detector(LABELS, scales=(0.1, 0.2))


def test_smaller_scales_and_six_first_anchors() -> None:
    _, contract = new_detector(LABELS, min_scale=0.08, first_anchors=6)
    assert contract.anchors.shapes_per_level == (6,) * 6
    assert min(side for shape in contract.anchors.levels[0].shapes for side in shape) < 0.08


@pytest.mark.process
def test_it_loads_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; from edgessd.model.new_detector import new_detector; "
        "_, contract = new_detector(['a'], input_size=(320, 240)); "
        "assert contract.anchors.count > 1000; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnx', 'onnxsim')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
