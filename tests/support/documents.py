"""The documents of the repository, and the code that they show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "calibration/README.md",
    ROOT / "edgessd/starter/MODEL_CARD.md",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One fenced block of code.

    Attributes:
        document: Path relative to the repository.
        line: Number of its first line of code, from 1.
        language: Word after the fence; empty if there is none.
        code: Content without the fences.
    """

    document: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def examples(*languages: str) -> list[Example]:
    """Return the blocks of all documents in any of these languages, or all blocks."""
    found = []
    for document in DOCUMENTS:
        for token in MarkdownIt().parse(document.read_text()):
            if token.type != "fence" or token.map is None:
                continue
            language = token.info.split()[0] if token.info else ""
            if not languages or language in languages:
                found.append(
                    Example(
                        document=str(document.relative_to(ROOT)),
                        line=token.map[0] + 2,
                        language=language,
                        code=token.content,
                    )
                )
    return found
