"""When a frame was captured, as well as the driver or the stream tells."""

from __future__ import annotations

import time
from typing import NamedTuple

# Quartz clocks of cameras and computers agree to this part of a second a second.
_DRIFT = 1e-4
# A larger step of a stream's own time isn't a delay: the stream began anew.
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
    """The instant that lies `age` seconds back."""
    return Moment(time.time() - age, time.perf_counter() - age)


def age_by_clock(stamp: float, clock: int = time.CLOCK_MONOTONIC, *, most: float = 10.0) -> float:
    """Seconds since a driver's stamp on one of the system's clocks; 0 if it isn't of that clock.

    Args:
        stamp: Seconds, as the driver gives them; 0 where it gives none.
        clock: The clock that the driver says it reads.
        most: A frame older than this isn't one: the stamp is of another clock.
    """
    age = time.clock_gettime(clock) - stamp
    return age if stamp > 0 and 0 <= age <= most else 0.0


class StreamClock:
    """How old a frame of a network stream is, from the times that the stream itself states.

    A stream counts its frames' times from a zero of its own. The frame that came through quickest ties
    the two clocks together, and every other is as much older as it came later: frames that pile up in
    the network, the socket or the decoder are seen, while the constant part of the delay (exposure,
    encoding, the quickest transport) is not.
    """

    def __init__(self) -> None:
        self._least: float | None = None
        self._seen_at = 0.0

    def age(self, position: float, now: float, *, arrived: float | None = None) -> float:
        """Seconds since the capture of a frame.

        Args:
            position: The frame's time as the stream states it, in seconds.
            now: `time.perf_counter()` when it was handed out.
            arrived: When its first bytes came, if it was held back after that; None for `now`.
        """
        offset = (now if arrived is None else arrived) - position
        if self._least is not None:
            # The two clocks drift apart; without this the oldest frame would rule for ever.
            self._least += _DRIFT * (now - self._seen_at)
        self._seen_at = now
        if self._least is None or offset < self._least or offset > self._least + _JUMP_SECONDS:
            self._least = offset
        return now - position - self._least
