"""Precision-recall curves: the mean curve, and pictures for any number of classes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgessd.metrics.matching import ClassMatches
from edgessd.metrics.pr_curve import mean_curve, plot_pr_curves
from edgessd.metrics.voc import voc10_ap


def matches_of(hits, boxes: int, label: str = "a") -> ClassMatches:
    scores = np.linspace(0.9, 0.1, len(hits)).astype(np.float32)
    return ClassMatches(label=label, scores=scores, hits=np.array(hits, bool), boxes=boxes)


def test_the_mean_curve_has_the_mean_ap() -> None:
    random = np.random.default_rng(0)
    shown = [matches_of(random.random(40) < 0.6, boxes=30, label=str(index)) for index in range(5)]
    recall, precision = mean_curve(shown, points=20_001)
    area = float(np.sum(np.diff(recall) * precision[1:]))
    assert area == pytest.approx(np.mean([voc10_ap(item) for item in shown]), abs=1e-3)


def test_a_class_that_is_never_found_lowers_the_mean() -> None:
    _, precision = mean_curve([matches_of([1, 1], boxes=2), matches_of([], boxes=4)])
    np.testing.assert_allclose(precision, 0.5)


@pytest.mark.parametrize("classes", [0, 1, 3, 20, 80])
def test_any_number_of_classes_fits(tmp_path: Path, classes: int) -> None:
    shown = [matches_of([1, 0, 1], boxes=4, label=f"class {index}") for index in range(classes)]
    without_truth = matches_of([0, 0], boxes=0, label="nothing to find")
    plot_pr_curves([*shown, without_truth], tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image.shape[0] > 600
    assert image.shape[1] < 2200
    colored = image.max(axis=2).astype(int) - image.min(axis=2) > 60
    assert colored.any() == bool(classes)
