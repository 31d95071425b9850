"""User names and passwords are sent and never shown."""

from __future__ import annotations

import pytest

from edgessd.pipeline.sources.credentials import masked, with_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:secret@10.0.0.5:554/main", "rtsp://***@10.0.0.5:554/main"),
        ("rtsp://admin@10.0.0.5/main", "rtsp://***@10.0.0.5/main"),
        ("rtsp://admin:p@ss/w#?rd@10.0.0.5/main", "rtsp://***@10.0.0.5/main"),
        ("rtsp://admin:12/34@10.0.0.5/main", "rtsp://***@10.0.0.5/main"),
        ("http://10.0.0.5/video.cgi?user=a&pwd=b&size=3", "http://10.0.0.5/video.cgi?user=***&pwd=***&size=3"),
        ("rtsp://10.0.0.5/user=admin&password=x&channel=1", "rtsp://10.0.0.5/user=***&password=***&channel=1"),
        ("http://a:b@[fe80::1]:80/x", "http://***@[fe80::1]:80/x"),
        ('uridecodebin uri="rtsp://a:b@h/x" ! appsink', 'uridecodebin uri="rtsp://***@h/x" ! appsink'),
        ("rtsp://10.0.0.5:554/main", "rtsp://10.0.0.5:554/main"),
        ("rtsp://[fe80::1]:554/main", "rtsp://[fe80::1]:554/main"),
        ("film@home.mp4", "film@home.mp4"),
    ],
)  # fmt: skip
def test_no_secret_is_shown(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("rtsp://admin:p@ss/w#rd@h:554/main", "rtsp://admin:p%40ss%2Fw%23rd@h:554/main"),
        ("rtsp://admin:p%40ss@h/main", "rtsp://admin:p%40ss@h/main"),
        ("rtsp://h:554/main", "rtsp://h:554/main"),
        ("rtsp://h:554/@front", "rtsp://h:554/@front"),
        ("rtsp://admin@h/main", "rtsp://admin@h/main"),
    ],
)
def test_special_characters_are_encoded_once(
    monkeypatch: pytest.MonkeyPatch, url: str, sent: str
) -> None:
    monkeypatch.delenv("EDGESSD_SOURCE_USERNAME", raising=False)
    assert with_credentials(url) == sent
    assert with_credentials(sent) == sent


def test_a_url_without_credentials_gets_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGESSD_SOURCE_USERNAME", "viewer")
    monkeypatch.setenv("EDGESSD_SOURCE_PASSWORD", "p@ss")
    assert with_credentials("rtsp://h/main") == "rtsp://viewer:p%40ss@h/main"
    assert with_credentials("rtsp://admin:x@h/main") == "rtsp://admin:x@h/main"
    assert with_credentials("udp://h:1234") == "udp://h:1234"
