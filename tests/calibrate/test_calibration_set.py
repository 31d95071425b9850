"""A calibration set reads each image once, and its memory doesn't grow with them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgessd.calibrate import calibration_set
from edgessd.calibrate.audit import audit_calibration
from edgessd.calibrate.calibration_set import SAMPLES, CalibrationSet, KnownDataset, evenly
from edgessd.calibrate.collect import collect
from edgessd.calibrate.samples import draw_samples
from edgessd.core.contract import Preprocess
from edgessd.core.errors import DataError
from edgessd.core.images import read_image
from edgessd.core.preprocess import fit_image
from edgessd.graph.float_graph import FloatGraph

SPEC = Preprocess(
    width=32, height=24, resize="stretch", color="RGB", mean=(127.5,) * 3, std=(127.5,) * 3
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty different images and one that is broken."""
    path = tmp_path_factory.mktemp("forty")
    random = np.random.default_rng(3)
    for index in range(40):
        small = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(path / f"{index:02}.png"), cv2.resize(small, (64 + index, 48)))
    (path / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    return path


@dataclass
class Work:
    """Number of decodings and hashings of each image, by the sha256 of its file."""

    decoded: Counter[str] = field(default_factory=Counter)
    hashed: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Count what OpenCV decodes and hashlib hashes."""
    counts, decode, sha256 = Work(), cv2.imdecode, hashlib.sha256

    def counting_decode(content: np.ndarray, flags: int) -> np.ndarray:
        counts.decoded[sha256(content.tobytes()).hexdigest()] += 1
        return decode(content, flags)

    def counting_sha256(content: bytes = b"", **options: bool) -> object:
        digest = sha256(content, **options)
        counts.hashed[digest.hexdigest()] += 1
        return digest

    with monkeypatch.context() as patched:
        patched.setattr(cv2, "imdecode", counting_decode)
        patched.setattr(hashlib, "sha256", counting_sha256)
        yield counts


def digests(paths: tuple[Path, ...]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_a_build_decodes_and_hashes_each_image_once(
    small_graph: FloatGraph, folder: Path, work: Work
) -> None:
    images = CalibrationSet(
        folder.iterdir(),
        dataset=KnownDataset(name="all", trained={}, calibrated={}, evaluation={"val": ()}),
    )
    judged = evenly(images.paths, 24)
    images.keep(judged)
    # The steps of a build: cache key, samples, table, audit, parity gate, tensors that stay float.
    keys = [images.sha256(path) for path in images.paths]
    draw_samples(images, small_graph.contract)
    table = collect(small_graph, images)
    audit = audit_calibration(table, images, saturation={}, minimum=1, labels=("cat",))
    for path in judged:
        images.photo(path)
    draw_samples(images, small_graph.contract, count=4)
    assert (audit.images, audit.unreadable) == (40, 1)
    done, expected = Work(Counter(work.decoded), Counter(work.hashed)), digests(images.paths)
    assert keys == expected
    assert [done.hashed[digest] for digest in expected] == [1] * 41
    # The broken file isn't handed to the decoder: it ends before its pixels do.
    assert sorted(done.decoded.values()) == [1] * 40


def test_photos_that_exceed_the_memory_are_decoded_again(
    folder: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(folder.glob("*.png"))[:3]
    one = read_image(paths[0]).nbytes
    work.decoded.clear()
    monkeypatch.setattr(calibration_set, "PHOTO_BYTES", one)
    images = CalibrationSet(paths)
    images.keep(paths)
    for _ in range(3):
        for path in paths:
            np.testing.assert_array_equal(images.photo(path).shape[2], 3)
    assert [work.decoded[digest] for digest in digests(images.paths)] == [1, 3, 3]


def test_pixels_are_those_of_the_file(folder: Path) -> None:
    images = CalibrationSet(folder.glob("*.png"))
    path = images.paths[7]
    np.testing.assert_array_equal(images.photo(path), read_image(path))
    wider = SPEC.__class__(
        width=40, height=24, resize="letterbox", color="BGR", mean=SPEC.mean, std=SPEC.std
    )
    for spec in (SPEC, wider, SPEC):
        expected, _ = fit_image(read_image(path), spec)
        np.testing.assert_array_equal(images.network_pixels(path, spec), expected)


def test_only_samples_stay_in_memory(tmp_path: Path, work: Work) -> None:
    content = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for index in range(2 * SAMPLES):
        (tmp_path / f"{index:03}.png").write_bytes(content)
    images = CalibrationSet(tmp_path.iterdir())
    for _ in range(2):
        for path in images.paths:
            images.network_pixels(path, SPEC)
    (count,) = work.decoded.values()
    assert count == 2 * (2 * SAMPLES) - SAMPLES


def test_broken_and_missing_files_have_a_reason(folder: Path, tmp_path: Path) -> None:
    broken, missing = folder / "broken.jpg", tmp_path / "missing.png"
    images = CalibrationSet([broken, missing])
    for path in (broken, missing):
        with pytest.raises(DataError, match=path.name):
            images.photo(path)
        with pytest.raises(DataError, match=path.name):
            images.network_pixels(path, SPEC)
    prints = {item.path: item for item in images.fingerprints()}
    assert prints[broken].sha256 == images.sha256(broken) == digests((broken,))[0]
    assert "too early" in (prints[broken].broken or "")
    assert (prints[missing].sha256, images.sha256(missing)) == ("", "")
    assert "No such file" in (prints[missing].broken or "")


def test_paths_are_sorted_and_each_once(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    images = CalibrationSet([*reversed(paths), paths[0]], source="a folder")
    assert images.paths == tuple(paths)
    assert len(images) == len(paths)
    known = KnownDataset(name="x", trained={}, calibrated={}, evaluation={})
    assert images.with_dataset(known).dataset is known
    assert images.with_dataset(known).source == "a folder"


def test_evenly_spreads_over_all_items() -> None:
    assert evenly(range(10), 4) == [0, 2, 5, 7]
    assert evenly(range(3), 4) == [0, 1, 2]
