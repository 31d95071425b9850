"""Batches depend on seed, epoch and position alone, not on threads or processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from block_scenes import LABELS

from edgessd.core.errors import DataError
from edgessd.data.dataset import load_dataset
from edgessd.model.new_detector import new_detector
from edgessd.train.config import AugmentSettings
from edgessd.train.loader import Batch, BatchLoader, TrainingSet
from edgessd.train.matcher import Matcher
from edgessd.train.photos import Photos


@pytest.fixture(scope="module")
def training_set(blocks: Path) -> TrainingSet:
    """The 12 training scenes at 64x64 pixels."""
    _, contract = new_detector(LABELS, width=0.1, input_size=(64, 64))
    return TrainingSet(
        Photos(load_dataset(blocks).split("train"), cache_mb=16),
        preprocess=contract.preprocess,
        matcher=Matcher(contract.anchors, contract.box_code),
        settings=AugmentSettings(),
        seed=3,
    )


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.class_ids, other.class_ids)
        assert torch.equal(one.box_codes, other.box_codes)


@pytest.mark.process
def test_processes_load_what_a_thread_loads(training_set: TrainingSet):
    thread = BatchLoader(training_set, batch=4, workers=0)
    processes = BatchLoader(training_set, batch=4, workers=2)
    assert_equal(list(thread.epoch(1)), list(processes.epoch(1)))


def test_an_epoch_can_start_in_its_middle(training_set: TrainingSet):
    loader = BatchLoader(training_set, batch=4, workers=0)
    assert_equal(list(loader.epoch(2))[1:], list(loader.epoch(2, start=1)))


def test_epochs_differ(training_set: TrainingSet):
    loader = BatchLoader(training_set, batch=12, workers=0)
    (first,), (second,) = loader.epoch(0), loader.epoch(1)
    assert not torch.equal(first.images, second.images)
    assert training_set.order(0).tolist() != training_set.order(1).tolist()


def test_two_training_processes_share_an_epoch(training_set: TrainingSet):
    whole = list(BatchLoader(training_set, batch=2, workers=0).epoch(0))
    shares = [
        list(BatchLoader(training_set, batch=2, workers=0, rank=rank, world_size=2).epoch(0))
        for rank in (0, 1)
    ]
    assert_equal(shares[0], whole[0::2])
    assert_equal(shares[1], whole[1::2])


def test_more_processes_than_images_are_refused(training_set: TrainingSet):
    with pytest.raises(DataError, match="fewer training images than processes"):
        BatchLoader(training_set, batch=2, workers=0, world_size=13)
