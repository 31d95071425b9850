"""Network cameras: real RTSP and HTTP servers, which are killed, stopped and started again."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from command_line import edgessd

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.sources import network
from edgessd.pipeline.sources.catalog import open_source
from edgessd.pipeline.sources.network import NetworkSource
from edgessd.pipeline.sources.reachable import require_reachable
from edgessd.pipeline.sources.reconnect import Backoff, ReconnectingSource
from edgessd.runtime.detector import Detector

pytestmark = [pytest.mark.process, pytest.mark.realtime]

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
# A moving ball, so that no two frames are equal; a key frame every half second.
PICTURES = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=20/1 "
    "! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=-1"
)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Server:
    """A process that prints `ready` and can be stopped and started again."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self.process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.process = self._started()


Serve = Callable[..., tuple[str, Server]]


@pytest.fixture(scope="module")
def needs_rtsp_server() -> None:
    probe = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); "
        "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
        "assert Gst.ElementFactory.find('x264enc')"
    )
    probed = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False)
    if probed.returncode:
        pytest.skip(
            "no RTSP server; sudo apt install gir1.2-gst-rtsp-server-1.0 python3-gi "
            "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
        )


@pytest.fixture
def rtsp(needs_rtsp_server: None) -> Iterator[Serve]:
    """Start an RTSP server; return the host and port, and the server."""
    servers = []

    def serve(launch: str = PICTURES, *credentials: str) -> tuple[str, Server]:
        port = free_port()
        script = str(HERE / "servers/rtsp_server.py")
        servers.append(Server(SYSTEM_PYTHON, script, str(port), launch, *credentials))
        return f"127.0.0.1:{port}", servers[-1]

    yield serve
    for server in servers:
        server.kill()


@pytest.fixture
def mjpeg() -> Iterator[Serve]:
    servers = []

    def serve(*arguments: str) -> tuple[str, Server]:
        port = free_port()
        script = str(HERE / "servers/mjpeg_server.py")
        servers.append(Server(sys.executable, script, str(port), *arguments))
        return f"127.0.0.1:{port}", servers[-1]

    yield serve
    for server in servers:
        server.kill()


def first(url: str, count: int, **options: object) -> list[Frame]:
    source = NetworkSource(url, **options)  # type: ignore[arg-type]
    frames = list(islice(source, count))
    source.close()
    return frames


# --- RTSP ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_gives_live_frames(rtsp: Serve, transport: str) -> None:
    host, _ = rtsp()
    source = NetworkSource(f"rtsp://{host}/film", rtsp_transport=transport)  # type: ignore[arg-type]
    frames = list(islice(source, 20))
    source.close()
    assert source.live
    assert source.length is None
    assert {frame.image.shape for frame in frames} == {(240, 320, 3)}
    # Frames buffered while the stream was opened are counted, but not given.
    assert frames[0].index >= 3
    # 20 FPS in real time.
    gaps = np.diff([frame.captured_at for frame in frames])
    assert np.median(gaps) == pytest.approx(1 / 20, rel=0.3)
    assert abs(frames[-1].timestamp - time.time()) < 2
    assert time.perf_counter() - frames[-1].captured_at < 2


def test_a_real_film_over_rtsp_is_detected_through_a_killed_and_a_stopped_server(
    rtsp: Serve, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = shared / "data/video/one-by-one-person-detection.mp4"
    google = shared / "data/google_ssd_mobilenet_v1_coco"
    model = google / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
    host, server = rtsp(
        f"filesrc location={film} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96"
    )

    def opened() -> NetworkSource:
        return NetworkSource(f"rtsp://{host}/film", read_seconds=1.5)

    source = ReconnectingSource(
        opened, name="door", stall_seconds=1.5, backoff=Backoff(first=0.2, most=0.5)
    )
    indices, seen = [], [0, 0, 0]
    with (
        caplog.at_level(logging.INFO, "edgessd.pipeline.sources"),
        Detector(model, threads=1) as detector,
        Pipeline(source, detector) as pipeline,
    ):
        for result in pipeline:
            indices.append(result.frame.index)
            seen[source.reconnects] += 1
            assert result.frame.image.shape == (432, 768, 3)
            if seen == [8, 0, 0]:
                server.restart()  # killed: the connection breaks
            elif seen[1:] == [8, 0]:
                server.send(signal.SIGSTOP)  # it hangs: the connection stays
                threading.Timer(3, server.send, [signal.SIGCONT]).start()
            elif seen[2] == 8:
                break
        status = pipeline.status().streams[0]
    assert indices == sorted(set(indices))
    assert (status.reconnects, status.connected) == (2, True)
    events = [record.edgessd["event"] for record in caplog.records if hasattr(record, "edgessd")]
    assert events == ["disconnected", "reconnected"] * 2


def test_a_stream_that_is_read_too_slowly_is_given_up(
    rtsp: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_BEHIND_SECONDS", 0.6)
    monkeypatch.setattr(network, "_BEHIND_FOR", 0.4)
    host, _ = rtsp()
    ages = []
    source = NetworkSource(f"rtsp://{host}/film", catch_up=True)

    def read_slowly() -> None:
        for frame in source:
            ages.append(time.perf_counter() - frame.captured_at)
            time.sleep(0.12)  # frames come every 50 ms

    with pytest.raises(SourceError, match="isn't decoded as fast as it comes") as refusal:
        read_slowly()
    source.close()
    assert "smaller stream" in str(refusal.value)
    # One period, because FFmpeg returns a frame when the next one begins.
    assert ages[0] == pytest.approx(1 / 20, abs=0.04)
    # The age grows by 70 ms per frame.
    assert np.median(np.diff(ages)) == pytest.approx(0.07, abs=0.03)
    assert ages[-1] > 0.8


def test_credentials_are_accepted_and_never_shown(
    rtsp: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host, server = rtsp(PICTURES, "viewer", "p@ss/word")
    frames = first(f"rtsp://viewer:p@ss/word@{host}/film", 2)
    assert frames[0].source == f"rtsp://***@{host}/film"

    with pytest.raises(SourceError, match="requires a user name and password") as refusal:
        NetworkSource(f"rtsp://{host}/film")
    assert "EDGESSD_SOURCE_USERNAME" in str(refusal.value)
    with pytest.raises(SourceError, match="refuses its user name and password") as refusal:
        NetworkSource(f"rtsp://viewer:wr0ng@{host}/film")
    assert "wr0ng" not in str(refusal.value)

    monkeypatch.setenv("EDGESSD_SOURCE_USERNAME", "viewer")
    monkeypatch.setenv("EDGESSD_SOURCE_PASSWORD", "p@ss/word")
    assert len(first(f"rtsp://{host}/film", 2)) == 2

    source = open_source(
        SourceOptions(
            address=f"rtsp://viewer:p@ss/word@{host}/film", stall_seconds=2, open_seconds=5
        )
    )
    frames_of = iter(source)
    next(frames_of)
    with caplog.at_level(logging.DEBUG):
        threading.Timer(0.5, server.kill).start()

        def interrupt_after_a_retry() -> None:
            deadline = time.monotonic() + 20
            while "gives no frames" not in caplog.text and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(1)
            source.interrupt()  # type: ignore[attr-defined]

        threading.Thread(target=interrupt_after_a_retry, daemon=True).start()
        list(frames_of)
    source.close()
    assert "gives no frames" in caplog.text
    assert "p@ss" not in caplog.text
    assert "p%40ss" not in caplog.text


def test_a_path_that_the_server_lacks_is_refused(rtsp: Serve) -> None:
    host, _ = rtsp()
    with pytest.raises(SourceError, match="404: it has no stream at that path"):
        open_source(f"rtsp://{host}/nothing")


def test_an_unreachable_host_is_named_with_its_port() -> None:
    port = free_port()
    start = time.monotonic()
    with pytest.raises(SourceError, match=f"a server on port {port} of 127.0.0.1.*refused"):
        open_source(f"rtsp://127.0.0.1:{port}/x")
    with pytest.raises(SourceError, match=r"not known|failure"):
        open_source("rtsp://camera.invalid/x")
    with pytest.raises(SourceError, match="isn't a URL"):
        open_source("rtsp://camera:port/x")
    with pytest.raises(SourceError, match="doesn't know"):
        open_source("nonsense://camera/x")
    assert time.monotonic() - start < 20


def test_a_host_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x"
        require_reachable(url, timeout=1)
        start = time.monotonic()
        with pytest.raises(SourceError, match="gives no video"):
            NetworkSource(url, open_seconds=2)
        assert time.monotonic() - start < 12


def test_another_camera_comes_back_while_one_is_off(rtsp: Serve) -> None:
    """OpenCV opens one stream at a time; a host that is off must not hold up the others."""
    host, server = rtsp()
    with socket.socket() as full:
        # The queue of a socket that never accepts is full: connecting waits, as for a host that is off.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        absent = f"rtsp://127.0.0.1:{address[1]}/x"
        off = open_source(SourceOptions(address=absent, stall_seconds=2, open_seconds=1, wait=True))
        reading = threading.Thread(target=list, args=(off,), daemon=True)
        reading.start()
        source = open_source(
            SourceOptions(address=f"rtsp://{host}/film", stall_seconds=2, wait=True)
        )
        assert isinstance(source, ReconnectingSource)
        frames = iter(source)
        next(frames)
        server.restart()
        start = time.monotonic()
        while source.reconnects == 0:
            next(frames)
        assert time.monotonic() - start < 15
        source.close()
        off.close()
        for each in waiting:
            each.close()


# --- HTTP ---------------------------------------------------------------------------------------------


def number_in(frame: Frame) -> int:
    return sum((frame.image[10, 20 * bit + 10].mean() > 128) << bit for bit in range(16))


def test_motion_jpeg_gives_the_newest_picture(mjpeg: Serve) -> None:
    host, _ = mjpeg("50")
    source = NetworkSource(f"http://{host}/stream.mjpg")
    numbers = [number_in(frame) for frame in islice(source, 30)]
    source.close()
    assert source.live
    assert source.fps is None  # the stream states none
    assert numbers == list(range(numbers[0], numbers[0] + 30))


def test_motion_jpeg_comes_back(mjpeg: Serve) -> None:
    host, server = mjpeg("50", "viewer", "p@ss")
    source = open_source(
        SourceOptions(
            address=f"http://viewer:p@ss@{host}/stream.mjpg?res=1&token=abc", stall_seconds=2
        )
    )
    assert isinstance(source, ReconnectingSource)
    assert source.name == f"http://***@{host}/stream.mjpg?res=1&token=***"
    frames = iter(source)
    next(frames)
    server.restart()
    while source.reconnects == 0:
        last = next(frames)
    assert number_in(last) < 25
    source.close()
    with pytest.raises(SourceError, match="requires a user name"):
        open_source(f"http://{host}/stream.mjpg")


def test_a_film_on_a_server_is_a_file(shared: Path) -> None:
    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *words: Files(*words, directory=str(shared / "data/video"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = open_source(f"http://127.0.0.1:{server.server_port}/car-detection.mp4")
    frames = list(source)
    source.close()
    server.shutdown()
    server.server_close()
    assert (source.live, source.length, len(frames)) == (False, 377, 377)
    assert frames[-1].timestamp == pytest.approx(30.08)


# --- the command ---------------------------------------------------------------------------------------


def test_run_hides_credentials_in_all_that_it_writes(
    rtsp: Serve, shared: Path, tmp_path: Path
) -> None:
    google = shared / "data/google_ssd_mobilenet_v1_coco"
    model = google / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
    host, _ = rtsp(PICTURES, "viewer", "s3cr3t")
    url = f"rtsp://viewer:s3cr3t@{host}/film"
    words = ("--max-frames", 5, "--jsonl", "out.jsonl", "--json", "--log", "json")
    ended = edgessd(
        "run", "--source", url, "--model", model, *words, cwd=tmp_path, own_process=True
    )
    lines = (tmp_path / "out.jsonl").read_text()
    assert json.loads(lines.splitlines()[0])["source"] == f"rtsp://***@{host}/film"
    assert ended.json["source"] == f"rtsp://***@{host}/film"
    assert "s3cr3t" not in lines + ended.out + ended.err
