"""Prose: docstrings begin with a verb or a noun, and nothing has archaic words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT

FOLDERS = ("edgessd", "tests", "benchmarks", "docs")
# A first line that begins with one of these is half a sentence, which the reader must complete.
OPENINGS = frozenset(
    ["As", "How", "Of", "That", "Those", "What", "Where", "Whether", "Who", "Whoever"]
)
ARCHAIC = re.compile(
    r"\b(anew|forthwith|hence|henceforth|hereby|herein|lest|shall|thereby|therein|thereof|thereupon|thus far|"
    r"upon|whatever|whereby|wherein|whilst|whoever|whosoever|wish|wished|wishes)\b",
    flags=re.IGNORECASE,
)


def docstrings(code: str) -> Iterator[tuple[int, str]]:
    """Yield line number and docstring of the module and of its classes and functions."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield getattr(node, "lineno", 1), docstring


def complaints(code: str) -> Iterator[str]:
    """Yield line and fault of each docstring that breaks a rule."""
    for line, docstring in docstrings(code):
        first = docstring.split()[0].strip("`,.:;")
        if first in OPENINGS:
            yield f"{line}: begins with {first!r}: {docstring.splitlines()[0]}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_are_plain(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    broken = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in files
        for fault in complaints(path.read_text())
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("folder", FOLDERS)
def test_code_has_no_archaic_words(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if path != Path(__file__).resolve()]
    assert not [fault for path in files for fault in archaic_words(path)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_have_no_archaic_words(document: Path) -> None:
    assert not list(archaic_words(document))


def archaic_words(path: Path) -> Iterator[str]:
    """Yield place and word, in code, comments and messages alike."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        for match in ARCHAIC.finditer(line):
            yield f"{path.relative_to(ROOT)}:{number}: says {match.group()!r}"


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ('"""What is built."""', "begins with 'What'"),
        ('def f():\n    """Whether it is so."""', "begins with 'Whether'"),
        ('class A:\n    """Of a thing."""', "begins with 'Of'"),
    ],
)
def test_rules_find_what_they_forbid(code: str, complaint: str) -> None:
    assert complaint in " ".join(complaints(code))
