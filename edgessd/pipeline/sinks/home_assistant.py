"""Messages of Home Assistant's MQTT discovery, by which it finds the camera.

Specification: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edgessd.pipeline.events import RegionState
from edgessd.pipeline.sinks.mqtt_address import slug
from edgessd.version import __version__


class Discovery:
    """Makes discovery messages as (topic, retained payload), each once.

    Args:
        topic: Topic under which everything is published.
        prefix: Home Assistant's discovery prefix.
    """

    def __init__(self, topic: str, prefix: str = "homeassistant") -> None:
        self._topic, self._prefix = topic, prefix
        self._node = slug(topic.replace("/", "_"))
        self._announced: set[str] = set()

    def connectivity(self) -> Iterator[tuple[str, str]]:
        """Yield the message of the sensor for the connection."""
        yield from self._once(
            "binary_sensor",
            "connectivity",
            {
                "name": "Connectivity",
                "state_topic": f"{self._topic}/status",
                "payload_on": "online",
                "payload_off": "offline",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
            },
            available=False,
        )

    def label(self, stream: int, label: str) -> Iterator[tuple[str, str]]:
        """Yield the message of the sensor for the number of objects of a class in a stream."""
        yield from self._once(
            "sensor",
            f"{stream}_{slug(label)}",
            {
                "name": label if stream == 0 else f"{label} (stream {stream})",
                "state_topic": f"{self._topic}/{stream}/counts",
                "value_template": f"{{{{ value_json[{json.dumps(label)}] | default(0) }}}}",
                "state_class": "measurement",
                "icon": "mdi:counter",
            },
        )

    def region(self, stream: int, region: RegionState) -> Iterator[tuple[str, str]]:
        """Yield the messages of the sensors for the counts of a line or zone, summed over the classes."""
        kinds = {"entered": "in", "left": "out"}
        if region.kind == "zone":
            kinds = {"inside": "inside", "entered": "entered", "left": "left"}
        for key, name in kinds.items():
            now = key == "inside"
            yield from self._once(
                "sensor",
                f"{stream}_{slug(region.name)}_{key}",
                {
                    "name": f"{region.name} {name}",
                    "state_topic": f"{self._topic}/{stream}/regions/{slug(region.name)}",
                    "value_template": f"{{{{ value_json.{key}.values() | sum }}}}",
                    "state_class": "measurement" if now else "total_increasing",
                    "icon": "mdi:vector-polygon" if region.kind == "zone" else "mdi:vector-line",
                },
            )

    def _once(
        self, component: str, name: str, config: dict[str, Any], *, available: bool = True
    ) -> Iterator[tuple[str, str]]:
        if name in self._announced:
            return
        self._announced.add(name)
        full = {
            **config,
            "unique_id": f"{self._node}_{name}",
            "device": {
                "identifiers": [self._node],
                "name": self._topic,
                "manufacturer": "edgessd",
                "model": "camera detector",
                "sw_version": __version__,
            },
            "origin": {"name": "edgessd", "sw_version": __version__},
        }
        if available:
            full["availability_topic"] = f"{self._topic}/status"
        yield f"{self._prefix}/{component}/{self._node}/{name}/config", json.dumps(full)
