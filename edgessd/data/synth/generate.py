"""Generate datasets of printed codes, as COCO JSON and JPEG files or in memory."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edgessd.core.errors import DataError
from edgessd.core.files import replacing_directory
from edgessd.core.images import list_images
from edgessd.data.synth.codes import LABELS
from edgessd.data.synth.scene import Scene, render_scene

DEFAULT_SPLITS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
RECORD = "synth.json"
"""File with the arguments of a generated dataset."""
_JPEG_QUALITY = 90
_CHUNK = 8
_ASPECTS = (4 / 3, 4 / 3, 3 / 4, 16 / 9, 9 / 16, 1.0, 3 / 2)
_DEFAULT_CORES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneSettings:
    """Settings of all scenes of a dataset.

    Attributes:
        size: Width and height in pixels.
        vary_aspect: Draw each scene's aspect ratio from those of cameras, with the area of `size`.
        strength: Strength of the damage, from 0 to 1; see `render_scene`.
        backgrounds: Photos without codes, in a fixed order.
    """

    size: tuple[int, int] = (640, 480)
    vary_aspect: bool = False
    strength: float = 1.0
    backgrounds: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if min(self.size) < 64 or max(self.size) > 4096:
            raise DataError(
                "Scenes can't be rendered at this size",
                expected="width and height from 64 to 4096 pixels",
                found=f"{self.size[0]}x{self.size[1]}",
            )
        if not 0 <= self.strength <= 1:
            raise DataError(
                "The strength of the damage is out of range",
                expected="a number from 0 (clean) to 1",
                found=str(self.strength),
            )


def scene_seed(seed: int, index: int) -> int:
    """Seed of a dataset's scene; datasets of different seeds have different scenes."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0])


def render_indexed(settings: SceneSettings, seed: int, index: int) -> Scene:
    """Render scene `index` of the dataset with this seed."""
    number = scene_seed(seed, index)
    size = settings.size
    if settings.vary_aspect:
        aspect = _ASPECTS[number % len(_ASPECTS)]
        area = size[0] * size[1]
        size = (round((area * aspect) ** 0.5), round((area / aspect) ** 0.5))
    return render_scene(
        number, size=size, strength=settings.strength, backgrounds=settings.backgrounds
    )


class GeneratedScenes:
    """Sequence of scenes that are rendered when they are read.

    Args:
        count: Number of scenes.
        seed: Any non-negative integer.
        settings: Settings of all scenes.
    """

    labels = LABELS

    def __init__(self, count: int, *, seed: int, settings: SceneSettings | None = None) -> None:
        self.count = count
        self.seed = seed
        self.settings = settings if settings is not None else SceneSettings()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return render_indexed(self.settings, self.seed, index)

    def __iter__(self) -> Iterator[Scene]:
        return (self[index] for index in range(self.count))


def background_photos(folder: Path | None) -> tuple[Path, ...]:
    """List the photos in a folder, sorted.

    Raises:
        DataError: The folder holds no image.
    """
    if folder is None:
        return ()
    photos = tuple(list_images(folder))
    if not photos:
        raise DataError(
            f"There is no background photo in {folder}",
            expected="JPEG or PNG files that show no code",
            fix="Name another folder, or leave --backgrounds out to generate all backgrounds",
        )
    return photos


def generate_dataset(
    out: Path,
    *,
    images: int,
    seed: int,
    size: tuple[int, int] = (640, 480),
    workers: int | None = None,
    splits: Mapping[str, float] = DEFAULT_SPLITS,
    vary_aspect: bool = False,
    strength: float = 1.0,
    backgrounds: Path | None = None,
    quality: int = _JPEG_QUALITY,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write a dataset of printed codes; an interrupted call leaves nothing.

    The folder gets images/<split>/000000.jpg, annotations/instances_<split>.json (COCO) and synth.json
    with the arguments. The bytes depend on the arguments and on the versions of OpenCV, NumPy and
    zxing-cpp, but not on the number of workers.

    Args:
        out: A new or empty folder; with `overwrite`, also one that this function wrote.
        images: Number of images in all splits together.
        seed: Any non-negative integer; different seeds give different scenes.
        size: Width and height in pixels.
        workers: Number of processes; by default two, or one on a single core. 1 renders in this
            process.
        splits: Weights of the splits.
        vary_aspect: Draw each image's aspect ratio, with the area of `size`.
        strength: Strength of the damage, from 0 (clean) to 1; see `render_scene`.
        backgrounds: Folder of photos without codes, the backgrounds of half of the images.
        quality: JPEG quality of the files, 1 to 100.
        overwrite: Replace a dataset that this function wrote.
        progress: Called with the number of written images.

    Returns:
        `out`.

    Raises:
        DataError: The folder holds other files, or an argument is out of range.
    """
    settings = SceneSettings(
        size=size,
        vary_aspect=vary_aspect,
        strength=strength,
        backgrounds=background_photos(backgrounds),
    )
    counts = split_counts(images, splits)
    _check_free(out, overwrite=overwrite)
    jobs = _jobs(counts)
    with replacing_directory(out) as folder:
        for split in counts:
            (folder / "images" / split).mkdir(parents=True)
        write = partial(_write_scene, folder, settings, seed, quality)
        rows: dict[str, list[_Row]] = {split: [] for split in counts}
        with _mapper(workers, len(jobs)) as mapper:
            for done, (job, row) in enumerate(zip(jobs, mapper(write, jobs), strict=True), start=1):
                rows[job[0]].append(row)
                if progress is not None:
                    progress(done)
        (folder / "annotations").mkdir()
        for split, found in rows.items():
            content = msgspec.json.format(msgspec.json.encode(_coco(found)), indent=1)
            (folder / "annotations" / f"instances_{split}.json").write_bytes(content)
        record = {
            "generator": "edgessd printed codes",
            "seed": seed,
            "images": counts,
            "size": size,
            "vary_aspect": vary_aspect,
            "strength": strength,
            "quality": quality,
            "backgrounds": len(settings.backgrounds),
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        }
        content = msgspec.json.format(msgspec.json.encode(record), indent=2)
        (folder / RECORD).write_bytes(content + b"\n")
    return out


def split_counts(images: int, splits: Mapping[str, float]) -> dict[str, int]:
    """Divide images among splits by weight; the largest remainders get the images that are left.

    Raises:
        DataError: There are fewer images than splits, or a weight isn't positive.
    """
    if not splits or min(splits.values()) <= 0 or images < len(splits):
        raise DataError(
            "The images can't be divided among the splits",
            expected="positive weights, and at least one image for each split",
            found=f"{images} images for {dict(splits)}",
            fix="Generate more images",
        )
    total = sum(splits.values())
    exact = {split: images * weight / total for split, weight in splits.items()}
    counts = {split: max(1, int(share)) for split, share in exact.items()}
    by_remainder = sorted(exact, key=lambda split: exact[split] - int(exact[split]), reverse=True)
    position = 0
    while sum(counts.values()) != images:
        split = by_remainder[position % len(by_remainder)]
        step = 1 if sum(counts.values()) < images else -1
        if counts[split] + step >= 1:
            counts[split] += step
        position += 1
    return counts


_Job = tuple[str, int, int]  # split, number within the split, index within the dataset
_Row = tuple[str, int, int, list[list[float]], list[int]]


def _jobs(counts: Mapping[str, int]) -> list[_Job]:
    jobs: list[_Job] = []
    for split, count in counts.items():
        jobs += [(split, number, len(jobs) + number) for number in range(count)]
    return jobs


def _check_free(out: Path, *, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file", expected="a new or empty folder", fix="Name a folder")
    if not any(out.iterdir()) or (overwrite and (out / RECORD).is_file()):
        return
    raise DataError(
        f"{out} isn't empty",
        expected="a new or empty folder",
        found="a generated dataset" if (out / RECORD).is_file() else "other files",
        fix="Name another folder; a generated dataset is replaced with --overwrite",
    )


def _write_scene(folder: Path, settings: SceneSettings, seed: int, quality: int, job: _Job) -> _Row:
    split, number, index = job
    scene = render_indexed(settings, seed, index)
    _, data = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    name = f"{number:06d}.jpg"
    (folder / "images" / split / name).write_bytes(data.tobytes())
    height, width = scene.image.shape[:2]
    boxes = [[round(float(value), 2) for value in box] for box in scene.boxes]
    return name, width, height, boxes, scene.class_ids.tolist()


def _coco(rows: list[_Row]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, width, height, boxes, class_ids) in enumerate(rows, start=1):
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for (left, top, right, bottom), class_id in zip(boxes, class_ids, strict=True):
            box = [left, top, round(right - left, 2), round(bottom - top, 2)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": class_id + 1,
                    "bbox": box,
                    "area": round(box[2] * box[3], 2),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index, "name": label} for index, label in enumerate(LABELS, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


_Mapper = Callable[[Callable[[_Job], _Row], list[_Job]], Iterable[_Row]]


@contextmanager
def _mapper(workers: int | None, jobs: int) -> Iterator[_Mapper]:
    """Make an ordered map over processes; an error or Ctrl-C drops the jobs that haven't started."""
    if workers is None:
        workers = min(_DEFAULT_CORES, multiprocessing.cpu_count())
    if workers < 1:
        raise DataError(
            "The number of workers is too small", expected="1 or more", found=str(workers)
        )
    if workers == 1 or jobs <= 2 * _CHUNK:
        yield map
        return
    # A forked child hangs if OpenCV's or torch's threads hold locks in the parent.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield partial(_map_undisturbed, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _map_undisturbed(
    pool: ProcessPoolExecutor, write: Callable[[_Job], _Row], jobs: list[_Job]
) -> Iterable[_Row]:
    """Call `pool.map`, which starts the workers, so that they ignore Ctrl-C from their start."""
    if threading.current_thread() is not threading.main_thread():
        return pool.map(write, jobs, chunksize=_CHUNK)
    # Child processes inherit an ignored signal.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return pool.map(write, jobs, chunksize=_CHUNK)
    finally:
        signal.signal(signal.SIGINT, previous)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    cv2.setNumThreads(1)
