"""The outage of a server in the log."""

from __future__ import annotations

import logging

import pytest

from edgessd.pipeline.sinks.outage import Outage


def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logging.getLogger("test"), "The broker", "mqtt")
    outage.end()  # there was none
    outage.begin("refused")
    outage.begin("still refused")
    assert outage.reason == "refused"
    outage.end()
    outage.end()
    assert outage.reason is None
    events = [record.edgessd["event"] for record in caplog.records]  # type: ignore[attr-defined]
    assert events == ["mqtt_unreachable", "mqtt_back"]
    outage.begin("refused again")
    assert len(caplog.records) == 3
