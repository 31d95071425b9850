"""Keep a C++ library's start-up chatter out of people's terminals without losing its warnings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile


@contextmanager
def without_info_lines() -> Iterator[None]:
    """Hold back file descriptor 2 for the block, then pass on every line that isn't "INFO: …".

    LiteRT announces its delegate with printf whenever an interpreter is made, in the middle of
    progress bars; it has no setting for that.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # no stderr at all, as under some service managers: nothing to hold back
        yield
        return
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            for line in held:
                if not line.startswith(b"INFO:"):
                    os.write(2, line)
