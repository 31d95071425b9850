"""Messages of Home Assistant's discovery."""

from __future__ import annotations

import json

from edgessd.pipeline.events import RegionState
from edgessd.pipeline.sinks.home_assistant import Discovery


def test_each_sensor_is_announced_once_with_its_topic_and_device() -> None:
    discovery = Discovery("home/door")
    ((topic, payload),) = discovery.label(0, "person")
    assert topic == "homeassistant/sensor/home_door/0_person/config"
    config = json.loads(payload)
    assert config["state_topic"] == "home/door/0/counts"
    assert config["availability_topic"] == "home/door/status"
    assert config["device"]["identifiers"] == ["home_door"]
    assert list(discovery.label(0, "person")) == []
    assert len(list(discovery.label(1, "person"))) == 1


def test_the_sensor_of_the_connection_is_always_available() -> None:
    ((topic, payload),) = Discovery("door").connectivity()
    assert topic == "homeassistant/binary_sensor/door/connectivity/config"
    assert "availability_topic" not in json.loads(payload)


def test_a_line_has_two_sensors_and_a_zone_three() -> None:
    for kind, names in (
        ("line", ["gate in", "gate out"]),
        ("zone", ["gate inside", "gate entered", "gate left"]),
    ):
        region = RegionState(
            name="gate",
            kind=kind,  # type: ignore[arg-type]
            points=(),
            inside={},
            entered={},
            left={},
        )
        messages = list(Discovery("door").region(0, region))
        assert [json.loads(payload)["name"] for _, payload in messages] == names
