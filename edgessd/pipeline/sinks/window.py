"""Window on the desktop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgessd.core.errors import SinkError
from edgessd.pipeline.annotate import annotate, draw_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgessd.pipeline.result import Result


class WindowSink:
    """Shows each annotated frame; the key `q` or Esc ends the run.

    Args:
        on_quit: Called when the user presses one of these keys.

    Raises:
        SinkError: There is no display, or OpenCV was built without windows.
    """

    name = "window"
    lossless = True
    own_thread = False

    def __init__(self, on_quit: Callable[[], None]) -> None:
        import cv2

        if "GUI:                           NONE" in cv2.getBuildInformation():
            raise SinkError(
                "This OpenCV was built without windows",
                found="the headless wheel",
                fix="Use --record out.mp4, or `pip uninstall opencv-python-headless` and "
                "`pip install opencv-python`.",
            )
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise SinkError(
                "There is no display to open a window on",
                found="neither DISPLAY nor WAYLAND_DISPLAY in the environment",
                fix="Start it from a desktop, or use --record out.mp4.",
            )
        self._on_quit = on_quit

    def write(self, result: Result) -> None:
        import cv2

        canvas = annotate(result.frame.image, result.detections, result.regions)
        draw_status(canvas, f"{result.seconds.total * 1e3:.1f} ms")
        cv2.imshow("edgessd", canvas)
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            self._on_quit()

    def close(self) -> None:
        import cv2

        cv2.destroyAllWindows()
