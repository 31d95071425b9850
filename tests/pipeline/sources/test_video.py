"""Video files that are missing or can't be decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.video import VideoSource, codec_of, plausible_rate


@pytest.mark.parametrize(
    ("stated", "rate"), [(29.97, 29.97), (1000.0, 1000.0), (0.0, None), (90_000.0, None)]
)
def test_an_impossible_rate_is_unknown(stated: float, rate: float | None) -> None:
    assert plausible_rate(stated) == rate


@pytest.mark.parametrize(
    ("content", "codec"),
    [
        (b"..stsd" + b"\0" * 4 + b"\0\0\0\x01" + b"\0\0\0\x20" + b"av01...", "av01"),
        (b"\x1aE\xdf\xa3...V_MPEGH/ISO/HEVC...", "V_MPEGH/ISO/HEVC"),
    ],
)
def test_the_codec_of_a_file_is_named(tmp_path: Path, content: bytes, codec: str) -> None:
    path = tmp_path / "film"
    path.write_bytes(content)
    assert codec_of(path) == f"a video of the codec {codec}"


def test_a_file_that_is_no_video_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"text")
    assert codec_of(path) is None
    with pytest.raises(SourceError, match=r"a file of another kind.*ffmpeg -i"):
        VideoSource(str(path))


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a folder at"):
        VideoSource(str(tmp_path))
