"""Training batches: read, augment, match and stack, the same for a seed, epoch and position.

Every sample's randomness comes from (seed, epoch, position) alone, so neither the number of workers nor
an interruption changes what is trained on.
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
    """What one step of one process trains on.

    Attributes:
        images: (B, H, W, 3) uint8, in the contract's colour order.
        class_ids: (B, N) int64 of `Match`.
        box_codes: (B, N, 4) float32 of `Match`.
        broken: Images that could not be read and were replaced, with the reason.
    """

    images: Tensor
    class_ids: Tensor
    box_codes: Tensor
    broken: tuple[str, ...] = ()


class TrainingSet:
    """Augmented, matched batches of a list of photos."""

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
        """The order of the photos in an epoch."""
        return np.random.default_rng([self._seed, epoch]).permutation(len(self.photos))

    def batch(self, epoch: int, positions: Sequence[int]) -> Batch:
        """The samples at some positions of an epoch's order."""
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
        """The photo at `index`, or the next one that can be read; the third value names the others."""
        problems: list[str] = []
        for offset in range(len(self.photos)):
            candidate = (index + offset) % len(self.photos)
            try:
                return self.photos.read(candidate), candidate, problems
            except DataError as error:
                problems.append(error.paragraph())
        raise DataError("No training image can be read any more", found=problems[0])


class BatchLoader:
    """The batches of this process's share of each epoch.

    Args:
        training_set: Where batches come from.
        batch: Images a batch.
        workers: Processes that prepare batches; with 0 one background thread does, which is enough
            where computing takes longer than loading, as on a CPU.
        rank, world_size: This process among how many.
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
        """Images that all processes together see in an epoch; an incomplete last batch is left out."""
        return self.batches * self.batch * self._world_size

    def epoch(self, epoch: int, *, start: int = 0) -> Generator[Batch, None, None]:
        """Batches `start` and later of an epoch, in order."""
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
    """The form in which torch's DataLoader takes a list of batches."""

    def __init__(self, training_set: TrainingSet, jobs: list[tuple[int, range]]) -> None:
        self._set = training_set
        self._jobs = jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, number: int) -> Batch:
        return self._set.batch(*self._jobs[number])


def _one_thread() -> None:
    # OpenCV's own threads would take the cores from the computation.
    cv2.setNumThreads(1)


def _start_worker(worker: int) -> None:
    _one_thread()
    torch.set_num_threads(1)
