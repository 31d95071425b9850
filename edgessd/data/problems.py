"""What is wrong with a dataset: found while loading, kept by name, never passed over in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgessd.core.errors import DataError

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemKind:
    """One way in which a dataset can be wrong.

    Attributes:
        severity: An `error` makes training wrong, so loading refuses; a `warning` is reported.
        text: What it is, as people read it before a number: "boxes without width or height: 2".
        done: What was done about it, or what to do.
    """

    severity: Severity
    text: str
    done: str


_MENDING = "mend or delete them"
KINDS: dict[str, ProblemKind] = {
    "broken_annotation": ProblemKind(
        severity="error", text="annotation files that don't parse", done="write them again"
    ),
    "unknown_class": ProblemKind(
        severity="error",
        text="boxes of a class that the dataset doesn't name",
        done="add the class to the list of names, or correct the index",
    ),
    "malformed_label": ProblemKind(
        severity="error", text="label lines that don't say a class and a box", done=_MENDING
    ),
    "missing_annotation": ProblemKind(
        severity="error",
        text="images of a split without an annotation file",
        done="label them, or take them out of the split's list",
    ),
    "half_labelled": ProblemKind(
        severity="error",
        text="images without labels, too many to be background on purpose",
        done="finish labelling; if they truly show nothing, pass --allow-unlabelled to `edgessd "
        "data convert` once: what it writes says so explicitly",
    ),
    "missing_images": ProblemKind(
        severity="error",
        text="annotated images whose files are missing, more than a fifth of the split",
        done="put the images where the annotations say",
    ),
    "unlabelled_image": ProblemKind(
        severity="warning", text="images without labels", done="taken as background"
    ),
    "unlisted_image": ProblemKind(
        severity="warning",
        text="images that no annotation speaks of",
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
        severity="warning", text="boxes reaching outside their image", done="clipped to it"
    ),
    "lost_box": ProblemKind(
        severity="warning", text="boxes wholly outside their image", done="left out"
    ),
    "repeated_box": ProblemKind(
        severity="warning", text="boxes listed twice in one image", done="kept once"
    ),
    "size_mismatch": ProblemKind(
        severity="warning",
        text="annotations stating another image size than the file has",
        done="the file's size is used",
    ),
    "turned_image": ProblemKind(
        severity="warning",
        text="images that EXIF turns after they were labelled",
        done="their boxes are turned with them",
    ),
    "repeated_image": ProblemKind(
        severity="warning", text="images listed twice in one split", done="kept once"
    ),
    "split_overlap": ProblemKind(
        severity="warning",
        text="images listed in more than one split",
        done="evaluation on them measures memory: list each image once",
    ),
    "split_differs": ProblemKind(
        severity="warning",
        text="images by which trainval.txt differs from train.txt and val.txt together",
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
        severity="warning", text="classes without a single box", done="kept as labels"
    ),
    "root_category": ProblemKind(
        severity="warning",
        text="categories that only group the others and have no box",
        done="left out of the labels",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """All occurrences of one kind of problem.

    Attributes:
        kind: Key of `KINDS`.
        where: One line an occurrence: the file, relative to the dataset, with its place or value.
        severity: As in `KINDS`, unless the audit knows better.
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
        """What it is, with its count: "boxes without width or height: 2"."""
        return f"{KINDS[self.kind].text}: {self.count:,}"

    @property
    def done(self) -> str:
        """What was done about it, or what to do."""
        return KINDS[self.kind].done

    def first(self, limit: int = 3) -> str:
        """The first places, and how many more there are."""
        more = self.count - limit
        return "; ".join(self.where[:limit]) + (f"; and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class ProblemLog:
    """Collects problems while a dataset is read.

    Attributes:
        root: Folder that file names are told relative to.
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
        """Everything noted, errors first, in the order of `KINDS`."""
        return tuple(
            Problem(kind=kind, where=tuple(self._places[kind]), severity=KINDS[kind].severity)
            for kind in KINDS
            if kind in self._places
        )

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def refuse(root: Path, problems: Sequence[Problem]) -> None:
    """Raise a `DataError` for the errors among `problems`, if there are any.

    Raises:
        DataError: naming each kind of error with its count, its first places and what to do.
    """
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return
    found = ". ".join(f"{problem.text} ({problem.first()}); {problem.done}" for problem in errors)
    raise DataError(
        f"The dataset {root} can't be trained on or measured with",
        found=found,
        fix=f"`edgessd data check {root}` lists everything",
    )
