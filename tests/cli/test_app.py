"""Properties that all commands share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from command_line import edgessd

from edgessd import __version__
from edgessd.cli.app import COMMANDS, load_command


def first_paragraph(text: str) -> str:
    return " ".join(text.strip().split("\n\n")[0].split())


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_list_has_the_summary_of_the_command(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert COMMANDS[name].summary == first_paragraph(command.help or "")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    ended = edgessd(name, "--help")
    if hasattr(load_command(name), "commands"):
        assert "Commands" in ended.out
    else:
        assert f"edgessd {name}" in " ".join(ended.out.split())
        assert "Example: edgessd" in ended.out


def commands_of(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and subcommand."""
    yield names
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from commands_of(subcommand, *names, name)


EVERY_COMMAND = [
    (),
    *(words for name in COMMANDS for words in commands_of(load_command(name), name)),
]


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_help_names_values_in_words(words: tuple[str, ...]) -> None:
    """No type in angle brackets; a switch has no value at all."""
    shown = edgessd(*words, "--help").out
    assert re.findall(r"<[a-z][^=]*>", shown) == []
    assert "BOOLEAN" not in shown


def test_a_paragraph_of_the_help_breaks_only_at_the_width_of_the_terminal() -> None:
    shown = edgessd("compare", "--help").out
    paragraph = next(part for part in re.split(r"\n\s*\n", shown) if "Agreement AP" in part)
    lines = paragraph.splitlines()
    longest = max(map(len, lines))
    first_words = [line.split()[0] for line in lines]
    for line, word in zip(lines, first_words[1:], strict=False):
        assert len(line.rstrip()) + 1 + len(word) > longest - 1


def test_completion_is_offered_at_the_root_alone() -> None:
    for words in EVERY_COMMAND:
        shown = edgessd(*words, "--help").out
        assert ("--install-completion" in shown) == ("--show-completion" in shown) == (words == ())


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("edgessd se", ["service", "sensitivity"]),
        ("edgessd service un", ["uninstall"]),
        ("edgessd run --source a.mp4 --snapshots-o", ["--snapshots-on"]),
        ("edgessd run --snapshots-on ap", ["appearance"]),
    ],
)
def test_completion_knows_commands_options_and_values(line: str, completed: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgessd"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "_EDGESSD_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        },
    )
    assert sorted(done.stdout.split()) == sorted(completed), done.stderr


def test_the_help_lists_commands_in_the_order_of_use() -> None:
    ended = edgessd("--help")
    listed = ended.out.split("Commands")[1].splitlines()
    first_words = [line.strip("│ ").split()[0] for line in listed if line.strip("│ ─╭╮╰╯")]
    assert first_words == list(COMMANDS)


def test_without_a_command_the_help_is_printed() -> None:
    # click ends it with 0 before its version 8.2, with 2 since.
    assert "Start with: edgessd demo" in edgessd(code=None).out


@pytest.mark.parametrize(
    "arguments",
    [("bild",), ("build",), ("build", "--target"), ("build", "--no-such-option"), ("targets", "x")],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    ended = edgessd(*arguments, code=2)
    assert ended.out == ""
    assert "Error" in ended.err
    assert "pytest" not in ended.err


def test_a_misspelled_command_is_recognized() -> None:
    assert "Did you mean 'train'" in edgessd("tran", code=2).err


def test_a_refusal_is_a_paragraph_and_a_traceback_only_with_debug() -> None:
    from edgessd.core.errors import TargetError

    ended = edgessd("build", "--target", "toaster", code=1)
    assert ended.err.startswith("edgessd: There is no target")
    with pytest.raises(TargetError):
        edgessd("--debug", "build", "--target", "toaster")
    # The setting doesn't outlive its command.
    edgessd("build", "--target", "toaster", code=1)


def test_version() -> None:
    assert edgessd("--version").out == f"edgessd {__version__}\n"


def test_help_imports_no_command_and_nothing_heavy() -> None:
    """`edgessd --help` imports only Python, typer and rich."""
    program = (
        "import sys\n"
        "from edgessd.cli.app import COMMANDS, main\n"
        "sys.argv = ['edgessd', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'torch', 'onnx', 'cv2', 'msgspec'} & set(sys.modules)\n"
        "modules = {f'edgessd.cli.{entry.module}' for entry in COMMANDS.values()}\n"
        "commands = modules & set(sys.modules)\n"
        "assert not heavy and not commands, (heavy, commands)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "rtsp://me:hunter2@cam/1"),
        ("rtsp://me:hunter2@cam/1",),
        ("service", "install", "--camera", "0", "rtsp://me:hunter2@cam/1"),
    ],
)
def test_wrong_usage_does_not_repeat_a_password(words: tuple[str, ...]) -> None:
    done = edgessd(*words, code=2)
    assert "rtsp://***@cam/1" in done.err
    assert "hunter2" not in done.err
