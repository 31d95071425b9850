"""Quantization-aware training: train a detector that is rounded as its engine will be.

The training starts from the result of post-training quantization: the same float passes, calibration and
rounded weights. The float network is the teacher: its class scores and box codes are the targets on each
anchor of each image ("distillation", arXiv:1503.02531). A loss against the labels can be added, but it
pulls the detector away from the float one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgessd.build.calibration_images import (
    chosen_among,
    images_in,
    with_evaluation_in,
)
from edgessd.bundle.manifest import CalibrationRecord
from edgessd.bundle.quality import CalibrationAudit
from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.core.contract import Contract
from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.data.dataset import Dataset
from edgessd.data.split_names import ALL
from edgessd.graph.export import export_float_graph
from edgessd.metrics.coco import CocoMetrics
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.model.checkpoint import Checkpoint, load_checkpoint
from edgessd.model.config import ModelConfig
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.qat.network import QatNetwork
from edgessd.quantize.recipe import load_recipe
from edgessd.quantize.schemes import SchemeName
from edgessd.quantize.workflow import quantize_graph
from edgessd.train.config import LossSettings, QatSettings, TrainConfig
from edgessd.train.evaluate import Evaluator
from edgessd.train.initial_model import InitialModel
from edgessd.train.loss import Losses, MultiboxLoss

SCHEMES: dict[str, tuple[SchemeName, ...]] = {
    "both": ("affine", "symmetric"),
    "affine": ("affine",),
    "symmetric": ("symmetric",),
}


def start_qat(
    config: TrainConfig, dataset: Dataset, images: Sequence[LabeledImage]
) -> tuple[InitialModel, QatTraining]:
    """Quantize a float detector and make the network and the method of its training.

    Args:
        config: All settings; `model.weights` names the checkpoint of the float detector.
        dataset: Dataset of the training.
        images: Training images. They also calibrate, unless `qat.calibration` names other images.

    Raises:
        ConfigError: No checkpoint is named.
        CheckpointError: The checkpoint has other labels, or comes from quantization-aware training.
        EdgessdError: Export, calibration or quantization failed.
    """
    settings = config.qat
    checkpoint = _checkpoint(config.model.weights, dataset.labels)
    recipe = load_recipe(settings.recipe)
    chosen = _calibration_images(config, dataset, images)
    graph = export_float_graph(checkpoint)
    # Labels are matched with the anchors, so the anchors may not be changed.
    passes = msgspec.structs.replace(recipe.float_passes, shift_box_sizes=False)
    schemes = SCHEMES[settings.scheme]
    found = quantize_graph(
        graph,
        chosen,
        recipe=msgspec.structs.replace(recipe, float_passes=passes),
        schemes=schemes,
        audit_saturation=False,  # training moves the ranges
    )
    quantized = list(found.quantized.values())
    network = QatNetwork(found.graph.graph, quantized)
    teacher = copy.deepcopy(network).eval().requires_grad_(False)
    teacher.judged = None
    network.start_from(quantized[0])
    method = QatTraining(
        Origin(
            config=msgspec.structs.replace(checkpoint.config, batch_norm=None),
            contract=checkpoint.contract,
            calibration=msgspec.structs.replace(
                quantized[0].quantization.calibration, recipe=f"{recipe.name}, then trained"
            ),
            audit=found.audit,
        ),
        teacher,
        settings,
        config.loss,
    )
    initial = InitialModel(
        model=network,
        loaded_backbone=False,
        without_statistics=None,
        description=f"quantization-aware for {' and '.join(schemes)}, from {config.model.weights}, "
        f"initial ranges from {found.audit.images} images by recipe {recipe.name}",
        provenance={
            **checkpoint.provenance,
            "weights": Path(config.model.weights).name,
            "quantization_aware": ", ".join(schemes),
        },
    )
    return initial, method


def _calibration_images(
    config: TrainConfig, dataset: Dataset, images: Sequence[LabeledImage]
) -> CalibrationSet:
    settings, splits = config.qat, config.data.train_splits
    if splits == ("train",) and "train" not in dataset.splits:
        splits = (ALL,)
    limit = settings.calibration_images
    if not settings.calibration:
        return chosen_among(images, dataset, splits, limit=limit)
    return with_evaluation_in(images_in(Path(settings.calibration), limit=limit), dataset, splits)


def _checkpoint(weights: str, labels: tuple[str, ...]) -> Checkpoint:
    if weights in ("none", "imagenet"):
        raise ConfigError(
            "Quantization-aware training starts from a trained detector",
            expected="--weights CHECKPOINT",
            found=f"weights = {weights!r}",
            fix="Train a detector first, without --qat",
        )
    checkpoint = load_checkpoint(Path(weights))
    if checkpoint.contract.labels != labels:
        raise CheckpointError(
            f"{weights} has other labels than the dataset",
            expected=", ".join(labels),
            found=", ".join(checkpoint.contract.labels),
            fix="Train on the dataset without --qat first, where --weights may have other labels",
        )
    if checkpoint.trained_ranges is not None:
        raise CheckpointError(
            f"{weights} comes from quantization-aware training",
            expected="the checkpoint of a float detector",
            fix="Name the float checkpoint that it started from, or continue its run with --resume",
        )
    return checkpoint


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Facts about the float detector for the checkpoints.

    Attributes:
        config: Configuration of its network with batch norm folded.
        contract: Its contract, with its own box code.
        calibration: Record of the calibration of the initial ranges.
        audit: Audit of the calibration images.
    """

    config: ModelConfig
    contract: Contract
    calibration: CalibrationRecord
    audit: CalibrationAudit


class QatTraining:
    """Method of quantization-aware training: distillation, and optionally a loss against the labels.

    Args:
        origin: Facts about the float detector.
        teacher: The float network, on any device; it is moved to the student's device.
        settings: Weights of the two losses.
        loss: Settings of the loss against the labels.

    Attributes:
        teacher: The float network.
    """

    def __init__(
        self, origin: Origin, teacher: QatNetwork, settings: QatSettings, loss: LossSettings
    ) -> None:
        self._origin = origin
        self.teacher = teacher
        self._settings = settings
        self._multibox = MultiboxLoss(origin.contract.scoring, loss)
        before, now = origin.contract.box_code, teacher.contract.box_code
        center = before.centre_variance / now.centre_variance
        size = before.size_variance / now.size_variance
        # Float passes may have scaled the box codes, so errors are measured in the original units.
        self._code_unit = torch.tensor((center, center, size, size))

    def losses(
        self,
        images: Tensor,
        box_codes: Tensor,
        class_scores: Tensor,
        class_ids: Tensor,
        codes: Tensor,
    ) -> Losses:
        """Compute the weighted sum of the losses against the labels and against the teacher."""
        if self._code_unit.device != images.device:
            self._code_unit = self._code_unit.to(images.device)
            self.teacher.to(images.device)
        box_codes, codes = box_codes / self._code_unit, codes / self._code_unit
        supervised = self._multibox(box_codes, class_scores, class_ids, codes)
        weight, teacher_weight = self._settings.labels, self._settings.teacher
        classes, boxes = supervised.classes * weight, supervised.boxes * weight
        total = supervised.total * weight
        if teacher_weight:
            with torch.no_grad():
                teacher_codes, teacher_scores = self.teacher(images)
            distilled = self._distillation(
                box_codes, class_scores, teacher_codes / self._code_unit, teacher_scores
            )
            classes = classes + teacher_weight * distilled[0]
            boxes = boxes + teacher_weight * distilled[1]
            total = total + teacher_weight * (distilled[0] + distilled[1])
        return Losses(classes=classes, boxes=boxes, total=total, positives=supervised.positives)

    def evaluate(self, evaluator: Evaluator, network: nn.Module) -> CocoMetrics:
        """Compute the metrics in each scheme; return those with the lowest AP."""
        assert isinstance(network, QatNetwork)
        before, found = network.judged, []
        for scheme in network.schemes:
            network.judged = scheme
            found.append(evaluator.metrics(network))
        network.judged = before
        return min(found, key=lambda metrics: metrics.AP)

    def snapshot(self, network: nn.Module, provenance: dict[str, str]) -> Checkpoint:
        """Make a checkpoint with batch norm folded and with the trained ranges."""
        assert isinstance(network, QatNetwork)
        return Checkpoint(
            config=self._origin.config,
            contract=network.contract,
            state={name: tensor.cpu() for name, tensor in network.state_of_float().items()},
            provenance=dict(provenance),
            trained_ranges=TrainedRanges(
                schemes=network.schemes,
                ranges=network.ranges(),
                calibration=self._origin.calibration,
                audit=self._origin.audit,
            ),
        )

    def _distillation(
        self, box_codes: Tensor, class_scores: Tensor, teacher_codes: Tensor, teacher_scores: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses of classes and boxes, each divided by the teacher's expected number of objects."""
        scoring = self._origin.contract.scoring
        first = int(scoring.background)
        if scoring.activation == "softmax":
            target = functional.log_softmax(teacher_scores.float(), 2)
            student = functional.log_softmax(class_scores.float(), 2)
            foreground = target[..., first:].exp().sum(2)
            classes = functional.kl_div(student, target, reduction="sum", log_target=True)
        else:
            target = teacher_scores[..., first:].float()
            student = class_scores[..., first:].float()
            foreground = torch.sigmoid(target).amax(2)
            # The teacher's own entropy is subtracted, so that an equal student has no loss.
            classes = functional.binary_cross_entropy_with_logits(
                student, torch.sigmoid(target), reduction="sum"
            ) - functional.binary_cross_entropy_with_logits(
                target, torch.sigmoid(target), reduction="sum"
            )
        count = foreground.sum().clamp_min(1)
        errors = functional.smooth_l1_loss(
            box_codes.float(), teacher_codes.float(), reduction="none"
        )
        return classes / count, (errors.sum(2) * foreground).sum() / count
