"""Detection of a frozen picture."""

from __future__ import annotations

import numpy as np

from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.frozen import FrozenPicture


def picture(value: int, seconds: float, *, dot: int | None = None) -> Frame:
    image = np.full((48, 64, 3), value, np.uint8)
    if dot is not None:
        image[13, dot] = 255
    return Frame(image=image, source="", index=0, timestamp=0, captured_at=seconds)


def test_one_changing_pixel_is_enough() -> None:
    watch = FrozenPicture(1.0)
    assert all(watch.update(picture(9, n * 0.4, dot=n + 1)) is None for n in range(20))


def test_a_frozen_picture_is_noticed_at_growing_intervals() -> None:
    watch = FrozenPicture(1.0)
    durations = [watch.update(picture(9, n * 0.5)) for n in range(10)]
    # After 1 s, then, as nothing changed, after 2 s more; the next time would be 4 s later.
    assert [n * 0.5 for n, still in enumerate(durations) if still] == [1.0, 3.0]
    assert watch.update(picture(10, 5.0)) is None
    assert watch.update(picture(10, 6.0)) == 1.0


def test_zero_allows_any_time_without_a_change() -> None:
    watch = FrozenPicture(0.0)
    assert all(watch.update(picture(9, float(n))) is None for n in range(1000))
