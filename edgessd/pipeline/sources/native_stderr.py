"""What a native library writes to stderr while it opens something, kept for the refusal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Hold file descriptor 2 for the block; its lines are in the list afterwards, and nowhere else.

    OpenCV says why a pipeline doesn't start in lines on stderr alone, between others that mean nothing.
    Only the main thread's blocks are held: while others open a camera anew, every thread's own lines
    would vanish, and two that hold at once would put each other's descriptor back.
    """
    lines: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lines
        return
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # no stderr at all, as under some service managers
        yield lines
        return
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            lines += held.read().decode(errors="replace").splitlines()


def quiet_opencv() -> None:
    """Have OpenCV write nothing but errors to stderr, unless OPENCV_LOG_LEVEL says what it shall."""
    import cv2

    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
