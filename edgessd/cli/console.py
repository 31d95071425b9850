"""Output that all commands share: the console on stderr, JSON on stdout, and refusals."""

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

# True if stderr has JSON lines, see `cli.logs`.
quiet = False


def people() -> Console:
    """Return the console for tables, progress and notes. It is stderr, so that stdout has only data."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, quiet=quiet)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def fail(error: EdgessdError) -> NoReturn:
    """Print a refusal as one paragraph, or log it if stderr has JSON lines, and exit with 1."""
    if quiet:
        details = {"expected": error.expected, "found": error.found, "fix": error.fix}
        logging.getLogger("edgessd").error(
            error.problem,
            extra={"edgessd": {"event": "refused", **{k: v for k, v in details.items() if v}}},
        )
        raise SystemExit(1)
    from rich.text import Text

    people().print(Text.assemble(("edgessd: ", "bold red"), error.paragraph()), soft_wrap=False)
    raise SystemExit(1)
