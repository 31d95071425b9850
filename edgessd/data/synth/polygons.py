"""Area and clipping of polygons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.data.synth.warp import Points


def polygon_area(points: Points) -> float:
    """Area of a polygon (n, 2) of either orientation."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def clip_polygon(points: Points, width: float, height: float) -> Points:
    """Clip a polygon (n, 2) to a picture (Sutherland and Hodgman 1974); (0, 2) if it is outside."""
    if (points >= 0).all() and (points <= (width, height)).all():
        return points
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        if len(points) == 0:
            break
        distance = sign * (points[:, axis] - limit)
        kept: list[NDArray[np.float64]] = []
        for index in range(len(points)):
            before, now = distance[index - 1], distance[index]
            if (before >= 0) != (now >= 0):
                share = before / (before - now)
                kept.append(points[index - 1] + share * (points[index] - points[index - 1]))
            if now >= 0:
                kept.append(points[index])
        points = np.array(kept).reshape(-1, 2)
    return points
