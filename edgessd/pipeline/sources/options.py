"""How sources are to be opened: what the user may wish for, whatever the source is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgessd.core.errors import SourceError

Transport = Literal["tcp", "udp"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenOptions:
    """Wishes for sources; each takes those that mean something to it.

    Attributes:
        width, height: Of a camera's picture, in pixels; the nearest mode it has is taken.
        fps: Of a camera.
        pixel_format: Of a Video4Linux camera, as `MJPG` or `YUYV`; None chooses.
        pace: Play a file at its own speed, as a camera would.
        loop: Begin a file or images anew at their end.
        transport: Of RTSP.
        reconnect: Open a live source anew when it breaks off.
        wait: Don't refuse a live source that isn't there at the start: wait for it as for one that
            broke off.
        stall_seconds: A live source that gives no frame for so long is opened anew.
        frozen_seconds: So is one whose picture stays the same in every pixel for so long; 0 for never.
        open_seconds: Longest wait for the first answer of a network camera.

    Raises:
        SourceError: A value out of its range.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pixel_format: str | None = None
    pace: bool = False
    loop: bool = False
    transport: Transport = "tcp"
    reconnect: bool = True
    wait: bool = False
    stall_seconds: float = 10.0
    frozen_seconds: float = 60.0
    open_seconds: float = 15.0

    def __post_init__(self) -> None:
        positive = {
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            "stall_seconds": self.stall_seconds,
            "open_seconds": self.open_seconds,
        }
        for name, value in positive.items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SourceError(
                    f"A source can't have {name} {value}",
                    expected="a number above 0",
                    found=str(value),
                )
        if not (math.isfinite(self.frozen_seconds) and self.frozen_seconds >= 0):
            raise SourceError(
                f"A source can't have frozen_seconds {self.frozen_seconds}",
                expected="seconds, or 0 for never",
                found=str(self.frozen_seconds),
            )
        if self.transport not in ("tcp", "udp"):
            raise SourceError(
                f"RTSP has no transport {self.transport}",
                expected="tcp or udp",
                found=self.transport,
            )
        if self.wait and not self.reconnect:
            raise SourceError(
                "Waiting for a source means to open it again and again",
                expected="reconnect together with wait",
                fix="Leave one of --wait and --no-reconnect out.",
            )
