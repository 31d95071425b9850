"""Turn the outputs of TFLite's detection op into detections.

The op's four outputs, in its order (tensorflow/lite/kernels/detection_postprocess.cc): boxes
(1, n, 4) as top, left, bottom, right in fractions of the input; classes (1, n), counted without the
background; scores (1, n); the number of valid rows (1,). TF2's exporter renames and reorders them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgessd.core.boxes import areas
from edgessd.core.contract import Nms
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError
from edgessd.core.network_tensors import DETECTION_OUTPUTS, DETECTION_SIGNATURE
from edgessd.core.nms import nms_per_class
from edgessd.core.preprocess import ImageTransform
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class OpOutputs:
    """Names of the engine's outputs that are the four outputs of the op."""

    boxes: str
    classes: str
    scores: str
    count: str

    def __post_init__(self) -> None:
        names = (self.boxes, self.classes, self.scores, self.count)
        if len(set(names)) != 4:
            raise BackendError(
                "The detection outputs are ambiguous",
                expected="four different tensors",
                found=", ".join(names),
            )


# The names under which exporters are known to leave the op's outputs, in the op's order: TensorFlow 1,
# an object-detection signature, TensorFlow 2's signature and its tensors, TFLite Metadata's writers.
_KNOWN_NAMES = (
    DETECTION_OUTPUTS,
    ("detection_boxes", "detection_classes", "detection_scores", "num_detections"),
    DETECTION_SIGNATURE,
    tuple(f"StatefulPartitionedCall:{number}" for number in (3, 2, 1, 0)),
    ("location", "category", "score", "number of detections"),
)


def outputs_by_name(outputs: Iterable[TensorSpec]) -> OpOutputs | None:
    """Identify the outputs by their names; None if names are unknown or contradict the shapes."""
    specs = {output.name: output for output in outputs}
    for names in _KNOWN_NAMES:
        if not specs.keys() >= set(names):
            continue
        boxes, classes, scores, count = (specs[name].shape for name in names)
        rows = boxes[1] if len(boxes) == 3 else -1
        if boxes == (1, rows, 4) and classes == scores == (1, rows) and math.prod(count) == 1:
            return OpOutputs(boxes=names[0], classes=names[1], scores=names[2], count=names[3])
    return None


class OpPostprocessor:
    """Turns the op's outputs into `Detections`.

    Args:
        outputs: Names of the op's outputs.
        labels: Class names; class k of the op is `labels[k]`.
        nms: Settings that apply after the op's own suppression.
    """

    def __init__(self, outputs: OpOutputs, labels: tuple[str, ...], nms: Nms) -> None:
        self.nms = nms
        self._outputs = outputs
        self._labels = labels

    def __call__(self, values: Mapping[str, Tensor], transform: ImageTransform) -> Detections:
        """Return the detections scored over `nms.score_threshold`, in pixels of the source image.

        Raises:
            BackendError: A class has no label, so the labels are another model's.
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
            boxes=transform.to_source(boxes[kept]),
            scores=scores[kept],
            class_ids=class_ids[kept],
            labels=self._labels,
        )
        return found[areas(found.boxes) > 0]
