"""The `edgessd` command. Each command is a module that is imported when it runs.

Exit codes: 0 success, 1 a refusal with its reason, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from edgessd.cli.value_names import name_command_values, name_values
from edgessd.core.errors import EdgessdError
from edgessd.version import __version__


class Entry(NamedTuple):
    """One command.

    Attributes:
        module: Module in `edgessd.cli` with `command` (a function) or `app` (a group).
        summary: First line of its help.
    """

    module: str
    summary: str


# In the order in which a newcomer needs them. With the summaries here, `edgessd --help` imports none of the
# modules and answers at once.
COMMANDS: dict[str, Entry] = {
    "demo": Entry(
        "demo", "Generate images, train, quantize, build for four targets, benchmark, report."
    ),
    "data": Entry("data", "Check, convert and generate datasets."),
    "train": Entry("train", "Train an SSDLite detector on labeled photos."),
    "import": Entry("import_checkpoint", "Import a detector from another project."),
    "eval": Entry(
        "evaluate",
        "Measure COCO AP, VOC AP50, precision-recall curves and confusion on a labeled dataset.",
    ),
    "build": Entry("build", "Build a quantized bundle for a device, or finish one on the device."),
    "run": Entry("run.command", "Run a detector over cameras, videos or images."),
    "service": Entry(
        "service.command", "Run a camera as a service of systemd: install, show, status, uninstall."
    ),
    "bench": Entry(
        "bench", "Measure latency, FPS, memory and, with --data, accuracy on this machine."
    ),
    "compare": Entry(
        "compare",
        "Compare forms of one detector: agreement, AP, boxes, scores, raw outputs, inner tensors.",
    ),
    "sensitivity": Entry(
        "sensitivity", "Rank the tensors by the accuracy that quantizing each of them costs."
    ),
    "doctor": Entry(
        "doctor", "Describe this machine, and list what is missing and how to install it."
    ),
    "targets": Entry("targets", "List the devices that `build` makes bundles for."),
}

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
    """Labeled images to a running object detector on small devices.

    Start with: edgessd demo
    """
    global _debug
    _debug = debug


class _CommandsOnDemand(TyperGroup):
    """Root group that lists `COMMANDS` in its help and imports only the command that runs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {
            name: TyperCommand(name=name, help=entry.summary) for name, entry in COMMANDS.items()
        }

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)
        name_values(params, ctx)
        return params

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error in its words doesn't repeat the password of an address."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = getattr(error, "message", None)  # of Typer's usage errors
            if isinstance(message, str) and "://" in message:
                from edgessd.pipeline.sources.credentials import masked

                error.message = masked(message)  # type: ignore[attr-defined]
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else None, rest


def load_command(name: str) -> Any:
    """Import the command or group of an entry."""
    module = import_module(f"edgessd.cli.{COMMANDS[name].module}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(name)(module.command)
    command = typer.main.get_command(app)
    command.name = name
    name_command_values(command)
    _join_lines(command)
    return command


def _join_lines(command: Any) -> None:
    """Make each paragraph of the help one line, which Typer breaks at the width of the terminal."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for subcommand in getattr(command, "commands", {}).values():
        _join_lines(subcommand)


def make_app() -> typer.Typer:
    """Make the whole command line."""
    app = typer.Typer(
        cls=_CommandsOnDemand,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_root)
    return app


def main() -> None:
    """Run the command line. A refusal prints its paragraph; `--debug` shows the traceback instead."""
    try:
        make_app()(prog_name="edgessd")
    except EdgessdError as error:
        if _debug:
            raise
        from edgessd.cli.console import fail

        fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
