"""Problems of a dataset, collected and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import DataError
from edgessd.data.problems import ProblemLog, refuse


def test_occurrences_are_grouped_with_errors_first(tmp_path: Path) -> None:
    log = ProblemLog(tmp_path)
    for number in range(5):
        log.add("missing_image", tmp_path / f"{number}.png")
    log.add("missing_images", tmp_path.parent / "elsewhere.png", "not here")
    error, warning = log.problems()
    assert (error.kind, error.severity) == ("missing_images", "error")
    assert error.where == (f"{tmp_path.parent / 'elsewhere.png'}: not here",)
    assert (warning.severity, warning.count) == ("warning", 5)
    assert warning.first() == "0.png; 1.png; 2.png; and 2 more"


def test_an_unknown_kind_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ProblemLog(tmp_path).add("bad_luck", "a.png")


def test_errors_are_refused_and_warnings_are_not(tmp_path: Path) -> None:
    log = ProblemLog(tmp_path)
    log.add("missing_image", "a.png")
    refuse(tmp_path, log.problems())
    log.add("missing_images", "b.png")
    with pytest.raises(DataError, match=r"b\.png.*edgessd data check") as caught:
        refuse(tmp_path, log.problems())
    assert "a.png" not in str(caught.value)
