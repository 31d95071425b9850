"""Kinds of problems of a dataset, and a log of those found while it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgessd.core.errors import DataError

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemKind:
    """A kind of problem.

    Attributes:
        severity: `error` if the dataset can't be used; `warning` if the problem is only reported.
        text: Description that is followed by a count, as in "boxes without width or height: 2".
        done: The way the problem was handled, or has to be handled.
    """

    severity: Severity
    text: str
    done: str


_CORRECT = "correct or delete them"
KINDS: dict[str, ProblemKind] = {
    "broken_annotation": ProblemKind(
        severity="error", text="annotation files that can't be parsed", done="write them again"
    ),
    "unknown_class": ProblemKind(
        severity="error",
        text="boxes of a class that has no name in the dataset",
        done="add the class to the list of names, or correct the index",
    ),
    "malformed_label": ProblemKind(
        severity="error", text="label lines without a valid class and box", done=_CORRECT
    ),
    "missing_annotation": ProblemKind(
        severity="error",
        text="images of a split without an annotation file",
        done="label them, or remove them from the split's list",
    ),
    "half_labelled": ProblemKind(
        severity="error",
        text="images without labels, more than the usual number of background images",
        done="finish labeling; if they are background, pass --allow-unlabelled to `edgessd data "
        "convert`, whose output marks them as background",
    ),
    "missing_images": ProblemKind(
        severity="error",
        text="annotated images whose files are missing, more than a fifth of the split",
        done="put the images where the annotations name them",
    ),
    "unlabelled_image": ProblemKind(
        severity="warning", text="images without labels", done="taken as background"
    ),
    "unlisted_image": ProblemKind(
        severity="warning",
        text="images that no annotation file lists",
        done="left out",
    ),
    "missing_image": ProblemKind(
        severity="warning", text="annotated images whose files are missing", done="left out"
    ),
    "broken_image": ProblemKind(
        severity="warning", text="image files that are broken or truncated", done="left out"
    ),
    "degenerate_box": ProblemKind(
        severity="warning", text="boxes without width or height", done="left out"
    ),
    "outside_box": ProblemKind(
        severity="warning", text="boxes that exceed their image", done="clipped to it"
    ),
    "lost_box": ProblemKind(
        severity="warning", text="boxes completely outside their image", done="left out"
    ),
    "repeated_box": ProblemKind(
        severity="warning", text="boxes listed twice in one image", done="kept once"
    ),
    "size_mismatch": ProblemKind(
        severity="warning",
        text="annotations with another image size than the file has",
        done="the file's size is used",
    ),
    "turned_image": ProblemKind(
        severity="warning",
        text="images that EXIF turns after they were labeled",
        done="their boxes are turned with them",
    ),
    "repeated_image": ProblemKind(
        severity="warning", text="images listed twice in one split", done="kept once"
    ),
    "split_overlap": ProblemKind(
        severity="warning",
        text="images listed in more than one split",
        done="evaluation on them measures memory; list each image once",
    ),
    "split_differs": ProblemKind(
        severity="warning",
        text="images that are in trainval.txt but not in train.txt or val.txt, or the reverse",
        done="train.txt and val.txt are used",
    ),
    "leak": ProblemKind(
        severity="warning",
        text="pictures that occur in more than one split",
        done="evaluation on them measures memory; `edgessd data convert --split` keeps copies "
        "together",
    ),
    "duplicate": ProblemKind(
        severity="warning",
        text="pictures that occur more than once in a split",
        done="kept; they count double",
    ),
    "unused_class": ProblemKind(
        severity="warning", text="classes without boxes", done="kept as labels"
    ),
    "root_category": ProblemKind(
        severity="warning",
        text="categories that only group others and have no boxes",
        done="left out of the labels",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """All occurrences of one kind of problem.

    Attributes:
        kind: Key of `KINDS`.
        where: One line per occurrence: the file, relative to the dataset, with a place or value.
        severity: Severity as in `KINDS`, except for broken images, which are errors in an audit.
    """

    kind: str
    where: tuple[str, ...]
    severity: Severity

    @property
    def count(self) -> int:
        """Number of occurrences."""
        return len(self.where)

    @property
    def text(self) -> str:
        """Description with the count: "boxes without width or height: 2"."""
        return f"{KINDS[self.kind].text}: {self.count:,}"

    @property
    def done(self) -> str:
        """The way the problem was handled, or has to be handled."""
        return KINDS[self.kind].done

    def first(self, limit: int = 3) -> str:
        """List the first occurrences and the number of the others."""
        more = self.count - limit
        return "; ".join(self.where[:limit]) + (f"; and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class ProblemLog:
    """Collect problems while a dataset is read.

    Attributes:
        root: Folder of the dataset; file names are relative to it.
    """

    root: Path
    _places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, path: Path | str, detail: str = "") -> None:
        """Note one occurrence; `kind` must be a key of `KINDS`."""
        if kind not in KINDS:
            raise KeyError(kind)
        name = self._relative(path) if isinstance(path, Path) else path
        self._places.setdefault(kind, []).append(f"{name}: {detail}" if detail else name)

    def problems(self) -> tuple[Problem, ...]:
        """Return the noted problems in the order of `KINDS`, errors first."""
        return tuple(
            Problem(kind=kind, where=tuple(self._places[kind]), severity=KINDS[kind].severity)
            for kind in KINDS
            if kind in self._places
        )

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def refuse(root: Path, problems: Sequence[Problem]) -> None:
    """Check that the problems include no error.

    Raises:
        DataError: The problems include an error. The message lists each kind of error with its count,
            its first occurrences and the way to fix it.
    """
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return
    found = ". ".join(f"{problem.text} ({problem.first()}); {problem.done}" for problem in errors)
    raise DataError(
        f"The dataset {root} has errors, so it can't be used for training or evaluation",
        found=found,
        fix=f"`edgessd data check {root}` lists all problems",
    )
