"""A live source that is opened again when its frames stop: moved cable, hung camera, restarted server."""

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

# Maximum number of threads left hanging in a driver.
_MOST_HUNG = 4
# Maximum number of skipped pictures kept from earlier connections.
_MOST_SKIPPED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Waits between attempts: doubled each time, with jitter, so that many cameras don't connect at once.

    Attributes:
        first: Wait before the first attempt, in seconds.
        most: Maximum wait in seconds.
        jitter: Maximum random change of a wait, as a fraction of it.
        settled: After a connection of at least this many seconds the waits begin with `first` again.
    """

    first: float = 0.5
    most: float = 30.0
    jitter: float = 0.2
    settled: float = 10.0

    def seconds(self, tries: int) -> float:
        """Return the wait in seconds before attempt number `tries`, counted from 0."""
        whole = min(self.first * 2.0 ** min(tries, 30), self.most)
        return min(whole * random.uniform(1 - self.jitter, 1 + self.jitter), self.most)


class ReconnectingSource:
    """Gives the frames of a live source, and opens it again when they stop.

    Frames stop if the source fails or ends, if none comes for `stall_seconds` (a thread that hangs in the
    driver is left behind), or if no pixel changes for `freeze_seconds`. Each outage is logged once with its
    reason, and once when it is over.

    Args:
        open_source: Opens the source.
        name: Name for messages and `Frame.source`.
        stall_seconds: Maximum wait for a frame.
        freeze_seconds: Maximum time without a change in the picture; 0 for no limit.
        open_seconds: Maximum wait for the source to open.
        wait: True to try again also if the source can't be opened at the start or gives no first frame.
        backoff: Waits between attempts.

    Attributes:
        reconnects: Number of times that frames came again after an outage.
        connected: False during an outage.

    Raises:
        SourceError: The source can't be opened at the start and `wait` is False. The iteration raises it if
            no frame ever came.
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
            self._report_disconnected(str(error))
        else:
            self._describe(self._opened)
            self.connected = True
        # Until the first frame, a failure is rather a wrong address than an outage.
        self._keep_trying = wait
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
        """Give the frames of one connection; at its end log the reason and abandon the reader."""
        reason, came = "", False
        while not self._ending.is_set():
            frame = reader.take(self._timeout(reader))
            if frame is None:
                reason = self._why(reader, came=came)
                break
            if not came:
                came = self._keep_trying = True
                self._report_connected(reader)
            yield frame
            still = self._frozen.update(frame)
            if still is not None:
                reason = f"The picture hasn't changed for {still:.0f} s"
                break
        self._abandon(reader)
        if not self._ending.is_set():
            self._report_disconnected(reason)

    def interrupt(self) -> None:
        """End the iteration soon, also while it waits. Any thread may call it."""
        self._ending.set()
        reader = self._reader
        if reader is not None:
            reader.abandon()

    def close(self) -> None:
        self.interrupt()
        reader = self._reader
        if reader is not None:
            # If a camera hangs in its driver, the program must still end.
            reader.join(2)
        elif self._opened is not None:
            self._opened.close()
        self.connected = False

    def _pause(self, tries: int) -> bool:
        """Wait before the next attempt; return False if the source is being closed."""
        while not self._ending.wait(self._backoff.seconds(tries)):
            self._hung = [reader for reader in self._hung if reader.alive]
            if len(self._hung) < _MOST_HUNG:
                return True
            tries += 1
        return False

    def _timeout(self, reader: Reader) -> float:
        return self._stall if reader.source is not None else self._open_seconds + self._stall

    def _why(self, reader: Reader, *, came: bool) -> str:
        """Return the reason why no frame came, or raise the error that isn't an outage."""
        error = reader.error
        if error is not None and not (self._keep_trying and isinstance(error, EdgessdError)):
            raise error
        if error is not None:
            return str(error)
        seconds = self._timeout(reader)
        reason = (
            "The stream ended"
            if reader.ended
            else f"No {'further ' if came else ''}frame came in {seconds:.0f} s"
        )
        if self._keep_trying or self._ending.is_set():
            return reason
        raise SourceError(
            f"{self.name} opens but gives no frame",
            found=f"{reason[0].lower()}{reason[1:]}",
            fix="Try it with another program; with --wait, edgessd tries again and again.",
        )

    def _describe(self, source: Source) -> None:
        self.fps = source.fps
        self.decoder = getattr(source, "decoder", None)
        # The same list object as the connection's, so that later entries appear here too.
        source.skipped[:0] = self._skipped_before
        self.skipped = source.skipped

    def _abandon(self, reader: Reader) -> None:
        reader.abandon()
        # A reader that doesn't hang must close the device before it is opened again.
        reader.join(1)
        if reader.alive:
            self._hung.append(reader)
        self._skipped_before = self.skipped[-_MOST_SKIPPED:]

    def _report_connected(self, reader: Reader) -> None:
        """Log that frames come again, at the first frame of a connection."""
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

    def _report_disconnected(self, reason: str) -> None:
        """Log an outage once."""
        if not self.connected and self._reader is not None:
            _log.debug("%s: %s", self.name, reason)
            return
        self.connected = False
        _log.warning(
            "%s gives no frames and will be opened again. %s",
            self.name,
            reason,
            extra={"edgessd": {"event": "disconnected", "source": self.name, "reason": reason}},
        )
