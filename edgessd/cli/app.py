"""The `edgessd` command: one module a command, loaded by name, heavy imports inside each.

Exit codes: 0 done, 1 a refusal with its reason, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from edgessd import __version__
from edgessd.core.errors import EdgessdError

# In the order in which a newcomer needs them. A module has `command` (a function) or `app` (a group).
COMMANDS: tuple[tuple[str, str], ...] = (
    ("demo", "demo"),
    ("data", "data"),
    ("train", "train"),
    ("import", "import_checkpoint"),
    ("eval", "evaluate"),
    ("build", "build"),
    ("run", "run"),
    ("bench", "bench"),
    ("compare", "compare"),
    ("doctor", "doctor"),
    ("targets", "targets"),
)

_debug = False


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgessd {__version__}")
        raise typer.Exit


def _root(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks instead of one paragraph."),
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Labelled images to a running object detector on small devices.

    Start with: edgessd demo
    """
    global _debug
    _debug = debug


def make_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_root)
    for name, module_name in COMMANDS:
        module = import_module(f"edgessd.cli.{module_name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)
    return app


def main() -> None:
    """Run the command line; no traceback reaches a user unless `--debug`."""
    try:
        make_app()()
    except EdgessdError as error:
        if _debug:
            raise
        from edgessd.cli.console import fail

        fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
