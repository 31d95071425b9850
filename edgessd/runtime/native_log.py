"""Keep the INFO lines of a C++ library out of the terminal, and pass its warnings on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile


@contextmanager
def without_info_lines() -> Iterator[None]:
    """Redirect file descriptor 2 during the block, then write every line that isn't "INFO: …".

    LiteRT prints its delegate whenever an interpreter is made, in the middle of progress bars, and has no
    setting for that.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # there is no stderr under some service managers
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
