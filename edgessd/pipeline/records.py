"""Results as JSON objects, for `--jsonl`, MQTT, webhooks, snapshots and the live page.

`record.schema.json` beside this file is the JSON Schema of `json_record`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgessd.pipeline.tracking import track_ids_of

if TYPE_CHECKING:
    from edgessd.pipeline.events import Event, RegionState
    from edgessd.pipeline.result import Result


def json_record(result: Result) -> dict[str, Any]:
    """Return the record of one frame.

    `box` is [x1, y1, x2, y2] in pixels of the original frame. `timestamp` is Unix time in seconds for
    cameras and images, the position in seconds for a video file. `track_id` is None without `--track` and
    for a detection that isn't a track yet.
    """
    frame = result.frame
    found = zip(result.detections.named(), track_ids_of(result.detections), strict=True)
    return {
        "source": frame.source,
        "stream": frame.stream,
        "frame": frame.index,
        "timestamp": round(frame.timestamp, 6),
        "delay_ms": round(result.delay * 1e3, 3),
        "width": frame.width,
        "height": frame.height,
        "detections": [
            {
                "label": label,
                "score": round(score, 4),
                "box": _rounded(box),
                "track_id": track_id,
            }
            for (label, score, box), track_id in found
        ],
        "events": [event_record(event) for event in result.events],
        "regions": [region_record(region) for region in result.regions],
    }


def event_record(event: Event) -> dict[str, Any]:
    """Return the record of an event."""
    return {
        "kind": event.kind,
        "region": event.region,
        "direction": event.direction,
        "label": event.label,
        "track_id": event.track_id,
        "score": round(event.score, 4),
        "box": _rounded(event.box),
        "timestamp": round(event.timestamp, 6),
        "stream": event.stream,
    }


def region_record(region: RegionState) -> dict[str, Any]:
    """Return the record of a line or zone, with its counts by label."""
    return {
        "name": region.name,
        "kind": region.kind,
        "inside": dict(region.inside),
        "entered": dict(region.entered),
        "left": dict(region.left),
    }


def _rounded(box: tuple[float, ...]) -> list[float]:
    return [round(corner, 2) for corner in box]
