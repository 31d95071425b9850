"""Recordings: H.264 in real time, complete after every failure, playable on a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgessd.core.errors import SinkError
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.recorder import Recorder

pytestmark = pytest.mark.process

Make = Callable[..., Result]
FRAMES = range(40)


def times_of(path: Path) -> list[float]:
    """Return the times of the frames in seconds."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [float(frame.pts * stream.time_base) for frame in container.decode(stream)]


def frames_played(path: Path) -> int:
    """Count the frames that can be played of a file without its end."""
    film, count = cv2.VideoCapture(str(path)), 0
    while film.read()[0]:
        count += 1
    return count


def codec_of(path: Path) -> str:
    letters = int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FOURCC))
    return letters.to_bytes(4, "little").decode()


@pytest.fixture
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide PyAV, as on a board with OpenCV alone."""
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.fixture
def live(frame_times: Any) -> Any:
    return frame_times(live=True, fps=None)


@pytest.fixture
def film(frame_times: Any) -> Any:
    return frame_times(live=False, fps=10.0)


def test_a_film_is_recorded_frame_by_frame_in_h264(
    tmp_path: Path, make_result: Make, film: Any
) -> None:
    path = tmp_path / "deep/out.mp4"
    recorder = Recorder(path, sources=[film])
    for index in FRAMES:
        recorder.write(make_result(index))
    assert [entry.name for entry in path.parent.iterdir()] == ["out.part.mp4"]
    recorder.close()
    recorder.close()
    assert recorder.files == [path]
    assert list(path.parent.iterdir()) == [path]
    assert codec_of(path) == "h264"
    np.testing.assert_allclose(times_of(path), np.array(FRAMES) / 10, atol=1e-3)
    # A plain MP4 without fragments: every player can seek in it and knows its length.
    assert int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) == len(FRAMES)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_dropped_frames_of_a_camera_do_not_speed_up_the_film(
    tmp_path: Path, make_result: Make, live: Any, suffix: str
) -> None:
    path = tmp_path / f"out{suffix}"
    recorder = Recorder(path, sources=[live])
    captured = [
        index * 0.1 + (0.02 if index % 3 else 0) for index in FRAMES if not 10 <= index < 25
    ]
    for index, moment in enumerate(captured):
        recorder.write(make_result(index, captured_at=1000 + moment))
    recorder.close()
    np.testing.assert_allclose(times_of(path), captured, atol=2e-3)


@pytest.mark.usefixtures("without_pyav")
def test_without_h264_frames_are_repeated_and_the_codec_is_logged(
    tmp_path: Path, make_result: Make, frame_times: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "out.mp4"
    recorder = Recorder(path, sources=[frame_times(live=True, fps=20.0)])
    for index in (0, 1, 2, 30, 31):  # 20 per second, of which 1.5 seconds are missing
        recorder.write(make_result(index, captured_at=index / 20))
    recorder.close()
    film = cv2.VideoCapture(str(path))
    assert codec_of(path) in ("FMP4", "mp4v", "h264", "avc1")
    assert film.get(cv2.CAP_PROP_FPS) == 20
    gray = []
    while True:
        found, image = film.read()
        if not found:
            break
        gray.append(int(np.median(image[-20:])))
    assert len(gray) == 32
    assert max(gray[2:30]) - min(gray[2:30]) <= 2
    if codec_of(path) in ("FMP4", "mp4v"):
        (message,) = caplog.messages
        assert "edgessd[video]" in message


def test_an_outage_of_an_hour_is_shortened(tmp_path: Path, make_result: Make, live: Any) -> None:
    recorder = Recorder(tmp_path / "out.mp4", sources=[live])
    for index, moment in enumerate((0.0, 0.1, 3600.0, 3600.1)):
        recorder.write(make_result(index, captured_at=moment))
    recorder.close()
    np.testing.assert_allclose(times_of(tmp_path / "out.mp4"), [0, 0.1, 1.1, 1.2], atol=1e-3)


def test_photos_are_shown_long_enough_and_none_is_distorted(
    tmp_path: Path, make_result: Make, frame_times: Any
) -> None:
    recorder = Recorder(tmp_path / "out.mp4", sources=[frame_times(live=False, fps=None)])
    for size in [(101, 75), (50, 200), (1, 1), (400, 300)]:
        recorder.write(make_result(40, size=size, timestamp=5.0))
    recorder.close()
    np.testing.assert_allclose(times_of(tmp_path / "out.mp4"), [0, 0.5, 1, 1.5], atol=1e-3)
    film = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    film.read()
    _, upright = film.read()
    assert upright.shape == (74, 100, 3)
    assert upright[40, 5].max() < 30  # black beside the picture
    assert upright[60, 50].min() > 150


def test_segments_have_their_times_in_their_names(
    tmp_path: Path, make_result: Make, film: Any
) -> None:
    recorder = Recorder(tmp_path / "out.mp4", sources=[film], minutes=1.5 / 60)
    for index in FRAMES:
        recorder.write(make_result(index))
    recorder.close()
    assert [len(times_of(path)) for path in recorder.files] == [15, 15, 10]
    assert all(times_of(path)[0] == 0 for path in recorder.files)
    stamp = time.strftime("out-%Y%m%d-")
    assert all(path.name.startswith(stamp) for path in recorder.files)
    assert sorted(tmp_path.iterdir()) == sorted(recorder.files)


def test_several_sources_have_a_film_each(tmp_path: Path, make_result: Make, film: Any) -> None:
    recorder = Recorder(tmp_path / "out.mp4", sources=[film, film])
    for index in range(10):
        recorder.write(make_result(index, stream=index % 2, size=(64 + index % 2 * 32, 48)))
    recorder.close()
    assert [path.name for path in recorder.files] == ["out-1.mp4", "out-2.mp4"]
    assert [cv2.VideoCapture(str(path)).get(3) for path in recorder.files] == [64, 96]


@pytest.mark.parametrize("name", ["out.gif", "out"])
def test_an_unknown_suffix_is_refused_at_once(name: str, tmp_path: Path, film: Any) -> None:
    with pytest.raises(SinkError, match=r"\.mp4"):
        Recorder(tmp_path / name, sources=[film])


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path, film: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="can't be written"):
        Recorder(tmp_path / "file/out.mp4", sources=[film])


# A process of its own, which is killed or may write only a limited file.
_PROGRAM = """
import resource, sys, time
from pathlib import Path
import numpy as np
from edgessd.core.detections import Detections
from edgessd.core.errors import SinkError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.meter import StageSeconds
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.recorder import Recorder

class Film:
    live, fps = False, 10.0

path, limit, count, opencv = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if opencv == "opencv":
    sys.modules["av"] = None
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rng = np.random.default_rng(1)
noise = rng.integers(0, 256, (24, 240, 320, 3), np.uint8)
recorder = Recorder(path, sources=[Film()])
seconds = StageSeconds(preprocess=0.001, infer=0.001, postprocess=0.001)
index = 0
try:
    for index in range(count):
        frame = Frame(
            image=noise[index % 24], source="x", index=index, timestamp=index / 10, captured_at=0
        )
        found = Detections.empty(("a",))
        recorder.write(Result(frame=frame, detections=found, seconds=seconds, delay=0))
        if index == 100:
            print("going", flush=True)
    recorder.close()
    print("done", index)
except SinkError as error:
    try:
        recorder.close()
    except SinkError:
        print("twice")
    print(index, error.paragraph())
"""


def record_apart(path: Path, *, limit: int = 0, count: int = 3000, how: str = "pyav") -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path), str(limit), str(count), how],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()[-1]


def test_a_file_that_may_not_grow_stops_the_recording_and_plays(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    output = record_apart(path, limit=3_000_000)
    assert "The recording stopped" in output
    assert "File too large" in output
    written = int(output.split()[0])
    played = frames_played(path)
    # The unfinished fragment is lost: two seconds of ten frames each.
    assert written - 25 <= played <= written
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 20 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk to fill")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "edgessd", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted to fill: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("how", ["pyav", "opencv"])
def test_a_full_disk_stops_the_recording_with_room_left_for_its_end(
    small_disk: Path, how: str
) -> None:
    path = small_disk / "out.mp4"
    output = record_apart(path, how=how)
    assert "The recording stopped" in output
    assert "MiB of the disk are free" in output
    written = int(output.split()[0])
    film = cv2.VideoCapture(str(path))
    assert abs(int(film.get(cv2.CAP_PROP_FRAME_COUNT)) - written) <= 1
    assert film.read()[0]


def test_a_full_disk_is_reported_with_the_first_frame(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * (10 << 20))
    output = record_apart(small_disk / "out.mp4")
    assert output.startswith("0 The recording stopped")


def test_a_recording_whose_process_is_killed_plays(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _PROGRAM, str(tmp_path / "out.mp4"), "0", "100000", "pyav"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        process.send_signal(signal.SIGKILL)
    assert frames_played(tmp_path / "out.part.mp4") >= 80
