"""Readable names of values in `--help`: PATH instead of `<path>`, and none for a switch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

# Names of Typer's types, and what a person reads instead.
_NAMES = {
    "bool": "",
    "int": "N",
    "int range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
    "str": "TEXT",
    "list[str]": "TEXT",
    "list[int]": "N",
    "path": "PATH",
    "file": "FILE",
    "directory": "DIR",
}


def name_command_values(command: Any) -> None:
    """Name the values of a command, and of its subcommands."""
    context = typer.Context(command)
    name_values(command.get_params(context), context)
    for subcommand in getattr(command, "commands", {}).values():
        name_command_values(subcommand)


def name_values(parameters: Iterable[Any], context: Any) -> None:
    """Name the values of options that have no name of their own.

    Versions of Typer that show no type in angle brackets are left as they are.
    """
    for parameter in parameters:
        if not hasattr(parameter, "display_type"):
            continue
        if parameter.param_type_name == "argument":
            # The name of an argument stands in a column of its own.
            parameter.display_type_rich = lambda ctx: ""
        elif parameter.metavar is None:
            label = parameter.display_type(context).strip("<>")
            parameter.metavar = _NAMES.get(label, label.removeprefix("list[").removesuffix("]"))
