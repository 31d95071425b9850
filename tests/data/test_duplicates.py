"""Copies of an image are found by their look."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgessd.data.duplicates import find_duplicates, fingerprints


def test_near_copies_of_real_photos(shared: Path, tmp_path: Path) -> None:
    """Each photo is found in its smaller, brighter, coarser copy, and in nothing else."""
    photos = sorted((shared / "data" / "coco_train").glob("*.jpg"))[:40]
    copies = []
    for photo in photos[:10]:
        picture = cv2.imread(str(photo))
        changed = cv2.convertScaleAbs(cv2.resize(picture, None, fx=0.6, fy=0.6), beta=12)
        copies.append(tmp_path / photo.name)
        cv2.imwrite(str(copies[-1]), changed, [cv2.IMWRITE_JPEG_QUALITY, 55])
    groups = find_duplicates(fingerprints([*photos, *copies]))
    assert {frozenset(group.paths) for group in groups} == {
        frozenset(pair) for pair in zip(photos, copies, strict=False)
    }
