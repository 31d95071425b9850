"""Temperature, clock and memory while a benchmark runs: a throttled board explains a slow figure."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One look at the sensors.

    Attributes:
        seconds: `time.perf_counter()`.
        celsius: Hottest processor sensor, None where the system shows none.
        mhz: Mean clock over the cores, None where the system shows none.
    """

    seconds: float
    celsius: float | None
    mhz: float | None


def read_sensors() -> Reading:
    """Look once."""
    import psutil

    # Virtual machines and some boards have neither; psutil leaves the functions out on other systems.
    temperatures: dict[str, list[Any]] = getattr(psutil, "sensors_temperatures", dict)()
    readings = [entry.current for entries in temperatures.values() for entry in entries]
    clock = psutil.cpu_freq()
    return Reading(
        seconds=time.perf_counter(),
        celsius=max(readings) if readings else None,
        mhz=clock.current if clock is not None and clock.current else None,
    )


def resident_mb() -> float:
    """Memory that this process occupies now, in MB (10^6 bytes)."""
    import psutil

    return float(psutil.Process().memory_info().rss / 1e6)


def peak_resident_mb() -> float:
    """Most memory that this process has occupied so far, in MB; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
