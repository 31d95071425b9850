"""MQTT output: results to a broker, and the camera to Home Assistant.

Topics below the main topic:
    status                  `online` or `offline`, retained; the broker itself publishes offline if we vanish
    <stream>/detections     the record of `--jsonl`, for each frame with detections and the first one without
    <stream>/counts         {"person": 2}, retained, published on a change, at most once per second
    <stream>/events         one message per event (with tracking)
    <stream>/regions/<name> counts of a line or zone, retained, published on a change
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgessd.core.errors import SinkError
from edgessd.pipeline.bounded_queue import BoundedQueue
from edgessd.pipeline.records import event_record, json_record, region_record
from edgessd.pipeline.sinks.home_assistant import Discovery
from edgessd.pipeline.sinks.mqtt_address import MqttAddress, slug
from edgessd.pipeline.sinks.outage import Outage

if TYPE_CHECKING:
    from edgessd.pipeline.result import Result

_log = logging.getLogger(__name__)

# Messages that wait while the broker is unreachable: all of the few events, and the newest frames.
_WAITING_EVENTS, _WAITING_FRAMES = 1000, 200
# Messages given to the client that it hasn't sent. A slow network must not fill the memory.
_MOST_UNDERWAY = 100
_COUNTS_EVERY = 1.0
_CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class _Message:
    topic: str
    payload: str
    retain: bool = False


class MqttSink:
    """Publishes results. A broker that can't be reached is tried again without end.

    Args:
        address: Address of the broker.
        discovery: Home Assistant's discovery prefix; None for no discovery.
        labels: Classes of each stream that get a sensor in Home Assistant at once; others get it when
            first detected.

    Raises:
        SinkError: paho-mqtt isn't installed, or a certificate can't be used.
    """

    lossless = True
    own_thread = True

    def __init__(
        self,
        address: MqttAddress,
        *,
        discovery: str | None = None,
        labels: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        self.name = f"MQTT {address.host}:{address.port}"
        self._address = address
        self._discovery = None if discovery is None else Discovery(address.topic, discovery)
        self._labels = labels or {}
        self._events: BoundedQueue[_Message] = BoundedQueue(_WAITING_EVENTS, drop_oldest=True)
        self._frames: BoundedQueue[_Message] = BoundedQueue(_WAITING_FRAMES, drop_oldest=True)
        # Last message of each retained topic, published again when the broker comes back.
        self._states: dict[str, _Message] = {}
        self._counts: dict[int, dict[str, int]] = {}
        self._counts_due: dict[int, float] = {}
        self._found_before: set[int] = set()
        self._underway: deque[tuple[_Message, Any]] = deque()
        self._lock = threading.RLock()
        self._connected = self._closing = self._closed = False
        self._outage = Outage(_log, f"The broker of {self.name}", "mqtt")
        self._client = self._make_client()
        self._client.connect_async(address.host, address.port, keepalive=20)
        self._client.loop_start()

    @property
    def lost(self) -> int:
        """Number of messages dropped while the broker was unreachable."""
        return self._events.dropped + self._frames.dropped

    @property
    def connected(self) -> bool:
        """True while connected to the broker."""
        return self._connected

    def write(self, result: Result) -> None:
        stream = result.frame.stream
        self._discover(result)
        for event in result.events:
            self._events.put(self._message(f"{stream}/events", event_record(event)))
        for region in result.regions:
            self._state(f"{stream}/regions/{slug(region.name)}", region_record(region))
        self._write_counts(result)
        found = len(result.detections) > 0
        if found or stream in self._found_before:
            self._frames.put(self._message(f"{stream}/detections", json_record(result)))
        (self._found_before.add if found else self._found_before.discard)(stream)
        self._flush()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for stream, counts in self._counts.items():
            self._state(f"{stream}/counts", counts)
        self._flush()
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self._connected and self._left() and time.monotonic() < deadline:
            time.sleep(0.01)
            self._flush()
        with self._lock:
            self._closing = True
            if self._connected:
                status = f"{self._address.topic}/status"
                goodbye = self._client.publish(status, "offline", qos=1, retain=True)
        while self._connected and not goodbye.is_published() and time.monotonic() < deadline + 1:
            time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()
        missing = self._left() + self.lost
        if missing:
            raise SinkError(
                f"{missing} messages never reached the broker {self._address.host}",
                found=self._outage.reason or "a broker slower than the camera",
            )

    def _left(self) -> int:
        """Return the number of messages that the broker hasn't confirmed."""
        return len(self._events) + len(self._frames) + len(self._underway)

    def _make_client(self) -> Any:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise SinkError(
                "MQTT needs the package paho-mqtt, version 2",
                found=str(error),
                fix="`pip install 'edgessd[mqtt]'`, or `pip install 'paho-mqtt>=2'`.",
            ) from error
        address = self._address
        context = address.context()
        # Two clients with the same id would disconnect each other again and again.
        client_id = f"edgessd-{slug(socket.gethostname())[:20]}-{uuid.uuid4().hex[:8]}"
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if context is not None:
            client.tls_set_context(context)
        client.will_set(f"{address.topic}/status", "offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        return client

    def _message(self, name: str, record: dict[str, Any], *, retain: bool = False) -> _Message:
        payload = json.dumps(record, separators=(",", ":"))
        return _Message(f"{self._address.topic}/{name}", payload, retain)

    def _state(self, name: str, record: dict[str, Any]) -> bool:
        """Publish the state of a retained topic if it has changed; return True if it has."""
        message = self._message(name, record, retain=True)
        known = self._states.get(message.topic)
        if known is not None and known.payload == message.payload:
            return False
        with self._lock:
            self._states[message.topic] = message
            if self._connected:
                self._publish(message)
        return True

    def _write_counts(self, result: Result) -> None:
        stream, now = result.frame.stream, time.monotonic()
        counts = Counter(label for label, _, _ in result.detections.named())
        self._counts[stream] = dict(sorted(counts.items()))
        if now < self._counts_due.get(stream, 0.0):
            return
        if self._state(f"{stream}/counts", self._counts[stream]):
            self._counts_due[stream] = now + _COUNTS_EVERY

    def _discover(self, result: Result) -> None:
        if self._discovery is None:
            return
        stream = result.frame.stream
        messages = list(self._discovery.connectivity())
        seen = dict.fromkeys(label for label, _, _ in result.detections.named())
        for label in (*self._labels.get(stream, ()), *seen):
            messages += self._discovery.label(stream, label)
        for region in result.regions:
            messages += self._discovery.region(stream, region)
        with self._lock:
            for topic, payload in messages:
                message = self._states[topic] = _Message(topic, payload, retain=True)
                if self._connected:
                    self._publish(message)

    def _flush(self) -> None:
        """Send waiting messages, events first, while the client keeps up."""
        with self._lock:
            while self._underway and self._underway[0][1].is_published():
                self._underway.popleft()
            for queue in (self._events, self._frames):
                while self._connected and len(self._underway) < _MOST_UNDERWAY:
                    message = queue.peek(timeout=0)
                    if message is None:
                        break
                    if not self._publish(message):
                        return
                    queue.remove(message)

    def _publish(self, message: _Message) -> bool:
        qos = self._address.qos
        info = self._client.publish(message.topic, message.payload, qos=qos, retain=message.retain)
        # With QoS 1 and 2 the client keeps the message and sends it again after a reconnect.
        if qos == 0 and info.rc != 0:
            return False
        self._underway.append((message, info))
        return True

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            self._outage.begin(f"it refuses: {reason}")
            return
        self._outage.end()
        with self._lock:
            self._connected = True
            self._client.publish(f"{self._address.topic}/status", "online", qos=1, retain=True)
            for message in self._states.values():
                self._publish(message)
        self._flush()

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        # paho calls this while it handles the error, and passes it on in no other way.
        self._outage.begin(str(sys.exc_info()[1] or "no answer"))

    def _on_disconnect(
        self, _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any
    ) -> None:
        with self._lock:
            was_connected, self._connected = self._connected, False
            if self._address.qos == 0:
                unsent = [message for message, info in self._underway if not info.is_published()]
                self._frames.put_back([message for message in unsent if not message.retain])
            self._underway.clear()
        if not self._closing:
            # With TLS 1.3, a missing client certificate is refused only now.
            problem = (
                "the connection broke" if was_connected else "it closes the connection at once"
            )
            self._outage.begin(f"{problem}: {reason}")
