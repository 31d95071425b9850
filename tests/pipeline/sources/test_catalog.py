"""Opening of files, folders and cameras by address: their frames, their order, and the refusals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.catalog import open_source


def write_image(path: Path, shade: int, size: tuple[int, int] = (40, 30)) -> None:
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), shade, np.uint8))


def test_video_gives_every_frame_with_its_position(shared: Path) -> None:
    source = open_source(str(shared / "data/video/car-detection.mp4"))
    frames = list(source)
    source.close()
    assert source.length == len(frames) == 377
    assert (frames[0].width, frames[0].height) == (768, 432)
    assert [frame.index for frame in frames] == list(range(377))
    assert frames[-1].timestamp == pytest.approx(376 / source.fps)
    assert not source.live


def test_folder_gives_images_sorted_by_name(tmp_path: Path) -> None:
    for name, shade in (("b.png", 20), ("a.png", 10), ("c.jpg", 30)):
        write_image(tmp_path / name, shade)
    (tmp_path / "notes.txt").write_text("not an image")
    frames = list(open_source(str(tmp_path)))
    assert [Path(frame.source).name for frame in frames] == ["a.png", "b.png", "c.jpg"]
    assert [int(frame.image.mean()) for frame in frames[:2]] == [10, 20]


def test_glob_and_single_image(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.jpg"):
        write_image(tmp_path / name, 50)
    assert len(list(open_source(str(tmp_path / "*.png")))) == 2
    assert len(list(open_source(str(tmp_path / "a.jpg")))) == 1


def test_broken_image_is_named_and_left_out(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 10, (200, 200))
    write_image(tmp_path / "b.jpg", 20, (200, 200))
    whole = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) // 2])
    source = open_source(str(tmp_path))
    assert [frame.index for frame in source] == [0]
    assert [Path(name).name for name, _ in source.skipped] == ["b.jpg"]
    assert "b.jpg" in source.skipped[0][1]


@pytest.mark.parametrize("name", ["film.mp4", "folder/film.mkv"])
def test_missing_video_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=name) as refusal:
        open_source(str(tmp_path / name))
    assert refusal.value.fix


def test_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"not a film at all" * 100)
    with pytest.raises(SourceError, match="can't be decoded"):
        open_source(str(tmp_path / "film.mp4"))


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no image"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "camera:",
        "camera:front",
        "camera:0?",
        "camera:0?width=wide",
        "camera:0?size=9",
        "camera:0?fps=",
    ],
)
def test_a_wrong_camera_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="isn't a camera"):
        open_source(text)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(SourceError, match="width=-5"):
        open_source("camera:0?width=-5")
    with pytest.raises(SourceError, match="fps=nan"):
        open_source("camera:0?fps=nan")
