"""Snapshots: at the right moments, limited in number, complete, and with their reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgessd.core.errors import SinkError
from edgessd.pipeline.events import Event
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks import snapshots
from edgessd.pipeline.sinks.snapshots import SnapshotSink

Make = Callable[..., Result]


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_a_snapshot_is_two_pictures_and_a_record_with_the_reason(
    tmp_path: Path, make_result: Make
) -> None:
    sink = SnapshotSink(tmp_path / "deep/snaps")
    sink.write(make_result(40, "person"))
    sink.close()
    folder = tmp_path / "deep/snaps"
    (record,) = records(folder)
    assert record["reasons"] == ["person"]
    assert record["frame"] == 40
    assert record["detections"][0]["label"] == "person"
    clean = cv2.imread(str(folder / record["clean"]))
    drawn = cv2.imread(str(folder / record["annotated"]))
    assert np.abs(clean.astype(int) - 200).max() <= 3
    assert (np.abs(drawn.astype(int) - 200) > 50).any()
    assert len(list(folder.iterdir())) == 3
    assert record["annotated"].endswith("-0-person.jpg")


def test_a_class_appears_after_an_absence(tmp_path: Path, make_result: Make) -> None:
    sink = SnapshotSink(tmp_path)
    frames = [(0.0, "person"), (1.5, "person"), (2.0, "person", "car"), (4.0,), (6.5, "person")]
    for index, (moment, *labels) in enumerate(frames):
        sink.write(make_result(index, *labels, timestamp=moment))
    assert sink.taken == 3
    assert [(r["frame"], r["reasons"]) for r in records(tmp_path)] == [
        (0, ["person"]),
        (2, ["car"]),
        (4, ["person"]),
    ]


def test_with_tracking_each_object_appears_once(
    tmp_path: Path, make_result: Make, make_event: Callable[..., Event]
) -> None:
    sink = SnapshotSink(tmp_path, every=0)
    appeared = make_event(kind="appeared", region=None, direction=None)
    sink.write(make_result(0, "person", track_ids=[-1]))
    sink.write(make_result(1, "person", track_ids=[1], events=(appeared,)))
    sink.write(make_result(2, "person", track_ids=[1]))
    assert [record["frame"] for record in records(tmp_path)] == [1]


def test_events_at_regions_have_their_names(
    tmp_path: Path, make_result: Make, make_event: Callable[..., Event]
) -> None:
    sink = SnapshotSink(tmp_path, on="events")
    gone = make_event(kind="gone", region=None, direction=None)
    zone = make_event(kind="zone_entered", region="the bench/left", direction=None)
    sink.write(make_result(0, "person"))
    sink.write(make_result(1, "person", events=(gone,)))
    sink.write(make_result(2, "person", events=(zone, make_event())))
    (record,) = records(tmp_path)
    assert record["reasons"] == ["person-the bench/left", "person-door-in"]
    assert record["annotated"].endswith("-0-person-the_bench_left.jpg")


def test_snapshots_for_the_same_reason_keep_their_interval(
    tmp_path: Path, make_result: Make, make_event: Callable[..., Event]
) -> None:
    sink = SnapshotSink(tmp_path, on="events", every=1.0)
    for index in range(25):
        sink.write(make_result(index, events=(make_event(),)))  # ten per second
    assert (sink.taken, sink.held_back) == (3, 22)
    # Another reason and another camera have their own interval.
    sink.write(make_result(25, events=(make_event(direction="out"),)))
    sink.write(make_result(25, events=(make_event(stream=1),), stream=1))
    assert sink.taken == 5


def test_a_film_that_restarts_gives_the_same_snapshots_again(
    tmp_path: Path, make_result: Make
) -> None:
    sink = SnapshotSink(tmp_path)
    sink.write(make_result(0, "person", timestamp=60.0))
    sink.write(make_result(1, "person", timestamp=0.0))
    assert sink.taken == 2


def test_the_json_comes_last_and_a_full_disk_leaves_no_partial_file(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = snapshots.write_atomically, []

    def full_after_one(path: Path, content: bytes | str) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, content)

    sink = SnapshotSink(tmp_path)
    monkeypatch.setattr(snapshots, "write_atomically", full_after_one)
    with pytest.raises(SinkError, match="No space left"):
        sink.write(make_result(0, "person"))
    assert [path.suffix for path in tmp_path.iterdir()] == [".jpg"]


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="can't be written"):
        SnapshotSink(tmp_path / "file")
