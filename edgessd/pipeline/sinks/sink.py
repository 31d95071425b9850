"""What every sink promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result


class Sink(Protocol):
    """Takes results one after the other. Opening happens in the constructor, which raises SinkError.

    A SinkError of `write` or `close` ends this sink alone: it is said once, and the pipeline goes on.

    Attributes:
        name: For people, as in `recording out.mp4`.
        lossless: Whether a file's frames wait for it. Otherwise, and always behind a live source, what
            waits longest is lost and counted.
        own_thread: Whether it is written on a thread of its own; False for what belongs to the thread
            that iterates, as windows do.
    """

    name: str
    lossless: bool
    own_thread: bool

    def write(self, result: Result) -> None:
        """Take one result."""
        ...

    def close(self) -> None:
        """Finish the output. Calling it twice is fine."""
        ...


@runtime_checkable
class LeavesFiles(Protocol):
    """A sink with something to look at afterwards.

    Attributes:
        files: What is there so far.
    """

    files: Sequence[Path]
