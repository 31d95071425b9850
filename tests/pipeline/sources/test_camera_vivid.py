"""The kernel's virtual camera, `vivid`: real ioctls, real buffers, and faults on demand.

These tests need `sudo modprobe vivid`. If the kernel can't load it, `test_camera_in_virtual_machine` runs
them in a virtual machine.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from command_line import edgessd

from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.camera import CameraSource, describe_cameras, list_cameras
from edgessd.pipeline.sources.catalog import open_source
from edgessd.pipeline.sources.reconnect import Backoff, ReconnectingSource
from edgessd.pipeline.sources.v4l2 import query

pytestmark = [pytest.mark.device, pytest.mark.process, pytest.mark.realtime]

DRIVER = Path("/sys/bus/platform/drivers/vivid")


@pytest.fixture(scope="module")
def vivid() -> int:
    """Return the number of the virtual camera."""
    found = [number for number, name in list_cameras().items() if name.startswith("vivid")]
    if not found:
        pytest.skip(
            "no virtual camera; sudo modprobe vivid n_devs=1 node_types=0x20001 num_inputs=1"
        )
    if shutil.which("v4l2-ctl") is None:
        pytest.skip("no v4l2-ctl to cause faults with; sudo apt install v4l-utils")
    return found[0]


def control(number: int, setting: str) -> None:
    """Set one of the driver's controls."""
    subprocess.run(
        ["v4l2-ctl", "-d", f"/dev/video{number}", "-c", setting], check=True, capture_output=True
    )


def frames_of(source: CameraSource, count: int) -> list[Frame]:
    frames = list(islice(source, count))
    source.close()
    return frames


# --- listing -----------------------------------------------------------------------------------------


def test_a_camera_is_listed_with_its_modes_and_without_its_metadata(vivid: int) -> None:
    cameras = describe_cameras()
    assert [camera.number for camera in cameras] == [vivid]
    device = cameras[0].device
    assert device is not None
    assert (device.driver, device.card, cameras[0].problem) == ("vivid", "vivid", "")
    modes = {(mode.pixel_format, mode.width, mode.height): mode.rates for mode in device.modes}
    assert {30, 15, 10} <= set(modes["YUYV", 640, 360])
    assert ("BGR3", 1280, 720) in modes


def test_v4l2_ctl_sees_the_same_modes(vivid: int) -> None:
    report = subprocess.run(
        ["v4l2-ctl", "-d", f"/dev/video{vivid}", "--list-formats-ext"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    device = query(Path(f"/dev/video{vivid}"))
    assert report.count("Size: Discrete") == len(device.modes)
    assert report.count("Interval: Discrete") == sum(len(mode.rates) for mode in device.modes)


def test_a_metadata_node_is_not_a_camera(vivid: int) -> None:
    nodes = [int(path.name[5:]) for path in Path("/dev").glob("video*")]
    metadata = [number for number in nodes if not query(Path(f"/dev/video{number}")).captures]
    assert metadata
    with pytest.raises(SourceError, match="isn't a camera that gives pictures") as refusal:
        CameraSource(metadata[0])
    assert f"{vivid} (vivid" in str(refusal.value)


def test_a_wrong_number_lists_the_real_ones(vivid: int) -> None:
    with pytest.raises(SourceError, match="There is no camera 77") as refusal:
        CameraSource(77)
    assert f"{vivid} (vivid" in str(refusal.value.expected)


# --- pictures ----------------------------------------------------------------------------------------


def test_frames_have_the_requested_size_and_rate_and_the_driver_s_time(vivid: int) -> None:
    source = CameraSource(vivid, width=320, height=180, fps=10)
    frames, ages = [], []
    for frame in islice(source, 12):
        ages.append(time.perf_counter() - frame.captured_at)
        frames.append(frame)
    source.close()
    assert source.fps == 10
    assert {frame.image.shape for frame in frames} == {(180, 320, 3)}
    assert [frame.index for frame in frames] == list(range(12))
    # The driver's timestamps are regular, no matter when they are read.
    gaps = np.diff([frame.captured_at for frame in frames])
    assert np.median(gaps) == pytest.approx(0.1, abs=0.02)
    assert all(0 < age < 1 for age in ages)
    assert abs(frames[-1].timestamp - time.time()) < 30


def test_the_nearest_mode_is_used_and_logged(vivid: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        source = CameraSource(vivid, width=700, height=400)
    source.close()
    assert source.mode is not None
    assert (source.mode.width, source.mode.height) == (1280, 720)
    assert "has no 700x400; the nearest is 1280x720" in caplog.text


def test_every_format_has_the_same_colors(vivid: int) -> None:
    control(vivid, "osd_text_mode=2")
    pictures = {}
    for name in ("BGR3", "RGB3", "YUYV", "UYVY", "NV12", "YU12"):
        source = CameraSource(vivid, width=640, height=360, fps=10, pixel_format=name)
        pictures[name] = frames_of(source, 2)[-1].image.astype(int)
    control(vivid, "osd_text_mode=0")
    reference = pictures["BGR3"]
    assert reference.std() > 40  # color bars
    for name, picture in pictures.items():
        assert np.abs(picture - reference).mean() < 8, name
    # Swapped channels would show: the bars of pure red and blue differ most.
    assert np.abs(reference[..., ::-1] - reference).mean() > 40


def test_gray_becomes_three_channels(vivid: int) -> None:
    picture = frames_of(CameraSource(vivid, width=320, height=180, pixel_format="grey"), 2)[
        -1
    ].image
    assert picture.shape == (180, 320, 3)
    assert (picture[..., 0] == picture[..., 2]).all()


def test_a_format_that_the_camera_lacks_is_refused(vivid: int) -> None:
    with pytest.raises(SourceError, match="no format MJPG") as refusal:
        open_source(f"camera:{vivid}?format=MJPG")
    assert "YUYV" in str(refusal.value.found)


# --- access -------------------------------------------------------------------------------------------


def test_a_camera_in_use_names_the_program(vivid: int) -> None:
    holder = subprocess.Popen(
        ["v4l2-ctl", "-d", f"/dev/video{vivid}", "--stream-mmap", "--stream-to=/dev/null"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert holder.stderr is not None
        assert holder.stderr.read(1)  # it prints as it streams
        with pytest.raises(SourceError, match="is in use") as refusal:
            CameraSource(vivid)
        assert f"v4l2-ctl ({holder.pid})" in str(refusal.value)
    finally:
        holder.send_signal(signal.SIGINT)
        holder.wait(20)


def test_without_permission_the_group_is_named(vivid: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user without permission")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setuid(65534)
            CameraSource(vivid)
        except SourceError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as report:
        assert "sudo usermod -aG video" in report.read()


# --- faults -------------------------------------------------------------------------------------------


class Watched:
    """Reads a source on a thread and keeps its last frames."""

    def __init__(self, source: ReconnectingSource) -> None:
        self.source = source
        self.frames: list[Frame] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for frame in self.source:
            self.frames = [*self.frames[-50:], frame]

    def until(self, what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not eval(what, {}, {"source": self.source, "frames": self.frames}):
            assert time.monotonic() < deadline, f"never {what}"
            time.sleep(0.05)

    def close(self) -> None:
        self.source.interrupt()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.source.close()


@pytest.fixture
def watched(vivid: int, request: pytest.FixtureRequest) -> Iterator[Watched]:
    options = {"stall_seconds": 2.0, "freeze_seconds": 0.0, **getattr(request, "param", {})}
    source = ReconnectingSource(
        lambda: CameraSource(vivid, width=320, height=180, fps=10),
        name="camera",
        backoff=Backoff(first=0.2, most=1.0),
        **options,
    )
    watching = Watched(source)
    yield watching
    watching.close()


def test_a_camera_whose_frames_stop_is_opened_again(vivid: int, watched: Watched) -> None:
    watched.until("len(frames) > 3")
    control(vivid, "percentage_of_dropped_buffers=100")
    try:
        watched.until("not source.connected")
    finally:
        control(vivid, "percentage_of_dropped_buffers=0")
    watched.until("source.connected and source.reconnects == 1")
    indices = [frame.index for frame in watched.frames]
    assert indices == sorted(set(indices))


@pytest.mark.parametrize("watched", [{"freeze_seconds": 1.0}], indirect=True)
def test_a_camera_with_a_frozen_picture_is_opened_again(vivid: int, watched: Watched) -> None:
    watched.until("len(frames) > 3")
    control(vivid, "osd_text_mode=2")  # only the time in the picture changes
    try:
        watched.until("source.reconnects > 0")
    finally:
        control(vivid, "osd_text_mode=0")
    watched.until("source.connected")


def test_run_detects_on_a_camera(vivid: int, tmp_path: Path) -> None:
    words = ["--camera", str(vivid), "--width", "640", "--height", "360", "--fps", "10"]
    summary = edgessd("run", *words, "--max-frames", 3, "--json", cwd=tmp_path).json
    assert (summary["frames"], summary["source"]) == (3, f"camera {vivid}")


def test_a_camera_that_is_unplugged_and_plugged_in_again_comes_back(
    vivid: int, watched: Watched
) -> None:
    """Must be the last test, because the device is another one afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root to take a device away")
    watched.until("len(frames) > 3")
    control(vivid, "disconnect=1")
    watched.until("not source.connected")
    (DRIVER / "unbind").write_text("vivid.0")
    time.sleep(1)
    (DRIVER / "bind").write_text("vivid.0")
    watched.until("source.connected and source.reconnects == 1")
