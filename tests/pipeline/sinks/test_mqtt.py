"""A real broker with TLS, a password and client certificates, which starts late, dies and comes back."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import edgessd

from edgessd.core.errors import SinkError
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.options.outputs import MqttOptions
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.mqtt import MqttSink
from edgessd.pipeline.sinks.mqtt_address import MqttAddress, mqtt_address

pytestmark = [pytest.mark.process, pytest.mark.realtime]

Make = Callable[..., Result]
USER, PASSWORD = "camera", "s3cret words"


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.02)


def openssl(*words: object, folder: Path) -> None:
    subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make ca.pem, other.pem (an untrusted authority), and certificates of a server and a client."""
    if not shutil.which("openssl"):
        pytest.skip("openssl isn't installed (Debian: openssl)")
    folder = tmp_path_factory.mktemp("certificates")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl("req", "-x509", *curve, *files, "-subj", f"/CN={name}", folder=folder)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("server", "client"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("req", *curve, *files, "-subj", f"/CN={name}", folder=folder)
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", *signer, "-out", f"{name}.pem", folder=folder)
    return folder


class Broker:
    """mosquitto on a port that stays the same after a restart."""

    def __init__(self, folder: Path, certificates: Path, *, client_certificates: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        words = ["mosquitto_passwd", "-b", str(passwords), USER, PASSWORD]
        subprocess.run(words, check=True, capture_output=True)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            f"user root\npassword_file {passwords}\nallow_anonymous false\n"
            f"cafile {certificates}/ca.pem\ncertfile {certificates}/server.pem\n"
            f"keyfile {certificates}/server.key\n"
            f"require_certificate {str(client_certificates).lower()}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(self._config)]
        self._process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        until(self._listens)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """A client that keeps every message it gets."""

    def __init__(self, broker: Broker, certificates: Path) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(USER, PASSWORD)
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
        self._client.tls_set_context(context)
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("localhost", broker.port)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()
        assert subscribed.wait(10)

    def payloads(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in self.messages if name == topic]

    def records(self, topic: str) -> list[Any]:
        return [json.loads(payload) for payload in self.payloads(topic)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def make_broker(tmp_path: Path, certificates: Path) -> Iterator[Callable[..., Broker]]:
    for program in ("mosquitto", "mosquitto_passwd"):
        if not (shutil.which(program) or shutil.which(program, path="/usr/sbin")):
            pytest.skip("mosquitto isn't installed (Debian: mosquitto)")
    made: list[Broker] = []

    def make(*, client_certificates: bool = False) -> Broker:
        made.append(Broker(tmp_path, certificates, client_certificates=client_certificates))
        return made[-1]

    yield make
    for broker in made:
        broker.kill()


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    started = make_broker()
    started.start()
    return started


@pytest.fixture
def subscriber(broker: Broker, certificates: Path) -> Iterator[Subscriber]:
    opened = Subscriber(broker, certificates)
    yield opened
    opened.close()


@pytest.fixture
def address(broker: Broker, certificates: Path) -> MqttAddress:
    return address_of(broker, certificates)


def address_of(broker: Broker, certificates: Path, **changes: Any) -> MqttAddress:
    known: dict[str, Any] = {
        "host": "localhost",
        "port": broker.port,
        "tls": True,
        "topic": "home/door",
        "username": USER,
        "password": PASSWORD,
        "ca": certificates / "ca.pem",
    }
    return MqttAddress(**{**known, **changes})


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_subscriber_gets_records_counts_events_and_the_status(
    broker: Broker,
    certificates: Path,
    subscriber: Subscriber,
    make_result: Make,
    crossed: Event,
    door: RegionState,
    qos: int,
) -> None:
    sink = MqttSink(address_of(broker, certificates, qos=qos))
    until(lambda: sink.connected)
    sink.write(make_result(0, "person", "person", "car", events=(crossed,), regions=(door,)))
    sink.write(make_result(1))
    sink.write(make_result(2))
    sink.close()
    sink.close()
    until(lambda: subscriber.payloads("home/door/status") == ["online", "offline"])
    frames = subscriber.records("home/door/0/detections")
    assert [len(frame["detections"]) for frame in frames] == [3, 0]
    assert frames[0]["frame"] == 0
    # Two changes within a second are published as one, and the last count is right.
    assert subscriber.records("home/door/0/counts") == [{"car": 1, "person": 2}, {}]
    (event,) = subscriber.records("home/door/0/events")
    assert (event["kind"], event["track_id"]) == ("line_crossed", 3)
    (region,) = subscriber.records("home/door/0/regions/door")
    assert region["entered"] == {"person": 2}


def test_a_late_broker_gets_the_waiting_messages_and_is_logged_once(
    make_broker: Callable[..., Broker],
    certificates: Path,
    make_result: Make,
    make_event: Callable[..., Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    broker = make_broker()
    sink = MqttSink(address_of(broker, certificates))
    for index in range(30):
        sink.write(make_result(index, "person", events=(make_event(track_id=index + 1),)))
    until(lambda: caplog.messages)
    time.sleep(1.5)  # more than one attempt
    broker.start()
    watching = Subscriber(broker, certificates)
    until(lambda: sink.connected and len(watching.payloads("home/door/0/events")) == 30, 15)
    assert [event["track_id"] for event in watching.records("home/door/0/events")] == [
        *range(1, 31)
    ]
    until(lambda: len(watching.payloads("home/door/0/detections")) == 30)
    sink.close()
    watching.close()
    assert ["refused" in caplog.messages[0], "is back" in caplog.messages[1]] == [True, True]
    assert len(caplog.messages) == 2
    events = [record.edgessd["event"] for record in caplog.records]  # type: ignore[attr-defined]
    assert events == ["mqtt_unreachable", "mqtt_back"]


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_is_killed_loses_no_event(
    broker: Broker,
    certificates: Path,
    make_result: Make,
    make_event: Callable[..., Event],
    caplog: pytest.LogCaptureFixture,
    qos: int,
) -> None:
    caplog.set_level(logging.INFO)
    sink = MqttSink(address_of(broker, certificates, qos=qos), labels={0: ("person",)})
    until(lambda: sink.connected)
    broker.kill()
    until(lambda: not sink.connected)
    for index in range(5):
        sink.write(make_result(index, "person", events=(make_event(track_id=index + 1),)))
    broker.start()
    watching = Subscriber(broker, certificates)
    until(lambda: len(watching.payloads("home/door/0/events")) == 5, 15)
    # A broker that has lost everything gets the retained messages again.
    assert watching.records("home/door/0/counts") == [{"person": 1}]
    until(lambda: watching.payloads("home/door/status")[-1:] == ["online"])
    sink.close()
    watching.close()
    assert len(caplog.messages) == 2, caplog.messages


def test_the_broker_reports_a_vanished_client_offline(
    address: MqttAddress, subscriber: Subscriber, make_result: Make
) -> None:
    sink = MqttSink(address)
    until(lambda: "online" in subscriber.payloads("home/door/status"))
    # As if the cable were pulled: the socket ends without a DISCONNECT, and no thread reconnects.
    sink._closing = True
    client = sink._client
    client._thread_terminate = True
    client.socket().shutdown(socket.SHUT_RDWR)
    until(lambda: subscriber.payloads("home/door/status") == ["online", "offline"])
    client.loop_stop()


def test_a_client_certificate_is_accepted(
    make_broker: Callable[..., Broker], certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker(client_certificates=True)
    broker.start()
    pair = {"cert": certificates / "client.pem", "key": certificates / "client.key"}
    sink = MqttSink(address_of(broker, certificates, **pair))
    until(lambda: sink.connected)
    sink.close()
    without = MqttSink(address_of(broker, certificates))
    until(lambda: caplog.messages)
    assert not without.connected
    without.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"password": "wrong"}, "Not authorized"),
        ({"ca": "other.pem"}, "certificate verify failed"),
        ({"port": 1}, "refused"),
    ],
)
def test_a_refused_connection_is_logged_with_its_reason(
    broker: Broker,
    certificates: Path,
    make_result: Make,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    reason: str,
) -> None:
    if "ca" in changes:
        changes = {"ca": certificates / changes["ca"]}
    sink = MqttSink(address_of(broker, certificates, **changes))
    until(lambda: caplog.messages)
    assert reason.lower() in caplog.messages[0].lower()
    assert PASSWORD not in caplog.text
    sink.write(make_result(0, "person"))
    with pytest.raises(SinkError, match="never reached the broker localhost"):
        sink.close()
    assert len(caplog.messages) == 1


def test_memory_stays_constant_without_a_broker(certificates: Path, make_result: Make) -> None:
    sink = MqttSink(MqttAddress(host="127.0.0.1", port=1, tls=False, topic="a"))
    for index in range(3000):
        sink.write(make_result(index, "person"))
    assert sink.lost == 2800, "200 messages wait"
    with pytest.raises(SinkError, match="3000 messages"):
        sink.close()


def test_home_assistant_discovers_the_camera_its_classes_and_regions(
    address: MqttAddress, subscriber: Subscriber, make_result: Make, door: RegionState
) -> None:
    sink = MqttSink(address, discovery="homeassistant", labels={0: ("person",)})
    until(lambda: sink.connected)
    for index in range(3):
        sink.write(make_result(index, "car", regions=(door,)))
    sink.close()
    until(lambda: "offline" in subscriber.payloads("home/door/status"))
    found = {
        topic: json.loads(payload)
        for topic, payload, _ in subscriber.messages
        if topic.startswith("homeassistant/")
    }
    assert len(subscriber.messages) == len({(t, p) for t, p, _ in subscriber.messages})
    assert set(found) == {
        "homeassistant/binary_sensor/home_door/connectivity/config",
        "homeassistant/sensor/home_door/0_person/config",
        "homeassistant/sensor/home_door/0_car/config",
        "homeassistant/sensor/home_door/0_door_entered/config",
        "homeassistant/sensor/home_door/0_door_left/config",
    }
    person = found["homeassistant/sensor/home_door/0_person/config"]
    assert person["state_topic"] == "home/door/0/counts"
    assert person["availability_topic"] == "home/door/status"
    assert len({config["unique_id"] for config in found.values()}) == 5
    assert {config["device"]["identifiers"][0] for config in found.values()} == {"home_door"}
    # Home Assistant's templates are Jinja: they must turn a published message into a number.
    jinja2 = pytest.importorskip("jinja2")
    counts = subscriber.records("home/door/0/counts")[0]
    assert shown(jinja2, person, counts) == "0"
    car = found["homeassistant/sensor/home_door/0_car/config"]
    assert shown(jinja2, car, counts) == "1"
    entered = found["homeassistant/sensor/home_door/0_door_entered/config"]
    assert shown(jinja2, entered, subscriber.records(entered["state_topic"])[0]) == "2"


def shown(jinja2: Any, config: dict[str, Any], value: Any) -> str:
    return str(jinja2.Template(config["value_template"]).render(value_json=value))


def test_retained_messages_reach_a_late_subscriber(
    address: MqttAddress, broker: Broker, certificates: Path, make_result: Make
) -> None:
    sink = MqttSink(address)
    until(lambda: sink.connected)
    sink.write(make_result(0, "person"))
    sink.close()
    late = Subscriber(broker, certificates)
    until(lambda: len(late.messages) == 2)
    assert sorted(late.messages) == [
        ("home/door/0/counts", '{"person":1}', True),
        ("home/door/status", "offline", True),
    ]
    late.close()


def test_a_missing_library_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt.client", None)
    with pytest.raises(SinkError, match=r"edgessd\[mqtt\]"):
        MqttSink(mqtt_address(MqttOptions(url="mqtt://localhost"), {}))


def test_the_command_line_publishes_over_tls_with_the_environments_password(
    broker: Broker,
    certificates: Path,
    subscriber: Subscriber,
    photos: Path,
    tiny_bundles: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGESSD_MQTT_USERNAME", USER)
    monkeypatch.setenv("EDGESSD_MQTT_PASSWORD", PASSWORD)
    model = ("--model", tiny_bundles["host"].directory, "--threshold", 0.02)
    options = ("--mqtt", f"mqtts://localhost:{broker.port}/home/pi", "--mqtt-qos", 2)
    files = ("--mqtt-ca", "ca.pem", "--mqtt-cert", "client.pem", "--mqtt-key", "client.key")
    monkeypatch.chdir(certificates)
    done = edgessd(
        "run", "--source", photos, *model, *options, *files, "--home-assistant", "--json"
    )
    assert PASSWORD not in done.err + done.out
    until(lambda: subscriber.payloads("home/pi/status") == ["online", "offline"])
    frames = [record["frame"] for record in subscriber.records("home/pi/0/detections")]
    assert frames == list(range(16))
    topics = {topic for topic, _, _ in subscriber.messages}
    assert "homeassistant/sensor/home_pi/0_cat/config" in topics
