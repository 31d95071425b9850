"""Samples of the calibration images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.samples import draw_samples, network_input, no_samples
from edgessd.core.images import read_image
from edgessd.core.network_tensors import image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.graph.float_graph import FloatGraph


def test_a_sample_becomes_the_input_of_the_plain_preprocessing(
    small_graph: FloatGraph, photos: Path
) -> None:
    contract = small_graph.contract
    samples = draw_samples(CalibrationSet(photos.iterdir()), contract, count=4)
    assert (samples.shape, samples.dtype) == ((4, 3, 64, 97), np.uint8)
    first = read_image(min(photos.iterdir()))
    expected, _ = preprocess_image(first, contract.preprocess, image_spec(contract.preprocess))
    found = network_input(samples[0], contract.preprocess)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_unreadable_image_is_left_out(
    small_graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"text")
    images = CalibrationSet([tmp_path / "broken.png", photos / "00.png"])
    assert len(draw_samples(images, small_graph.contract)) == 1
    only_broken = CalibrationSet([tmp_path / "broken.png"])
    none = draw_samples(only_broken, small_graph.contract)
    assert none.shape == no_samples(small_graph.contract.preprocess).shape == (0, 3, 64, 97)
