"""Generated datasets: the same files with any number of workers, complete or absent, readable as COCO."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgessd.core.errors import DataError
from edgessd.data.dataset import load_dataset
from edgessd.data.synth.codes import LABELS
from edgessd.data.synth.generate import (
    GeneratedScenes,
    SceneSettings,
    generate_dataset,
    scene_seed,
    split_counts,
)

SIZE = (128, 96)


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.process
def test_two_workers_write_what_one_writes(tmp_path: Path) -> None:
    seen: list[int] = []
    one = generate_dataset(tmp_path / "one", images=24, seed=3, size=SIZE, workers=1)
    two = generate_dataset(
        tmp_path / "two", images=24, seed=3, size=SIZE, workers=2, progress=seen.append
    )
    assert files(one) == files(two)
    assert len(files(one)) == 24 + 3 + 1
    assert seen == list(range(1, 25))
    other = generate_dataset(tmp_path / "other", images=24, seed=4, size=SIZE, workers=1)
    assert files(one)["images/train/000000.jpg"] != files(other)["images/train/000000.jpg"]


def test_the_coco_loader_reads_what_was_written(tmp_path: Path) -> None:
    out = generate_dataset(
        tmp_path / "codes", images=20, seed=1, size=SIZE, workers=1, splits={"train": 3, "val": 1}
    )
    dataset = load_dataset(out)
    assert dataset.labels == LABELS
    assert {name: len(images) for name, images in dataset.splits.items()} == {
        "train": 15,
        "val": 5,
    }
    assert all(problem.kind == "unlabelled_image" for problem in dataset.problems)
    scenes = GeneratedScenes(20, seed=1, settings=SceneSettings(size=SIZE))
    by_name = {image.path.name: image for image in dataset.splits["train"]}
    for number, scene in enumerate(scenes):
        if number == 15:
            break
        image = by_name[f"{number:06d}.jpg"]
        np.testing.assert_allclose(image.boxes, scene.boxes, atol=0.02)
        np.testing.assert_array_equal(image.class_ids, scene.class_ids)
        stored = cv2.imread(str(image.path))
        assert np.abs(stored.astype(int) - scene.image).mean() < 8


def test_aspects_vary_at_the_same_area() -> None:
    settings = SceneSettings(size=(200, 200), vary_aspect=True)
    shapes = {scene.image.shape for scene in GeneratedScenes(20, seed=0, settings=settings)}
    assert len(shapes) >= 4
    for height, width, _ in shapes:
        assert width * height == pytest.approx(40_000, rel=0.02)


def test_scenes_of_different_datasets_differ() -> None:
    seeds = {scene_seed(seed, index) for seed in range(20) for index in range(500)}
    assert len(seeds) == 10_000


def test_photos_are_used_as_backgrounds(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "green.png"), np.full((90, 140, 3), (0, 255, 0), np.uint8))
    plain = GeneratedScenes(12, seed=0, settings=SceneSettings(size=SIZE, strength=0))
    settings = SceneSettings(size=SIZE, strength=0, backgrounds=(photos / "green.png",))
    green = [
        (scene.image == (0, 255, 0)).all(axis=2).mean()
        for scene in GeneratedScenes(12, seed=0, settings=settings)
    ]
    assert sum(share > 0.2 for share in green) >= 3
    assert max((s.image == (0, 255, 0)).all(axis=2).mean() for s in plain) < 0.2


def test_split_counts_add_up() -> None:
    assert split_counts(10, {"train": 0.8, "val": 0.1, "test": 0.1}) == {
        "train": 8,
        "val": 1,
        "test": 1,
    }
    assert sum(split_counts(7, {"a": 1, "b": 1, "c": 1}).values()) == 7
    assert split_counts(3, {"a": 1000, "b": 1, "c": 1}) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 2}, "can't be divided"),
        ({"size": (32, 32)}, "can't be rendered at this size"),
        ({"strength": 1.5}, "from 0 (clean) to 1"),
        ({"workers": 0}, "workers is too small"),
        ({"splits": {}}, "can't be divided"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: dict, message: str) -> None:
    defaults = {"images": 4, "seed": 0, "size": SIZE, "workers": 1}
    with pytest.raises(DataError) as refusal:
        generate_dataset(tmp_path / "out", **(defaults | arguments))
    assert message in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_other_files_are_never_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "holiday.jpg").write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="isn't empty"):
            generate_dataset(mine, images=3, seed=0, size=SIZE, workers=1, overwrite=overwrite)
    assert (mine / "holiday.jpg").read_bytes() == b"mine"
    out = generate_dataset(tmp_path / "codes", images=3, seed=0, size=SIZE, workers=1)
    with pytest.raises(DataError, match="a generated dataset"):
        generate_dataset(out, images=3, seed=1, size=SIZE, workers=1)
    generate_dataset(out, images=4, seed=1, size=SIZE, workers=1, overwrite=True)
    assert msgspec.json.decode((out / "synth.json").read_bytes())["seed"] == 1


def test_an_empty_folder_of_backgrounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="background"):
        generate_dataset(
            tmp_path / "out", images=3, seed=0, size=SIZE, workers=1, backgrounds=tmp_path
        )


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process group")
@pytest.mark.process
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    script = tmp_path / "generate.py"
    script.write_text(
        "import signal\n"
        "from pathlib import Path\n"
        "from edgessd.data.synth.generate import generate_dataset\n"
        "if __name__ == '__main__':\n"
        # Where the suite itself runs in the background, Ctrl-C is ignored and children inherit that.
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"    generate_dataset(Path({str(tmp_path / 'out')!r}), images=5000, seed=0,\n"
        "        size=(320, 240), workers=2, progress=lambda n: print(n, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "1"
    os.killpg(process.pid, signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert time.monotonic() - start < 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generate.py"]
