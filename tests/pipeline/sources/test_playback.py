"""Playback at the own speed and in a loop, and unusual files."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.pipeline import Pipeline
from edgessd.pipeline.sources.catalog import is_images, open_source
from edgessd.pipeline.streams import Streams
from edgessd.runtime.detector import Detector
from edgessd.runtime.starter import starter_bundle

pytestmark = pytest.mark.realtime


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a video of ten frames at 20 FPS; frame n has the gray value 20 n."""
    path = tmp_path_factory.mktemp("film") / "ten.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


# --- pace and loop ------------------------------------------------------------------------------------


def test_a_paced_film_comes_as_from_a_camera(film: Path) -> None:
    source = open_source(SourceOptions(address=str(film), pace=True))
    start = time.perf_counter()
    frames = list(source)
    source.close()
    assert time.perf_counter() - start == pytest.approx(0.45, abs=0.2)
    assert source.live
    assert [frame.timestamp for frame in frames] == pytest.approx([n / 20 for n in range(10)])
    due = np.array([frame.captured_at - frames[0].captured_at for frame in frames])
    assert np.abs(due - np.arange(10) / 20).max() < 0.1


def test_a_slow_reader_of_a_paced_film_loses_frames(film: Path) -> None:
    streams = Streams([open_source(SourceOptions(address=str(film), pace=True))])
    streams.start()
    indices = []
    while (taken := streams.take()) is not None:
        indices.append(taken.frame.index)
        time.sleep(0.12)
    streams.close()
    assert 3 <= len(indices) <= 6
    assert streams.dropped(0) == 10 - len(indices)


def test_a_looped_film_continues_to_count(film: Path) -> None:
    source = open_source(SourceOptions(address=str(film), loop=True))
    frames = list(islice(source, 25))
    source.close()
    assert (source.live, source.length) == (False, None)
    assert [frame.index for frame in frames] == list(range(25))
    assert [frame.timestamp for frame in frames] == pytest.approx([n / 20 for n in range(25)])
    assert [round(float(frame.image.mean()) / 20) for frame in frames[8:13]] == [8, 9, 0, 1, 2]


def test_paced_images_have_the_requested_rate(tmp_path: Path) -> None:
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    source = open_source(SourceOptions(address=str(tmp_path), pace=True, loop=True, fps=50))
    frames = list(islice(source, 7))
    source.close()
    assert source.fps == 50
    assert [Path(frame.source).stem for frame in frames] == list("abcabca")
    assert [frame.timestamp for frame in frames] == pytest.approx([n / 50 for n in range(7)])


def test_a_loop_without_a_picture_ends(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not a picture")
    source = open_source(SourceOptions(address=str(tmp_path), loop=True))
    with pytest.raises(SourceError, match="nothing to repeat"):
        list(source)
    assert len(source.skipped) == 1


def test_a_wait_for_the_next_frame_ends_at_once(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    streams = Streams(
        [open_source(SourceOptions(address=str(tmp_path), pace=True, loop=True, fps=0.01))]
    )
    streams.start()
    assert streams.take() is not None
    start = time.monotonic()
    streams.close()
    assert time.monotonic() - start < 1


# --- strange files -------------------------------------------------------------------------------------


def test_a_huge_and_a_tiny_picture_are_detected(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "huge.png"), np.full((10_000, 10_000), 128, np.uint8))
    cv2.imwrite(str(tmp_path / "tiny.png"), np.full((1, 1, 3), 128, np.uint8))
    with (
        Detector(starter_bundle(), threads=1) as detector,
        Pipeline(str(tmp_path), detector) as pipeline,
    ):
        sizes = [(result.frame.width, result.frame.height) for result in pipeline]
        assert pipeline.sources[0].skipped == []
    assert sizes == [(10_000, 10_000), (1, 1)]


def test_a_picture_larger_than_the_memory_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "bomb.png"), np.zeros((6000, 6000), np.uint8))
    cv2.imwrite(str(tmp_path / "fine.png"), np.zeros((60, 60), np.uint8))
    real = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=100_000_000))
    assert (tmp_path / "bomb.png").stat().st_size < 1_000_000
    source = open_source(str(tmp_path))
    assert [Path(frame.source).name for frame in source] == ["fine.png"]
    ((name, reason),) = source.skipped
    assert Path(name).name == "bomb.png"
    assert "6000x6000 pixels" in reason
    assert "0.2 GB of memory are needed and 0.1 GB are free" in reason


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no image .*\*\.png"):
        open_source(str(tmp_path / "*.png"))


def test_a_film_may_have_brackets_in_its_name(film: Path, tmp_path: Path) -> None:
    named = tmp_path / "take[1]*.avi"
    named.write_bytes(film.read_bytes())
    assert not is_images(str(named))
    assert len(list(open_source(str(named)))) == 10


def test_a_missing_codec_is_named(shared: Path, tmp_path: Path) -> None:
    content = (shared / "data/video/car-detection.mp4").read_bytes()
    strange = tmp_path / "strange.mp4"
    assert content.count(b"avc1") >= 1
    strange.write_bytes(content.replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC"))
    with pytest.raises(SourceError, match="a video of the codec zzz9"):
        list(open_source(str(strange)))


def test_a_film_that_was_cut_off_is_reported(shared: Path, tmp_path: Path) -> None:
    film = (shared / "data/video/car-detection.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    # The index is at the beginning of this film, so half of the pictures can still be read.
    if film.index(b"moov") > film.index(b"mdat"):
        pytest.skip("the film's index stands at its end")
    cut.write_bytes(film[: len(film) // 2])
    source = open_source(str(cut))
    frames = list(source)
    assert 50 < len(frames) < 300
    assert source.skipped == [(str(cut), f"ends after {len(frames)} of the 377 frames it states")]


def test_a_film_with_a_variable_rate_keeps_its_times(film: Path, tmp_path: Path) -> None:
    av = pytest.importorskip(
        "av", reason="no PyAV to write a film of changing rate; pip install av"
    )
    path = tmp_path / "changing.mp4"
    times = [0, 100, 200, 1000, 1100, 2500]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, when in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 40 * number, np.uint8), format="bgr24"
            )
            frame.pts, frame.time_base = when, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = list(open_source(str(path)))
    assert [frame.timestamp for frame in frames] == pytest.approx(
        [t / 1000 for t in times], abs=0.01
    )
