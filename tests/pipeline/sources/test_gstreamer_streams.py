"""RTSP through the GStreamer pipelines of the targets, with elements that every machine has."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.sources.catalog import stream_pipeline
from edgessd.pipeline.sources.gstreamer import is_endless
from edgessd.target.load import list_targets, load_target

pytestmark = [pytest.mark.process, pytest.mark.realtime]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ORIN = load_target("jetson-orin-nano").camera
SYSTEM_PYTHON = "/usr/bin/python3"


def test_rtsp_gets_its_own_rtspsrc_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESSD_SOURCE_USERNAME", "viewer")
    monkeypatch.setenv("EDGESSD_SOURCE_PASSWORD", 'p"s')
    for spec in list_targets():
        if not spec.camera.stream:
            continue
        text = stream_pipeline(
            spec.camera.stream,
            "rtsp://h/x",
            SourceOptions(address="rtsp://h/x", rtsp_transport="udp"),
        )
        assert 'rtspsrc location="rtsp://viewer:p%22s@h/x" protocols=udp latency=100' in text
        assert "uridecodebin" not in text
        other = stream_pipeline(
            spec.camera.stream, "http://h/x", SourceOptions(address="http://h/x")
        )
        assert 'uridecodebin uri="http://viewer:p%22s@h/x"' in other


def test_a_pipeline_with_num_buffers_is_not_endless() -> None:
    assert is_endless("v4l2src ! videoconvert ! appsink")
    assert not is_endless("videotestsrc num-buffers=5 ! appsink")
    assert not is_endless("filesrc location=a.mp4 ! decodebin ! appsink")


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """Return a PYTHONPATH for the system's Python, whose OpenCV has GStreamer."""
    probe = (
        "import cv2, sys, gi; gi.require_version('GstRtspServer', '1.0'); "
        "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
        "assert Gst.ElementFactory.find('x264enc'); "
        "assert 'GStreamer:                   YES' in cv2.getBuildInformation(); "
        f"assert sys.version_info[:2] == {sys.version_info[:2]}"
    )
    probed = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False)
    if probed.returncode:
        pytest.skip(
            "no system OpenCV with GStreamer of this Python's version, or no RTSP server; sudo apt "
            "install python3-opencv python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly "
            "gstreamer1.0-libav gstreamer1.0-tools"
        )
    import msgspec

    (tmp_path / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    return f"{ROOT}:{tmp_path}"


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


READ = """
import json, logging, subprocess, sys, time
from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.catalog import open_video
from edgessd.pipeline.sources.reconnect import Backoff, ReconnectingSource
from edgessd.target.spec import CameraSpec
pipeline, url, *server = sys.argv[1:]

def serve():
    process = subprocess.Popen(server, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\\n"
    return process

serving = serve()
source = ReconnectingSource(
    lambda: open_video(url, CameraSpec(stream=pipeline)),
    name="door", stall_seconds=3, backoff=Backoff(first=0.2, most=0.5))
shapes, count = set(), 0
end = time.monotonic() + 60
for frame in source:
    shapes.add(frame.image.shape)
    count += 1
    if count == 10:
        serving.kill()
        serving.wait()
        serving = serve()
    if count == 20 or time.monotonic() > end:
        break
report = {"count": count, "shapes": [*shapes], "reconnects": source.reconnects, "decoder": source.decoder}
source.close()
serving.kill()
serving.wait()
print(json.dumps(report))
"""


def test_rtsp_through_gstreamer_comes_back(packages: str, port: int) -> None:
    launch = (
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=20/1 "
        "! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=-1"
    )
    server = [SYSTEM_PYTHON, str(HERE / "servers/rtsp_server.py"), str(port), launch]
    here = re.sub("nvvidconv", "videoconvert", ORIN.stream)
    ended = subprocess.run(
        [SYSTEM_PYTHON, "-c", READ, here, f"rtsp://127.0.0.1:{port}/film", *server],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": packages, "PATH": "/usr/bin:/bin"},
    )
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert report == {
        "count": 20,
        "shapes": [[240, 320, 3]],
        "reconnects": 1,
        "decoder": "GStreamer",
    }
