"""Models opened for measuring."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def test_a_model_that_decodes_by_itself_is_measured_with_its_own_settings(shared: Path) -> None:
    from edgessd.cli.open_model import open_measured

    model = shared / "data" / "google_ssd_mobilenet_v1_coco"
    opened = open_measured(model / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite", threads=1)
    assert opened.outputs == ()
    assert opened.nms.iou_threshold == 1.0
    assert "settings of its own" in opened.notes[-1]
    found = opened.run(np.zeros((64, 64, 3), np.uint8))
    assert found.raw == {}
