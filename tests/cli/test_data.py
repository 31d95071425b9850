"""`edgessd data` as people and scripts meet it: exit codes, one paragraph, one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import edgessd

pytestmark = pytest.mark.slow


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Twelve YOLO images, one box each."""
    root = tmp_path / "pets"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    rng = np.random.default_rng(1)
    for number in range(12):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(root / "images" / f"{number}.jpg"), cv2.resize(coarse, (160, 120)))
        (root / "labels" / f"{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.25 0.5\n")
    (root / "classes.txt").write_text("cat\ndog\n")
    return root


def test_check_prints_counts(pets: Path) -> None:
    outcome = edgessd("data", "check", pets)
    assert outcome.out == ""
    for word in ("12 images", "12 boxes", "cat", "dog", "160x120", "No problem found"):
        assert word in outcome.err


def test_check_as_json(pets: Path) -> None:
    outcome = edgessd("data", "check", pets, "--json", "--size", "320x240")
    found = json.loads(outcome.out)
    assert (found["images"], found["boxes"], found["problems"]) == (12, 12, [])
    assert found["classes"] == {"cat": 6, "dog": 6}
    assert found["input"] == {"width": 320, "height": 240, "resize": "stretch"}
    assert sum(found["box_sizes"]["counts"]) == 12
    assert found["anchors"]["standard"]["large"]["boxes"] == 12


def _empty(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _half_labeled(root: Path) -> None:
    for number in range(6):
        (root / "labels" / f"{number}.txt").unlink()


def _unknown_class(root: Path) -> None:
    (root / "labels" / "3.txt").write_text("7 0.5 0.5 0.25 0.5\n")


def _truncated(root: Path) -> None:
    path = root / "images" / "5.jpg"
    path.write_bytes(path.read_bytes()[:-200])


def _broken_xml(root: Path) -> None:
    (root / "labels").rename(root.parent / "labels")
    (root / "images").rename(root / "JPEGImages")
    (root / "Annotations").mkdir()
    for number in range(12):
        (root / "Annotations" / f"{number}.xml").write_text(
            "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
            "<xmax>60</xmax><ymax>60</ymax></bndbox></object></annotation>"
        )
    (root / "Annotations" / "8.xml").write_text("<annotation><object></annotation>")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_empty, ["not a dataset", "an empty folder"]),
        (
            _half_labeled,
            ["without labels", "images/0.jpg", "one of 6 among 12", "--allow-unlabelled"],
        ),
        (_unknown_class, ["labels/3.txt: line 1: class 7", "names are 0 to 1"]),
        (_broken_xml, ["Annotations/8.xml: line 1, column 23", "mismatched tag"]),
        (_truncated, ["broken or truncated: 1", "images/5.jpg", "end too early"]),
    ],
)
def test_check_refuses_in_one_paragraph(pets: Path, harm: Any, words: Any) -> None:
    harm(pets)
    outcome = edgessd("data", "check", pets, code=1)
    assert outcome.out == ""
    for word in words:
        assert word in outcome.paragraph


def test_check_prints_json_also_for_errors(pets: Path) -> None:
    _truncated(pets)
    outcome = edgessd("data", "check", pets, "--json", code=1)
    found = json.loads(outcome.out)
    assert found["ok"] is False
    assert found["problems"][0]["severity"] == "error"
    assert found["problems"][0]["where"][0].startswith("images/5.jpg")


@pytest.mark.process
def test_no_traceback_from_the_real_process(tmp_path: Path) -> None:
    ended = edgessd("data", "check", tmp_path, code=1, own_process=True)
    assert ended.out == ""
    assert ended.err.startswith("edgessd: ")


@pytest.mark.process
def test_check_loads_neither_torch_nor_onnx(pets: Path) -> None:
    code = (
        "import sys\nfrom edgessd.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code, "data", "check", str(pets)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout == "[]\n"


def test_convert_and_split(pets: Path, tmp_path: Path) -> None:
    outcome = edgessd(
        "data",
        "convert",
        pets,
        tmp_path / "out",
        "--to",
        "coco",
        "--split",
        "0.5,0.25,0.25",
        "--json",
    )
    found = json.loads(outcome.out)
    assert (found["images"], found["boxes"]) == (12, 12)
    assert found["splits"] == {"train": 6, "val": 3, "test": 3}
    edgessd("data", "check", tmp_path / "out")


def test_convert_accepts_unlabeled_images_as_background(pets: Path, tmp_path: Path) -> None:
    _half_labeled(pets)
    edgessd("data", "convert", pets, tmp_path / "out", "--to", "yolo", code=1)
    edgessd("data", "convert", pets, tmp_path / "out", "--to", "yolo", "--allow-unlabelled")
    edgessd("data", "check", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("check", "DIR", "--size", "big"), "W or WxH"),
        (("check", "DIR", "--first-anchors", "4"), "3 or 6"),
        (("convert", "DIR", "OUT", "--to", "voc", "--split", "0.8"), "0.8,0.1,0.1"),
        (("convert", "DIR", "OUT", "--to", "voc", "--split", "0.8,0.8"), "are invalid"),
        (("convert", "DIR", "DIR", "--to", "voc"), "isn't empty"),
    ],
)
def test_refuses_invalid_options(
    pets: Path, tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    places = {"DIR": str(pets), "OUT": str(tmp_path / "out")}
    outcome = edgessd("data", *(places.get(word, word) for word in arguments), code=1)
    assert outcome.out == ""
    assert word in outcome.paragraph


def test_wrong_usage_exits_with_2(pets: Path, tmp_path: Path) -> None:
    edgessd("data", "convert", pets, tmp_path / "out", "--to", "pascal", code=2)


def test_synth_makes_a_dataset_that_passes_check(tmp_path: Path) -> None:
    arguments = ("--images", 10, "--seed", 3, "--size", "320x240", "--workers", 1)
    outcome = edgessd("data", "synth", tmp_path / "codes", *arguments, "--json")
    made = json.loads(outcome.out)
    assert made["images"] == 10
    assert made["labels"] == ["qrcode", "barcode", "datamatrix", "aruco"]
    checked = edgessd("data", "check", tmp_path / "codes", "--json")
    found = json.loads(checked.out)
    assert (found["images"], found["boxes"]) == (10, made["boxes"])
    again = edgessd("data", "synth", tmp_path / "codes", *arguments, code=1)
    assert "isn't empty" in again.paragraph
