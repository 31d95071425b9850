"""Measure the delay of an RTSP camera that is faster than inference, minute by minute.

    python benchmarks/rtsp_delay.py [--minutes 5] [--model BUNDLE] [--fps N] [--threads 1] \\
        [--json benchmarks/results/rtsp_delay.json]

An RTSP server on this machine draws the time into its picture. The delay from capture to result is read from
the pipeline's figures and, independently, from the time in the picture. The latter includes the server's
encoding and the network. Both are printed for each minute, in milliseconds and in frame times (the time
between two results).
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import time_code

from edgessd.bench.machine import this_machine
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.sources.catalog import open_source
from edgessd.runtime.detector import Detector
from edgessd.runtime.starter import starter_bundle

SERVER = Path(__file__).with_name("time_code_server.py")
# Warm-up of OpenCV, the decoder and the engine.
WARM_UP_SECONDS = 5.0


def main() -> None:
    options = _options()
    model = options.model or starter_bundle()
    with Detector(model, threads=options.threads) as detector:
        fps = options.fps or round(1.5 / _seconds_a_frame(detector))
        port = _free_port()
        server = subprocess.Popen(
            [options.python, SERVER, *map(str, (port, options.width, options.height, fps))],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            if server.stdout.readline() != "ready\n":
                sys.exit("the RTSP server doesn't start; it says above what it lacks")
            minutes = _measure(detector, f"rtsp://127.0.0.1:{port}/camera", options)
        finally:
            server.kill()
            server.wait()
    last, first = minutes[-1], minutes[0]
    summary = {
        "camera_fps": fps,
        "size": f"{options.width}x{options.height}",
        "minutes": minutes,
        "most_frame_times": max(minute["clock_p95_frames"] for minute in minutes),
        "below_3_frame_times": all(minute["clock_p95_frames"] < 3 for minute in minutes),
        # In frame times, because other load slows the engine and lengthens both alike.
        "grows": last["clock_p95_frames"] > 1.1 * first["clock_p95_frames"] + 0.2,
    }
    print(json.dumps(summary, indent=2))
    if options.json:
        record = {
            "machine": asdict(this_machine()),
            "model": model.name,
            "threads": options.threads,
        }
        options.json.write_text(json.dumps(record | summary, indent=2) + "\n")


def _measure(
    detector: Detector, url: str, options: argparse.Namespace
) -> list[dict[str, float | int]]:
    minutes: list[dict[str, float | int]] = []
    reported: list[float] = []
    seen: list[float] = []
    spoilt = 0
    with Pipeline(open_source(url), detector) as pipeline:
        begin = time.perf_counter() + WARM_UP_SECONDS
        length = 60 * min(options.minutes, 1.0)
        for result in pipeline:
            now = time.perf_counter()
            if now < begin:
                dropped = pipeline.dropped
                continue
            reported.append(result.delay)
            at = time_code.read(result.frame.image)
            if at is None:
                spoilt += 1
            else:
                seen.append(time_code.age(at))
            if now - begin < length:
                continue
            frame = (now - begin) / len(reported)
            minute = _minute(reported, seen, frame)
            minute |= {
                "results": len(reported),
                "dropped": pipeline.dropped - dropped,
                "unread": spoilt,
                "reconnects": pipeline.status().streams[0].reconnects,
            }
            minutes.append(minute)
            print(json.dumps(minute), file=sys.stderr, flush=True)
            if len(minutes) * length >= 60 * options.minutes:
                break
            begin, dropped, spoilt = now, pipeline.dropped, 0
            reported.clear()
            seen.clear()
    return minutes


def _minute(reported: list[float], seen: list[float], frame: float) -> dict[str, float | int]:
    figures: dict[str, float | int] = {"frame_ms": round(frame * 1e3, 2)}
    for name, seconds in (("pipeline", reported), ("clock", seen)):
        p50, p95 = np.percentile(seconds, (50, 95))
        figures[f"{name}_p50_ms"] = round(float(p50) * 1e3, 2)
        figures[f"{name}_p95_ms"] = round(float(p95) * 1e3, 2)
        figures[f"{name}_p95_frames"] = round(float(p95) / frame, 2)
    return figures


def _seconds_a_frame(detector: Detector) -> float:
    """Measure the frame rate of the pipeline alone on this machine."""
    image = np.zeros((480, 640, 3), np.uint8)
    times = []
    for _ in range(40):
        start = time.perf_counter()
        detector(image)
        times.append(time.perf_counter() - start)
    return float(np.median(times[10:]))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--model", type=Path)
    parser.add_argument(
        "--fps", type=int, help="frame rate of the camera; default: 1.5 times the engine's"
    )
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--python", default="/usr/bin/python3", help="Python that has GStreamer's introspection"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
