"""A build decodes and hashes its calibration images once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import IO, Any

import cv2
import msgspec
import pytest

from edgessd.build.build_bundle import BuildRequest, build_bundle, export_checkpoint
from edgessd.build.calibration_images import images_in
from edgessd.quantize.recipe import ParityBound, load_recipe
from edgessd.target.load import load_target

pytestmark = pytest.mark.slow


def test_a_build_hashes_and_decodes_each_calibration_image_once(
    confident_checkpoint: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float passes, calibration, audit and parity gate share one set of images."""
    exported = export_checkpoint(confident_checkpoint)
    images = images_in(photos, limit=16)
    request = BuildRequest(
        target=load_target("host"),
        checkpoint=confident_checkpoint,
        name="confident",
        out=tmp_path / "bundle",
        recipe=msgspec.structs.replace(
            load_recipe("default"), parity=ParityBound(agreement=0, images=8, detections=5)
        ),
        images=lambda: images,
        cache=tmp_path / "cache",
    )
    opened: Counter[Path] = Counter()
    decoded: list[int] = []
    open_file, decode = Path.open, cv2.imdecode

    def counting_open(path: Path, *args: Any, **kwargs: Any) -> IO[Any]:
        if path.parent == photos:
            opened[path] += 1
        return open_file(path, *args, **kwargs)

    def counting_decode(*args: Any) -> Any:
        decoded.append(1)
        return decode(*args)

    monkeypatch.setattr(Path, "open", counting_open)
    monkeypatch.setattr(cv2, "imdecode", counting_decode)
    result = build_bundle(request, exported=exported)
    assert result.bundle.manifest.parity is not None
    assert result.bundle.manifest.parity.verdict == "passed"
    # The hashes come first, since they tell whether an earlier build's table serves again.
    assert opened == Counter(dict.fromkeys(images.paths, 2))
    assert len(decoded) == len(images.paths)
