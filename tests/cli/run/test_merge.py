"""`edgessd run --config` and `--print-config`: the options file and the command line that overrides it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import edgessd

from edgessd.cli.run import command as run
from edgessd.cli.run.merge import NOT_MERGED, merged_names
from edgessd.pipeline.options.file import read_options
from edgessd.pipeline.options.outputs import (
    LiveOptions,
    MqttOptions,
    RecordOptions,
    SnapshotsOptions,
    WebhookOptions,
)
from edgessd.pipeline.options.run import RunOptions
from edgessd.pipeline.options.source import SourceOptions
from edgessd.runtime.starter import starter_bundle

FILE = """
max_frames = 5
log = "json"
csv = "o.csv"

[model]
threads = 2

[[source]]
address = "camera:0"
width = 1280
threshold = 0.4
classes = ["person"]
regions = "door.toml"

[[source]]
address = "yard.mp4"
loop = true

[record]
path = "o.mp4"
minutes = 10

[webhook]
url_env = "HOOK"
on = "events"

[mqtt]
url = "mqtt://broker"
topic = "home"

[live]
port = 80
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with an options file, and work in another folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "cameras.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def printed(folder: Path) -> Callable[..., RunOptions]:
    """Run `--print-config` and read the options that it prints."""

    def call(*words: object) -> RunOptions:
        done = edgessd("run", *words, "--print-config")
        path = folder / "printed.toml"
        path.write_text(done.out)
        return read_options(path)

    return call


def test_every_option_of_the_command_is_merged_or_excepted() -> None:
    parameters = set(inspect.signature(run.command).parameters) - {"context"}
    assert merged_names() | set(NOT_MERGED) == parameters
    assert not merged_names() & set(NOT_MERGED)


def test_the_file_alone(printed: Callable[..., RunOptions], folder: Path) -> None:
    options = printed("--config", "../cameras.toml")
    assert options.source == (
        SourceOptions(
            address="camera:0",
            width=1280,
            threshold=0.4,
            classes=("person",),
            regions=folder / "elsewhere/../door.toml",
        ),
        SourceOptions(address=str(folder / "elsewhere/../yard.mp4"), loop=True),
    )
    assert (options.max_frames, options.log) == (5, "json")
    assert options.model.path == starter_bundle()
    assert options.model.threads == 2
    # Printed once more, nothing changes.
    assert printed("--config", folder / "printed.toml") == options


def test_an_option_of_the_command_line_overrides_the_file(
    printed: Callable[..., RunOptions], folder: Path
) -> None:
    options = printed(
        "--config", folder / "cameras.toml", "--threshold", 0.2, "--classes", "car, dog", "--wait",
        "--width", 640, "--log", "text", "--max-frames", 9, "--threads", 1, "--csv", "-",
        "--record", "mine.mkv", "--mqtt-qos", 2, "--live", "--host", "0.0.0.0", "--track",
        "--freeze-seconds", 0,
    )  # fmt: skip
    door, yard = options.source
    for source in (door, yard):
        assert (source.threshold, source.classes) == (0.2, ("car", "dog"))
        assert (source.width, source.wait, source.track) == (640, True, True)
        assert source.freeze_seconds == 0
    # What the command line doesn't name stays.
    assert door.regions == folder / "door.toml"
    assert (door.loop, yard.loop) == (False, True)
    assert (options.log, options.max_frames, options.model.threads) == ("text", 9, 1)
    assert options.csv == "-"
    assert options.record == RecordOptions(path=folder / "elsewhere/mine.mkv", minutes=10)
    assert options.mqtt == MqttOptions(url="mqtt://broker", topic="home", qos=2)
    assert options.live == LiveOptions(host="0.0.0.0", port=80)
    assert options.webhook == WebhookOptions(url_env="HOOK", on="events")


def test_sources_of_the_command_line_replace_those_of_the_file(
    printed: Callable[..., RunOptions], folder: Path
) -> None:
    words = ("--config", folder / "cameras.toml", "--webhook-on", "detections")
    options = printed(*words, "--source", "a.mp4", "--camera", 3, "--no-reconnect")
    assert options.source == (
        SourceOptions(address="camera:3", reconnect=False),
        SourceOptions(address=str(folder / "elsewhere/a.mp4"), reconnect=False),
    )
    assert options.max_frames == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_frames = 5", ("--source", "a.mp4")),
        ("source = []", ("--camera", 0)),
        ("[[source]]\naddress = 'a'\n[snapshots]\npath = 's'\non = 'events'", ("--regions", "r.toml")),
        ("[[source]]\naddress = 'a'\n[webhook]\nurl_env = 'H'\non = 'events'", ("--track",)),
        ("jsonl = '-'\ncsv = '-'\n[[source]]\naddress = 'a'", ("--csv", "o.csv")),
        ("max_frames = 0\n[[source]]\naddress = 'a'", ("--max-frames", 3)),
    ],
)  # fmt: skip
def test_the_command_line_adds_what_a_file_lacks(
    text: str, words: tuple[object, ...], folder: Path, printed: Callable[..., RunOptions]
) -> None:
    (folder / "part.toml").write_text(text)
    done = edgessd("run", "--config", "../part.toml", code=1)
    assert "part.toml" in done.err
    printed("--config", "../part.toml", *words)


def test_the_command_line_alone(printed: Callable[..., RunOptions], folder: Path) -> None:
    options = printed(
        "--source", "a.mp4", "--regions", "r.toml", "--snapshots", "s", "--snapshots-every", 3,
        "--snapshots-on", "events", "--webhook", "https://h/x", "--format", "MJPG",
        "--rtsp-transport", "udp", "--jsonl", "o.jsonl", "--metrics", "9464", "--live",
    )  # fmt: skip
    here = folder / "elsewhere"
    assert options.source == (
        SourceOptions(
            address=str(here / "a.mp4"),
            regions=here / "r.toml",
            pixel_format="MJPG",
            rtsp_transport="udp",
        ),
    )
    assert options.snapshots == SnapshotsOptions(path=here / "s", on="events", every=3)
    assert options.webhook == WebhookOptions(url_env="EDGESSD_WEBHOOK_URL")
    assert options.live == LiveOptions()
    assert (options.jsonl, options.metrics) == (str(here / "o.jsonl"), "9464")


def test_a_webhook_of_the_command_line_replaces_the_variable_of_the_file(folder: Path) -> None:
    words = ("--config", folder / "cameras.toml", "--webhook", "https://h/x", "--print-config")
    done = edgessd("run", *words)
    assert 'url_env = "EDGESSD_WEBHOOK_URL"' in done.out
    assert "https://h/x" not in done.out + done.err
    assert "EDGESSD_WEBHOOK_URL" in done.err


def test_a_password_is_neither_printed_nor_repeated(folder: Path) -> None:
    done = edgessd("run", "--source", "rtsp://me:hunter2@cam/1", "--print-config")
    assert "hunter2" not in done.out + done.err
    assert "EDGESSD_SOURCE_1_USERNAME, EDGESSD_SOURCE_1_PASSWORD" in done.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "--config FILE"),
        (("--config", "absent.toml"), 1, "absent.toml"),
        (("--config", "../wrong.toml"), 1, "Expected width"),
        (("--config", "../cameras.toml", "--jsonl", "-", "--csv", "-"), 2, "stdout"),
        (("--config", "../cameras.toml", "--csv", "-", "--json"), 2, "stdout"),
        (("--config", "../cameras.toml", "--print-config", "--json"), 2, "stdout"),
        (("--config", "../cameras.toml", "--snapshots-every", "3"), 2, "belongs to --snapshots"),
        (("--source", "a", "--host", "h", "--port", "1"), 2, "--host and --port belong to --live"),
        (("--source", "a", "--wait", "--no-reconnect"), 2, "Leave one of"),
        (("--source", "a", "--threads", "1000000"), 2, "1024"),
        (("--config", "../cameras.toml"), 1, "aren't set: HOOK"),
    ],
)
def test_contradicting_options_are_refused_before_anything_is_opened(
    folder: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    (folder / "wrong.toml").write_text('[[source]]\naddress = "a"\nwidht = 3\n')
    done = edgessd("run", *words, code=code)
    assert message in " ".join(done.err.replace("│", "").split())
    assert done.out == ""


def test_a_file_runs(photos: Path, folder: Path, tiny_bundles: dict[str, Any]) -> None:
    (folder / "run.toml").write_text(
        f'max_frames = 7\njsonl = "out/o.jsonl"\n[model]\npath = "{tiny_bundles["host"].directory}"\n'
        f'[[source]]\naddress = "{photos}"\n[[source]]\naddress = "pattern:64x48"\n'
    )
    (folder / "out").mkdir()
    summary = json.loads(edgessd("run", "--config", "../run.toml", "--json").out)
    assert summary["frames"] == 7
    assert [stream["source"] for stream in summary["streams"]] == [str(photos), "pattern:64x48"]
    assert len((folder / "out/o.jsonl").read_text().splitlines()) == 7


def test_messages_take_the_form_that_the_file_names(folder: Path) -> None:
    (folder / "run.toml").write_text('log = "json"\n[[source]]\naddress = "absent.mp4"\n')
    done = edgessd("run", "--config", "../run.toml", code=1, own_process=True)
    assert json.loads(done.err.splitlines()[-1])["event"] == "refused"
