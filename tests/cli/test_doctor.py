"""`edgessd doctor`: findings as JSON and for people."""

from __future__ import annotations

import json

import pytest
from command_line import edgessd

from edgessd.core.errors import BackendError


def test_doctor_in_json() -> None:
    ended = edgessd("doctor", "--json")
    record = json.loads(ended.out)
    assert record["machine"]["cores"] >= 1
    checks = {check["name"]: check for check in record["checks"]}
    assert checks["Backend litert"]["state"] == "ok"
    assert "runs .tflite" in checks["Backend litert"]["found"]
    assert record["missing"] == [name for name, c in checks.items() if c["state"] == "missing"]


def test_doctor_for_people() -> None:
    ended = edgessd("doctor")
    assert "Target: " in ended.out
    assert "onnxruntime" in ended.out


def test_doctor_names_the_command_that_installs_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgessd.runtime import tflite_backend

    def refuse() -> str:
        raise BackendError("LiteRT isn't usable", found="no wheel", fix="Install it: pip install x")

    monkeypatch.setattr(tflite_backend, "library_version", refuse)
    record = json.loads(edgessd("doctor", "--json").out)
    (check,) = (check for check in record["checks"] if check["name"] == "Backend litert")
    assert (check["found"], check["fix"]) == ("no wheel", "pip install x")
    assert check["state"] == ("missing" if record["machine"]["target"] != "jetson" else "note")
