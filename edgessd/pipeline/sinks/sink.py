"""What every sink promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgessd.pipeline.run import Result


class Sink(Protocol):
    """Takes results one after the other. Opening happens in the constructor, which raises SinkError."""

    def write(self, result: Result) -> None:
        """Take one result."""
        ...

    def close(self) -> None:
        """Finish the output. Calling it twice is fine."""
        ...
