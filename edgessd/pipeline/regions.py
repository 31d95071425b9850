"""Read lines and zones from a TOML file: `run --regions FILE.toml`.

    units = "fractions"          # of the frame's width and height (the default), or "pixels"

    [[line]]
    name = "door"
    from = [0.5, 1.0]
    to = [0.5, 0.0]
    classes = ["person"]         # all classes if it is left out

    [[zone]]
    name = "bench"
    points = [[0.1, 0.6], [0.4, 0.6], [0.4, 1.0], [0.1, 1.0]]

**Direction of a line.** Read the picture as a map, stand at `from` and look towards `to`. An object that
crosses from your left to your right goes *in*; the other direction is *out*. The line of the example points
up the picture, so *in* is from left to right. The drawn arrow points inwards.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Point = tuple[float, float]
BoxPoint = Literal["bottom", "center", "top"]


class LineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line segment that objects cross. An object that passes beyond its ends isn't counted.

    Attributes:
        name: Name, unique in the file.
        start, end: Keys `from` and `to` of the file, in the file's units.
        classes: Labels to count; None for all.
        point: Point of the box that must cross: middle of the lower edge (feet, wheels), center, or middle
            of the upper edge.
        stream: Number of the source that has the line, from 0; None for every source.
    """

    name: str
    start: Point = msgspec.field(name="from")
    end: Point = msgspec.field(name="to")
    classes: tuple[str, ...] | None = None
    point: BoxPoint = "bottom"
    stream: int | None = None

    @property
    def points(self) -> tuple[Point, ...]:
        """Both ends."""
        return self.start, self.end


class ZoneSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A polygon that objects enter and leave.

    Attributes:
        points: Corners in order around the polygon, in the file's units.
        name, classes, point, stream: See `LineSpec`.
    """

    name: str
    points: tuple[Point, ...]
    classes: tuple[str, ...] | None = None
    point: BoxPoint = "bottom"
    stream: int | None = None


class TrackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the tracking: the table `[tracking]` of the file.

    Attributes:
        start_score: Minimum score of a detection that starts a track. Lower scores only continue tracks.
        lost_seconds: Seconds without a detection after which an object is gone. If it comes back, it is a
            new object.
        confirm_frames: Number of frames in which an object must be detected before it gets its number.
    """

    start_score: float = 0.5
    lost_seconds: float = 2.0
    confirm_frames: int = 2

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("start_score", self.start_score, 0, 1),
            ("lost_seconds", self.lost_seconds, 0.1, 3600),
            ("confirm_frames", self.confirm_frames, 1, 100),
        ):
            if not least <= value <= most:
                raise ConfigError(
                    f"tracking.{name} is out of range",
                    expected=f"{least} to {most}",
                    found=str(value),
                )


class Regions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Contents of a regions file.

    Attributes:
        units: Unit of all points: fractions of the frame, or pixels of the frame.
        margin: Distance beyond a border at which an object has crossed it, as a fraction of the frame's
            diagonal. It keeps an object that trembles on the border from being counted twice.
        line, zone: Lines and zones.
        tracking: Settings of the tracking.
    """

    units: Literal["fractions", "pixels"] = "fractions"
    margin: float = 0.01
    line: tuple[LineSpec, ...] = ()
    zone: tuple[ZoneSpec, ...] = ()
    tracking: TrackSettings = TrackSettings()

    def __post_init__(self) -> None:
        names = [region.name for region in self.all]
        for name in names:
            if not name or names.count(name) > 1:
                raise ConfigError(
                    "Every region needs a name of its own",
                    found=f"{name!r} {names.count(name)} times",
                )
        if not 0 <= self.margin < 0.5:
            raise ConfigError("margin is out of range", expected="0 to 0.5", found=str(self.margin))
        for region in self.all:
            _check_points(region, self.units)

    @property
    def all(self) -> tuple[LineSpec | ZoneSpec, ...]:
        """Lines, then zones, in the order of the file."""
        return (*self.line, *self.zone)

    def require_labels(self, labels: Sequence[str]) -> None:
        """Refuse classes that the detector doesn't have, because their counts would always be 0.

        Raises:
            ConfigError: A class isn't among `labels`.
        """
        for region in self.all:
            unknown = sorted(set(region.classes or ()) - set(labels))
            if unknown:
                raise ConfigError(
                    f"The region {region.name!r} counts classes that the detector doesn't have",
                    expected="some of " + ", ".join(labels),
                    found=", ".join(unknown),
                )

    def pixels(
        self, region: LineSpec | ZoneSpec, width: int, height: int
    ) -> tuple[tuple[float, float], ...]:
        """Return a region's points in pixels of a frame of `width` x `height`."""
        if self.units == "pixels":
            return region.points
        return tuple((x * width, y * height) for x, y in region.points)


def read_regions(path: Path) -> Regions:
    """Read a regions file.

    Raises:
        ConfigError: The file is missing, isn't TOML, or has an unknown key or an invalid value.
    """
    try:
        return parse_regions(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(
            f"The regions file {path} can't be read",
            found=error.strerror or str(error),
            fix="Give --regions the path of a TOML file with [[line]] and [[zone]] tables.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"The regions file {path} can't be used", found=str(error)) from error
    except ConfigError as error:
        raise ConfigError(
            f"The regions file {path} can't be used: {error.problem}",
            expected=error.expected,
            found=error.found,
            fix=error.fix,
        ) from error


def parse_regions(table: Mapping[str, object]) -> Regions:
    """Check a parsed TOML document and return its regions."""
    regions = msgspec.convert(table, Regions)
    if not regions.all:
        raise ConfigError(
            "It has neither a line nor a zone",
            expected="at least one [[line]] or [[zone]] table",
            fix="Use --track without a regions file to number objects only.",
        )
    return regions


def _check_points(region: LineSpec | ZoneSpec, units: str) -> None:
    least = 2 if isinstance(region, LineSpec) else 3
    if len(set(region.points)) < least:
        raise ConfigError(
            f"The region {region.name!r} has no extent",
            expected=f"at least {least} different points",
            found=str(len(set(region.points))),
        )
    if isinstance(region, ZoneSpec) and _area(region.points) < 1e-9:
        raise ConfigError(f"The zone {region.name!r} has no area", found="points on one line")
    values = [value for point in region.points for value in point]
    if units == "fractions" and not all(0 <= value <= 1 for value in values):
        raise ConfigError(
            f"The region {region.name!r} lies outside the frame",
            expected="fractions from 0 to 1",
            found=", ".join(f"{value:g}" for value in values if not 0 <= value <= 1),
            fix='If these are pixels, write units = "pixels" at the top of the file.',
        )
    if min(values) < 0:
        raise ConfigError(f"The region {region.name!r} lies outside the frame", found="below 0")


def _area(points: Sequence[Point]) -> float:
    """Return the area of a polygon by the shoelace formula."""
    following = (*points[1:], points[0])
    doubled = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, following, strict=True))
    return abs(doubled) / 2
