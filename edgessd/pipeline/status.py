"""Status of a pipeline, which `--latency`, `/metrics` and the live page show."""

from __future__ import annotations

from dataclasses import dataclass

from edgessd.pipeline.meter import Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStatus:
    """Status of one source.

    Attributes:
        name: Name of the source.
        live: True if frames come at the source's own pace.
        connected: False while a live source is being opened again.
        frames: Number of results.
        dropped: Number of frames of a live source dropped because the engine was busy.
        skipped: Number of pictures that could not be decoded.
        reconnects: Number of times that the source was opened again.
        fps: Results per second over the last frames.
        delay: Time from capture to result.
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
    """Status of one sink.

    Attributes:
        name: Name of the sink.
        written: Number of results written.
        lost: Number of results dropped because the sink was busy.
        failed: Reason why the sink ended early; None while it works.
    """

    name: str
    written: int
    lost: int
    failed: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineStatus:
    """Status of the whole pipeline.

    Attributes:
        uptime_seconds: Seconds since the pipeline started.
        frames: Number of results of all streams.
        fps: Results per second over the last frames.
        stages: Latency of `prepare`, `infer`, `finish`, of their `total`, and the `delay` from capture.
        streams: Sources, in the order given.
        sinks: Sinks, in the order added.
    """

    uptime_seconds: float
    frames: int
    fps: float
    stages: dict[str, Latency]
    streams: tuple[StreamStatus, ...]
    sinks: tuple[SinkStatus, ...]
