"""Names of values in help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_command

from edgessd.cli.value_names import name_command_values


def test_values_have_readable_names() -> None:
    app = typer.Typer()

    @app.command()
    def main(
        out: Path,
        count: Annotated[int, typer.Option(min=1)] = 1,
        share: float = 0.5,
        source: Annotated[list[str] | None, typer.Option()] = None,
        address: Annotated[str, typer.Option(metavar="URL")] = "",
        quiet: Annotated[bool, typer.Option("--quiet")] = False,
    ) -> None: ...

    command = get_command(app)
    if not hasattr(command.params[0], "display_type"):
        pytest.skip("this version of Typer shows no type in angle brackets")
    name_command_values(command)
    names = {parameter.name: parameter.metavar for parameter in command.params}
    assert {name: names[name] for name in ("count", "share", "source", "address", "quiet")} == {
        "count": "N",
        "share": "NUMBER",
        "source": "TEXT",
        "address": "URL",
        "quiet": "",
    }
