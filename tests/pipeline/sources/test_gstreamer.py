"""GStreamer pipelines: their texts, and real ones with the system's Python, whose OpenCV has GStreamer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.catalog import open_source, open_video
from edgessd.pipeline.sources.csi import csi_pipeline
from edgessd.pipeline.sources.gstreamer import (
    elements_of,
    how_to_install,
    missing_elements,
    quoted,
    with_appsink_options,
)
from edgessd.target.load import list_targets, load_target
from edgessd.target.opencv import find_opencv, gstreamer_in
from edgessd.target.spec import CameraSpec

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[3]
TEST_PICTURE = "videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48,framerate=10/1"
TO_BGR = "videoconvert ! video/x-raw,format=BGR ! appsink"
ORIN = load_target("jetson-orin-nano").camera
without_gstreamer = pytest.mark.skipif(
    bool(find_opencv().gstreamer), reason="the OpenCV of these tests has GStreamer"
)


def on_this_machine(pipeline: str) -> str:
    """Replace NVIDIA's elements of a Jetson's pipeline by those that every machine has."""
    pipeline = re.sub(r"nvarguscamerasrc sensor-id=\d+", "videotestsrc num-buffers=9", pipeline)
    return pipeline.replace("(memory:NVMM)", "").replace("nvvidconv", "videoconvert")


# --- the text ---------------------------------------------------------------------------------------


def test_elements_are_distinguished_from_caps_strings_and_pads() -> None:
    pipeline = (
        'filesrc location="a ! b.mp4" ! decodebin name=d d. ! queue ! '
        "video/x-raw(memory:NVMM),width=9 ! nvvidconv ! d. ! queue ! appsink sync=false"
    )
    assert elements_of(pipeline) == ("filesrc", "decodebin", "queue", "nvvidconv", "appsink")


def test_a_bare_appsink_gets_the_newest_frame_of_a_live_source_only() -> None:
    bare = "v4l2src ! videoconvert ! appsink"
    assert with_appsink_options(bare, live=True).endswith(
        "appsink drop=true max-buffers=1 sync=false"
    )
    assert with_appsink_options(bare, live=False) == bare
    chosen = "v4l2src ! videoconvert ! appsink max-buffers=9"
    assert with_appsink_options(chosen, live=True) == chosen


def test_a_path_may_have_any_character() -> None:
    assert quoted('a "b" \\ c.mp4') == '"a \\"b\\" \\\\ c.mp4"'


def test_the_csi_pipeline_is_filled_in() -> None:
    text = csi_pipeline("csi:1?width=1920&height=1080&fps=60", ORIN, here="jetson-orin-nano")
    assert "nvarguscamerasrc sensor-id=1" in text
    assert "width=1920,height=1080,format=NV12,framerate=60/1" in text
    assert "width=1280,height=720,format=NV12,framerate=30/1" in csi_pipeline(
        "csi:0", ORIN, here="jetson-orin-nano"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("csi:", "nothing"),
        ("csi:front", "front"),
        ("csi:0?size=9", "size=9"),
        ("csi:0?width=0", "width=0"),
        ("csi:0?width=wide", "width=wide"),
        ("csi:0?width", "width="),
    ],
)
def test_a_wrong_csi_camera_is_refused(text: str, found: str) -> None:
    with pytest.raises(SourceError, match="isn't a CSI camera") as refusal:
        csi_pipeline(text, ORIN, here="jetson-orin-nano")
    assert refusal.value.found == found


def test_a_machine_without_csi_names_the_alternatives() -> None:
    with pytest.raises(SourceError, match=r"no CSI camera pipeline for host.*--camera N.*gst:"):
        csi_pipeline("csi:0", CameraSpec(), here="host")


def test_every_pipeline_of_a_target_ends_in_bgr_and_an_appsink() -> None:
    texts = [
        text
        for spec in list_targets()
        for text in (spec.camera.csi, spec.camera.file, spec.camera.stream)
        if text
    ]
    assert len(texts) > 20
    for text in texts:
        assert elements_of(text)[-2:] == ("videoconvert", "appsink")
        assert "max-buffers=" in text
    # All frames of a file count; of a camera only the newest.
    assert "drop=true" in ORIN.csi
    assert "drop=true" in ORIN.stream
    assert "drop=true" not in ORIN.file


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("    GStreamer:                   YES (1.20.3)", "1.20.3"),
        ("    GStreamer:                   YES", "yes"),
        ("    GStreamer:                   NO", ""),
        ("", ""),
    ],
)
def test_opencv_s_build_information_tells_of_gstreamer(line: str, version: str) -> None:
    assert gstreamer_in(f"  Video I/O:\n{line}\n    v4l/v4l2: YES (linux/videodev2.h)\n") == version


# --- an OpenCV without GStreamer ---------------------------------------------------------------------


@without_gstreamer
def test_an_opencv_without_gstreamer_is_refused_with_a_fix() -> None:
    with pytest.raises(SourceError, match="OpenCV with GStreamer") as refusal:
        open_source(f"gst:{TEST_PICTURE} ! {TO_BGR}")
    assert "sudo apt install python3-opencv" in str(refusal.value)


@without_gstreamer
def test_without_gstreamer_a_jetson_still_decodes_with_ffmpeg(shared: Path) -> None:
    source = open_video(str(shared / "data/video/car-detection.mp4"), ORIN)
    assert (source.length, source.decoder) == (377, "FFmpeg")
    source.close()


# --- real pipelines ----------------------------------------------------------------------------------

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def with_gstreamer(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a script with the system's Python, whose OpenCV has GStreamer; it prints JSON."""
    python = "/usr/bin/python3"
    probe = (
        "import cv2, json, sys; print(json.dumps([list(sys.version_info[:2]), "
        "'GStreamer:                   YES' in cv2.getBuildInformation()]))"
    )
    probed = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    if probed.returncode or not json.loads(probed.stdout)[1]:
        pytest.skip("no system OpenCV with GStreamer; sudo apt install python3-opencv")
    if shutil.which("gst-inspect-1.0") is None:
        pytest.skip("no gst-inspect-1.0; sudo apt install gstreamer1.0-tools")
    if json.loads(probed.stdout)[0] != list(sys.version_info[:2]):
        pytest.skip("the system's Python is another version than the one that runs these tests")
    packages = tmp_path_factory.mktemp("packages")
    import msgspec

    (packages / "msgspec").symlink_to(Path(msgspec.__file__).parent)

    def run(script: str, *arguments: str) -> Any:
        ended = subprocess.run(
            [python, "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PYTHONPATH": f"{ROOT}:{packages}", "PATH": "/usr/bin:/bin"},
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


READ = """
import json, sys
from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.catalog import open_source
try:
    source = open_source(sys.argv[1])
    frames = list(source)
    source.close()
    first = frames[0]
    print(json.dumps({"frames": len(frames), "shape": first.image.shape, "fps": source.fps,
        "live": source.live, "length": source.length, "indices": [f.index for f in frames][-1],
        "name": source.name, "mean": float(first.image.mean()), "last": frames[-1].timestamp}))
except SourceError as error:
    print(json.dumps({"problem": error.problem, "found": error.found, "fix": error.fix}))
"""


def test_a_pipeline_gives_its_frames(with_gstreamer: Run) -> None:
    report = with_gstreamer(READ, f"gst:{TEST_PICTURE} ! {TO_BGR} sync=false")
    assert (report["frames"], report["shape"], report["indices"]) == (5, [48, 64, 3], 4)
    assert (report["fps"], report["live"], report["name"]) == (10.0, True, "gst:videotestsrc")
    assert 20 < report["mean"] < 235


def test_a_real_film_through_a_pipeline(with_gstreamer: Run, shared: Path) -> None:
    film = shared / "data/video/car-detection.mp4"
    report = with_gstreamer(
        READ, f"gst:filesrc location={quoted(str(film))} ! decodebin ! {TO_BGR} sync=false"
    )
    assert (report["frames"], report["shape"], report["live"]) == (377, [432, 768, 3], False)
    assert report["last"] == pytest.approx(376 / report["fps"])


DECODED_TWICE = """
import json, sys
import numpy as np
from edgessd.pipeline.sources.catalog import open_video
from edgessd.target.spec import CameraSpec
mine = open_video(sys.argv[2], CameraSpec(file=sys.argv[1]))
ffmpeg = open_video(sys.argv[2], CameraSpec())
away = [float(np.abs(a.image.astype(int) - b.image).mean()) for a, b in zip(mine, ffmpeg)]
print(json.dumps({"decoders": [mine.decoder, ffmpeg.decoder], "frames": len(away), "away": max(away)}))
"""


def test_the_device_s_decoder_and_ffmpeg_see_the_same_film(
    with_gstreamer: Run, shared: Path, tmp_path: Path
) -> None:
    film = tmp_path / 'my "first" film.mp4'
    shutil.copy(shared / "data/video/car-detection.mp4", film)
    report = with_gstreamer(DECODED_TWICE, on_this_machine(ORIN.file), str(film))
    assert (report["decoders"], report["frames"]) == (["GStreamer", "FFmpeg"], 377)
    assert report["away"] < 3  # the decoders convert YUV to BGR a little differently


def test_ffmpeg_decodes_if_the_hardware_refuses(with_gstreamer: Run, shared: Path) -> None:
    if not missing_elements(["nvvidconv"]):
        pytest.skip("this machine has NVIDIA's elements")
    script = DECODED_TWICE.replace("zip(mine, ffmpeg)", "islice(zip(mine, ffmpeg), 3)")
    script = "from itertools import islice" + script
    report = with_gstreamer(script, ORIN.file, str(shared / "data/video/car-detection.mp4"))
    assert report["decoders"][0] == "FFmpeg; GStreamer refused: no nvvidconv"
    assert report["away"] == 0


def test_the_csi_string_is_a_pipeline(with_gstreamer: Run) -> None:
    """Without the elements that only a Jetson has."""
    text = on_this_machine(csi_pipeline("csi:0?width=640&height=360&fps=30", ORIN, here="x"))
    report = with_gstreamer(READ, f"gst:{text}")
    assert report["shape"] == [360, 640, 3]
    assert 1 <= report["frames"] <= 9  # drop=true: frames that weren't read in time are gone


MISSING = """
import json, sys
from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.csi import open_csi
from edgessd.target.load import load_target
try:
    open_csi("csi:0", load_target("jetson-orin-nano").camera, here="jetson-orin-nano")
except SourceError as error:
    print(json.dumps({"problem": error.problem, "found": error.found, "fix": error.fix}))
"""


def test_a_missing_element_is_named_with_its_package(with_gstreamer: Run) -> None:
    if not missing_elements(["nvarguscamerasrc"]):
        pytest.skip("this machine has NVIDIA's elements")
    report = with_gstreamer(MISSING)
    assert report["problem"] == "csi:0 needs GStreamer elements that aren't installed"
    assert report["found"] == "no nvarguscamerasrc and no nvvidconv"
    assert "only on a Jetson: use --camera N" in report["fix"]


def test_the_packages_to_install_depend_on_the_machine() -> None:
    missing = ("nvarguscamerasrc", "nvvidconv", "h264parse", "x")
    assert how_to_install(missing, on_jetson=True) == (
        "sudo apt install gstreamer1.0-plugins-bad nvidia-l4t-gstreamer; check the spelling of x, or "
        "look for its package with `apt-cache search gstreamer1.0`"
    )
    assert "nvidia-l4t" not in how_to_install(missing, on_jetson=False)


@pytest.mark.parametrize(
    ("pipeline", "found"),
    [
        (f'filesrc location="/nothing.mp4" ! decodebin ! {TO_BGR}', "Resource not found"),
        (f"v4l2src device=/dev/video77 ! {TO_BGR}", "Cannot identify device"),
        ("videotestsrc ! videoconvert ! appsink !", "syntax error"),
    ],
)
def test_a_pipeline_that_does_not_start_gives_gstreamer_s_reason(
    with_gstreamer: Run, pipeline: str, found: str
) -> None:
    report = with_gstreamer(READ, f"gst:{pipeline}")
    assert "doesn't start" in report["problem"]
    assert found in report["found"]
    assert "gst-launch-1.0" in report["fix"]


def test_a_pipeline_without_appsink_is_refused(with_gstreamer: Run) -> None:
    assert "has no appsink" in with_gstreamer(READ, "gst:videotestsrc ! fakesink")["problem"]
    assert "has no appsink" in with_gstreamer(READ, "gst:")["problem"]


def test_pictures_that_are_not_bgr_are_refused(with_gstreamer: Run) -> None:
    report = with_gstreamer(READ, "gst:videotestsrc ! video/x-raw,format=I420 ! appsink")
    assert "aren't BGR" in report["problem"]
    assert "videoconvert" in report["fix"]


def test_a_misspelled_element_is_distinguished_from_one_to_install(with_gstreamer: Run) -> None:
    report = with_gstreamer(READ, "gst:videotestsrc ! videoconvrt ! nosuchthing ! appsink")
    assert report["found"] == "no videoconvrt and no nosuchthing"
    assert "check the spelling of nosuchthing" in report["fix"]


def test_without_gst_inspect_nothing_is_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"sudo apt install gstreamer1\.0-tools"):
        missing_elements(["videotestsrc"])
