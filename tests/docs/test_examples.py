"""What the documentation shows is true: commands exist with those options, files are where links point."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "calibration/README.md",
)


def shown_commands() -> list[str]:
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:\w*)\n(.*?)```", document.read_text(), flags=re.S):
            for line in block.splitlines():
                words = line.split("#")[0].strip().removeprefix(".venv/bin/")
                if words.startswith("edgessd "):
                    found.append(words)
    return sorted(set(found))


@pytest.mark.parametrize("shown", shown_commands())
def test_shown_command_has_the_options_it_is_shown_with(shown: str) -> None:
    words = shlex.split(shown)[1:]
    path = [words[0]]
    if words[0] in ("data", "import", "service"):
        path.append(words[1])
    shown_help = edgessd(*path, "--help", env={"TERM": "dumb"}).out
    for option in (word for word in words if word.startswith("--")):
        assert option in shown_help, f"{' '.join(path)} has no {option}"


def test_readme_shows_every_command_a_newcomer_needs() -> None:
    shown = {words.split()[1] for words in shown_commands()}
    assert {"train", "build", "run", "bench", "eval", "compare", "data"} <= shown <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_make_goals_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for goal in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), flags=re.M):
        assert re.search(rf"^{goal}:", makefile, flags=re.M)


LEAVES = [
    *([name] for name in COMMANDS if name not in ("data", "import", "service")),
    *(["data", name] for name in ("check", "convert", "synth")),
    *(["import", name] for name in ("folded", "pytorch-ssd")),
    *(["service", name] for name in ("install", "status", "uninstall")),
]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_shows_an_example_in_its_help(words: list[str]) -> None:
    shown_help = edgessd(*words, "--help").out
    assert f"Example: edgessd {' '.join(words)}" in " ".join(shown_help.split())
