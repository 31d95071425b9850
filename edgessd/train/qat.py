"""Quantization-aware training: a detector goes on learning while it is rounded as its engine will be.

It starts where post-training quantization ends: the same preparation of the graph, the same calibration,
the same rounded weights. The float network teaches, which the engine shall answer like: how sure to be and
where exactly a box ends, on every anchor of every image ("distillation", arXiv:1503.02531). Labels can
teach beside it, but they pull towards another detector than the float one.
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
    """The network that is to be trained, rounded as post-training quantization leaves it.

    Args:
        config: `model.weights` names the checkpoint; `qat` says the rest.
        dataset: That is trained on.
        images: Of it, that will be trained on, and calibrate unless `qat.calibration` names others.

    Raises:
        ConfigError: No checkpoint is named.
        CheckpointError: It knows other labels, or has been through this already.
        EdgessdError: Of export, calibration or quantization.
    """
    settings = config.qat
    checkpoint = _checkpoint(config.model.weights, dataset.labels)
    recipe = load_recipe(settings.recipe)
    chosen = _calibration_images(config, dataset, images)
    graph = export_float_graph(checkpoint)
    # Labels are matched with the anchors, so those stay what they are.
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
        description=f"quantization-aware, {' and '.join(schemes)}, from {config.model.weights}, ranges from "
        f"{found.audit.images} images by recipe {recipe.name}",
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
            fix="Train one first, without --qat",
        )
    checkpoint = load_checkpoint(Path(weights))
    if checkpoint.contract.labels != labels:
        raise CheckpointError(
            f"{weights} detects other things than the dataset shows",
            expected=", ".join(labels),
            found=", ".join(checkpoint.contract.labels),
            fix="Train on the dataset without --qat first: --weights takes a detector of other labels",
        )
    if checkpoint.trained_ranges is not None:
        raise CheckpointError(
            f"{weights} comes from quantization-aware training already",
            fix="Name the float checkpoint that it started from, or go on with --resume",
        )
    return checkpoint


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of the float detector.

    Attributes:
        config: Its network, batch norm folded.
        contract: With its own box code.
        calibration: What its ranges come from.
        audit: Whether those images were fit for it.
    """

    config: ModelConfig
    contract: Contract
    calibration: CalibrationRecord
    audit: CalibrationAudit


class QatTraining:
    """The method of a quantization-aware training.

    Args:
        origin: Of the float detector.
        teacher: The same network, not rounded; on any device, it follows the student.
        settings: Weights of the two teachers.
        loss: Of the labels.
    """

    def __init__(
        self, origin: Origin, teacher: QatNetwork, settings: QatSettings, loss: LossSettings
    ) -> None:
        self._origin = origin
        self._teacher = teacher
        self._settings = settings
        self._multibox = MultiboxLoss(origin.contract.scoring, loss)
        before, now = origin.contract.box_code, teacher.contract.box_code
        centre = before.centre_variance / now.centre_variance
        size = before.size_variance / now.size_variance
        # Preparation may have enlarged some of a box code's numbers; their errors count as before.
        self._code_unit = torch.tensor((centre, centre, size, size))

    def losses(
        self,
        images: Tensor,
        box_codes: Tensor,
        class_scores: Tensor,
        class_ids: Tensor,
        codes: Tensor,
    ) -> Losses:
        """Those of the labels and of the teacher, weighted and added."""
        if self._code_unit.device != images.device:
            self._code_unit = self._code_unit.to(images.device)
            self._teacher.to(images.device)
        box_codes, codes = box_codes / self._code_unit, codes / self._code_unit
        labelled = self._multibox(box_codes, class_scores, class_ids, codes)
        by_labels, by_teacher = self._settings.labels, self._settings.teacher
        classes, boxes = labelled.classes * by_labels, labelled.boxes * by_labels
        total = labelled.total * by_labels
        if by_teacher:
            with torch.no_grad():
                told_codes, told_scores = self._teacher(images)
            taught = self._taught(
                box_codes, class_scores, told_codes / self._code_unit, told_scores
            )
            classes, boxes = classes + by_teacher * taught[0], boxes + by_teacher * taught[1]
            total = total + by_teacher * (taught[0] + taught[1])
        return Losses(classes=classes, boxes=boxes, total=total, positives=labelled.positives)

    def evaluate(self, evaluator: Evaluator, network: nn.Module) -> CocoMetrics:
        """The metrics in the scheme that is worse off."""
        assert isinstance(network, QatNetwork)
        before, found = network.judged, []
        for scheme in network.schemes:
            network.judged = scheme
            found.append(evaluator.metrics(network))
        network.judged = before
        return min(found, key=lambda metrics: metrics.AP)

    def snapshot(self, network: nn.Module, provenance: dict[str, str]) -> Checkpoint:
        """A detector with its batch norm folded, and the ranges beside it."""
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

    def _taught(
        self, box_codes: Tensor, class_scores: Tensor, told_codes: Tensor, told_scores: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(classes, boxes), each divided by the number of objects that the teacher sees."""
        scoring = self._origin.contract.scoring
        first = int(scoring.background)
        if scoring.activation == "softmax":
            told = functional.log_softmax(told_scores.float(), 2)
            said = functional.log_softmax(class_scores.float(), 2)
            foreground = told[..., first:].exp().sum(2)
            classes = functional.kl_div(said, told, reduction="sum", log_target=True)
        else:
            told, said = told_scores[..., first:].float(), class_scores[..., first:].float()
            foreground = torch.sigmoid(told).amax(2)
            # Less the teacher's own entropy, so that an equal student has no loss.
            classes = functional.binary_cross_entropy_with_logits(
                said, torch.sigmoid(told), reduction="sum"
            ) - functional.binary_cross_entropy_with_logits(
                told, torch.sigmoid(told), reduction="sum"
            )
        seen = foreground.sum().clamp_min(1)
        apart = functional.smooth_l1_loss(box_codes.float(), told_codes.float(), reduction="none")
        return classes / seen, (apart.sum(2) * foreground).sum() / seen
