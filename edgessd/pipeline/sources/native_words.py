"""What a native library writes to stderr while it opens something, kept for the refusal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile


@contextmanager
def held_stderr() -> Iterator[list[str]]:
    """Hold file descriptor 2 for the block; its lines are in the list afterwards, and nowhere else.

    OpenCV says why a pipeline doesn't start in lines on stderr alone, between others that mean nothing.
    """
    lines: list[str] = []
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
