"""Time of capture of a frame, from the time that the driver or the stream states."""

from __future__ import annotations

import time
from typing import NamedTuple

# Maximum drift between the clocks of cameras and computers, in seconds per second.
_DRIFT = 1e-4
# A larger step in a stream's time isn't a delay: the stream restarted.
_JUMP_SECONDS = 20.0


class Moment(NamedTuple):
    """One instant on two clocks.

    Attributes:
        timestamp: Unix seconds.
        captured_at: `time.perf_counter()` seconds.
    """

    timestamp: float
    captured_at: float


def moment(age: float = 0.0) -> Moment:
    """Return the instant `age` seconds ago."""
    return Moment(time.time() - age, time.perf_counter() - age)


def age_by_clock(stamp: float, clock: int = time.CLOCK_MONOTONIC, *, most: float = 10.0) -> float:
    """Return the seconds since a driver's timestamp, or 0 if it was read on another clock.

    Args:
        stamp: Timestamp in seconds; 0 if the driver gives none.
        clock: System clock that the driver reads.
        most: Maximum plausible age in seconds; an older timestamp is of another clock.
    """
    age = time.clock_gettime(clock) - stamp
    return age if stamp > 0 and 0 <= age <= most else 0.0


class StreamClock:
    """Age of a network stream's frames, from the times that the stream states.

    A stream counts time from a zero of its own. The frame with the shortest delay sets the offset between the
    stream's clock and ours; the age of every other frame is its additional delay. So frames that pile up in
    the network, the socket or the decoder are noticed. The constant part of the delay (exposure, encoding,
    shortest transport) can't be measured.
    """

    def __init__(self) -> None:
        self._least: float | None = None
        self._seen_at = 0.0

    def age(self, position: float, now: float, *, arrived: float | None = None) -> float:
        """Return the seconds since the capture of a frame.

        Args:
            position: Time of the frame in the stream, in seconds.
            now: `time.perf_counter()` when the frame was returned.
            arrived: Time of its first bytes, if the decoder held the frame back afterwards; None for `now`.
        """
        offset = (now if arrived is None else arrived) - position
        if self._least is not None:
            # The two clocks drift apart. Without this, one early frame would set the offset forever.
            self._least += _DRIFT * (now - self._seen_at)
        self._seen_at = now
        if self._least is None or offset < self._least or offset > self._least + _JUMP_SECONDS:
            self._least = offset
        return now - position - self._least
