"""Contract of a detector: every step between an image and named boxes except the network itself.

A checkpoint and each bundle built from it carry a `Contract`, so no stage has to guess how pixels become
numbers or how numbers become boxes. The contract of an integer engine may have other anchor shapes and
variances than its checkpoint's (`quantize.float_passes`): its raw outputs differ, and its boxes are the same.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.core.anchors import AnchorSpec
from edgessd.core.errors import ConfigError

Triple = tuple[float, float, float]


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps from an image to the network's input.

    Attributes:
        width: Input width in pixels.
        height: Input height in pixels.
        resize: `stretch` fills the input and changes the aspect ratio; `letterbox` keeps it, centers
            the image and fills the rest with `fill`.
        color: Channel order of the network's input.
        mean: Value subtracted from each channel, in pixel values 0 to 255, in the order of `color`.
        std: Divisor of each channel; the network sees (pixel - mean) / std.
        fill: Pixel value of letterbox bars.
    """

    width: int
    height: int
    resize: Literal["stretch", "letterbox"] = "stretch"
    color: Literal["RGB", "BGR"] = "RGB"
    mean: Triple = (127.5, 127.5, 127.5)
    std: Triple = (127.5, 127.5, 127.5)
    fill: int = 128

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ConfigError(
                "The input has no area",
                expected="width and height >= 1",
                found=f"{self.width}x{self.height}",
            )
        if any(value <= 0 for value in self.std):
            raise ConfigError(
                "A preprocessing std isn't positive", expected="std > 0", found=str(self.std)
            )


class BoxCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Code of a box as four numbers (tx, ty, tw, th) per anchor: section 2.2 of the SSD paper.

    center = anchor center + t * centre_variance * anchor size; size = anchor size * exp(t *
    size_variance).
    """

    centre_variance: float = 0.1
    size_variance: float = 0.2


class Scoring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps from class scores to probabilities.

    Attributes:
        activation: `softmax` over the columns, or an independent `sigmoid` for each.
        background: True if column 0 is the background and has no label.
    """

    activation: Literal["softmax", "sigmoid"] = "softmax"
    background: bool = True


class Nms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults of greedy per-class non-maximum suppression.

    Attributes:
        score_threshold: Score in [0, 1]; boxes scored at or below it are dropped.
        iou_threshold: IoU in [0, 1]; a box that overlaps a better one of its class by more is suppressed.
        max_candidates: Number of best-scored boxes of a class that enter suppression.
        max_detections: Number of best-scored boxes of all classes that are returned.
    """

    score_threshold: float = 0.3
    iou_threshold: float = 0.45
    max_candidates: int = 400
    max_detections: int = 200

    def __post_init__(self) -> None:
        for name in ("score_threshold", "iou_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} is out of range", expected="0 to 1", found=str(getattr(self, name))
                )


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Preprocessing, anchors, box code, scoring, suppression and labels of one detector.

    The network's raw outputs are `box_codes` (1, N, 4) and `class_scores` (1, N, C) before their
    activation, with N = `anchors.count` and C = `columns`.
    """

    preprocess: Preprocess
    anchors: AnchorSpec
    labels: tuple[str, ...]
    box_code: BoxCode = BoxCode()
    scoring: Scoring = Scoring()
    nms: Nms = Nms()

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ConfigError(
                "A detector's labels can't be used",
                expected="at least one label, each name once",
                found=", ".join(self.labels) or "none",
            )

    @property
    def columns(self) -> int:
        """Number of class-score columns C: one per label, and one for a background."""
        return len(self.labels) + int(self.scoring.background)
