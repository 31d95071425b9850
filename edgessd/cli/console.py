"""What every command shares: where people's text goes, where data goes, how a refusal ends."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from edgessd.core.errors import EdgessdError

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
]

# Set where stderr is for machines, see `cli.logs`.
quiet = False


def people() -> Console:
    """The console for tables, progress and notes: stderr, so that stdout stays clean for data."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, quiet=quiet)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def fail(error: EdgessdError) -> NoReturn:
    """Print a refusal as one paragraph, or log it where stderr is for machines, and exit with 1."""
    if quiet:
        said = {"expected": error.expected, "found": error.found, "fix": error.fix}
        logging.getLogger("edgessd").error(
            error.problem,
            extra={"edgessd": {"event": "refused", **{k: v for k, v in said.items() if v}}},
        )
        raise SystemExit(1)
    from rich.text import Text

    people().print(Text.assemble(("edgessd: ", "bold red"), error.paragraph()), soft_wrap=False)
    raise SystemExit(1)
