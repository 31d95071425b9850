"""Train a detector: settings and a dataset in, a run folder out."""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from edgessd.core.contract import Preprocess
from edgessd.core.errors import DataError
from edgessd.core.files import write_atomically
from edgessd.data.dataset import Dataset, load_dataset
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.model.batch_norm import calibrate_batch_norm
from edgessd.model.ssdlite import SsdLite, parameter_count
from edgessd.train.config import TrainConfig, save_config
from edgessd.train.distributed import DistributedGroup, join_group
from edgessd.train.evaluate import Evaluator
from edgessd.train.initial_model import InitialModel, make_initial_model
from edgessd.train.interrupt import StopRequest, stop_on_signals
from edgessd.train.loader import BatchLoader, TrainingSet
from edgessd.train.loop import BEST, LAST, Components, Trainer
from edgessd.train.matcher import Matcher
from edgessd.train.method import Method
from edgessd.train.normalize import Normalize
from edgessd.train.photos import Photos
from edgessd.train.precision import choose_device, choose_precision
from edgessd.train.reporter import Reporter
from edgessd.train.result import TrainResult
from edgessd.train.run_folder import CONFIG, check_folder, lock_folder
from edgessd.train.split_roles import Roles, assign_roles
from edgessd.train.summary import summary_text

_CALIBRATION_IMAGES = 96


def train(
    config: TrainConfig, folder: Path, *, resume: bool = False, reporter: Reporter | None = None
) -> TrainResult:
    """Train a detector.

    Args:
        config: All settings. With `resume`, pass those of the run folder's config.toml.
        folder: The run folder. Without `resume` it may not hold a training.
        resume: Continue from the folder's state.pt.
        reporter: Receiver of progress and notes; silent if absent.

    Raises:
        EdgessdError: The settings, the dataset or the folder can't be used, or training diverged.
    """
    reporter = reporter or Reporter(None)
    check_folder(folder, resume=resume)
    with join_group(config.machine.device) as group, stop_on_signals() as stop:
        return _train(config, folder, resume, reporter, group, stop)


def _train(
    config: TrainConfig,
    folder: Path,
    resume: bool,
    reporter: Reporter,
    group: DistributedGroup,
    stop: StopRequest,
) -> TrainResult:
    machine = config.machine
    _seed(machine.seed, machine.threads)
    device = choose_device(machine.device, group.local_rank)
    dataset = load_dataset(Path(config.data.path))
    roles = assign_roles(dataset, config.data, seed=machine.seed)
    _report_problems(dataset, reporter)
    reporter.note(roles.description)
    method: Method | None = None
    if config.qat.enabled:
        from edgessd.train.qat import start_qat

        reporter.note("calibrating, for the initial quantization ranges")
        initial, method = start_qat(config, dataset, roles.train)
    else:
        initial = make_initial_model(config.model, dataset.labels, roles.train)
    reporter.note(initial.description)
    components = _components(config, roles, initial, dataset, device, group, reporter)
    components = replace(components, method=method)
    precision = choose_precision(machine.precision, device)
    reporter.note(
        f"{parameter_count(components.model):,} parameters on {device}, {precision}, "
        f"{components.loader.batches} batches of {components.loader.batch} per epoch"
    )
    with lock_folder(folder) if group.is_leader else nullcontext():
        return _fit(config, folder, resume, components, roles, dataset, reporter, group, stop)


def _fit(
    config: TrainConfig,
    folder: Path,
    resume: bool,
    components: Components,
    roles: Roles,
    dataset: Dataset,
    reporter: Reporter,
    group: DistributedGroup,
    stop: StopRequest,
) -> TrainResult:
    trainer = Trainer(config, components, folder, group, reporter)
    if resume:
        trainer.resume()
        reporter.note(f"resumed after epoch {trainer.position.epoch}, step {trainer.position.step}")
    elif group.is_leader:
        save_config(folder / CONFIG, config)
    group.barrier()
    finished = trainer.fit(stop)
    result = TrainResult(
        folder=folder,
        checkpoint=folder / (BEST if finished else LAST),
        finished=finished,
        position=trainer.position,
        metrics=trainer.metrics,
        broken_images=tuple(reporter.broken_images),
    )
    if group.is_leader:
        write_atomically(folder / "summary.txt", summary_text(result, config, roles, dataset))
    return result


def _seed(seed: int, threads: int) -> None:
    # Weights that decay toward zero pass through denormal numbers, which are slow on x86.
    torch.set_flush_denormal(True)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if threads:
        torch.set_num_threads(threads)
    cv2.setNumThreads(1)


def _report_problems(dataset: Dataset, reporter: Reporter) -> None:
    for problem in dataset.problems:
        if problem.kind in ("broken_image", "missing_image"):
            reporter.broken_images += problem.where
        reporter.note(f"[yellow]{problem.text}[/]: {problem.done} ({problem.first()})")


def _components(
    config: TrainConfig,
    roles: Roles,
    initial: InitialModel,
    dataset: Dataset,
    device: torch.device,
    group: DistributedGroup,
    reporter: Reporter,
) -> Components:
    model = initial.model
    contract = model.contract
    photos, evaluation = _read_photos(config, roles, dataset, group, reporter)
    training_set = TrainingSet(
        photos,
        preprocess=contract.preprocess,
        matcher=Matcher(contract.anchors, contract.box_code, positive_iou=config.loss.match_iou),
        settings=config.augment,
        seed=config.machine.seed,
    )
    loader = BatchLoader(
        training_set,
        batch=config.optimize.batch,
        workers=config.machine.workers,
        rank=group.rank,
        world_size=group.world_size,
    )
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if initial.without_statistics is not None:
        _estimate_statistics(initial.without_statistics, contract.preprocess, training_set, device)
    if config.optimize.freeze_norm and isinstance(model, SsdLite):
        model.freeze_backbone_norm()
    evaluator = Evaluator(evaluation, contract) if evaluation else None
    sheet = evaluator or (Evaluator(photos, contract) if group.is_leader else None)
    return Components(
        model=model,
        loader=loader,
        evaluator=evaluator,
        picks_best=roles.evaluated == "every",
        sheet=sheet,
        provenance={
            **initial.provenance,
            "data": dataset.root.name,
            "train_images": str(len(photos)),
            "labels": ", ".join(dataset.labels),
        },
        loaded_backbone=initial.loaded_backbone,
    )


def _read_photos(
    config: TrainConfig,
    roles: Roles,
    dataset: Dataset,
    group: DistributedGroup,
    reporter: Reporter,
) -> tuple[Photos, Photos | None]:
    """Read the training images and, in the leading process, those to evaluate on."""
    evaluation_images = roles.evaluation if group.is_leader else ()
    total = len(roles.train) + len(evaluation_images)
    done = iter(range(1, total + 1))

    def read(images: tuple[LabeledImage, ...]) -> Photos | None:
        if not images:
            return None
        photos = Photos(
            images,
            cache_mb=config.data.cache_mb // group.world_size,
            progress=lambda: reporter.reading(next(done, total), total),
        )
        for problem in photos.broken:
            reporter.broken(problem)
        return photos

    photos = read(roles.train)
    if photos is None:
        raise DataError("There are no training images", found=str(dataset.root))
    return photos, read(evaluation_images)


def _estimate_statistics(
    network: nn.Module, preprocess: Preprocess, training_set: TrainingSet, device: torch.device
) -> None:
    """Estimate missing batch normalization statistics on augmented training images."""
    count = min(_CALIBRATION_IMAGES, len(training_set.photos))
    images = Normalize(preprocess, device)(training_set.batch(0, range(count)).images)
    calibrate_batch_norm(network, images)
