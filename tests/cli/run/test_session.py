"""`edgessd run` on a real film and real images, with a detector that others made."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import cv2
import pytest
from command_line import edgessd, start_edgessd

from edgessd.pipeline.sources.camera import list_cameras

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def google(shared: Path) -> Path:
    folder = shared / "data/google_ssd_mobilenet_v1_coco"
    return folder / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"


@pytest.fixture(scope="module")
def film(shared: Path) -> Path:
    return shared / "data/video/one-by-one-person-detection.mp4"


def test_video_to_recording_and_json_lines(google: Path, film: Path, tmp_path: Path) -> None:
    words = ("--record", "out.mp4", "--jsonl", "out.jsonl", "--max-frames", 200, "--json")
    done = edgessd("run", "--model", google, "--source", film, *words, cwd=tmp_path)
    summary = done.json
    assert summary["frames"] == 200
    assert summary["dropped"] == 0
    assert summary["detections"]["person"] > 50
    assert summary["latency_ms"]["total"]["p50"] > 0

    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["frame"] for record in records] == list(range(200))
    assert sum(len(record["detections"]) for record in records) == sum(
        summary["detections"].values()
    )
    first = next(record for record in records if record["detections"])
    assert (first["width"], first["height"]) == (768, 432)
    x1, y1, x2, y2 = first["detections"][0]["box"]
    assert 0 <= x1 < x2 <= 768
    assert 0 <= y1 < y2 <= 432

    recording = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert int(recording.get(cv2.CAP_PROP_FRAME_COUNT)) == 200
    assert int(recording.get(cv2.CAP_PROP_FRAME_WIDTH)) == 768
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4"]


def test_json_lines_on_stdout_are_nothing_but_json(
    google: Path, shared: Path, tmp_path: Path
) -> None:
    folder = shared / "data/coco128/images/val2017"
    words = ("--jsonl", "-", "--max-frames", 6)
    done = edgessd("run", "--model", google, "--source", folder, *words, cwd=tmp_path)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert len(records) == 6
    assert all(Path(record["source"]).parent == folder for record in records)


def test_interrupt_ends_cleanly_with_a_playable_recording(
    google: Path, film: Path, tmp_path: Path
) -> None:
    words = ("--source", film, "--record", "cut.mp4", "--jsonl", "cut.jsonl")
    process = start_edgessd("run", "--model", google, *words, cwd=tmp_path)
    lines = tmp_path / "cut.jsonl"
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.stat().st_size > 2000) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    frames = len(lines.read_text().splitlines())
    assert f"{frames} frames at" in errors
    assert 0 < frames < 1394
    recording = cv2.VideoCapture(str(tmp_path / "cut.mp4"))
    assert int(recording.get(cv2.CAP_PROP_FRAME_COUNT)) == frames


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--source", "absent.mp4"), "absent.mp4"),
        (("--source", "absent.jpg"), "There is no image absent.jpg"),
        (("--source", "."), "holds no image"),
        (("--camera", 4242), "no camera 4242"),
    ],
)
def test_a_source_that_is_not_there_is_one_paragraph(
    google: Path, tmp_path: Path, words: tuple[object, ...], expected: str
) -> None:
    assert 4242 not in list_cameras()
    done = edgessd("run", "--model", google, *words, cwd=tmp_path, code=1)
    assert expected in " ".join(done.err.split())
    assert done.err.startswith("edgessd: ")
    assert done.out == ""


def test_neither_camera_nor_source_is_wrong_usage(tmp_path: Path) -> None:
    done = edgessd("run", cwd=tmp_path, code=2)
    assert "--camera" in done.err


def test_unwritable_recording_is_refused_before_the_film_is_through(
    google: Path, film: Path, tmp_path: Path
) -> None:
    done = edgessd(
        "run", "--model", google, "--source", film, "--record", "a.gif", cwd=tmp_path, code=2
    )
    assert ".mp4" in done.err
