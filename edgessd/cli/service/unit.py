"""Text of the files of a service: the systemd unit, the options file and the secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.outputs import LIVE_TOKEN_VARIABLE

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


UNIT_FOLDER = Path("/etc/systemd/system")
OPTIONS_FOLDER = Path("/etc/edgessd")
_MARK = "# Written by `edgessd service install` for the service"


class ServiceFiles(NamedTuple):
    """The files of a service.

    Attributes:
        unit: Place where systemd looks for units of an administrator.
        config: Options file; only root and the service's user may read it.
        environment: Secrets; only root may read it. systemd reads it before it gives up its rights.
    """

    unit: Path
    config: Path
    environment: Path

    @classmethod
    def of(cls, name: str) -> ServiceFiles:
        """Return the files of the service with that name.

        Raises:
            ConfigError: No service can have that name.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}[A-Za-z0-9_]|[A-Za-z0-9]", name):
            raise ConfigError(
                f"A service can't be named {name!r}",
                expected="up to 101 letters, digits, - _ . and @, with a letter or digit at both ends",
                fix="For example --name door-camera.",
            )
        return cls(
            unit=UNIT_FOLDER / f"{name}.service",
            config=OPTIONS_FOLDER / f"{name}.toml",
            environment=OPTIONS_FOLDER / f"{name}.env",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """Content of the unit, of the options file and of the environment file.

    Attributes:
        name: Name of the unit, without `.service`.
        description: One line for people.
        program: The program and its arguments, without `--config`.
        config: Options of the run, as TOML.
        secrets: Variables of the environment file, with their values.
        variables: Further variables that the options name, which the user must add.
        user: User who runs it; never root.
        groups: Further groups, for cameras and accelerators.
        directory: Working directory.
        readable: Files and folders that it reads.
        writable: Folders that it may write to, beside its own cache.
        watchdog_seconds: Time without a frame after which it is restarted.
        shared_tmp: True if it needs the machine's own /tmp: a Jetson's camera daemon listens there.
    """

    name: str
    description: str
    program: tuple[str, ...]
    config: str
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    user: str
    groups: tuple[str, ...]
    directory: Path
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    watchdog_seconds: int
    shared_tmp: bool = False

    def __post_init__(self) -> None:
        ServiceFiles.of(self.name)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}", self.user):
            raise ConfigError(
                f"A user can't be named {self.user!r}",
                expected="up to 31 letters, digits, - _ and ., with a letter at the beginning",
                fix="Give --user NAME.",
            )
        if self.user in ("root", "nobody"):
            raise ConfigError(
                "A service can't run as this user",
                expected="a user other than root and nobody",
                found=self.user,
                fix="Give --user NAME; a missing user is created.",
            )
        for text in (*self.program, str(self.directory), *map(str, self.writable)):
            if "\n" in text:
                raise ConfigError(f"A unit can't hold the line break in {text!r}")

    @property
    def files(self) -> ServiceFiles:
        """Places of the files."""
        return ServiceFiles.of(self.name)

    @property
    def mark(self) -> str:
        """First line of the options file, by which another installation recognizes it."""
        return f"{_MARK} {self.name}."

    def config_file(self) -> str:
        """Return the text of the options file."""
        change = f"After a change: sudo systemctl restart {self.name}"
        return f"{self.mark} {change}\n{self.config}"

    def shown(self) -> str:
        """Return the unit and the options file for people, each after its path."""
        files = self.files
        return f"# {files.unit}\n{self.unit()}\n# {files.config}\n{self.config_file()}"

    def unit(self) -> str:
        """Return the text of the unit."""
        words = (*self.program, "--config", str(self.files.config))
        command = " ".join(quoted(word) for word in words)
        writable = "".join(
            f"ReadWritePaths=-{quoted_path(folder)}\n" for folder in dict.fromkeys(self.writable)
        )
        groups = f"SupplementaryGroups={' '.join(self.groups)}\n" if self.groups else ""
        return _UNIT.format(
            description=self.description.replace("%", "%%").replace("\n", " "),
            user=self.user,
            groups=groups,
            directory=str(self.directory).replace("%", "%%"),
            environment=str(self.files.environment).replace("%", "%%"),
            cache=self.name.replace("%", "%%"),
            command=command,
            watchdog=self.watchdog_seconds,
            writable=writable,
            tmp="ReadWritePaths=/tmp\n" if self.shared_tmp else "PrivateTmp=yes\n",
        )


# Type=notify: `pipeline.notify` tells systemd when everything is open, and while frames come. A start takes
# minutes if TensorRT compiles its engine first. Devices must stay reachable, and their groups guard them. So
# there is neither PrivateDevices nor ProtectClock, which adds a rule that excludes all other devices.
_UNIT = """\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
{groups}WorkingDirectory={directory}
EnvironmentFile=-{environment}
Environment=EDGESSD_CACHE=/var/cache/{cache} PYTHONUNBUFFERED=1
CacheDirectory={cache}
ExecStart={command}
Restart=always
RestartSec=5
TimeoutStartSec=15min
TimeoutStopSec=30
WatchdogSec={watchdog}

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
{writable}{tmp}ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0027

[Install]
WantedBy=multi-user.target
"""


def quoted(word: str) -> str:
    """Return one word of ExecStart as systemd reads it (systemd.service(5))."""
    word = word.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def quoted_path(path: Path) -> str:
    """Return a path in a list of paths."""
    return quoted(str(path).replace("$", "\0")).replace("\0", "$")


def environment_file(secrets: Mapping[str, str], before: str = "") -> str:
    """Return the text of the environment file (systemd.exec(5)).

    Other lines of the file are kept. A token of the live page is kept too, since people have it in their
    browsers. The variables of units that older versions wrote are dropped.

    Args:
        secrets: Variables with their values.
        before: Text of the file as it is; empty if there is none.
    """
    old = before.splitlines() or list(_ENVIRONMENT_HEAD)
    lines = {_name_of(line) or f"#{number}": line for number, line in enumerate(old)}
    for name, value in secrets.items():
        if name != LIVE_TOKEN_VARIABLE or name not in lines:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            lines[name] = f'{name}="{escaped}"'
    kept = (line for name, line in lines.items() if not name.startswith("EDGESSD_SECRET_"))
    return "\n".join(kept) + "\n"


def _name_of(line: str) -> str:
    """Return the name of the variable that a line sets, empty for other lines."""
    name, equals, _ = line.partition("=")
    return name.strip() if equals and not line.lstrip().startswith(("#", ";")) else ""


_ENVIRONMENT_HEAD = (
    "# Secrets of this edgessd service. Readable by root alone; restart the service after a change.",
    "# EDGESSD_LIVE_TOKEN=          token for viewers of the live page",
    "# EDGESSD_SOURCE_USERNAME=     EDGESSD_SOURCE_PASSWORD=     of network cameras",
    "# EDGESSD_MQTT_USERNAME=       EDGESSD_MQTT_PASSWORD=",
    "# EDGESSD_WEBHOOK_SECRET=      signs the messages of the webhook",
)
