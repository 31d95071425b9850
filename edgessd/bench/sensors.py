"""Read temperature, clock and memory during a benchmark, which show a throttled board."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgessd.core.errors import BackendError


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Sensor values at one moment.

    Attributes:
        seconds: `time.perf_counter()` of the moment.
        celsius: Hottest sensor in °C; None if the system has none.
        mhz: Mean clock of the cores in MHz; None if the system doesn't report it.
    """

    seconds: float
    celsius: float | None
    mhz: float | None


def read_sensors() -> Reading:
    """Read the sensors once."""
    import psutil

    # Virtual machines and some boards have no sensors; psutil lacks the function on some systems.
    temperatures: dict[str, list[Any]] = getattr(psutil, "sensors_temperatures", dict)()
    readings = [entry.current for entries in temperatures.values() for entry in entries]
    clock = psutil.cpu_freq()
    return Reading(
        seconds=time.perf_counter(),
        celsius=max(readings) if readings else None,
        mhz=clock.current if clock is not None and clock.current else None,
    )


def resident_mb() -> float:
    """Return the resident memory of this process in MB (10^6 bytes)."""
    import psutil

    return float(psutil.Process().memory_info().rss / 1e6)


def peak_resident_mb(status: Path = Path("/proc/self/status")) -> float:
    """Return the peak resident memory of this process in MB.

    The kernel's VmHWM counts this program alone; getrusage would start with the memory of the process that
    launched it.
    """
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BackendError(f"{status} has no VmHWM", fix="Measure on Linux")
