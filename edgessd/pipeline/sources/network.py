"""A network camera or stream (RTSP, HTTP, RTMP and others), read by OpenCV's FFmpeg."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.options.source import RtspTransport
from edgessd.pipeline.sources.clock import StreamClock, moment
from edgessd.pipeline.sources.credentials import CredentialVariables, masked, with_credentials
from edgessd.pipeline.sources.reachable import refusal, require_reachable
from edgessd.pipeline.sources.video import plausible_rate

_log = logging.getLogger(__name__)

_OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_CONNECT_SECONDS = 5.0
# Schemes whose streams state the times of the sender's clock. Motion JPEG over HTTP states none.
_WITH_CLOCK = ("rtsp", "rtsps", "rtmp", "srt", "rtp")
# Codecs of which FFmpeg's RTSP reader returns a frame only when the next one begins.
_HELD = ("h264", "avc1", "hevc", "h265", "hvc1", "hev1")
# A stream that is more than 3 s late for more than 5 s isn't decoded as fast as it comes.
_BEHIND_SECONDS, _BEHIND_FOR = 3.0, 5.0
# Maximum seconds for reading the frames that were buffered while the stream was opened.
_BACKLOG_SECONDS = 5.0


class NetworkSource:
    """Frames of a URL. Frames that wait in buffers are read at once, so that the newest is available.

    Args:
        url: rtsp://, rtsps://, http://, https://, rtmp://, srt://, udp:// …. User name and password may
            be part of it, or come from the environment.
        rtsp_transport: Transport protocol of RTSP. TCP loses nothing; UDP is a little quicker on a good
            network.
        credentials: Environment variables with the user name and password of a URL that has none.
        open_seconds: Maximum wait for the first answer and the stream's description.
        read_seconds: Maximum wait for a frame.
        catch_up: True: a stream that falls behind raises an error, so that the caller opens it again at its
            newest frame. False: it is only logged.

    Attributes:
        live: False for a file on a server, of which no frame may be dropped.

    Raises:
        SourceError: The host can't be reached, the credentials are wrong, or there is no video.
    """

    fps: float | None
    length: int | None

    def __init__(
        self,
        url: str,
        *,
        rtsp_transport: RtspTransport = "tcp",
        credentials: CredentialVariables = CredentialVariables(),
        open_seconds: float = 15.0,
        read_seconds: float = 10.0,
        catch_up: bool = False,
    ) -> None:
        import cv2

        self.name = masked(url)
        self.decoder = "FFmpeg"
        self.skipped: list[tuple[str, str]] = []
        self._catch_up = catch_up
        scheme = url.partition("://")[0].lower()
        connect_seconds = min(_CONNECT_SECONDS, open_seconds)
        require_reachable(url, timeout=connect_seconds)
        settings = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(open_seconds * 1e3),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(read_seconds * 1e3),
        ]  # fmt: skip
        # A decoder with several threads holds back one frame per thread. Older OpenCVs lack the setting.
        if hasattr(cv2, "CAP_PROP_N_THREADS") and "OPENCV_FFMPEG_THREADS" not in os.environ:
            settings += [cv2.CAP_PROP_N_THREADS, 1]
        # FFmpeg would buffer two seconds of frames to measure their rate, and return all of them late.
        with _ffmpeg_options(f"rtsp_transport;{rtsp_transport}|fpsprobesize;0"):
            self._capture = cv2.VideoCapture(
                with_credentials(url, credentials), cv2.CAP_FFMPEG, settings
            )
        if not self._capture.isOpened():
            raise refusal(with_credentials(url, credentials), credentials, timeout=connect_seconds)
        self.fps = plausible_rate(self._capture.get(cv2.CAP_PROP_FPS))
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        fourcc = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
        held = scheme in ("rtsp", "rtsps") and fourcc.lower() in _HELD
        self._lateness = _Lateness(held=held) if scheme in _WITH_CLOCK else None
        self.live = count <= 0 or scheme in _WITH_CLOCK
        self.length = None if self.live else count
        if self.live and scheme in ("http", "https") and fourcc == "MJPG":
            self.fps = None  # FFmpeg states 25 if it doesn't know the rate

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        index = 0
        while self._capture.grab():
            now = time.perf_counter()
            position = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            age = self._lateness.age(index, position, now) if self._lateness else 0.0
            if age is not None:
                found, image = self._capture.retrieve()
            if age is not None and found:
                at = moment(age)
                yield Frame(
                    image=np.asarray(image, np.uint8),
                    source=self.name,
                    index=index,
                    timestamp=at.timestamp if self.live else position,
                    captured_at=at.captured_at,
                )
            index += 1
            if self._lateness and self._lateness.behind:
                self._say_behind(self._lateness.behind)
        if self.live:
            raise SourceError(
                f"{self.name} stopped giving frames after {index}",
                fix="Check the network and the camera.",
            )

    def close(self) -> None:
        self._capture.release()

    def _say_behind(self, age: float) -> None:
        problem = f"{self.name} is {age:.0f} s behind: it isn't decoded as fast as it comes"
        fix = "Use the camera's second, smaller stream, or lower its size, rate or bit rate."
        if self._catch_up:
            raise SourceError(problem, fix=fix)
        _log.warning(
            "%s. %s",
            problem,
            fix,
            extra={"edgessd": {"event": "behind", "source": self.name, "seconds": round(age, 1)}},
        )


class _Lateness:
    """Measures the age of a stream's frames, and notices that the stream falls behind.

    Args:
        held: True if FFmpeg returns each frame only when the next one begins.

    Attributes:
        behind: Seconds by which the stream is behind; 0 if it isn't.
    """

    def __init__(self, *, held: bool) -> None:
        self.behind = 0.0
        self._held = held
        self._clock = StreamClock()
        self._began = time.perf_counter()
        self._backlog = True
        self._last = (0.0, 0.0)
        self._since: float | None = None

    def age(self, index: int, position: float, now: float) -> float | None:
        """Return the seconds since capture; None for a frame that was buffered before the stream was open."""
        step, (_, before) = position - self._last[0], self._last
        self._last = (position, now)
        if index == 0:
            # OpenCV states position 0 for the first frame of every stream.
            return None
        # A held frame is returned when the first bytes of the next one come.
        late = self._clock.age(position, now, arrived=before if self._held else now)
        if self._backlog:
            # Frames that come faster than they were captured were buffered.
            self._backlog = index == 1 or (
                now - before < 0.5 * step and now - self._began < _BACKLOG_SECONDS
            )
        self._since = (self._since or now) if late > _BEHIND_SECONDS else None
        self.behind = late if self._since and now - self._since > _BEHIND_FOR else 0.0
        if self.behind:
            self._since = now
        return None if self._backlog else late


class _SharedOptions:
    """FFmpeg options in the environment variable, and how many sources are opening with them.

    A gate, not a queue: OpenCV reads the variable while it opens a source. Sources with equal options open
    side by side; one with other options waits until the variable is free.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.opening = 0
        self.options = ""


_shared = _SharedOptions()


@contextmanager
def _ffmpeg_options(options: str) -> Iterator[None]:
    """Let OpenCV pass these options to FFmpeg during the block, unless the user has set others."""
    if os.environ.get(_OPTIONS_VARIABLE) not in (None, "", _shared.options):
        yield
        return
    with _shared.changed:
        while _shared.opening and _shared.options != options:
            _shared.changed.wait()
        _shared.opening += 1
        _shared.options = options
        os.environ[_OPTIONS_VARIABLE] = options
    try:
        yield
    finally:
        with _shared.changed:
            _shared.opening -= 1
            if not _shared.opening:
                os.environ.pop(_OPTIONS_VARIABLE, None)
                _shared.options = ""
            _shared.changed.notify_all()
