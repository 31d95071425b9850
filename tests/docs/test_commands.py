"""Shell examples of the documents: commands have the options, and files are where links point."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import edgessd
from documents import DOCUMENTS, ROOT, examples

from edgessd.cli.app import COMMANDS

pytestmark = pytest.mark.slow


def shown_lines(beginning: str) -> list[str]:
    """Return all lines of code that begin with a word, without comments."""
    found = []
    for example in examples("", "bash", "console"):
        for line in example.code.replace("\\\n", " ").splitlines():
            words = line.split("#")[0].strip().removeprefix("sudo ").removeprefix(".venv/bin/")
            if words.startswith(f"{beginning} "):
                found.append(words)
    return sorted(set(found))


def shown_commands() -> list[str]:
    return shown_lines("edgessd")


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


# Files that a recipe of CONTRIBUTING.md lets its reader write.
TO_BE_WRITTEN = re.compile(r"NAME|rock-5|csv_boxes|ops/(test_)?sub\.py")
OWN_FOLDERS = "edgessd|tests|targets|docs|benchmarks|calibration"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(document: Path) -> None:
    names = set(re.findall(rf"`((?:{OWN_FOLDERS})/[\w./-]+)`", document.read_text()))
    missing = [name for name in names if not (ROOT / name).exists()]
    assert not [name for name in missing if not TO_BE_WRITTEN.search(name)]


def test_shown_make_goals_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    goals = {line.split()[1] for line in shown_lines("make")}
    assert goals >= {"demo", "test", "fast"}
    for goal in goals:
        assert re.search(rf"^{goal}:", makefile, flags=re.M)


@pytest.mark.process
@pytest.mark.parametrize("shown", shown_lines("python"))
def test_shown_script_has_the_options_it_is_shown_with(shown: str) -> None:
    _, *words = shlex.split(shown)
    script = words[:2] if words[0] == "-m" else words[:1]
    command = [sys.executable, *script, "--help"]
    shown_help = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for option in (word for word in words[1:] if word.startswith("--")):
        assert option in shown_help, f"{' '.join(script)} has no {option}"


LEAVES = [
    *([name] for name in COMMANDS if name not in ("data", "import", "service")),
    *(["data", name] for name in ("check", "convert", "synth")),
    *(["import", name] for name in ("folded", "pytorch-ssd")),
    *(["service", name] for name in ("install", "show", "status", "uninstall")),
]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_shows_an_example_in_its_help(words: list[str]) -> None:
    shown_help = edgessd(*words, "--help").out
    assert f"Example: edgessd {' '.join(words)}" in " ".join(shown_help.split())
