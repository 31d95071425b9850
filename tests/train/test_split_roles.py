"""No image has two roles, and the test split picks nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.errors import DataError
from edgessd.data.dataset import Dataset
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.train.config import DataSettings
from edgessd.train.split_roles import Roles, assign_roles


def labeled(name: str, boxes: int = 1) -> LabeledImage:
    return LabeledImage(
        path=Path(name),
        width=100,
        height=100,
        boxes=np.tile(np.array([[10, 10, 50, 50]], np.float32), (boxes, 1)),
        class_ids=np.zeros(boxes, np.int64),
        ignore=np.zeros(boxes, np.bool_),
    )


def dataset(**counts: int) -> Dataset:
    splits = {
        name: tuple(labeled(f"{name}-{number}.jpg") for number in range(count))
        for name, count in counts.items()
    }
    return Dataset(labels=("thing",), splits=splits, root=Path("things"), format="voc")


def roles(data: Dataset, *, seed: int = 0, **settings: object) -> Roles:
    return assign_roles(data, DataSettings(**settings), seed=seed)


def names(images: tuple[LabeledImage, ...]) -> set[str]:
    return {image.path.name for image in images}


def test_val_is_evaluated_during_training():
    found = roles(dataset(train=20, val=5, test=7))
    assert (len(found.train), len(found.evaluation), found.evaluated) == (20, 5, "every")
    assert not names(found.train) & names(found.evaluation)


def test_without_val_a_tenth_is_held_out():
    found = roles(dataset(train=40, test=7))
    assert (len(found.train), len(found.evaluation), found.evaluated) == (36, 4, "every")
    assert not names(found.train) & names(found.evaluation)
    assert "4 more are held out" in found.description


def test_the_held_out_images_depend_on_the_seed_only():
    data = dataset(train=40)
    turned = Dataset(
        labels=data.labels,
        splits={"train": data.splits["train"][::-1]},
        root=data.root,
        format=data.format,
    )
    assert names(roles(data).evaluation) == names(roles(turned).evaluation)
    assert names(roles(data).evaluation) != names(roles(data, seed=1).evaluation)


def test_test_is_evaluated_once_and_picks_nothing():
    found = roles(dataset(train=20, val=5, test=7), train_splits=("train", "val"), val_split="test")
    assert (len(found.train), len(found.evaluation), found.evaluated) == (25, 7, "final")
    assert "pick nothing" in found.description


@pytest.mark.parametrize("names", [("train", "val"), ("trainval",)])
def test_training_on_val_leaves_nothing_to_evaluate_on(names: tuple[str, ...]):
    found = roles(dataset(train=20, val=5, test=7), train_splits=names)
    assert (len(found.train), len(found.evaluation), found.evaluated) == (25, 0, "never")


def test_a_dataset_that_is_not_split_is_trained_on_as_a_whole():
    found = roles(dataset(all=30))
    assert (len(found.train), len(found.evaluation)) == (27, 3)


def test_few_images_are_all_trained_on():
    assert roles(dataset(train=4)).evaluated == "never"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_splits": ("train", "val"), "val_split": "val"}, "trained on"),
        ({"val_split": "evaluation"}, "no split 'evaluation'"),
        ({"train_splits": ("training",)}, "no split 'training'"),
    ],
)
def test_impossible_choices_are_refused(settings: dict[str, object], message: str):
    with pytest.raises(DataError, match=message):
        roles(dataset(train=20, val=5), **settings)


def test_images_without_any_box_are_refused():
    empty = Dataset(
        labels=("thing",),
        splits={"train": tuple(labeled(f"{n}.jpg", boxes=0) for n in range(9))},
        root=Path("things"),
        format="voc",
    )
    with pytest.raises(DataError, match="show no objects"):
        roles(empty)
