"""Suggest anchor settings that fit a dataset's boxes. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from edgessd.core.anchors import AnchorSpec
from edgessd.core.contract import Preprocess
from edgessd.data.reach import SizeReach, anchor_reach, boxes_at_input, total_share
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.model.new_detector import new_detector

# Settings are suggested only if they reach at least this much more of the boxes.
_WORTH = 0.02
# Settings with fewer anchors win if they reach at most this much less, because anchors cost time.
_SLACK = 0.01
_MOST_BOXES = 2_000
_MIN_SCALES = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
_MAX_SCALES = (0.4, 0.6, 0.95)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorSettings:
    """Settings of a training's section `[model]` that determine the anchors; see `new_detector`."""

    min_scale: float = 0.2
    max_scale: float = 0.95
    scales: tuple[float, ...] = ()
    stride_8: bool = False
    first_anchors: Literal[3, 6] = 3

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines of a config file for the settings that differ from the defaults."""
        lines = []
        if self.scales:
            lines.append(f"scales = [{', '.join(f'{scale:g}' for scale in self.scales)}]")
        elif (self.min_scale, self.max_scale) != (0.2, 0.95):
            lines += [f"min_scale = {self.min_scale:g}", f"max_scale = {self.max_scale:g}"]
        if self.stride_8:
            lines.append("stride_8 = true")
        if self.first_anchors != 3:
            lines.append(f"first_anchors = {self.first_anchors}")
        return tuple(lines)

    @property
    def name(self) -> str:
        """Settings that differ from the defaults, on one line; `standard` if none differs."""
        return ", ".join(self.lines) or "standard"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorAdvice:
    """Settings that reach more of the boxes.

    Attributes:
        settings: Suggested settings.
        anchors: Number of anchors with the suggested settings.
        anchors_now: Number of anchors with the current settings.
        reach: Fraction of the boxes that the suggested anchors reach, by box size.
    """

    settings: AnchorSettings
    anchors: int
    anchors_now: int
    reach: tuple[SizeReach, ...]

    def as_json(self) -> dict[str, Any]:
        """Make the record for `data check --json`."""
        return {
            "settings": list(self.settings.lines),
            "anchors": self.anchors,
            "anchors_now": self.anchors_now,
            "share": round(total_share(self.reach), 4),
            "reach": {item.size: round(item.share, 4) for item in self.reach},
        }


def anchors_for(
    settings: AnchorSettings, input_size: tuple[int, int], resize: str
) -> tuple[Preprocess, AnchorSpec]:
    """Make the preprocessing and anchors of the standard detector with these settings.

    Raises:
        ConfigError: The settings describe no detector.
    """
    _, contract = new_detector(
        ("object",),
        input_size=input_size,
        resize="letterbox" if resize == "letterbox" else "stretch",
        min_scale=settings.min_scale,
        max_scale=settings.max_scale,
        scales=settings.scales or None,
        stride_8=settings.stride_8,
        first_anchors=settings.first_anchors,
    )
    return contract.preprocess, contract.anchors


def advise(
    images: Sequence[LabeledImage], settings: AnchorSettings, preprocess: Preprocess
) -> AnchorAdvice | None:
    """Search for settings that reach more of the boxes.

    Even and geometric spacing between several smallest and largest scales are tried, with and without
    a head at stride 8. Among the settings that reach about the most boxes, those with the fewest
    anchors are suggested.

    Args:
        images: Images with boxes; of more than 2,000 boxes, an evenly spaced sample is measured.
        settings: Current settings.
        preprocess: The contract's preprocessing.

    Returns:
        None if no settings reach at least 2% more of the boxes.
    """
    boxes = boxes_at_input(images, preprocess)
    if not len(boxes):
        return None
    sample = boxes[np.linspace(0, len(boxes) - 1, min(len(boxes), _MOST_BOXES)).astype(np.int64)]
    size = (preprocess.width, preprocess.height)
    _, present = anchors_for(settings, size, preprocess.resize)
    share_now = total_share(anchor_reach(sample, present, preprocess))
    tried = []
    for candidate in _candidates(size):
        _, anchors = anchors_for(candidate, size, preprocess.resize)
        tried.append((total_share(anchor_reach(sample, anchors, preprocess)), anchors, candidate))
    best = max(share for share, _, _ in tried)
    if best < share_now + _WORTH:
        return None
    good = [item for item in tried if item[0] >= best - _SLACK]
    _, anchors, chosen = min(good, key=lambda item: (item[1].count, -item[0]))
    return AnchorAdvice(
        settings=chosen,
        anchors=anchors.count,
        anchors_now=present.count,
        reach=anchor_reach(boxes, anchors, preprocess),
    )


def _candidates(input_size: tuple[int, int]) -> list[AnchorSettings]:
    candidates = []
    levels = {
        stride_8: len(
            anchors_for(AnchorSettings(stride_8=stride_8), input_size, "stretch")[1].levels
        )
        for stride_8 in (False, True)
    }
    first: tuple[Literal[3, 6], ...] = (3, 6)
    for low, high, stride_8, first_anchors in product(
        _MIN_SCALES, _MAX_SCALES, (False, True), first
    ):
        count = levels[stride_8]
        geometric = tuple(
            round(low * math.pow(high / low, index / max(1, count - 1)), 3)
            for index in range(count)
        )
        candidates += [
            AnchorSettings(
                min_scale=low, max_scale=high, stride_8=stride_8, first_anchors=first_anchors
            ),
            AnchorSettings(scales=geometric, stride_8=stride_8, first_anchors=first_anchors),
        ]
    return candidates
