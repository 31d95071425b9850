"""Options of the outputs of a run; in a file each is a table of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.checks import require_between, require_scheme, require_variable

WEBHOOK_SECRET_VARIABLE = "EDGESSD_WEBHOOK_SECRET"
MQTT_USERNAME_VARIABLE = "EDGESSD_MQTT_USERNAME"
MQTT_PASSWORD_VARIABLE = "EDGESSD_MQTT_PASSWORD"
LIVE_TOKEN_VARIABLE = "EDGESSD_LIVE_TOKEN"

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi")

SnapshotsOn = Literal["appearance", "events"]
WebhookOn = Literal["events", "detections"]


class RecordOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Annotated videos; the table `[record]`.

    Attributes:
        path: Video file: `.mp4`, `.mkv` or `.avi`.
        minutes: Length after which a new file begins; None is one file.

    Raises:
        ConfigError: `minutes` is out of range, or the suffix is unknown.
    """

    path: Path
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ConfigError(
                "record.path isn't the name of a video",
                expected="a name that ends in " + ", ".join(VIDEO_SUFFIXES),
                found=self.path.suffix or "no suffix",
                fix="For example --record out.mp4.",
            )
        require_between("record.minutes", self.minutes, 0.01)


class SnapshotsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pictures of chosen moments; the table `[snapshots]`.

    Attributes:
        path: Folder.
        on: `appearance` of a class or a tracked object, or `events` at lines and zones.
        every: Seconds between two snapshots for the same reason, at least.

    Raises:
        ConfigError: A value out of its range.
    """

    path: Path
    on: SnapshotsOn = "appearance"
    every: float = 1.0

    def __post_init__(self) -> None:
        _require_one_of("snapshots.on", self.on, ("appearance", "events"))
        require_between("snapshots.every", self.every, 0)


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JSON posted to a server; the table `[webhook]`.

    Attributes:
        url: http:// or https:// address.
        url_env: Environment variable that holds the address, which is often a secret.
        on: `events` posts each event, `detections` each frame with a detection. None is `events` if
            every source is tracked, else `detections`.
        secret_env: Environment variable with the secret that signs the messages.

    Raises:
        ConfigError: A value out of its range, or not exactly one address.
    """

    url: str | None = None
    url_env: str | None = None
    on: WebhookOn | None = None
    secret_env: str = WEBHOOK_SECRET_VARIABLE

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.url_env):
            raise ConfigError(
                "A webhook needs one address",
                expected="either url or url_env",
                found="both" if self.url else "neither",
            )
        require_scheme("webhook.url", self.url, ("http", "https"))
        if self.on is not None:
            _require_one_of("webhook.on", self.on, ("events", "detections"))
        require_variable("webhook.url_env", self.url_env)
        require_variable("webhook.secret_env", self.secret_env)

    def located(self, environment: Mapping[str, str]) -> str:
        """Return the address, read from the environment if the options name a variable.

        Raises:
            ConfigError: The variable isn't set.
        """
        if self.url is not None:
            return self.url
        assert self.url_env is not None
        if url := environment.get(self.url_env):
            return url
        raise ConfigError(
            "The address of the webhook is missing",
            expected=f"the environment variable {self.url_env}",
            found="it isn't set",
            fix=f"Set it: export {self.url_env}='https://…'.",
        )


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Results published to a broker; the table `[mqtt]`.

    Attributes:
        url: mqtt:// or mqtts:// address, without credentials.
        topic: Prefix of all topics; None is `edgessd/` and the machine's name.
        ca: PEM file with the certificates to trust; None is the system's.
        cert, key: PEM files of the client.
        qos: Quality of service: 0, 1 or 2.
        home_assistant: Announce sensors to Home Assistant.
        username_env, password_env: Environment variables with the credentials.

    Raises:
        ConfigError: A value out of its range.
    """

    url: str
    topic: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    qos: int = 1
    home_assistant: bool = False
    username_env: str = MQTT_USERNAME_VARIABLE
    password_env: str = MQTT_PASSWORD_VARIABLE

    def __post_init__(self) -> None:
        require_scheme("mqtt.url", self.url, ("mqtt", "mqtts"))
        require_between("mqtt.qos", self.qos, 0, 2)
        require_variable("mqtt.username_env", self.username_env)
        require_variable("mqtt.password_env", self.password_env)


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The live page; the table `[live]`, which may be empty.

    Attributes:
        host: Address to listen on. The default is reachable from this machine only.
        port: TCP port; 0 is any free one.
        token_env: Environment variable with the token that viewers need.

    Raises:
        ConfigError: A value out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token_env: str = LIVE_TOKEN_VARIABLE

    def __post_init__(self) -> None:
        require_between("live.port", self.port, 0, 65535)
        require_variable("live.token_env", self.token_env)


def _require_one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{key} is unknown", expected=" or ".join(known), found=value)
