"""Newest picture of each stream as a JPEG, made once for all viewers, and only if a viewer waits for it.

The pipeline's thread leaves its results here without waiting. A viewer asks for the next picture when it has
drawn the last one. So a slow or stalled viewer gets fewer pictures and holds up nothing. A result for which
no viewer asks is neither drawn nor encoded.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgessd.pipeline.annotate import annotate
from edgessd.pipeline.jpeg import encode_jpeg
from edgessd.pipeline.records import json_record

if TYPE_CHECKING:
    from edgessd.core.arrays import ImageArray
    from edgessd.core.detections import Detections
    from edgessd.pipeline.events import RegionState
    from edgessd.pipeline.result import Result

# Maximum pictures per second of a stream. Beyond that, the processor's time is better spent on the engine.
_MOST_A_SECOND = 30.0
_LONGEST_SIDE = 1280
_JPEG_QUALITY = 80


class PicturesEndedError(Exception):
    """No further picture will come, because the pipeline has ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An annotated picture.

    Attributes:
        stream: Number of the source.
        sequence: Number of the result in this stream, from 1.
        record: Record of the frame, as in `run --jsonl`.
        jpeg: JPEG of at most 1280 pixels a side.
    """

    stream: int
    sequence: int
    record: dict[str, Any]
    jpeg: bytes

    def message(self) -> bytes:
        """Return the message: length of the record (4 bytes, big-endian), the record as JSON, the JPEG."""
        record = json.dumps(self.record).encode()
        return len(record).to_bytes(4, "big") + record + self.jpeg


class Pictures:
    """Newest picture of each stream, from the pipeline's thread to the viewers on an event loop.

    A broadcast, not a queue: every viewer gets the same picture, a result replaces the one before it
    whether or not it was shown, and an asyncio future, not a thread, waits for the next.

    Args:
        streams: Number of sources.
    """

    def __init__(self, streams: int) -> None:
        self.encoded = 0
        self._streams = [_Stream() for _ in range(streams)]
        self._changed = threading.Condition()
        self._ended = False
        self._bug: Exception | None = None
        self._thread = threading.Thread(target=self._encode, name="edgessd-live jpeg", daemon=True)
        self._thread.start()

    def offer(self, result: Result) -> None:
        """Leave the newest result of a stream, without waiting.

        Raises:
            Exception: Drawing or encoding an earlier picture failed, which is a bug.
        """
        if self._bug is not None:
            raise self._bug
        with self._changed:
            stream = self._streams[result.frame.stream]
            stream.newest = result
            stream.sequence += 1
            if stream.waiting:
                self._changed.notify_all()

    async def after(self, number: int, seen: int) -> Picture:
        """Wait for a picture of a stream that is newer than the viewer's last, and return the newest.

        Args:
            number: Number of the stream.
            seen: `sequence` of the viewer's last picture; 0 before the first.

        Raises:
            PicturesEndedError: No further picture will come.
        """
        stream = self._streams[number]
        with self._changed:
            if self._ended:
                raise PicturesEndedError
            ready = stream.picture
            if ready is not None and ready.sequence == stream.sequence > seen:
                return ready
            future: asyncio.Future[Picture] = asyncio.get_running_loop().create_future()
            stream.waiting.append(future)
            self._changed.notify_all()
        try:
            return await future
        finally:
            with self._changed:
                if future in stream.waiting:
                    stream.waiting.remove(future)

    def close(self) -> None:
        """Stop encoding and end the wait of every viewer. May be called twice."""
        with self._changed:
            self._ended = True
            waiting = [future for stream in self._streams for future in stream.take_waiting()]
            self._changed.notify_all()
        _settle(waiting, None)
        self._thread.join(timeout=5)

    def _encode(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                stream, sequence, result = job
                picture = _picture(result, sequence)
                with self._changed:
                    self.encoded += 1
                    stream.picture = picture
                    waiting = stream.take_waiting()
                _settle(waiting, picture)
        except Exception as bug:  # noqa: BLE001 - raised again by `offer`
            self._bug = bug

    def _next_job(self) -> tuple[_Stream, int, Result] | None:
        """Wait for a result that a viewer waits for and that is due; None at the end."""
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                requested = [stream for stream in self._streams if stream.requested()]
                for stream in sorted(requested, key=lambda stream: stream.due):
                    if stream.due <= now and stream.newest is not None:
                        # Counted from the due time, not from now; otherwise late wake-ups would add up.
                        stream.due = max(stream.due, now - 1 / _MOST_A_SECOND) + 1 / _MOST_A_SECOND
                        return stream, stream.sequence, stream.newest
                early = min((stream.due - now for stream in requested), default=None)
                self._changed.wait(early)
            return None


class _Stream:
    """Newest result and picture of one stream, and the viewers that wait for the next picture."""

    def __init__(self) -> None:
        self.newest: Result | None = None
        self.sequence = 0
        self.picture: Picture | None = None
        self.waiting: list[asyncio.Future[Picture]] = []
        self.due = 0.0

    def requested(self) -> bool:
        """Check that a viewer waits, and that the newest result has no picture yet."""
        return bool(self.waiting) and self.sequence > (self.picture.sequence if self.picture else 0)

    def take_waiting(self) -> list[asyncio.Future[Picture]]:
        taken, self.waiting = self.waiting, []
        return taken


def _settle(waiting: list[asyncio.Future[Picture]], picture: Picture | None) -> None:
    """Resolve futures of event loops in other threads with a picture, or with None for the end."""
    for future in waiting:
        loop = future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, future, picture)


def _resolve(future: asyncio.Future[Picture], picture: Picture | None) -> None:
    if future.done():
        return  # its viewer has left
    if picture is None:
        future.set_exception(PicturesEndedError())
    else:
        future.set_result(picture)


def _picture(result: Result, sequence: int) -> Picture:
    return Picture(
        stream=result.frame.stream,
        sequence=sequence,
        record=json_record(result),
        jpeg=encode_jpeg(annotate(*_shrunk(result)), _JPEG_QUALITY),
    )


def _shrunk(result: Result) -> tuple[ImageArray, Detections, tuple[RegionState, ...]]:
    """Shrink a large frame before anything is drawn, so that lines and letters stay sharp at less cost."""
    import cv2

    image, detections = result.frame.image, result.detections
    ratio = _LONGEST_SIDE / max(image.shape[:2])
    if ratio >= 1:
        return image, detections, result.regions
    size = max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes = (detections.boxes * ratio).astype(np.float32)
    regions = tuple(
        replace(region, points=tuple((x * ratio, y * ratio) for x, y in region.points))
        for region in result.regions
    )
    return small, replace(detections, boxes=boxes), regions
