"""Temperature, clock and memory while a benchmark runs: a throttled board explains a slow figure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgessd.core.errors import BackendError


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


def peak_resident_mb(status: Path = Path("/proc/self/status")) -> float:
    """Most memory that this process has occupied so far, in MB.

    The kernel's VmHWM, in KiB, is this program's own; getrusage would start from what the process that
    launched it held.
    """
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BackendError(f"{status} states no VmHWM", fix="Measure on Linux")
