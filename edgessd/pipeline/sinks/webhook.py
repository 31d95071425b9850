"""Webhook: JSON posted to a URL, signed by the Standard Webhooks specification (standardwebhooks.com, v1).

Each message has a `webhook-id`, which stays the same when the message is sent again, and a
`webhook-timestamp`. With a secret it also has a `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over
`id.timestamp.body`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import logging
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgessd.core.errors import SinkError
from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.options.outputs import WebhookOn
from edgessd.pipeline.records import event_record, json_record
from edgessd.pipeline.sinks.outage import Outage
from edgessd.version import __version__

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result

_log = logging.getLogger(__name__)

_WAITING = 1000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_DRAIN_SECONDS = 5.0
# Status codes, besides 5xx, after which a message is sent again: timeouts and limits.
_RETRIED = {408, 425, 429}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Message:
    id: str
    body: bytes


class WebhookSink:
    """Posts one JSON object per event, or per frame with detections.

    A thread posts the messages one by one and in order. An answer of 2xx is success. After no answer, 408,
    425, 429 or 5xx the message is posted again, with growing pauses (`Retry-After` is respected). After any
    other answer it is given up. A thousand messages may wait, then the oldest are dropped.

    Args:
        url: URL with `http://` or `https://`.
        on: `events` requires tracking; `detections` posts the records of `--jsonl`.
        secret: Secret for the signatures: `whsec_` and base64 as in the specification, or any text. None for
            no signatures.
        timeout: Seconds to wait for an answer.

    Attributes:
        sent: Number of messages accepted by the server.
        refused: Number of messages given up.

    Raises:
        SinkError: The URL is invalid, or the secret isn't base64.
    """

    lossless = True
    own_thread = True

    def __init__(
        self,
        url: str,
        *,
        on: WebhookOn = "events",
        secret: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._url, self._on, self._timeout = _checked(url), on, timeout
        self._key = None if secret is None else _key(secret)
        self.name = f"webhook {_shown(url)}"
        self.sent = self.refused = 0
        self._messages: BoundedQueue[_Message] = BoundedQueue(_WAITING, drop_oldest=True)
        self._outage = Outage(_log, f"The {self.name}", "webhook")
        self._logged_refusals: set[str] = set()
        self._give_up_at: float | None = None
        self._hurry = threading.Event()
        # A redirected POST would arrive as a GET without a body.
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._thread = threading.Thread(target=self._post_each, name="edgessd-webhook", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Number of messages dropped for newer ones."""
        return self._messages.dropped

    def write(self, result: Result) -> None:
        for payload in self._payloads(result):
            body = json.dumps(payload, separators=(",", ":")).encode()
            self._messages.put(_Message(id=f"msg_{uuid.uuid4().hex}", body=body))

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        self._give_up_at = time.monotonic() + _DRAIN_SECONDS
        self._messages.end()
        self._hurry.set()
        self._thread.join(_DRAIN_SECONDS + 1)
        if left := len(self._messages):
            raise SinkError(
                f"{left} messages could not be posted to {_shown(self._url)}",
                found=self._outage.reason or "no answer in time",
            )

    def _payloads(self, result: Result) -> list[dict[str, Any]]:
        if self._on == "events":
            frame = result.frame
            return [
                {
                    "type": "event",
                    "source": frame.source,
                    "frame": frame.index,
                    "event": event_record(event),
                }
                for event in result.events
            ]
        if not len(result.detections):
            return []
        return [{"type": "detections", **json_record(result)}]

    def _post_each(self) -> None:
        pause = _FIRST_PAUSE
        while (message := self._messages.peek()) is not None:
            again, why = self._post(message)
            if again is None:
                pause = _FIRST_PAUSE
                self._messages.remove(message)
                continue
            self._outage.begin(why)
            # Jitter, so that a hundred cameras don't all try the same server at the same moment.
            wait = max(again, pause * random.uniform(0.75, 1.25))
            pause = min(_LONGEST_PAUSE, pause * 2)
            if self._give_up_at is not None:
                if time.monotonic() + wait > self._give_up_at:
                    return
                time.sleep(wait)
            elif self._hurry.wait(wait):
                pause = _FIRST_PAUSE

    def _post(self, message: _Message) -> tuple[float | None, str]:
        """Post a message once.

        Returns:
            None and "" if the message is done, otherwise the minimum pause in seconds and the reason.
        """
        request = urllib.request.Request(
            self._url, data=message.body, headers=self._headers(message), method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                answer.read(1 << 16)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error.code, error.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return 0.0, str(reason) or type(error).__name__
        self.sent += 1
        self._outage.end()
        return None, ""

    def _headers(self, message: _Message) -> dict[str, str]:
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"edgessd/{__version__}",
            "webhook-id": message.id,
            "webhook-timestamp": timestamp,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, message.id, timestamp, message.body)
        return headers

    def _refused(self, code: int, retry_after: str | None) -> tuple[float | None, str]:
        answer = f"{code} {http.client.responses.get(code, '')}".strip()
        if code >= 500 or code in _RETRIED:
            seconds = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
            return min(seconds, _LONGEST_PAUSE), f"it answers {answer}"
        self._outage.end()
        self.refused += 1
        if answer not in self._logged_refusals:
            self._logged_refusals.add(answer)
            _log.warning(
                "The %s answers %s; refused messages are not sent again.",
                self.name,
                answer,
                extra={"edgessd": {"event": "webhook_refused", "name": self.name, "status": code}},
            )
        return None, ""


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the value of the header `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SinkError(
            "Webhooks can't be posted there",
            expected="a URL such as https://example.org/hook",
            found=_shown(url),
        )
    if parts.username or parts.password:
        raise SinkError(
            "A password in the webhook's URL would show in the list of processes",
            expected="a URL without user and password",
            fix="Set EDGESSD_WEBHOOK_SECRET, and let the receiver check the signature.",
        )
    return url


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise SinkError(
            "EDGESSD_WEBHOOK_SECRET isn't a secret of the Standard Webhooks specification",
            expected="whsec_ and base64, or any text that doesn't begin with whsec_",
            found=str(error),
        ) from error


def _shown(url: str) -> str:
    """Return the URL without its path and query, which may contain a secret token."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an invalid URL"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
