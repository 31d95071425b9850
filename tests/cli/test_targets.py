"""`edgessd targets`: the list as JSON and for people."""

from __future__ import annotations

import json

from command_line import edgessd


def test_targets_in_json() -> None:
    record = json.loads(edgessd("targets", "--json").out)
    targets = {target["name"]: target for target in record["targets"]}
    assert targets["coral"]["engine"]["format"] == "tflite"
    assert targets["raspberry-pi-5"]["device"]["soc"] == "Broadcom BCM2712"


def test_targets_for_people() -> None:
    ended = edgessd("targets")
    assert "raspberry-pi-5" in ended.out
    # One line each for android and coral, one for two boards with the same JetPack, one for the Xaviers.
    assert ended.out.count("not done yet") == 4
    assert "jetson-nano, jetson-tx2, not done yet: JetPack 4.6" in ended.out
