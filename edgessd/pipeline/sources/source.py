"""What every source of frames promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from edgessd.pipeline.frames import Frame


class Source(Protocol):
    """Gives frames in order. Opening happens in the constructor, which raises SourceError.

    Attributes:
        name: For people and for `Frame.source`.
        live: True where frames come at their own pace, so that a slow reader must lose some.
        fps: Frames a second as the device or file states it, None where it states none.
        length: Number of frames where it is known.
        skipped: (name, reason) of each picture that could not be decoded so far.
    """

    name: str
    live: bool
    fps: float | None
    length: int | None
    skipped: list[tuple[str, str]]

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Free the device or file. Calling it twice is fine."""
        ...


@runtime_checkable
class Reconnecting(Protocol):
    """A live source that comes back by itself.

    Attributes:
        reconnects: Times that the connection was made anew.
        connected: False while it is being tried.
    """

    reconnects: int
    connected: bool


@runtime_checkable
class Interruptible(Protocol):
    """A source whose wait for a frame can be ended from another thread."""

    def interrupt(self) -> None:
        """End the iteration soon. Calling it twice is fine."""
        ...
