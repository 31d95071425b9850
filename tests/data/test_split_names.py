"""Splits named by files and folders, and limits on missing labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.data.problems import ProblemLog
from edgessd.data.split_names import note_missing, note_unlabeled, split_name


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017", "train"),
        ("valid", "val"),
        ("Validation.txt", "val"),
        ("train_and_test", "test"),
        ("trainval", None),
        ("images", None),
    ],
)
def test_the_last_word_that_names_a_split_decides(name: str, split: str | None) -> None:
    assert split_name(name) == split


@pytest.mark.parametrize(
    ("count", "allowed", "kind"),
    [(2, False, "unlabelled_image"), (3, False, "half_labelled"), (9, True, "unlabelled_image")],
)
def test_images_without_labels_are_an_error_above_the_limit(
    tmp_path: Path, count: int, allowed: bool, kind: str
) -> None:
    log = ProblemLog(tmp_path)
    paths = [tmp_path / f"{number}.png" for number in range(count)]
    note_unlabeled("train", paths, 10, log, limit=0.2, allowed=allowed)
    assert [(problem.kind, problem.count) for problem in log.problems()] == [(kind, count)]


@pytest.mark.parametrize(("count", "kind"), [(2, "missing_image"), (3, "missing_images")])
def test_missing_images_are_an_error_above_a_fifth(tmp_path: Path, count: int, kind: str) -> None:
    log = ProblemLog(tmp_path)
    note_missing("val", [tmp_path / f"{number}.png" for number in range(count)], 10, log)
    assert [problem.kind for problem in log.problems()] == [kind]
