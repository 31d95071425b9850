"""Checks of the values of options."""

from __future__ import annotations

import pytest

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.checks import parse_listen, require_scheme
from edgessd.pipeline.options.outputs import VIDEO_SUFFIXES
from edgessd.pipeline.sinks.video_writers import CODECS


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("pi.local:9000", ("pi.local", 9000)),
    ],
)
def test_an_address_is_split_into_host_and_port(text: str, place: tuple[str, int]) -> None:
    assert parse_listen(text) == place


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "80:x", "99999", "²", "1" * 5000])
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="PORT or HOST:PORT"):
        parse_listen(text)


@pytest.mark.parametrize("url", ["me:hunter2@broker", "ftp://me:hunter2@broker", "broker/hunter2"])
def test_another_scheme_is_refused_without_the_address(url: str) -> None:
    with pytest.raises(ConfigError, match="mqtt://host") as refused:
        require_scheme("mqtt.url", url, ("mqtt", "mqtts"))
    assert "hunter2" not in refused.value.paragraph()
    require_scheme("mqtt.url", "MQTTS://broker", ("mqtt", "mqtts"))


def test_every_kind_of_video_that_is_accepted_is_written() -> None:
    assert tuple(CODECS) == VIDEO_SUFFIXES
