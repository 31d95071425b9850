"""Counts of a run: detections, objects, lines and zones."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgessd.pipeline.events import RegionState
    from edgessd.pipeline.result import Result


class Tally:
    """Count detections, and with tracking also objects and regions."""

    def __init__(self) -> None:
        self.detections: Counter[str] = Counter()
        self.objects: Counter[str] = Counter()
        self._regions: dict[int, tuple[RegionState, ...]] = {}

    def add(self, result: Result) -> None:
        """Count a result."""
        found = result.detections
        self.detections.update(found.labels[class_id] for class_id in found.class_ids)
        self.objects.update(event.label for event in result.events if event.kind == "appeared")
        if result.regions:
            self._regions[result.frame.stream] = result.regions

    def record(self) -> dict[str, Any]:
        """Return the counts for the summary; without tracking, objects and regions are empty."""
        from edgessd.pipeline.records import region_record

        return {
            "detections": dict(self.detections.most_common()),
            "objects": dict(self.objects.most_common()),
            "regions": [
                {"stream": stream, **region_record(region)}
                for stream, regions in sorted(self._regions.items())
                for region in regions
            ],
        }


def sentences(record: dict[str, Any]) -> list[str]:
    """Return the counts of `Tally.record` as sentences."""
    lines = [f"found {_counted(record['detections'])}"]
    if record["objects"]:
        lines.append(f"tracked {_counted(record['objects'])}")
    streams = {region["stream"] for region in record["regions"]}
    for region in record["regions"]:
        where = f" of stream {region['stream']}" if len(streams) > 1 else ""
        came, went = _counted(region["entered"]), _counted(region["left"])
        if region["kind"] == "line":
            lines.append(f"line {region['name']}{where}: in {came}; out {went}")
        else:
            inside = _counted(region["inside"])
            lines.append(f"zone {region['name']}{where}: inside {inside}; came {came}; left {went}")
    return lines


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.items()) or "nothing"
