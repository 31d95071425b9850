"""The service that runs `edgessd run` with given options: checked, without secrets, not yet written."""

from __future__ import annotations

import grp
import sys
from pathlib import Path
from typing import Any

import typer

from edgessd.cli.app import load_command
from edgessd.cli.run.merge import merge_options
from edgessd.cli.service.unit import Service
from edgessd.core.errors import ConfigError
from edgessd.pipeline.live.access import choose_token
from edgessd.pipeline.options.file import write_options
from edgessd.pipeline.options.outputs import LIVE_TOKEN_VARIABLE
from edgessd.pipeline.options.run import RunOptions, absolute
from edgessd.pipeline.options.secrets import hide_secrets, required_variables

# Groups whose members may open cameras, GPUs and Corals; the user joins those that this machine has.
_DEVICE_GROUPS = ("video", "render", "plugdev", "gpio", "i2c")
_REFUSED = {
    "display": ("--display", "a service has no desktop; --live shows the stream in a browser"),
    "as_json": (
        "--json",
        "nobody reads the stdout of a service; --log json makes its log machine-readable",
    ),
    "list_cameras": ("--list", "it ends at once"),
    "print_config": ("--print-config", "it ends at once; --dry-run shows what would be installed"),
}


def plan_service(run_options: list[str], *, name: str, user: str, watchdog_seconds: int) -> Service:
    """Return the service that runs `edgessd run` with these options in the current folder.

    Args:
        run_options: Words of the command line, as for `edgessd run`.
        name: Name of the service.
        user: User who runs it.
        watchdog_seconds: Time without a frame after which it is restarted.

    Raises:
        typer.BadParameter: `edgessd run` would refuse the options.
        ConfigError: The options make no sense in a service.
    """
    given = load_command("run").make_context("edgessd run", list(run_options)).params
    options = merge_options(given)
    _require_sensible(given, options)
    here = Path.cwd()
    options, secrets = hide_secrets(absolute(options, here))
    if options.model.path is not None and not options.model.path.exists():
        raise ConfigError(
            "There is no such model", found=str(options.model.path), fix="Check --model."
        )
    needed = tuple(each for each in required_variables(options) if each not in secrets)
    # A variable of another name is the user's own.
    if options.live is not None and options.live.token_env == LIVE_TOKEN_VARIABLE:
        token = choose_token(options.live.host, None)
        if token is not None:
            secrets[LIVE_TOKEN_VARIABLE] = token
    return Service(
        name=name,
        description=f"edgessd on {', '.join(_described(options))}",
        program=(sys.executable, "-m", "edgessd", "run"),
        config=write_options(options),
        secrets=secrets,
        variables=needed,
        user=user,
        groups=tuple(group for group in _DEVICE_GROUPS if _group_exists(group)),
        directory=here,
        readable=_read_paths(options),
        writable=_written_folders(options),
        watchdog_seconds=watchdog_seconds,
        shared_tmp=any(
            (each.address or "").startswith(("csi:", "gst:")) for each in options.source
        ),
    )


def _require_sensible(given: dict[str, Any], options: RunOptions) -> None:
    for name, (flag, reason) in _REFUSED.items():
        if given[name] or (name == "display" and options.display):
            raise typer.BadParameter(f"{flag}: {reason}")


def _written_folders(options: RunOptions) -> tuple[Path, ...]:
    files = [path for path in (options.jsonl, options.csv) if path not in (None, "-")]
    folders = [Path(path).parent for path in files if path is not None]
    if options.record is not None:
        folders.append(options.record.path.parent)
    if options.snapshots is not None:
        folders.append(options.snapshots.path)
    return tuple(folder.resolve() for folder in folders)


def _read_paths(options: RunOptions) -> tuple[Path, ...]:
    paths = [options.model.path, options.model.labels]
    paths += [source.regions for source in options.source]
    if options.mqtt is not None:
        paths += [options.mqtt.ca, options.mqtt.cert, options.mqtt.key]
    films = [Path(source.address) for source in options.source if source.address and source.is_file]
    return (
        *(path for path in paths if path is not None),
        *(film for film in films if film.exists()),
    )


def _described(options: RunOptions) -> list[str]:
    """Return the addresses for the description of the unit, without queries."""
    return [(source.address or f"${source.address_env}").split("?")[0] for source in options.source]


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
