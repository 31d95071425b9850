"""An error is one paragraph: problem, expected, found, way out."""

from __future__ import annotations

import inspect

from edgessd.core import errors
from edgessd.core.errors import DataError, EdgessdError


def test_all_parts_become_sentences_of_one_paragraph() -> None:
    error = DataError("No images", expected="photos", found="nothing ", fix="Take some!")
    assert error.paragraph() == "No images. Expected photos. Found nothing. Take some!"
    assert str(error) == error.paragraph()
    assert (error.expected, error.found, error.fix) == ("photos", "nothing ", "Take some!")


def test_absent_parts_are_left_out() -> None:
    assert EdgessdError("It failed").paragraph() == "It failed."


def test_every_error_is_an_edgessd_error() -> None:
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 5
    assert all(issubclass(value, EdgessdError) for value in classes)
