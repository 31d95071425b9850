"""A live source that comes back by itself: after a cable moved, a camera hung or a server restarted."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edgessd.core.errors import EdgessdError, SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.frozen import FrozenPicture
from edgessd.pipeline.sources.reader import Reader
from edgessd.pipeline.sources.source import Source

_log = logging.getLogger(__name__)

# Threads that hang in a driver cost little, but a camera that hangs each time must not gather them.
_MOST_HUNG = 4
# Of what was skipped on earlier connections this much is kept.
_MOST_SKIPPED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Seconds between tries: doubled each time, with jitter, so that many cameras don't knock at once.

    Attributes:
        first: Before the first try.
        most: Never longer than this.
        jitter: Part of the time by which it is made longer or shorter at random.
        settled: A connection that held so long begins with `first` again when it breaks.
    """

    first: float = 0.5
    most: float = 30.0
    jitter: float = 0.2
    settled: float = 10.0

    def seconds(self, tries: int) -> float:
        """The wait before try number `tries`, counted from 0."""
        whole = min(self.first * 2.0 ** min(tries, 30), self.most)
        return min(whole * random.uniform(1 - self.jitter, 1 + self.jitter), self.most)


class ReconnectingSource:
    """Gives the frames of a live source, and opens it anew whenever they stop.

    They stop when the source fails or ends, when no frame comes for `stall_seconds` (also if the driver
    hangs in a read: its thread is left behind), and when the picture stands still in every pixel for
    `freeze_seconds`. It is said once that it broke off, with the reason, and once that it is back.

    Args:
        open_source: Makes the source anew.
        name: For people and `Frame.source`.
        stall_seconds: Longest wait for a frame.
        freeze_seconds: Longest time that a picture may stand still; 0 for as long as it likes.
        open_seconds: Longest wait for a source to open, after which its first frame is waited for.
        wait: Whether a source that isn't there at the start, or gives no first frame, is tried again,
            too.
        backoff: Waits between tries.

    Attributes:
        reconnects: Times that frames came again.
        connected: False while none come.

    Raises:
        SourceError: The source can't be opened at the start, and `wait` is false. Iterating raises it if
            there never was a frame.
    """

    live = True
    length: int | None = None

    def __init__(
        self,
        open_source: Callable[[], Source],
        *,
        name: str,
        stall_seconds: float = 10.0,
        freeze_seconds: float = 60.0,
        open_seconds: float = 30.0,
        wait: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.fps: float | None = None
        self.skipped: list[tuple[str, str]] = []
        self.decoder: str | None = None
        self.reconnects = 0
        self.connected = False
        self._open = open_source
        self._stall = stall_seconds
        self._open_seconds = open_seconds
        self._frozen = FrozenPicture(freeze_seconds)
        self._backoff = backoff or Backoff()
        self._ending = threading.Event()
        self._reader: Reader | None = None
        self._hung: list[Reader] = []
        self._skipped_before: list[tuple[str, str]] = []
        self._opened: Source | None = None
        try:
            self._opened = open_source()
        except SourceError as error:
            if not wait:
                raise
            self._say_lost(str(error))
        else:
            self._describe(self._opened)
            self.connected = True
        # Until its first frame a source that fails was given wrongly, rather than lost.
        self._patient = wait
        self._ever_there = self.connected

    def __iter__(self) -> Iterator[Frame]:
        index, tries = 0, 0
        while not self._ending.is_set():
            opened, self._opened = self._opened, None
            if opened is None and not self._pause(tries):
                return
            reader = self._reader = Reader(self._open, name=f"{self.name} read", opened=opened)
            started, first = time.monotonic(), index
            for frame in self._frames_of(reader):
                index = first + frame.index
                yield replace(frame, index=index, source=self.name)
                index += 1
            held = index > first and time.monotonic() - started >= self._backoff.settled
            tries = 0 if held else tries + 1

    def _frames_of(self, reader: Reader) -> Iterator[Frame]:
        """Frames of one connection; when it is over, that is said and the reader let go."""
        reason, came = "", False
        while not self._ending.is_set():
            frame = reader.take(self._patience(reader))
            if frame is None:
                reason = self._why(reader, came=came)
                break
            if not came:
                came = self._patient = True
                self._say_there(reader)
            yield frame
            still = self._frozen.sees(frame)
            if still is not None:
                reason = f"The picture has stood still for {still:.0f} s"
                break
        self._let_go(reader)
        if not self._ending.is_set():
            self._say_lost(reason)

    def interrupt(self) -> None:
        """End the iteration soon, wherever it waits. Any thread may call it."""
        self._ending.set()
        reader = self._reader
        if reader is not None:
            reader.abandon()

    def close(self) -> None:
        self.interrupt()
        reader = self._reader
        if reader is not None:
            # A camera that hangs in the driver must not keep the program from ending.
            reader.join(2)
        elif self._opened is not None:
            self._opened.close()
        self.connected = False

    def _pause(self, tries: int) -> bool:
        """Wait before the next try; False if the source is being closed."""
        while not self._ending.wait(self._backoff.seconds(tries)):
            self._hung = [reader for reader in self._hung if reader.alive]
            if len(self._hung) < _MOST_HUNG:
                return True
            tries += 1
        return False

    def _patience(self, reader: Reader) -> float:
        return self._stall if reader.source is not None else self._open_seconds + self._stall

    def _why(self, reader: Reader, *, came: bool) -> str:
        """Why no frame came."""
        error = reader.error
        if error is not None and not (self._patient and isinstance(error, EdgessdError)):
            raise error
        if error is not None:
            return str(error)
        seconds = self._patience(reader)
        reason = (
            "The stream ended"
            if reader.ended
            else f"No {'further ' if came else ''}frame came in {seconds:.0f} s"
        )
        if self._patient or self._ending.is_set():
            return reason
        raise SourceError(
            f"{self.name} opens but gives no frame",
            found=f"{reason[0].lower()}{reason[1:]}",
            fix="Try another program on it; --wait goes on trying.",
        )

    def _describe(self, source: Source) -> None:
        self.fps = source.fps
        self.decoder = getattr(source, "decoder", None)
        # The very list of the connection, so that what is skipped from now on is seen.
        source.skipped[:0] = self._skipped_before
        self.skipped = source.skipped

    def _let_go(self, reader: Reader) -> None:
        reader.abandon()
        # One that doesn't hang frees the device before it is opened anew.
        reader.join(1)
        if reader.alive:
            self._hung.append(reader)
        self._skipped_before = self.skipped[-_MOST_SKIPPED:]

    def _say_there(self, reader: Reader) -> None:
        """The first frame of a connection came."""
        if self.connected:
            return
        if reader.source is not None:
            self._describe(reader.source)
        again, self._ever_there, self.connected = self._ever_there, True, True
        self.reconnects += again
        _log.info(
            "%s is %s",
            self.name,
            "back" if again else "there",
            extra={
                "edgessd": {
                    "event": "reconnected" if again else "connected",
                    "source": self.name,
                    "reconnects": self.reconnects,
                }
            },
        )

    def _say_lost(self, reason: str) -> None:
        """Once an outage."""
        if not self.connected and self._reader is not None:
            _log.debug("%s: %s", self.name, reason)
            return
        self.connected = False
        _log.warning(
            "%s gives no frames and is tried again and again. %s",
            self.name,
            reason,
            extra={"edgessd": {"event": "disconnected", "source": self.name, "reason": reason}},
        )
