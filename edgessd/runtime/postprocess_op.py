"""Detections out of an engine that ends in TFLite's own detection post-process op.

The op's four outputs, in its own order (tensorflow/lite/kernels/detection_postprocess.cc): boxes
(1, n, 4) as top, left, bottom, right in fractions of the input; classes (1, n), counted without the
background; scores (1, n); the number of valid rows (1,). TF2's exporter renames and reorders them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgessd.core.boxes import areas
from edgessd.core.contract import Nms
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError
from edgessd.core.nms import nms_per_class
from edgessd.core.preprocess import Placement
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Tensor

OP_NAME = "TFLite_Detection_PostProcess"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpOutputs:
    """Which output of the engine is which of the op's."""

    boxes: str
    classes: str
    scores: str
    count: str

    def __post_init__(self) -> None:
        names = (self.boxes, self.classes, self.scores, self.count)
        if len(set(names)) != 4:
            raise BackendError(
                "The detection outputs can't be told apart",
                expected="four different tensors",
                found=", ".join(names),
            )


# Per role: the names under which exporters are known to leave it. ":0" is never written.
_KNOWN_NAMES = {
    "boxes": (OP_NAME, "detection_boxes", "location"),
    "classes": (f"{OP_NAME}:1", "detection_classes", "category"),
    "scores": (f"{OP_NAME}:2", "detection_scores", "score"),
    "count": (f"{OP_NAME}:3", "num_detections", "number of detections"),
}


def outputs_by_name(outputs: Iterable[TensorSpec]) -> OpOutputs | None:
    """Tell the outputs apart by their names, or None where these don't say."""
    names = {output.name for output in outputs}
    roles = {
        role: next((name for name in known if name in names), None)
        for role, known in _KNOWN_NAMES.items()
    }
    found = {role: name for role, name in roles.items() if name is not None}
    return OpOutputs(**found) if len(found) == 4 else None


class OpPostprocessor:
    """Turns the op's outputs into `Detections`.

    Args:
        outputs: Which tensor is which.
        labels: Class k of the op is `labels[k]`.
        nms: The op has suppressed already, with the settings it was built with; these apply on top.
    """

    def __init__(self, outputs: OpOutputs, labels: tuple[str, ...], nms: Nms) -> None:
        self.nms = nms
        self._outputs = outputs
        self._labels = labels

    def __call__(self, values: Mapping[str, Tensor], placement: Placement) -> Detections:
        """Detections scored over `nms.score_threshold`, in pixels of the source image.

        Raises:
            BackendError: A class beyond the labels: they are another model's.
        """
        names = self._outputs
        count = int(values[names.count].reshape(-1)[0])
        scores = values[names.scores].reshape(-1)[:count].astype(np.float32)
        passing = np.flatnonzero(scores > self.nms.score_threshold)
        if not len(passing):
            return Detections.empty(self._labels)
        class_ids = values[names.classes].reshape(-1)[passing].astype(np.int64)
        if class_ids.max() >= len(self._labels) or class_ids.min() < 0:
            raise BackendError(
                "The engine found a class that has no label",
                expected=f"classes 0 to {len(self._labels) - 1}",
                found=f"class {class_ids.max()}",
                fix="Give the model's own label file with --labels",
            )
        rows = values[names.boxes].reshape(-1, 4)[passing].astype(np.float32)
        boxes = rows[:, [1, 0, 3, 2]]  # top, left, bottom, right → xyxy
        scores = scores[passing]
        kept = nms_per_class(boxes, scores, class_ids, self.nms)
        found = Detections(
            boxes=placement.to_source(boxes[kept]),
            scores=scores[kept],
            class_ids=class_ids[kept],
            labels=self._labels,
        )
        return found[areas(found.boxes) > 0]
