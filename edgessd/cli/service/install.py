"""Write a service's files, start it, stop it and remove it again."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
from pathlib import Path

from edgessd.cli.service.unit import Service, ServiceFiles, environment_file
from edgessd.core.errors import ConfigError
from edgessd.core.files import write_atomically

# Folders of the units that packages bring.
SYSTEM_FOLDERS = tuple(
    Path(folder, "systemd/system") for folder in ("/usr/lib", "/lib", "/usr/local/lib", "/run")
)


def install(service: Service) -> None:
    """Write the unit, the options file and the secrets of a service, and start it.

    Raises:
        ConfigError: A file of that name belongs to something else, the user can't reach a path, or
            systemd refuses.
    """
    require_own_files(service)
    require_visible(service)
    if not user_exists(service.user):
        words = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        _run([*words, service.user])
    _require_access(service)
    write_files(service)
    systemctl("daemon-reload")
    systemctl("enable", f"{service.name}.service")
    systemctl("restart", f"{service.name}.service")


def write_files(service: Service) -> None:
    """Write the secrets, the options file and the unit of a service, each whole or not at all."""
    files = service.files
    owner = pwd.getpwnam(service.user)
    folder = files.config.parent
    folder.mkdir(parents=True, exist_ok=True)
    # The user of the service must reach the options in it. Older versions made it for root alone.
    folder.chmod(0o755)
    before = files.environment.read_text() if files.environment.exists() else ""
    write_atomically(files.environment, environment_file(service.secrets, before), mode=0o600)
    write_atomically(files.config, service.config_file(), mode=0o600)
    os.chown(files.config, owner.pw_uid, owner.pw_gid)
    write_atomically(files.unit, service.unit())


def require_own_files(service: Service) -> None:
    """Refuse to overwrite a unit or an options file that `edgessd service install` didn't write.

    A unit in /etc would also replace a unit of the same name that the system came with.

    Raises:
        ConfigError: There is such a file.
    """
    files = service.files
    require_own_unit(files)
    _require_mark(files.config, service.mark)
    for folder in SYSTEM_FOLDERS:
        if (folder / files.unit.name).exists():
            raise ConfigError(
                f"This machine has a service {service.name} of its own, {folder / files.unit.name}",
                fix="Choose another name with --name.",
            )


def require_visible(service: Service) -> None:
    """Refuse paths in /tmp and /var/tmp, of which a service has its own.

    Raises:
        ConfigError: There is such a path, and the service doesn't share the machine's /tmp.
    """
    paths = (Path(service.program[0]), service.directory, *service.readable, *service.writable)
    for path in paths:
        if not service.shared_tmp and any(path.is_relative_to(tmp) for tmp in ("/tmp", "/var/tmp")):
            raise ConfigError(
                f"The service can't see {path}",
                expected="paths outside of /tmp and /var/tmp, which each service has for itself",
                fix="Move it to another folder, such as one in /opt, and install from there.",
            )


def require_own_unit(files: ServiceFiles) -> None:
    """Refuse a unit that `edgessd service install` didn't write.

    Raises:
        ConfigError: There is such a unit.
    """
    # Units of older versions have it too.
    _require_mark(files.unit, "Environment=EDGESSD_CACHE=/var/cache/")


def _require_mark(path: Path, mark: str) -> None:
    if path.exists() and mark not in path.read_text(encoding="utf-8", errors="replace"):
        raise ConfigError(
            f"{path} exists and wasn't written by `edgessd service install`",
            expected="no file, or that of an earlier installation",
            fix="Choose another name with --name, or move the file away.",
        )


def remove(files: ServiceFiles, name: str) -> None:
    """Stop a service and remove its files, and their folder if no other service has files in it."""
    systemctl("disable", "--now", f"{name}.service")
    files.unit.unlink()
    files.config.unlink(missing_ok=True)
    files.environment.unlink(missing_ok=True)
    folder = files.config.parent
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    systemctl("daemon-reload")


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl.

    Raises:
        ConfigError: It failed.
    """
    return _run(["systemctl", *words])


def user_exists(name: str) -> bool:
    """Return True if this machine knows the user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _require_access(service: Service) -> None:
    """Refuse paths that the service's user can't reach, before the service fails on them.

    Folders that it writes to are made.
    """
    wanted = [(Path(service.program[0]), "-x"), (service.directory, "-x")]
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
# The operators of `test`, in words, and the way out.
_RIGHTS = {
    "-x": ("enter or execute", _MOVE_IT),
    "-r": ("read", _MOVE_IT),
    "-w": ("write to", "Run `sudo chown {user} {path}`, or name another folder."),
}


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(
            f"`{shlex.join(words)}` failed",
            found=done.stderr.strip() or f"exit code {done.returncode}",
            fix="See `journalctl -xe`.",
        )
    return done
