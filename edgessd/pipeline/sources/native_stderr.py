"""Capture the stderr of native libraries, which may hold the only reason of a failure."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Capture file descriptor 2 during the block; the list has its lines afterwards.

    OpenCV writes the reason why a pipeline doesn't start to stderr only, among lines without meaning. Only
    blocks of the main thread are captured. Otherwise the lines of all threads would vanish while one of them
    opens a camera again, and two blocks at once would restore each other's descriptor.
    """
    lines: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lines
        return
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # no stderr, as under some service managers
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
    """Let OpenCV write only errors to stderr, unless OPENCV_LOG_LEVEL is set."""
    import cv2

    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
