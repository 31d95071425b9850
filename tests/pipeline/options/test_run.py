"""Options of a whole run."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.outputs import (
    LiveOptions,
    MqttOptions,
    RecordOptions,
    SnapshotsOptions,
    WebhookOptions,
)
from edgessd.pipeline.options.run import DetectorOptions, RunOptions, absolute
from edgessd.pipeline.options.source import SourceOptions

PLAIN = SourceOptions(address="film.mp4")
TRACKED = SourceOptions(address="film.mp4", track=True)
COUNTING = SourceOptions(address="film.mp4", regions=Path("r.toml"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": ()}, "--camera N"),
        ({"max_frames": 0}, "max_frames"),
        ({"metrics": "nowhere"}, "HOST:PORT"),
        ({"log": "xml"}, "text or json"),
        ({"jsonl": "-", "csv": "-"}, "share stdout"),
        ({"jsonl": "o", "csv": "o"}, "share the file o"),
        ({"snapshots": SnapshotsOptions(path=Path("s"), on="events")}, "--regions"),
        (
            {
                "source": (TRACKED,),
                "snapshots": SnapshotsOptions(path=Path("s"), on="events"),
            },
            "--regions",
        ),
        ({"webhook": WebhookOptions(url="http://h", on="events")}, "--track"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        RunOptions(**{"source": (PLAIN,), **values})
    assert message in refused.value.paragraph()


def test_one_source_with_events_is_enough_for_them() -> None:
    options = RunOptions(
        source=(PLAIN, COUNTING),
        snapshots=SnapshotsOptions(path=Path("s"), on="events"),
        webhook=WebhookOptions(url="http://h", on="events"),
    )
    assert not options.uses_stdout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RecordOptions(path=Path("o.mp4"), minutes=0), "record.minutes"),
        (lambda: RecordOptions(path=Path("o.txt")), "a name that ends in .mp4"),
        (lambda: SnapshotsOptions(path=Path("s"), every=-1), "snapshots.every"),
        (lambda: SnapshotsOptions(path=Path("s"), on="never"), "appearance or events"),  # type: ignore[arg-type]
        (lambda: WebhookOptions(), "either url or url_env"),
        (lambda: WebhookOptions(url="http://h", on="all"), "events or detections"),  # type: ignore[arg-type]
        (lambda: WebhookOptions(url="http://h", secret_env="a b"), "webhook.secret_env"),
        (lambda: WebhookOptions(url="hooks.example/T0"), "https://host"),
        (lambda: MqttOptions(url="broker"), "mqtts://host"),
        (lambda: MqttOptions(url="mqtt://h", qos=3), "0 to 2"),
        (lambda: LiveOptions(port=70000), "0 to 65535"),
        (lambda: DetectorOptions(threads=0), "model.threads"),
        (lambda: DetectorOptions(engines=0), "model.engines"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make()
    assert message in refused.value.paragraph()


def test_paths_become_absolute_and_addresses_of_other_kinds_stay() -> None:
    options = RunOptions(
        source=(
            COUNTING,
            SourceOptions(address="/films/b.mp4"),
            SourceOptions(address="camera:0"),
            SourceOptions(address="rtsp://cam/1"),
            SourceOptions(address_env="DOOR"),
        ),
        model=DetectorOptions(path=Path("dist/a"), labels=Path("labels.txt")),
        jsonl="-",
        csv="o.csv",
        record=RecordOptions(path=Path("o.mp4")),
        mqtt=MqttOptions(url="mqtts://h", ca=Path("ca.pem")),
    )
    moved = absolute(options, Path("/here"))
    addresses = [source.address for source in moved.source]
    assert addresses == ["/here/film.mp4", "/films/b.mp4", "camera:0", "rtsp://cam/1", None]
    assert moved.source[0].regions == Path("/here/r.toml")
    assert moved.model == DetectorOptions(
        path=Path("/here/dist/a"), labels=Path("/here/labels.txt")
    )
    assert (moved.jsonl, moved.csv) == ("-", "/here/o.csv")
    assert moved.record == RecordOptions(path=Path("/here/o.mp4"))
    assert moved.mqtt == MqttOptions(url="mqtts://h", ca=Path("/here/ca.pem"))
    assert absolute(moved, Path("/there")) == moved


def test_brackets_of_the_folder_arent_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "we[i]rd"
    folder.mkdir()
    for name in ("a.jpg", "b[1].jpg"):
        (folder / name).touch()
    for address in ("*.jpg", "b[1].jpg", "a.jpg"):
        moved = absolute(RunOptions(source=(SourceOptions(address=address),)), folder)
        assert moved.source[0].address is not None
        found = [Path(name).name for name in glob(moved.source[0].address)]
        exact = Path(moved.source[0].address)
        assert (sorted(found) == ["a.jpg", "b[1].jpg"]) if "*" in address else exact.exists()
