"""Options file: reading, writing, and refusals with the place of the fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.file import read_options, write_options
from edgessd.pipeline.options.outputs import (
    LiveOptions,
    MqttOptions,
    RecordOptions,
    SnapshotsOptions,
    WebhookOptions,
)
from edgessd.pipeline.options.run import DetectorOptions, RunOptions
from edgessd.pipeline.options.source import SourceOptions

FULL = RunOptions(
    max_frames=100,
    latency=True,
    log="json",
    jsonl="-",
    csv="/out/o.csv",
    metrics="0.0.0.0:9464",
    display=True,
    model=DetectorOptions(
        path=Path("/models/m"), backend="ort", labels=Path("/l.txt"), threads=4, engines=2
    ),
    source=(
        SourceOptions(
            address="camera:0",
            width=1280,
            height=720,
            fps=29.97,
            pixel_format="MJPG",
            pace=True,
            loop=True,
            rtsp_transport="udp",
            wait=True,
            stall_seconds=3.0,
            freeze_seconds=0.0,
            open_seconds=5.0,
            threshold=0.4,
            classes=("person", "traffic light"),
            track=True,
            regions=Path("/r.toml"),
        ),
        SourceOptions(
            address_env="DOOR", username_env="DOOR_USER", password_env="DOOR_PW", reconnect=False
        ),
    ),
    record=RecordOptions(path=Path("/out/o.mp4"), minutes=10.0),
    snapshots=SnapshotsOptions(path=Path("/out/snaps"), on="events", every=60.0),
    webhook=WebhookOptions(url_env="HOOK", on="events", secret_env="HOOK_SECRET"),
    mqtt=MqttOptions(
        url="mqtts://h",
        topic="a/b",
        ca=Path("/ca"),
        cert=Path("/cert"),
        key=Path("/key"),
        qos=2,
        home_assistant=True,
        username_env="U",
        password_env="P",
    ),
    live=LiveOptions(host="0.0.0.0", port=80, token_env="T"),
)


@pytest.mark.parametrize("options", [FULL, RunOptions(source=(SourceOptions(address="/a"),))])
def test_written_options_are_read_again(options: RunOptions, tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_text(write_options(options))
    assert read_options(path) == options


def test_every_option_is_in_the_round_trip() -> None:
    """The round trip above must cover every option, also a new one."""
    for options in (
        FULL,
        FULL.model,
        FULL.record,
        FULL.snapshots,
        FULL.webhook,
        FULL.mqtt,
        FULL.live,
    ):
        unset = {name for name in options.__struct_fields__ if getattr(options, name) is None}
        assert unset <= {"url"}, options
    first, second = FULL.source
    for name in first.__struct_fields__:
        assert getattr(first, name) is not None or getattr(second, name) is not None, name


def test_relative_paths_begin_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub/o.toml"
    path.write_text('csv = "o.csv"\n[[source]]\naddress = "film.mp4"\nregions = "../r.toml"\n')
    monkeypatch.chdir(tmp_path)
    for given in (path, Path("sub/o.toml")):
        options = read_options(given)
        assert options.source[0].address == str(tmp_path / "sub/film.mp4")
        assert options.source[0].regions == tmp_path / "sub/../r.toml"
        assert options.csv == str(tmp_path / "sub/o.csv")


SOURCE = '[[source]]\naddress = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SOURCE + "wide = 3", "The key wide is unknown in [[source]] number 1. Expected width"),
        (SOURCE * 2 + "tresh = 3", "unknown in [[source]] number 2"),
        (SOURCE + "[mqtt]\nurl='a'\nhost='b'", "host is unknown in [mqtt]. Expected one of url, topic"),
        ("recrod = 1\n" + SOURCE, "The key recrod is unknown"),  # codespell:ignore
        ("width = 1\n" + SOURCE, "Write it in a [[source]] table"),
        (SOURCE + "display = true", "Write it before the first table"),
        (SOURCE + 'width = "wide"', 'number 1 has the wrong type. Expected a whole number. Found "wide"'),
        (SOURCE + "width = 1.5", "Expected a whole number. Found 1.5"),
        (SOURCE + "fps = true", "Expected a number. Found true"),
        (SOURCE + "regions = 3", "Expected text in quotes. Found 3"),
        (SOURCE + 'classes = "person"', 'Expected a list in brackets. Found "person"'),
        (SOURCE + "classes = [1, 2]", "Expected text in quotes. Found [ 1, 2, ]"),
        (SOURCE + "pace = 1", "Expected true or false. Found 1"),
        (SOURCE + 'rtsp_transport = "http"', 'Expected "tcp" or "udp". Found "http"'),
        (SOURCE + "width = 0", "width is out of range, in [[source]] number 1. Expected 1 to 65535"),
        (SOURCE + "[record]", "The key path is missing in [record]"),
        ('live = "0.0.0.0"\n' + SOURCE, "live isn't a table. Expected [live]"),
        ('[source]\naddress = "a"', "Expected [[source]], in two brackets"),
        ("", "A run needs a source"),
        (SOURCE + "[model]\nthreads = 1000000", "model.threads is out of range"),
        ("max_frames = 0\n" + SOURCE, "max_frames is out of range"),
        (SOURCE + "width = -" + "9" * 400, "width is out of range"),
        (SOURCE + "width = " + "9" * 5000, "isn't TOML"),
        ("x = " + "[" * 3000, "too many brackets"),
        (SOURCE + "x" * 1000 + " = 1", "x" * 80 + "… is unknown"),
        ("source = []", "at least one [[source]] table"),
        ('[[source]]\naddress = "a\n', "at line 2"),
        ("log = text\n" + SOURCE, "at line 1"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cameras.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_options(path)
    assert str(path) in refused.value.problem
    assert message in refused.value.paragraph()


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_options(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="isn't TOML") as refused:
        read_options(tmp_path / "binary.toml")
    assert "UTF-8" in refused.value.paragraph()


def test_a_file_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SOURCE.replace("\n", "\r\n").encode())
    assert read_options(path).source[0].address == str(tmp_path / "a")


@pytest.mark.parametrize(
    "text",
    [
        "[[source]]\naddress = ['rtsp://me:hunter2@cam/1']",
        "[[source]]\n'rtsp://me:hunter2@cam/1' = 1",
        "source = ['rtsp://me:hunter2@cam/1']",
        "mqtt = 'mqtt://me:hunter2@broker'\n" + SOURCE,
        "webhook = 'https://hooks.example/hunter2'\n" + SOURCE,
        SOURCE + "[webhook]\nurl = ['https://hooks.example/hunter2']",
    ],
)
def test_a_secret_at_a_wrong_place_is_not_repeated(text: str, tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_options(path)
    assert "://***" in refused.value.paragraph()
    assert "hunter2" not in refused.value.paragraph()


def test_a_refusal_repeats_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_text(SOURCE + '"\\u001b[31mred" = 1\n')
    with pytest.raises(ConfigError) as refused:
        read_options(path)
    assert refused.value.paragraph().isprintable()
