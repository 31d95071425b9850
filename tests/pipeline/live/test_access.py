"""Access to the live page: tokens, cookies and other websites."""

from __future__ import annotations

import json
import socket

import pytest
from live_wire import (
    TOKEN,
    Running,
    ask,
    connect,
    next_picture,
)
from websockets.exceptions import InvalidStatus

from edgessd.core.errors import SinkError
from edgessd.pipeline.live.access import choose_token, is_loopback

pytestmark = pytest.mark.realtime


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:9"}, 200),  # another port, as through a tunnel
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "camera.example"}, 421),  # a foreign name that points here
        ({"Host": "127.0.0.1.example"}, 421),
        ({"Host": ""}, 421),
    ],
)
def test_without_a_token_only_names_of_this_machine_are_accepted(
    run: Running, headers: dict[str, str], status: int
) -> None:
    assert ask(run, "/api/status", **headers).status == status


def test_other_websites_can_neither_change_nor_watch_anything(run: Running) -> None:
    here = f"http://127.0.0.1:{run.page.port}"
    body = {"score_threshold": run.pipeline.controls.score_threshold}
    assert ask(run, "/api/controls", body, Origin=here).status == 200
    for origin in ("http://example.com", "null", "http://127.0.0.1:1"):
        assert ask(run, "/api/controls", body, Origin=origin).status == 403
        with pytest.raises(InvalidStatus) as refused, connect(run, origin=origin):
            pass
        assert refused.value.response.status_code == 403
    assert ask(run, "/api/status").headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in ask(run, "/api/status").headers


def test_a_request_without_the_token_is_refused(guarded: Running) -> None:
    refusal = ask(guarded, "/")
    assert refusal.status == 401
    assert b'name="token"' in refusal.body
    for path in (
        "/api/status",
        "/api/history",
        "/api/controls",
        "/picture/0.jpg",
        "/stream/0.mjpg",
    ):
        assert ask(guarded, path).status == 401
    for shown in ("wrong", TOKEN[:-1], TOKEN + "x", "ä"):
        assert (
            ask(
                guarded, "/api/status", Authorization=f"Bearer {shown}".encode().decode("latin-1")
            ).status
            == 401
        )
    assert ask(guarded, "/?token=wrong").status == 401
    with pytest.raises(InvalidStatus) as refused, connect(guarded):
        pass
    assert refused.value.response.status_code == 403


def test_the_token_is_exchanged_for_a_cookie(guarded: Running) -> None:
    first = ask(guarded, f"/?token={TOKEN}")
    assert first.status == 303
    assert first.headers["Location"] == "./"  # the address has no token any more
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert str(guarded.page.port) in cookie.split("=")[0]
    remembered = cookie.split(";")[0]
    assert ask(guarded, "/", Cookie=remembered).status == 200
    with connect(guarded, additional_headers={"Cookie": remembered}) as viewer:
        viewer.send(json.dumps({"type": "watch", "streams": [0]}))
        assert next_picture(viewer)[1].shape == (240, 320, 3)
    assert ask(guarded, "/", Cookie=f"edgessd_{guarded.page.port}=wrong").status == 401
    # Another name is accepted too, because the cookie is bound to the name.
    assert ask(guarded, "/", Cookie=remembered, Host="camera.lan").status == 200


def test_programs_send_the_token_in_a_header_or_in_the_address(guarded: Running) -> None:
    assert ask(guarded, "/api/status", Authorization=f"Bearer {TOKEN}").status == 200
    assert ask(guarded, f"/picture/0.jpg?token={TOKEN}").status == 200


def test_a_page_for_other_machines_gets_a_token_of_sufficient_length() -> None:
    assert choose_token("127.0.0.1", None) is None
    assert choose_token("::1", None) is None
    one, two = choose_token("0.0.0.0", None), choose_token("0.0.0.0", None)
    assert one != two
    assert one is not None
    assert len(one) >= 32
    assert choose_token("127.0.0.1", "x" * 16) == "x" * 16
    for short in ("secret", "x" * 15, "ü" * 20):
        with pytest.raises(SinkError, match="openssl rand"):
            choose_token("0.0.0.0", short)
    with pytest.raises(SinkError, match="Set PAGE to"):
        choose_token("0.0.0.0", "secret", variable="PAGE")


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.4.4.4", True), ("::1", True), ("[::1]", True), ("a.localhost", True),
     ("0.0.0.0", False), ("localhost.example", False), ("192.168.1.4", False), ("", False)],
)  # fmt: skip
def test_addresses_of_this_machine_are_recognized(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_addresses_are_real_and_carry_the_token(guarded: Running) -> None:
    for url in guarded.page.urls():
        assert url.endswith(f":{guarded.page.port}/?token={TOKEN}")
        host = url.split("//")[1].rsplit(":", 1)[0]
        with socket.create_connection((host, guarded.page.port), timeout=5):
            pass
    assert all(TOKEN not in url for url in guarded.page.urls(with_token=False))
