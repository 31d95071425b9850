"""Options of one source: its address, how it is opened, and what is looked for in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.checks import require_between, require_variable
from edgessd.pipeline.sources.credentials import PASSWORD_VARIABLE, USERNAME_VARIABLE

RtspTransport = Literal["tcp", "udp"]

# A day, in seconds. The operating system can't wait for any number of them.
LONGEST_WAIT = 86_400
# Addresses that begin with one of these and a colon aren't files.
_KINDS = ("camera", "csi", "gst", "pattern")


class SourceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source; in a file one `[[source]]` table.

    Options that mean nothing to the kind of source are ignored.

    Attributes:
        address: File, folder, glob pattern, URL, `camera:N`, `csi:N`, `gst:PIPELINE` or `pattern:`, see
            `edgessd.pipeline.sources.catalog.open_source`.
        address_env: Environment variable that holds the address, for an address that is a secret.
        username_env, password_env: Environment variables with the credentials of an rtsp or http URL
            that has none.
        width, height: Requested picture size of a camera, in pixels; its nearest mode is used.
        fps: Requested frame rate of a camera, or of paced images.
        pixel_format: `format` in the file. Pixel format of a Video4Linux camera, such as `MJPG`; None
            chooses.
        pace: Play a file at its own speed, and drop frames as a camera does.
        loop: Start a file or images again at the end.
        rtsp_transport: Transport protocol of RTSP.
        reconnect: Reopen a live source that fails or ends.
        wait: Wait for a live source that is missing at the start.
        stall_seconds: Longest time without a frame before a live source is reopened.
        freeze_seconds: Longest time with an identical picture before a live source is reopened; 0 is
            never.
        open_seconds: Longest wait for the first answer of a network camera.
        threshold: Lowest score, in [0, 1]; None is the model's own.
        classes: Labels to look for; None is all.
        track: Number the objects from frame to frame.
        regions: File with lines and zones, see `edgessd.pipeline.regions`. It implies `track`.

    Raises:
        ConfigError: A value out of its range, or two that contradict each other.
    """

    address: str | None = None
    address_env: str | None = None
    username_env: str = USERNAME_VARIABLE
    password_env: str = PASSWORD_VARIABLE
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pixel_format: str | None = msgspec.field(default=None, name="format")
    pace: bool = False
    loop: bool = False
    rtsp_transport: RtspTransport = "tcp"
    reconnect: bool = True
    wait: bool = False
    stall_seconds: float = 10.0
    freeze_seconds: float = 60.0
    open_seconds: float = 15.0
    threshold: float | None = None
    classes: tuple[str, ...] | None = None
    track: bool = False
    regions: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.address) == bool(self.address_env):
            raise ConfigError(
                "A source needs one address",
                expected="either address or address_env",
                found="both" if self.address else "neither",
            )
        for name in ("address_env", "username_env", "password_env"):
            require_variable(name, getattr(self, name))
        require_between("width", self.width, 1, 65535)
        require_between("height", self.height, 1, 65535)
        require_between("fps", self.fps, 0.001, 1000)
        require_between("stall_seconds", self.stall_seconds, 0.1, LONGEST_WAIT)
        require_between("freeze_seconds", self.freeze_seconds, 0, LONGEST_WAIT)
        require_between("open_seconds", self.open_seconds, 0.1, LONGEST_WAIT)
        require_between("threshold", self.threshold, 0, 1)
        if self.rtsp_transport not in ("tcp", "udp"):
            raise ConfigError(
                "rtsp_transport is unknown", expected="tcp or udp", found=self.rtsp_transport
            )
        if self.classes is not None and not (self.classes and all(self.classes)):
            raise ConfigError(
                "classes has no label, or an empty one",
                expected="labels of the model, such as person",
                fix="Leave classes out to look for all of them.",
            )
        if self.wait and not self.reconnect:
            raise ConfigError(
                "A source that is waited for is opened again and again",
                expected="reconnect = true together with wait = true",
                fix="Leave one of --wait and --no-reconnect out.",
            )

    @property
    def tracking(self) -> bool:
        """True if objects are numbered."""
        return self.track or self.regions is not None

    @property
    def is_file(self) -> bool:
        """True if the address is a file, a folder or a glob pattern."""
        address = self.address or ""
        kind, colon, _ = address.partition(":")
        return bool(address) and "://" not in address and not (colon and kind in _KINDS)

    def located(self, environment: Mapping[str, str]) -> str:
        """Return the address, read from the environment if the options name a variable.

        Raises:
            ConfigError: The variable isn't set.
        """
        if self.address is not None:
            return self.address
        assert self.address_env is not None
        if address := environment.get(self.address_env):
            return address
        raise ConfigError(
            "The address of a source is missing",
            expected=f"the environment variable {self.address_env}",
            found="it isn't set",
            fix=f"Set it: export {self.address_env}='rtsp://…'.",
        )
