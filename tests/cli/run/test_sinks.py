"""Outputs of `edgessd run`: real processes, a real film, and a broker that is missing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from command_line import edgessd

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
REGIONS = """
[[line]]
name = "door"
from = [0.65, 1.0]
to = [0.65, 0.0]
classes = ["person"]

[[zone]]
name = "room"
points = [[0.3, 0.2], [0.8, 0.2], [0.8, 1.0], [0.3, 1.0]]
classes = ["person"]
"""


@pytest.fixture(scope="module")
def google(shared: Path) -> Path:
    folder = shared / "data/google_ssd_mobilenet_v1_coco"
    return folder / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"


@pytest.fixture(scope="module")
def run(
    google: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """Run over the first person of the film with all file outputs."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "regions.toml").write_text(REGIONS)
    film = shared / "data/video/one-by-one-person-detection.mp4"
    words = ("--max-frames", 225, "--threshold", 0.3, "--classes", "person", "--json")
    outputs = ("--regions", "regions.toml", "--jsonl", "o.jsonl", "--csv", "o.csv")
    pictures = ("--record", "o.mp4", "--snapshots", "snaps", "--snapshots-on", "events")
    done = edgessd(
        "run", "--model", google, "--source", film, *words, *outputs, *pictures, cwd=folder
    )
    return folder, done.json


def test_the_summary_counts_objects_and_regions(run: tuple[Path, dict[str, Any]]) -> None:
    _, summary = run
    assert summary["objects"] == {"person": 1}
    assert set(summary["detections"]) == {"person"}
    door, room = summary["regions"]
    assert (door["name"], door["entered"], door["left"]) == ("door", {"person": 1}, {})
    assert (room["inside"], room["entered"], room["left"]) == ({}, {"person": 1}, {"person": 1})
    assert [sink["failed"] for sink in summary["sinks"]] == [None] * 4
    assert [sink["written"] for sink in summary["sinks"]] == [225] * 4


def test_each_line_follows_the_schema_and_events_add_up(
    run: tuple[Path, dict[str, Any]],
) -> None:
    from jsonschema import Draft202012Validator

    folder, summary = run
    schema = json.loads((ROOT / "edgessd/pipeline/record.schema.json").read_text())
    validator = Draft202012Validator(schema)
    records = [json.loads(line) for line in (folder / "o.jsonl").read_text().splitlines()]
    assert [record["frame"] for record in records] == list(range(225))
    for record in records:
        validator.validate(record)
    kinds = [event["kind"] for record in records for event in record["events"]]
    # He is gone two seconds after he was last seen.
    assert kinds == ["appeared", "zone_entered", "line_crossed", "zone_left", "gone"]
    numbers = {found["track_id"] for record in records for found in record["detections"]}
    assert numbers == {1, None}
    assert records[-1]["regions"][0]["entered"] == summary["regions"][0]["entered"]

    with (folder / "o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["detections"]["person"]


def test_the_film_and_the_snapshots_can_be_opened(run: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = run
    film = cv2.VideoCapture(str(folder / "o.mp4"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 225
    assert film.get(cv2.CAP_PROP_FPS) == 10
    snapshots = [json.loads(path.read_text()) for path in sorted(folder.glob("snaps/*.json"))]
    assert [snapshot["reasons"] for snapshot in snapshots] == [
        ["person-room"],
        ["person-door-in"],
        ["person-room"],
    ]
    for snapshot in snapshots:
        picture = cv2.imread(str(folder / "snaps" / snapshot["annotated"]))
        assert picture.shape == (432, 768, 3)


def test_stdout_has_only_csv(google: Path, shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/coco128/images/val2017"
    words = ("--csv", "-", "--max-frames", 6)
    done = edgessd("run", "--model", google, "--source", folder, *words, cwd=tmp_path)
    rows = list(csv.DictReader(done.out.splitlines()))
    assert len({row["source"] for row in rows}) > 3
    assert all(0 < float(row["score"]) <= 1 for row in rows)


def test_unreachable_outputs_are_reported_and_the_others_written(
    google: Path, shared: Path, tmp_path: Path
) -> None:
    folder = shared / "data/coco128/images/val2017"
    away = ("--mqtt", "mqtt://127.0.0.1:1", "--webhook", "http://127.0.0.1:1/hook")
    words = ("--jsonl", "o.jsonl", "--max-frames", 6, "--json", *away)
    done = edgessd("run", "--model", google, "--source", folder, *words, cwd=tmp_path, code=1)
    summary = done.json
    assert summary["frames"] == len((tmp_path / "o.jsonl").read_text().splitlines()) == 6
    failed = {sink["sink"]: sink["failed"] for sink in summary["sinks"]}
    assert failed["JSON lines to o.jsonl"] is None
    assert "messages never reached" in failed["MQTT 127.0.0.1:1"]
    assert "could not be posted" in failed["webhook http://127.0.0.1:1"]
    message = " ".join(done.err.split())
    assert message.count("MQTT 127.0.0.1:1 can't be reached") == 1
    assert message.count("webhook http://127.0.0.1:1 can't be reached") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--record-minutes", "1"), "--record"),
        (("--snapshots-on", "events"), "--snapshots"),
        (("--snapshots", "s", "--snapshots-on", "events"), "--regions"),
        (("--webhook-on", "events"), "--webhook"),
        (("--webhook", "http://localhost", "--webhook-on", "events"), "--track"),
        (("--mqtt-qos", "1"), "--mqtt"),
        (("--home-assistant",), "--mqtt"),
        (("--mqtt", "mqtt://localhost", "--mqtt-qos", "3"), "--mqtt-qos"),
        (("--jsonl", "-", "--csv", "-"), "stdout"),
        (("--json", "--csv", "-"), "stdout"),
        (("--mqtt", "localhost"), "mqtt://host"),
        (("--webhook", "localhost"), "https://"),
        (("--metrics", "here"), "HOST:PORT"),
        (("--record", "o.gif"), ".mp4"),
    ],
)
def test_contradicting_options_are_wrong_usage(
    photos: Path, words: tuple[str, ...], message: str
) -> None:
    done = edgessd("run", "--source", photos, "--model", "none.tflite", *words, code=2)
    assert message in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--regions", "absent.toml"), "absent.toml"),
        (("--mqtt", "mqtts://localhost", "--mqtt-ca", "absent.pem"), "absent.pem"),
        (("--csv", "/proc/no/o.csv"), "/proc/no/o.csv"),
        (("--snapshots", "/proc/no"), "/proc/no"),
    ],
)
def test_an_output_that_cannot_be_opened_is_refused_before_the_first_frame(
    photos: Path,
    tiny_bundles: dict[str, Any],
    words: tuple[str, ...],
    message: str,
) -> None:
    model = tiny_bundles["host"].directory
    done = edgessd("run", "--source", photos, "--model", model, *words, code=1)
    assert message in " ".join(done.err.split())
    assert done.out == ""


def test_a_region_with_an_unknown_class_is_refused(
    photos: Path, tiny_bundles: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text(REGIONS)
    words = ("--model", tiny_bundles["host"].directory, "--regions", tmp_path / "r.toml")
    done = edgessd("run", "--source", photos, *words, code=1)
    assert "cat, dog, bird" in " ".join(done.err.split())
