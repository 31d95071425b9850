"""Address of an MQTT broker, with the credentials for it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edgessd.core.errors import SinkError
from edgessd.pipeline.options.outputs import MqttOptions

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, kw_only=True, slots=True)
class MqttAddress:
    """Address of a broker.

    Attributes:
        host, port: Host and port of the broker.
        tls: True to encrypt the connection and verify the broker's certificate.
        topic: Topic under which everything is published.
        username, password: Credentials; None if the broker requires none.
        ca: File with the trusted certificates; None for the system's.
        cert, key: Files of the client's certificate and key, if the broker requires them.
        qos: Quality of service: 0 at most once, 1 at least once, 2 exactly once.
    """

    host: str
    port: int
    tls: bool
    topic: str
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    qos: int = 1

    def __post_init__(self) -> None:
        if (
            not self.topic
            or re.search(r"[+#\x00]", self.topic)
            or self.topic[0] == "/"
            or self.topic[-1] == "/"
        ):
            raise SinkError(
                "Messages can't be published under this MQTT topic",
                expected="names with slashes between them, such as home/camera",
                found=self.topic,
            )
        if self.qos not in (0, 1, 2):
            raise SinkError(
                "This isn't a quality of service of MQTT", expected="0, 1 or 2", found=str(self.qos)
            )
        if not self.tls and (self.ca or self.cert or self.key):
            raise SinkError(
                "Certificates require mqtts://, but the broker's address has mqtt://",
                fix=f"Use mqtts://{self.host}, usually port 8883.",
            )
        if self.key and not self.cert:
            raise SinkError("A client's key requires its certificate")

    def context(self) -> ssl.SSLContext | None:
        """Make the context of a TLS connection; None without TLS.

        Raises:
            SinkError: A file is missing or invalid.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path)
            raise SinkError(
                "The certificates for the MQTT broker can't be used",
                expected="PEM files",
                found=f"{error} in {files}",
            ) from error
        return context


def mqtt_address(options: MqttOptions, environment: Mapping[str, str]) -> MqttAddress:
    """Read the address of the broker that the options name.

    Args:
        options: With a URL `mqtt://host[:port][/topic]` or `mqtts://…`. Their topic overrides that of
            the URL; without either it is `edgessd/` and the machine's name.
        environment: Environment with the user name and the password.

    Raises:
        SinkError: The URL is invalid or contains a password.
    """
    url = options.url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise SinkError(
            "This isn't the address of an MQTT broker",
            expected="mqtt://host, mqtts://host:8883 or mqtts://host/topic",
            found=re.sub(r"//[^/]*@", "//", url),
        )
    if parts.username or parts.password:
        raise SinkError(
            "A password in the broker's address would show in the list of processes",
            expected="an address without user and password",
            fix=f"Set {options.username_env} and {options.password_env} in the environment.",
        )
    return MqttAddress(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        topic=options.topic or parts.path.strip("/") or f"edgessd/{slug(socket.gethostname())}",
        username=environment.get(options.username_env),
        password=environment.get(options.password_env),
        ca=options.ca,
        cert=options.cert,
        key=options.key,
        qos=options.qos,
    )


def slug(name: str) -> str:
    """Replace the characters that topics and Home Assistant's object ids can't have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "unnamed"
