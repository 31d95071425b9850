"""`edgessd service`: a camera that starts with the machine and is watched by systemd."""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.core.errors import ConfigError, TargetError

if TYPE_CHECKING:
    from edgessd.cli.service.unit import Service

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Run a camera as a service of systemd: install, status, uninstall.",
)

Name = Annotated[str, typer.Option(help="Name of the service.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]

# Whose members may open cameras, GPUs, Corals; those that this machine knows are joined.
_DEVICE_GROUPS = ("video", "render", "plugdev", "gpio", "i2c")
# What `run` writes, so that the sandbox leaves room for it, and what it reads, by option.
WRITTEN_FILES = ("record", "jsonl", "csv")
WRITTEN_FOLDERS = ("snapshots",)
READ_FILES = ("model", "labels", "regions", "mqtt_ca", "mqtt_cert", "mqtt_key")


@app.command(
    "install",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Every option of `edgessd run` may follow: --model, --source, --camera, --live, --host, "
    "--port, --record, --jsonl, --threshold, --log and so on.",
)
def install_command(
    context: typer.Context,
    name: Name = "edgessd",
    user: Annotated[
        str | None,
        typer.Option(
            help="Who runs it; made as a system user if missing. Default: who called sudo, else "
            "edgessd."
        ),
    ] = None,
    watchdog: Annotated[
        int, typer.Option(help="Restart after so many seconds without a frame.", min=5)
    ] = 60,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the unit on stdout, and change nothing.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Write a systemd unit that runs `edgessd run` with the options given, show it, and start it.

    Example: edgessd service install --model dist/codes-raspberry-pi --camera 0 --live --dry-run
    """
    service = plan_service(
        context.args, name=name, user=user or _default_user(), watchdog_seconds=watchdog
    )
    console = people()
    if dry_run:
        typer.echo(service.unit(), nl=False)
        _say_secrets(service)
        return
    _require_systemd()
    _require_root("install")
    console.print(f"[bold]{service.unit_path}[/bold]")
    console.print(service.unit(), markup=False, soft_wrap=True)
    _say_secrets(service)
    if not _user_exists(service.user):
        console.print(f"The system user [bold]{service.user}[/bold] will be made.")
    if not yes:
        typer.confirm("Install and start it?", abort=True, err=True)
    _install(service)
    console.print(f"[green]{name} is running.[/green] Its log: journalctl -fu {name}")
    if "EDGESSD_LIVE_TOKEN" in service.secrets:
        console.print(f"The live page's token: sudo cat {service.environment_path}")


@app.command("uninstall")
def uninstall_command(name: Name = "edgessd", yes: Yes = False) -> None:
    """Stop a service and remove its unit and its secrets.

    Example: edgessd service uninstall --name edgessd
    """
    _require_systemd()
    unit, environment = _paths(name)
    if not unit.exists():
        raise _absent(name, unit)
    _require_root("uninstall")
    people().print(f"{name} will be stopped; {unit} and {environment} will be removed.")
    if not yes:
        typer.confirm("Go on?", abort=True, err=True)
    _systemctl("disable", "--now", f"{name}.service")
    unit.unlink()
    environment.unlink(missing_ok=True)
    _systemctl("daemon-reload")
    people().print(f"[green]{name} is gone.[/green] What it recorded is still there.")


@app.command("status")
def status_command(name: Name = "edgessd", as_json: JsonFlag = False) -> None:
    """Say whether a service runs, since when, how often it was restarted, and how its frames flow.

    Example: edgessd service status --name edgessd
    """
    _require_systemd()
    unit, _ = _paths(name)
    if not unit.exists():
        raise _absent(name, unit)
    wanted = "ActiveState,SubState,StatusText,NRestarts,MainPID,ActiveEnterTimestamp,Result"
    shown = _systemctl("show", f"{name}.service", f"--property={wanted}").stdout
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


def plan_service(run_options: list[str], *, name: str, user: str, watchdog_seconds: int) -> Service:
    """The service that runs `edgessd run` with these options in the current folder.

    Raises:
        typer.BadParameter: `edgessd run` wouldn't take the options.
        ConfigError: They make no sense in a service.
    """
    from edgessd.cli.app import load_command
    from edgessd.cli.service.unit import Service, hide_secrets
    from edgessd.runtime.starter import default_bundle

    options = load_command("run").make_context("edgessd run", list(run_options)).params
    _require_sensible(options)
    here = Path.cwd()
    words = list(run_options)
    if options["model"] is None:
        # Not whatever will be the newest one day.
        options["model"] = default_bundle(here)
        words = ["--model", str(options["model"]), *words]
    elif not Path(options["model"]).exists():
        raise ConfigError(
            "There is no such model", found=str(options["model"]), fix="Check --model."
        )
    hidden, secrets = hide_secrets(words)
    host = options.get("host")
    if options.get("live") and host is not None:
        from edgessd.pipeline.live.access import TOKEN_VARIABLE, choose_token

        token = choose_token(host, None)
        if token is not None:
            secrets[TOKEN_VARIABLE] = token
    cameras = [f"camera {number}" for number in options["camera"] or ()]
    sources = [_without_password(source) for source in options["source"] or ()]
    return Service(
        name=name,
        description=f"edgessd on {', '.join(cameras + sources)}",
        command=(sys.executable, "-m", "edgessd", "run", *hidden),
        secrets=secrets,
        user=user,
        groups=tuple(group for group in _DEVICE_GROUPS if _group_exists(group)),
        directory=here,
        readable=_read_files(options, here),
        writable=_written_folders(options, here),
        watchdog_seconds=watchdog_seconds,
        shared_tmp=any(each.startswith(("csi:", "gst:")) for each in options["source"] or ()),
    )


def _require_sensible(options: dict[str, Any]) -> None:
    if not options["camera"] and not options["source"]:
        raise typer.BadParameter("give --camera N or --source URL")
    for option, reason in (
        ("display", "a service has no desktop; --live shows the stream in a browser"),
        ("as_json", "nobody reads a service's stdout; --log json makes its log machine-readable"),
        ("list_cameras", "it ends at once"),
    ):
        if options[option]:
            raise typer.BadParameter(f"{_SHOWN.get(option, '--' + option)}: {reason}")


_SHOWN = {"as_json": "--json", "list_cameras": "--list"}


def _written_folders(options: dict[str, Any], here: Path) -> tuple[Path, ...]:
    files = [options.get(option) for option in WRITTEN_FILES]
    folders = [Path(file).parent for file in files if file not in (None, "-")]
    folders += [Path(each) for option in WRITTEN_FOLDERS if (each := options.get(option))]
    return tuple((here / folder).resolve() for folder in folders)


def _read_files(options: dict[str, Any], here: Path) -> tuple[Path, ...]:
    files = [options.get(option) for option in READ_FILES]
    files += [source for source in options["source"] or () if (here / source).exists()]
    return tuple(here / file for file in files if file is not None)


def _without_password(source: str) -> str:
    from urllib.parse import urlsplit

    if "://" not in source:
        return source
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _say_secrets(service: Service) -> None:
    if service.secrets:
        people().print(
            f"{service.environment_path}, readable by root alone, will hold "
            + ", ".join(service.secrets),
            soft_wrap=True,
        )


def _install(service: Service) -> None:
    from edgessd.cli.service.unit import environment_file
    from edgessd.core.files import write_atomically

    if not _user_exists(service.user):
        words = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        _run([*words, service.user])
    _require_access(service)
    path = service.environment_path
    before = path.read_text() if path.exists() else ""
    if service.secrets or not before:
        previous = os.umask(0o077)
        try:
            write_atomically(path, environment_file(service.secrets, before))
            path.chmod(0o600)
        finally:
            os.umask(previous)
    write_atomically(service.unit_path, service.unit())
    _systemctl("daemon-reload")
    _systemctl("enable", f"{service.name}.service")
    _systemctl("restart", f"{service.name}.service")


def _require_access(service: Service) -> None:
    """What the user of the service can't reach would fail later, with less to say."""
    wanted = [(Path(service.command[0]), "-x"), (service.directory, "-x")]
    owner = pwd.getpwnam(service.user)
    for folder in service.writable:
        if not folder.exists():
            folder.mkdir(parents=True)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        wanted.append((folder, "-w"))
    wanted += [(path, "-r") for path in service.readable]
    for path, right in wanted:
        tried = subprocess.run(
            ["test", right, str(path)], user=owner.pw_uid, group=owner.pw_gid, check=False
        )
        if tried.returncode != 0:
            verb, way_out = _RIGHTS[right]
            raise ConfigError(
                f"The user {service.user} may not {verb} {path}",
                fix=way_out.format(user=service.user, path=shlex.quote(str(path))),
            )


_MOVE_IT = (
    "Move it to a place that everyone reads, such as /opt, or give --user with someone who may."
)
# What `test` is asked, in words, and the way out.
_RIGHTS = {
    "-x": ("enter or execute", _MOVE_IT),
    "-r": ("read", _MOVE_IT),
    "-w": ("write to", "Run `sudo chown {user} {path}`, or name another folder."),
}


def _paths(name: str) -> tuple[Path, Path]:
    return Path(f"/etc/systemd/system/{name}.service"), Path(f"/etc/edgessd/{name}.env")


def _absent(name: str, unit: Path) -> ConfigError:
    return ConfigError(
        f"There is no service {name}",
        expected=str(unit),
        fix="See which there are with `systemctl list-units --type=service`; give --name.",
    )


def _default_user() -> str:
    caller = os.environ.get("SUDO_USER") or getpass.getuser()
    return "edgessd" if caller == "root" else caller


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _require_systemd() -> None:
    if not Path("/run/systemd/system").is_dir():
        raise TargetError(
            "This machine isn't run by systemd",
            fix="Print the unit with --dry-run, or start `edgessd run` from what this machine has "
            "instead; in a container, run it as the container's program.",
        )


def _require_root(what: str) -> None:
    if os.geteuid() != 0:
        command = shlex.join(["sudo", sys.executable, "-m", "edgessd", *sys.argv[1:]])
        raise ConfigError(f"Only root may {what} a service", fix=f"Run `{command}`.")


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    return _run(["systemctl", *words])


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(
            f"`{shlex.join(words)}` failed",
            found=done.stderr.strip() or f"exit code {done.returncode}",
            fix="See `journalctl -xe`.",
        )
    return done
