"""What a run has found, counted as it goes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgessd.pipeline.events import RegionState
    from edgessd.pipeline.result import Result


class Tally:
    """Detections of all frames, and with tracking the objects and the regions' counts."""

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
        """For the summary; tracking's part is empty without it."""
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
    """`Tally.record` for people."""
    said = [f"found {_counted(record['detections'])}"]
    if record["objects"]:
        said.append(f"tracked {_counted(record['objects'])}")
    streams = {region["stream"] for region in record["regions"]}
    for region in record["regions"]:
        where = f" of stream {region['stream']}" if len(streams) > 1 else ""
        came, went = _counted(region["entered"]), _counted(region["left"])
        if region["kind"] == "line":
            said.append(f"line {region['name']}{where}: in {came}; out {went}")
        else:
            inside = _counted(region["inside"])
            said.append(f"zone {region['name']}{where}: inside {inside}; came {came}; left {went}")
    return said


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.items()) or "nothing"
