"""`edgessd service`: a camera that starts with the machine and is watched by systemd."""

from __future__ import annotations

import getpass
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.core.errors import ConfigError, TargetError

if TYPE_CHECKING:
    from edgessd.cli.service.unit import Service, ServiceFiles

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Run a camera as a service of systemd: install, show, status, uninstall.",
)

# There on machines that systemd runs.
SYSTEMD = Path("/run/systemd/system")

Name = Annotated[str, typer.Option(help="Name of the service.", metavar="NAME")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")]


@app.command(
    "install",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Every option of `edgessd run` may follow: --config, --model, --source, --camera, --live, "
    "--host, --port, --record, --jsonl, --threshold, --log and so on.",
)
def install_command(
    context: typer.Context,
    name: Name = "edgessd",
    user: Annotated[
        str | None,
        typer.Option(
            help="User who runs it; created as a system user if missing. Default: the caller of "
            "sudo, else edgessd.",
            metavar="USER",
        ),
    ] = None,
    watchdog: Annotated[
        int,
        typer.Option(help="Restart after this time without a frame.", metavar="SECONDS", min=5),
    ] = 60,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the unit and the options file on stdout, and change nothing."
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """Install a systemd unit that runs `edgessd run` with the options given, and start it.

    Example: edgessd service install --model dist/codes-raspberry-pi --camera 0 --live --dry-run
    """
    from edgessd.cli.service.install import (
        install,
        require_own_files,
        require_visible,
        user_exists,
    )
    from edgessd.cli.service.plan import plan_service

    service = plan_service(
        context.args, name=name, user=user or _default_user(), watchdog_seconds=watchdog
    )
    console = people()
    if dry_run:
        typer.echo(service.shown(), nl=False)
        _print_secrets(service)
        return
    _require_systemd()
    _require_root("install")
    require_own_files(service)
    require_visible(service)
    console.print(service.shown(), markup=False, soft_wrap=True)
    _print_secrets(service)
    if not user_exists(service.user):
        console.print(f"The system user [bold]{service.user}[/bold] will be created.")
    if not yes:
        typer.confirm("Install and start it?", abort=True, err=True)
    install(service)
    console.print(f"[green]{name} is running.[/green] Its log: journalctl -fu {name}")
    if "EDGESSD_LIVE_TOKEN" in service.secrets:
        console.print(f"The live page's token: sudo cat {service.files.environment}")


@app.command("show")
def show_command(name: Name = "edgessd") -> None:
    """Print the unit and the options file of an installed service.

    Example: edgessd service show --name edgessd
    """
    files = _installed(name)
    texts = []
    for path in (files.unit, files.config):
        if not path.exists():
            continue  # a unit of an older version has its options in its command line
        try:
            texts.append(f"# {path}\n{path.read_text(encoding='utf-8')}")
        except PermissionError as error:
            command = shlex.join(["sudo", sys.executable, "-m", "edgessd", *sys.argv[1:]])
            raise ConfigError(
                f"{path} can't be read",
                expected="root, or the user who runs the service",
                found=getpass.getuser(),
                fix=f"Run `{command}`.",
            ) from error
    typer.echo("\n".join(texts), nl=False)


@app.command("uninstall")
def uninstall_command(name: Name = "edgessd", yes: Yes = False) -> None:
    """Stop a service and remove its unit, its options file and its secrets.

    Example: edgessd service uninstall --name edgessd
    """
    from edgessd.cli.service.install import remove

    _require_systemd()
    files = _installed(name)
    _require_root("uninstall")
    people().print(
        f"{name} will be stopped; {files.unit}, {files.config} and {files.environment} will be removed.",
        soft_wrap=True,
    )
    if not yes:
        typer.confirm("Go on?", abort=True, err=True)
    remove(files, name)
    people().print(f"[green]{name} is removed.[/green] Its recordings are still there.")


@app.command("status")
def status_command(name: Name = "edgessd", as_json: JsonFlag = False) -> None:
    """Print the state of a service: since when it runs, its restarts, and its frames.

    Example: edgessd service status --name edgessd
    """
    from edgessd.cli.service.install import systemctl

    _require_systemd()
    _installed(name)
    wanted = "ActiveState,SubState,StatusText,NRestarts,MainPID,ActiveEnterTimestamp,Result"
    shown = systemctl("show", f"{name}.service", f"--property={wanted}").stdout
    about = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    status: dict[str, Any] = {
        "service": name,
        "active": about["ActiveState"] == "active",
        "state": f"{about['ActiveState']} ({about['SubState']})",
        "since": about["ActiveEnterTimestamp"] or None,
        "restarts": int(about["NRestarts"]),
        "pid": int(about["MainPID"]) or None,
        "result": about["Result"],
        "frames": about["StatusText"] or None,
    }
    if as_json:
        print_json(status)
    else:
        for key, value in status.items():
            people().print(f"{key:9} {'–' if value is None else value}", markup=False)
        people().print(f"Its log: journalctl -u {name} -n 30", style="dim")


def _print_secrets(service: Service) -> None:
    path = service.files.environment
    if service.secrets:
        people().print(
            f"{path}, readable by root alone, will hold {', '.join(service.secrets)}",
            soft_wrap=True,
        )
    if service.variables:
        people().print(
            f"The options name environment variables. Add them to {path}: "
            + ", ".join(service.variables),
            soft_wrap=True,
        )


def _installed(name: str) -> ServiceFiles:
    """Return the files of a service.

    Raises:
        ConfigError: It isn't installed, or `edgessd service install` didn't write it.
    """
    from edgessd.cli.service.install import require_own_unit
    from edgessd.cli.service.unit import ServiceFiles

    files = ServiceFiles.of(name)
    if not files.unit.exists():
        raise ConfigError(
            f"There is no service {name}",
            expected=str(files.unit),
            fix="See which there are with `systemctl list-units --type=service`; give --name.",
        )
    require_own_unit(files)
    return files


def _default_user() -> str:
    caller = os.environ.get("SUDO_USER") or getpass.getuser()
    return "edgessd" if caller == "root" else caller


def _require_systemd() -> None:
    if not SYSTEMD.is_dir():
        raise TargetError(
            "This machine isn't run by systemd",
            fix="Print the unit with --dry-run, or start `edgessd run` from what this machine has "
            "instead; in a container, run it as the container's program.",
        )


def _require_root(what: str) -> None:
    if os.geteuid() != 0:
        command = shlex.join(["sudo", sys.executable, "-m", "edgessd", *sys.argv[1:]])
        raise ConfigError(f"Only root may {what} a service", fix=f"Run `{command}`.")
