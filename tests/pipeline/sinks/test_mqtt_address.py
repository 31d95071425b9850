"""The address of an MQTT broker, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import EdgessdError, SinkError
from edgessd.pipeline.options.outputs import MqttOptions
from edgessd.pipeline.sinks.mqtt_address import mqtt_address


def test_a_url_becomes_an_address() -> None:
    secrets = {"EDGESSD_MQTT_USERNAME": "u", "EDGESSD_MQTT_PASSWORD": "p"}
    plain = mqtt_address(MqttOptions(url="mqtt://broker"), {})
    assert (plain.host, plain.port, plain.tls, plain.username) == ("broker", 1883, False, None)
    assert plain.topic.startswith("edgessd/")
    full = mqtt_address(MqttOptions(url="mqtts://broker:999/home/door", qos=2), secrets)
    assert (full.port, full.tls, full.topic, full.qos) == (999, True, "home/door", 2)
    assert (full.username, full.password) == ("u", "p")
    assert mqtt_address(MqttOptions(url="mqtts://[::1]"), {}).host == "::1"
    assert mqtt_address(MqttOptions(url="mqtts://broker"), {}).port == 8883


@pytest.mark.parametrize(
    ("url", "options", "problem"),
    [
        ("broker.local", {}, "mqtt://host"),
        ("http://broker", {}, "mqtt://host"),
        ("mqtt://broker:abc", {}, "mqtt://host"),
        ("mqtt://me:hunter2@broker", {}, "EDGESSD_MQTT_PASSWORD"),
        ("mqtt://broker", {"topic": "home/#"}, "topic"),
        ("mqtt://broker", {"ca": Path("ca.pem")}, "mqtts://"),
        ("mqtts://broker", {"key": Path("k.pem")}, "requires its certificate"),
    ],
)
def test_an_invalid_address_is_refused_without_its_password(
    url: str, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(EdgessdError) as refused:
        mqtt_address(MqttOptions(url=url, **options), {})
    assert problem in refused.value.paragraph()
    assert "hunter2" not in refused.value.paragraph()


def test_an_invalid_certificate_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for ca in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        address = mqtt_address(MqttOptions(url="mqtts://localhost", ca=ca), {})
        with pytest.raises(SinkError, match="certificates"):
            address.context()
