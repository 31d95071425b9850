"""Make training batches: read, augment, match and stack images.

Each sample's random numbers depend on (seed, epoch, position) alone, so that neither the number of
workers nor an interruption changes the samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from edgessd.core.contract import Preprocess
from edgessd.core.errors import DataError
from edgessd.train.augment import augment
from edgessd.train.config import AugmentSettings
from edgessd.train.matcher import Matcher
from edgessd.train.photos import Photos

_AHEAD = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Samples of one training step in one process.

    Attributes:
        images: (B, H, W, 3) uint8, in the contract's color order.
        class_ids: (B, N) int64 targets, as in `Match`.
        box_codes: (B, N, 4) float32 targets, as in `Match`.
        broken: One paragraph for each unreadable image, which another one replaces.
    """

    images: Tensor
    class_ids: Tensor
    box_codes: Tensor
    broken: tuple[str, ...] = ()


class TrainingSet:
    """Source of augmented samples that are matched to the anchors.

    Args:
        photos: Training images with ground truth.
        preprocess: The contract's preprocessing.
        matcher: Assigns boxes to anchors.
        settings: Augmentation settings.
        seed: Seed of the order and of all augmentation.
    """

    def __init__(
        self,
        photos: Photos,
        *,
        preprocess: Preprocess,
        matcher: Matcher,
        settings: AugmentSettings,
        seed: int,
    ) -> None:
        self.photos = photos
        self._preprocess = preprocess
        self._matcher = matcher
        self._settings = settings
        self._seed = seed

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Indices of the photos in the order of an epoch, (n,) int64."""
        return np.random.default_rng([self._seed, epoch]).permutation(len(self.photos))

    def batch(self, epoch: int, positions: Sequence[int]) -> Batch:
        """Make the batch of the samples at some positions of an epoch's order."""
        order = self.order(epoch)
        samples, broken = [], []
        for position in positions:
            image, index, problems = self._readable(int(order[position]))
            broken += problems
            truth = self.photos.images[index]
            sample = augment(
                image,
                truth.boxes,
                truth.class_ids,
                truth.ignore,
                preprocess=self._preprocess,
                settings=self._settings,
                rng=np.random.default_rng([self._seed, epoch, position]),
            )
            match = self._matcher(sample.boxes, sample.class_ids, sample.ignore)
            samples.append((sample.image, match.class_ids, match.box_codes))
        images, class_ids, codes = (np.stack(parts) for parts in zip(*samples, strict=True))
        return Batch(
            images=torch.from_numpy(images),
            class_ids=torch.from_numpy(class_ids),
            box_codes=torch.from_numpy(codes),
            broken=tuple(broken),
        )

    def _readable(self, index: int) -> tuple[NDArray[np.uint8], int, list[str]]:
        """Read the photo at `index`, or the next readable one.

        Returns:
            Pixels, index, and one paragraph for each photo that can't be read.
        """
        problems: list[str] = []
        for offset in range(len(self.photos)):
            candidate = (index + offset) % len(self.photos)
            try:
                return self.photos.read(candidate), candidate, problems
            except DataError as error:
                problems.append(error.paragraph())
        raise DataError(
            "None of the training images can be read any more",
            found=problems[0],
            fix="Restore the images, then continue with --resume",
        )


class BatchLoader:
    """Load this process's batches of each epoch.

    Args:
        training_set: Source of the samples.
        batch: Images per batch.
        workers: Number of loader processes. 0 loads in one background thread, which is enough if
            computing takes longer than loading, as on a CPU.
        rank: Number of this training process.
        world_size: Number of training processes.

    Attributes:
        batch: Images per batch; fewer than requested if this process has fewer images.
        batches: Batches per epoch.

    Raises:
        DataError: There are fewer images than training processes.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        *,
        batch: int,
        workers: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._set = training_set
        self._workers = workers
        self._rank, self._world_size = rank, world_size
        share = len(training_set.photos) // world_size
        if share == 0:
            raise DataError(
                "There are fewer training images than processes",
                expected=f"at least {world_size}",
                found=str(len(training_set.photos)),
                fix="Train with fewer processes",
            )
        self.batch = min(batch, share)
        self.batches = share // self.batch

    @property
    def images_an_epoch(self) -> int:
        """Images per epoch over all processes; an incomplete last batch is left out."""
        return self.batches * self.batch * self._world_size

    def epoch(self, epoch: int, *, start: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch in order, from number `start` on."""
        jobs = [(epoch, self._positions(number)) for number in range(start, self.batches)]
        if self._workers:
            yield from self._from_processes(jobs)
        else:
            yield from self._from_thread(jobs)

    def _positions(self, number: int) -> range:
        first = (number * self._world_size + self._rank) * self.batch
        return range(first, first + self.batch)

    def _from_thread(self, jobs: list[tuple[int, range]]) -> Generator[Batch, None, None]:
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(1, thread_name_prefix="edgessd-loader", initializer=_one_thread)
        try:
            for job in jobs:
                waiting.append(pool.submit(self._set.batch, *job))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _from_processes(self, jobs: list[tuple[int, range]]) -> Generator[Batch, None, None]:
        loader: DataLoader[Batch] = DataLoader(
            _Jobs(self._set, jobs),  # type: ignore[arg-type]
            batch_size=None,
            num_workers=min(self._workers, max(len(jobs), 1)),
            worker_init_fn=_start_worker,
            prefetch_factor=2,
        )
        yield from loader


class _Jobs:
    """List of batches in the form that torch's DataLoader reads."""

    def __init__(self, training_set: TrainingSet, jobs: list[tuple[int, range]]) -> None:
        self._set = training_set
        self._jobs = jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, number: int) -> Batch:
        return self._set.batch(*self._jobs[number])


def _one_thread() -> None:
    # OpenCV's own threads would take cores away from the training.
    cv2.setNumThreads(1)


def _start_worker(worker: int) -> None:
    _one_thread()
    torch.set_num_threads(1)
