"""Protocols of the sources of frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from edgessd.pipeline.frames import Frame


class Source(Protocol):
    """Gives frames in order. The constructor opens the source and raises SourceError.

    Attributes:
        name: Name for messages and `Frame.source`.
        live: True if frames come at the source's own pace; then a slow reader loses frames.
        fps: Frames per second stated by the device or file; None if it states none.
        length: Number of frames; None if it isn't known.
        skipped: (name, reason) of each picture that could not be decoded.
    """

    name: str
    live: bool
    fps: float | None
    length: int | None
    skipped: list[tuple[str, str]]

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Close the device or file. May be called twice."""
        ...


@runtime_checkable
class Reconnecting(Protocol):
    """A live source that is opened again after an outage.

    Attributes:
        reconnects: Number of times that frames came again.
        connected: False during an outage.
    """

    reconnects: int
    connected: bool


@runtime_checkable
class Interruptible(Protocol):
    """A source whose wait for a frame another thread can end."""

    def interrupt(self) -> None:
        """End the iteration soon. May be called twice."""
        ...
