"""Protocols of the sinks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result


class Sink(Protocol):
    """Output of a pipeline. The constructor opens it and raises SinkError.

    A SinkError of `write` or `close` ends only this sink: it is logged once, and the pipeline continues.

    Attributes:
        name: Name for messages, such as `recording out.mp4`.
        lossless: True: the pipeline of a file waits for this sink. If False, and always with a live source,
            the oldest waiting result is dropped and counted.
        own_thread: True to write on a thread of its own; False to write on the thread that iterates over the
            pipeline, as a window requires.
    """

    name: str
    lossless: bool
    own_thread: bool

    def write(self, result: Result) -> None:
        """Write one result."""
        ...

    def close(self) -> None:
        """Complete the output. May be called twice."""
        ...


@runtime_checkable
class LeavesFiles(Protocol):
    """A sink that writes files.

    Attributes:
        files: Paths of the complete files.
    """

    files: Sequence[Path]
