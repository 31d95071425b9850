"""How a pipeline is doing, at one moment: what `--latency`, `/metrics` and the live page show."""

from __future__ import annotations

from dataclasses import dataclass

from edgessd.pipeline.meter import Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStatus:
    """One source.

    Attributes:
        name: For people.
        live: Whether it sets its own pace.
        connected: False while a camera that broke off is being opened again.
        frames: Results so far.
        dropped: Frames of a live source that came while the engine was busy.
        skipped: Pictures that could not be decoded.
        reconnects: Times that the connection was made anew.
        fps: Results a second, lately.
        delay: From capture to result.
    """

    name: str
    live: bool
    connected: bool
    frames: int
    dropped: int
    skipped: int
    reconnects: int
    fps: float
    delay: Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkStatus:
    """One output.

    Attributes:
        name: For people.
        written: Results that it took.
        lost: Results that came while it was busy and had to make room.
        failed: Why it ended early, None while it works.
    """

    name: str
    written: int
    lost: int
    failed: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineStatus:
    """The whole pipeline.

    Attributes:
        uptime_seconds: Since it was made.
        frames: Results of all streams.
        fps: Results a second, lately.
        stages: Latency of `prepare`, `infer`, `finish`, of their `total`, and the `delay` from capture.
        streams: In the order they were given.
        sinks: In the order they were added.
    """

    uptime_seconds: float
    frames: int
    fps: float
    stages: dict[str, Latency]
    streams: tuple[StreamStatus, ...]
    sinks: tuple[SinkStatus, ...]
