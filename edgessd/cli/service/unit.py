"""The systemd unit of a camera that runs by itself, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgessd.core.errors import ConfigError
from edgessd.pipeline.sources.credentials import masked

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What the unit says.

    Attributes:
        name: Of the unit, without `.service`.
        description: One line for people.
        command: The program and its arguments; `${NAME}` in `secrets` stays to be filled in.
        secrets: Variables that stand in the environment file, not in the unit.
        user: Who runs it; never root.
        groups: Further groups, for cameras and accelerators.
        directory: Where relative paths begin.
        readable: Files and folders that it needs.
        writable: Folders that it may write to, beside its own cache.
        watchdog_seconds: Without a frame for so long it is restarted.
        shared_tmp: Whether it needs the machine's own /tmp: a Jetson's camera daemon listens there.
    """

    name: str
    description: str
    command: tuple[str, ...]
    secrets: Mapping[str, str] = field(default_factory=dict)
    user: str
    groups: tuple[str, ...]
    directory: Path
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    watchdog_seconds: int
    shared_tmp: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,100}", self.name):
            raise ConfigError(
                f"A service can't be named {self.name!r}",
                expected="letters, digits, - _ . and @",
                fix="For example --name door-camera.",
            )
        if self.user in ("root", "nobody"):
            raise ConfigError(
                "A camera's service runs as a user of its own or as an ordinary one",
                found=self.user,
                fix="Give --user NAME; a user that isn't there yet is made.",
            )
        for text in (*self.command, str(self.directory), *map(str, self.writable)):
            if "\n" in text:
                raise ConfigError(f"A unit can't hold the line break in {text!r}")

    @property
    def unit_path(self) -> Path:
        """Where systemd looks for what an administrator installs."""
        return Path(f"/etc/systemd/system/{self.name}.service")

    @property
    def environment_path(self) -> Path:
        """Secrets, readable by root alone; systemd reads it before it gives up its rights."""
        return Path(f"/etc/edgessd/{self.name}.env")

    def unit(self) -> str:
        """The unit file."""
        command = " ".join(quoted(word, self.secrets) for word in self.command)
        writable = "".join(
            f"ReadWritePaths=-{quoted_path(folder)}\n" for folder in dict.fromkeys(self.writable)
        )
        groups = f"SupplementaryGroups={' '.join(self.groups)}\n" if self.groups else ""
        return _UNIT.format(
            description=self.description.replace("%", "%%").replace("\n", " "),
            user=self.user,
            groups=groups,
            directory=str(self.directory).replace("%", "%%"),
            environment=str(self.environment_path).replace("%", "%%"),
            cache=self.name.replace("%", "%%"),
            command=command,
            watchdog=self.watchdog_seconds,
            writable=writable,
            tmp="ReadWritePaths=/tmp\n" if self.shared_tmp else "PrivateTmp=yes\n",
        )


# Type=notify: systemd hears from `pipeline.notify` when all is open, and while frames flow. A start may take
# minutes where TensorRT compiles its engine first. Devices stay reachable, and are guarded by their groups:
# so neither PrivateDevices nor ProtectClock, which adds a rule on devices that shuts out all others.
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


def quoted(word: str, secrets: Mapping[str, str]) -> str:
    """One word of ExecStart (systemd.service(5)); only the variables named are left to be filled in."""
    word = word.replace("%", "%%").replace("$", "$$")
    for name in secrets:
        word = word.replace(f"$${{{name}}}", f"${{{name}}}")
    if _PLAIN.fullmatch(word) or re.fullmatch(r"\$\{\w+\}", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def quoted_path(path: Path) -> str:
    """A path in a list of paths."""
    return quoted(str(path).replace("$", "\0"), {}).replace("\0", "$")


def hide_secrets(words: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Take addresses with a password in them, and those of webhooks, which often are a secret in
    themselves, out of a command: anyone may read a unit.

    Returns:
        The command with `${EDGESSD_SECRET_1}` and so on in their places, and those variables.
    """
    secrets: dict[str, str] = {}
    hidden = []
    for before, word in zip(("", *words), words, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if masked(value) != value or (value and "--webhook" in (before, option)):
            name = f"EDGESSD_SECRET_{len(secrets) + 1}"
            secrets[name] = value
            word = f"{option}{equals}${{{name}}}"
        hidden.append(word)
    return tuple(hidden), secrets


def environment_file(secrets: Mapping[str, str], before: str = "") -> str:
    """The environment file: what stands in it already is kept, what is new comes below (systemd.exec(5))."""
    lines = before.splitlines() or list(_ENVIRONMENT_HEAD)
    names = {line.split("=", 1)[0].strip() for line in lines if "=" in line}
    for name, value in secrets.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        line = f'{name}="{escaped}"'
        if name in names and name.startswith("EDGESSD_SECRET_"):
            lines = [line if old.split("=", 1)[0].strip() == name else old for old in lines]
        elif name not in names:
            lines.append(line)
    return "\n".join(lines) + "\n"


_ENVIRONMENT_HEAD = (
    "# Secrets of this edgessd service. Readable by root alone; restart the service after a change.",
    "# EDGESSD_LIVE_TOKEN=          what viewers of the live page need",
    "# EDGESSD_SOURCE_USERNAME=     EDGESSD_SOURCE_PASSWORD=     of the camera's own stream",
    "# EDGESSD_MQTT_USERNAME=       EDGESSD_MQTT_PASSWORD=",
    "# EDGESSD_WEBHOOK_SECRET=      signs what is posted",
)
