"""Anchors of a new detector are known without torch."""

from __future__ import annotations

import subprocess
import sys


def test_recipe_loads_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; from edgessd.model.new_detector import new_detector; "
        "_, contract = new_detector(['a'], input_size=(320, 240)); "
        "assert contract.anchors.count > 1000; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnx', 'onnxsim')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
