"""One way to store a dataset, as `dataset.FORMATS` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgessd.data.problems import ProblemLog
from edgessd.data.split_names import Splits


class Finder(Protocol):
    """Function that recognizes a format."""

    def __call__(self, root: Path) -> str | None:
        """Return the files that make a folder a dataset of this format, or None."""
        ...


class Loader(Protocol):
    """Function that reads a format."""

    def __call__(
        self, root: Path, log: ProblemLog, *, allow_unlabeled: bool
    ) -> tuple[tuple[str, ...], Splits]:
        """Return the labels and the splits of a folder that the finder recognizes.

        Args:
            root: The folder.
            log: Record of the problems found.
            allow_unlabeled: Accept any number of images without labels, as background.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetFormat:
    """One format.

    Attributes:
        name: Name in `Dataset.format`.
        layout: Title and files, for people.
        find: Recognizes a folder.
        load: Reads a folder.
    """

    name: str
    layout: str
    find: Finder
    load: Loader
