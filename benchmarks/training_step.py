"""Compare the speed of edgessd's training step with that of the bare network.

One run alternates between two measurements: the forward and backward pass of the model on one constant
batch, and edgessd's training step with reading from memory, augmentation, matching, the multibox loss,
gradient clipping, the optimizer and the moving average. It prints images per second and the ratio, which
must be at least 0.8.

    python benchmarks/training_step.py --data bccd --batch 16 --threads 2
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from edgessd.data.dataset import load_dataset
from edgessd.model.ssdlite import SsdLite
from edgessd.train.config import TrainConfig, merge, read_preset
from edgessd.train.distributed import DistributedGroup
from edgessd.train.initial_model import make_initial_model
from edgessd.train.loader import Batch, BatchLoader, TrainingSet
from edgessd.train.loop import Components, Trainer
from edgessd.train.matcher import Matcher
from edgessd.train.photos import Photos
from edgessd.train.precision import autocast, choose_device, choose_precision
from edgessd.train.reporter import Reporter
from edgessd.train.split_roles import assign_roles

REQUIRED_RATIO = 0.8


def main() -> int:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    config = merge(
        read_preset(options.preset),
        {
            "data": {"path": str(options.data)},
            "model": {"weights": "none", "width": options.width},
            "optimize": {"batch": options.batch},
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(config, Path(folder))
        bare = BareStep(config, trainer.components.model, options.batch)
        rates: dict[str, list[float]] = {"bare": [], "step": []}
        for turn in range(options.turns + 1):
            started = time.perf_counter()
            for _ in range(options.steps):
                bare()
            middle = time.perf_counter()
            # A new loader each time, so that nothing is loaded while the bare step runs.
            for batch in _batches(trainer.components.loader, turn, options.steps):
                trainer.step([batch])
            ended = time.perf_counter()
            if turn:  # the first turn warms up
                images = options.steps * options.batch
                rates["bare"].append(images / (middle - started))
                rates["step"].append(images / (ended - middle))
    ratios = [step / bare for step, bare in zip(rates["step"], rates["bare"], strict=True)]
    record = {
        "bare_images_per_second": round(statistics.median(rates["bare"]), 2),
        "step_images_per_second": round(statistics.median(rates["step"]), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "required": REQUIRED_RATIO,
        "batch": options.batch,
        "width": options.width,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(record, indent=2))
    return 0 if record["ratio"] >= REQUIRED_RATIO else 1


class BareStep:
    """Forward and backward pass of a model on one constant batch."""

    def __init__(self, config: TrainConfig, model: SsdLite, batch: int) -> None:
        self._device = next(model.parameters()).device
        self._model = model
        self._precision = choose_precision(config.machine.precision, self._device)
        preprocess = model.contract.preprocess
        images = torch.randn(batch, 3, preprocess.height, preprocess.width, device=self._device)
        self._images = images.contiguous(memory_format=torch.channels_last)

    def __call__(self) -> None:
        self._model.train()
        with autocast(self._device, self._precision):
            box_codes, class_scores = self._model(self._images)
        (box_codes.float().sum() + class_scores.float().sum()).backward()
        self._model.zero_grad(set_to_none=True)
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _trainer(config: TrainConfig, folder: Path) -> Trainer:
    dataset = load_dataset(Path(config.data.path))
    images = assign_roles(dataset, config.data, seed=0).train
    model = make_initial_model(config.model, dataset.labels, images).model
    device = choose_device(config.machine.device)
    model = model.to(device=device, memory_format=torch.channels_last).train()
    contract = model.contract
    training_set = TrainingSet(
        Photos(images, cache_mb=config.data.cache_mb),
        preprocess=contract.preprocess,
        matcher=Matcher(contract.anchors, contract.box_code),
        settings=config.augment,
        seed=0,
    )
    components = Components(
        model=model,
        loader=BatchLoader(training_set, batch=config.optimize.batch, workers=0),
        evaluator=None,
        picks_best=False,
        sheet=None,
        provenance={},
        loaded_backbone=False,
    )
    return Trainer(config, components, folder, DistributedGroup(), Reporter(None))


def _batches(loader: BatchLoader, turn: int, count: int) -> Iterator[Batch]:
    """Yield `count` batches from as many epochs as needed."""
    for epoch in itertools.count(turn * 1000):
        for batch in loader.epoch(epoch):
            yield batch
            count -= 1
            if count == 0:
                return


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a labeled dataset")
    parser.add_argument("--preset", default="small-dataset")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--steps", type=int, default=8, help="steps per turn")
    parser.add_argument("--turns", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
