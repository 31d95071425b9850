"""Render a picture of printed codes with its ground truth, from one seed.

A box is the axis-parallel hull of a code's visible modules, clipped to the picture. It excludes the quiet
zone and the digits under a 1-D code. A code has no box if less than 40% of it is visible, because it is
hidden or beyond the picture's border, or if its visible hull is narrower than 4 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.data.synth.backgrounds import photo_background, random_background
from edgessd.data.synth.canvas import Canvas
from edgessd.data.synth.degrade import degrade
from edgessd.data.synth.textures import Image

# Fraction of scenes with little damage, as most people hold a code straight, sharp and well lit.
_EASY_SHARE = 0.3
_EASY_STRENGTH = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A picture and its ground truth.

    Attributes:
        image: (height, width, 3) uint8 BGR.
        boxes: (n, 4) float32 xyxy in continuous pixels, as the module's docstring defines them.
        class_ids: (n,) int64, indices into LABELS.
    """

    image: Image
    boxes: FloatArray
    class_ids: NDArray[np.int64]


def render_scene(
    seed: int,
    *,
    size: tuple[int, int] = (640, 480),
    strength: float = 1.0,
    backgrounds: Sequence[Path] = (),
) -> Scene:
    """Render the scene of a seed; equal seeds and arguments give equal bytes.

    Args:
        seed: Any non-negative integer.
        size: Width and height in pixels.
        strength: Strength of perspective, bending, unusual inks and the damage in `degrade`. 1 is the
            whole variety of real photos; 0 is flat black-on-white codes in a clean picture.
        backgrounds: Photos without codes, the backgrounds of half of the scenes.
    """
    rng = np.random.default_rng(seed)
    if backgrounds and rng.random() < 0.5:
        image = photo_background(rng, size, backgrounds[int(rng.integers(len(backgrounds)))])
    else:
        image = random_background(rng, size)
    if rng.random() < _EASY_SHARE:
        strength *= _EASY_STRENGTH
    canvas = Canvas(image, rng, strength)
    for is_code in _contents(rng):
        canvas.add_object(with_code=is_code)
    if rng.random() < 0.18 * strength:
        canvas.add_occluder()
    boxes, class_ids = canvas.ground_truth()
    return Scene(
        image=degrade(rng, canvas.image, strength),
        boxes=boxes,
        class_ids=class_ids,
    )


def _contents(rng: np.random.Generator) -> list[bool]:
    """Draw the objects in the order they are laid down: True for codes, False for a distractor."""
    codes = int(rng.choice([0, 1, 2, 3, 4, 5], p=[0.1, 0.46, 0.22, 0.12, 0.06, 0.04]))
    distractors = int(rng.choice([0, 1, 2, 3, 4], p=[0.36, 0.28, 0.2, 0.1, 0.06]))
    if codes == 0:
        distractors += int(rng.integers(0, 4))
    # A distractor that is laid down last may hide codes, which should not happen too often.
    order = rng.permutation([True] * codes + [False] * distractors).tolist()
    return sorted(order) if rng.random() < 0.6 else order
