"""Run one job in the environment of its quantizer; print time and memory as one JSON object.

    PYTHON worker.py JOB.json

The time is from the images, as tensors, to the written file. Imports and the quantizer's one-time work
(`prepare`) are not included.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from job import Job


def main() -> None:
    job = Job.from_json(Path(sys.argv[1]).read_text())
    peer = import_module(job.peer)
    for library in peer.LIBRARIES:
        import_module(library)
    if hasattr(peer, "prepare"):
        peer.prepare(job)
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    peer.quantize(job)
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    taken = {
        "version": f"{peer.DISTRIBUTION} {version(peer.DISTRIBUTION)}",
        "seconds": round(seconds, 2),
        "cpu_seconds": round(processor, 2),
        "peak_mb": round(after.ru_maxrss / 1024),
    }
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
