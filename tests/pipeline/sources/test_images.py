"""Images as a source."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from edgessd.core.errors import SourceError
from edgessd.pipeline.sources.images import ImageSource


def _write(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> Path:
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))
    return path


def test_a_broken_image_is_skipped_with_its_reason_and_numbers_stay(tmp_path: Path) -> None:
    paths = [_write(tmp_path / "a.png", 10), tmp_path / "b.png", _write(tmp_path / "c.png", 30)]
    paths[1].write_bytes(b"no image")
    source = ImageSource("folder", paths)
    frames = list(source)
    assert [(frame.index, frame.image[0, 0, 0]) for frame in frames] == [(0, 10), (2, 30)]
    ((skipped, reason),) = source.skipped
    assert skipped == str(paths[1])
    assert reason


def test_no_image_is_refused() -> None:
    with pytest.raises(SourceError, match=r"empty/ holds no image.*\.png"):
        ImageSource("empty/", [])


def test_an_image_that_does_not_fit_into_memory_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = _write(tmp_path / "large.png", 0, size=(4000, 3000))
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=1_000_000))
    source = ImageSource("folder", [large, _write(tmp_path / "small.png", 7)])
    (frame,) = source
    assert frame.index == 1
    assert "4000x3000 pixels" in source.skipped[0][1]
