"""Search for the fewest tensors to leave in float so that a quantized graph stays within a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import onnx

from edgessd.bench.measured_model import measured_model
from edgessd.build.layer_comparison import readable_images
from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.samples import draw_samples
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.detections import Detections
from edgessd.core.errors import ParityError
from edgessd.graph.float_graph import FloatGraph, save_graph
from edgessd.graph.view import GraphView
from edgessd.metrics.parity import agreement_ap
from edgessd.quantize.analysis.sensitivity import Sensitivity, measure_sensitivity
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq.quant_graph import QuantGraph, save_quant_graph
from edgessd.quantize.recipe import Exemption, Recipe
from edgessd.quantize.schemes import SchemeName, scheme_named
from edgessd.quantize.workflow import QuantizationResult, quantize_calibrated
from edgessd.runtime.catalog import default_threads
from edgessd.runtime.detector import Detector

_RANKED_ON = 4
JUDGED_ON = 100
"""Largest number of images on which a search measures the loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithinDrop:
    """Quantization within the largest loss.

    Attributes:
        found: Quantized graph with `kept` in float, and its audit.
        kept: Names of tensors left in float, in descending order of their error.
        drop: 1 - agreement AP with the float graph.
        drop_before: The same with all tensors quantized.
        float_share: Fraction of the multiplications that run in float.
    """

    found: QuantizationResult
    kept: tuple[str, ...]
    drop: float
    drop_before: float
    float_share: float

    def sentence(self) -> str:
        """Describe the outcome in one sentence."""
        if not self.kept:
            return f"No tensor stays float: the loss of agreement AP in int8 is {self.drop:.4f}"
        more = f" and {len(self.kept) - 3} more" if len(self.kept) > 3 else ""
        return (
            f"{len(self.kept)} tensors stay float16 ({', '.join(self.kept[:3])}{more}), which takes "
            f"{self.float_share:.1%} of the multiplications out of int8 and lowers the loss of agreement "
            f"AP from {self.drop_before:.4f} to {self.drop:.4f}"
        )


@dataclass(frozen=True, kw_only=True)
class DropSearch:
    """Search for the tensors to leave in float.

    Attributes:
        exported: Float graph of the checkpoint, the reference.
        found: Graph quantized by the recipe alone.
        images: Calibration images; the loss is measured on up to `JUDGED_ON` of them.
        scheme: Scheme of the target.
        recipe: Recipe of `found`.
    """

    exported: FloatGraph
    found: QuantizationResult
    images: CalibrationSet
    scheme: SchemeName
    recipe: Recipe

    def within(self, limit: float) -> WithinDrop:
        """Search by bisection over the tensors, ordered by their error.

        Args:
            limit: Largest loss of agreement AP, in [0, 1].

        Raises:
            ParityError: The loss is larger and the scheme allows no float tensor, or it stays larger with
                all tensors in float.
            DataError: The float graph finds nothing in the images.
        """
        before = self.drop(self.found.quantized[self.scheme])
        if before <= limit:
            return self._result(self.found, (), before, before)
        if scheme_named(self.scheme).integer_bias:
            raise ParityError(
                "An engine of the affine scheme can't be kept within this loss: LiteRT's int8 kernels "
                "take integers throughout, and none of their operators mixes int8 with float",
                expected=f"a loss of at most {limit:g} of agreement AP",
                found=f"{before:.4f} over {len(self._photos)} calibration images",
                fix="Calibrate with more images, train with --qat, or build for a TensorRT target",
            )
        order = self.order()
        kept, drop = shortest_prefix(order, lambda names: self.drop(self.quantized(names)), limit)
        return self._result(self._audited(kept), kept, drop, before)

    def _result(
        self, found: QuantizationResult, kept: tuple[str, ...], drop: float, before: float
    ) -> WithinDrop:
        graph = found.quantized[self.scheme]
        share = float_share(self.found.graph.graph.model, graph.model)
        return WithinDrop(found=found, kept=kept, drop=drop, drop_before=before, float_share=share)

    def quantized(self, kept: tuple[str, ...]) -> QuantGraph:
        """Quantize with some tensors left in float."""
        return quantize(
            self.found.graph, self._table, scheme=self.scheme, recipe=self._recipe(kept)
        )

    def _audited(self, kept: tuple[str, ...]) -> QuantizationResult:
        """Quantize with the outcome of the search, and audit its calibration, which no step needs."""
        return quantize_calibrated(
            self.found.graph,
            self._table,
            self.images,
            recipe=self._recipe(kept),
            schemes=(self.scheme,),
        )

    def _recipe(self, kept: tuple[str, ...]) -> Recipe:
        exemption = Exemption(tensors=kept, keep_float=True, scheme=self.scheme)
        return msgspec.structs.replace(self.recipe, exemptions=(*self.recipe.exemptions, exemption))

    @property
    def _table(self) -> CalibrationTable:
        assert self.found.table is not None  # a graph with trained ranges isn't searched
        return self.found.table

    def order(self) -> tuple[str, ...]:
        """Order tensors by their own error and that of the weights that read them; float removes both."""
        floating = self.found.graph.graph
        samples = draw_samples(self.images, floating.contract, count=_RANKED_ON)
        quantized = self.found.quantized[self.scheme]
        sensitivity = measure_sensitivity(
            floating.model, quantized.model, floating.contract, samples
        )
        return _ranked(sensitivity, floating.model)

    @cached_property
    def _photos(self) -> list[np.ndarray]:
        return readable_images(self.images.paths, JUDGED_ON, self.images.photo)

    @cached_property
    def _expected(self) -> list[Detections]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "float.onnx"
            save_graph(self.exported, path)
            return self._detections(path)

    def drop(self, graph: QuantGraph) -> float:
        """Measure the loss of agreement AP, in [0, 1]."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "quantized.onnx"
            save_quant_graph(graph, path)
            return 1 - agreement_ap(self._expected, self._detections(path))

    def _detections(self, path: Path) -> list[Detections]:
        with Detector(path, threads=default_threads(2)) as detector:
            model = measured_model(detector, path.name)
            return [model.run(photo).detections for photo in self._photos]


def shortest_prefix(
    order: Sequence[str], drop_of: Callable[[tuple[str, ...]], float], limit: float
) -> tuple[tuple[str, ...], float]:
    """Find the shortest prefix of `order` within the limit by bisection.

    Args:
        order: Names of tensors, those with the largest error first.
        drop_of: Function from the tensors left in float to the loss.
        limit: Largest loss.

    Returns:
        The prefix and its loss.

    Raises:
        ParityError: The loss with all of `order` in float is larger.
    """
    fewest, most = 0, len(order)  # too few, enough
    drop = drop_of(tuple(order))
    if drop > limit:
        raise ParityError(
            "The loss stays above the limit with every tensor in float",
            expected=f"a loss of at most {limit:g} of agreement AP",
            found=f"{drop:.4f} with all {len(order)} tensors in float",
            fix="Allow more with --max-drop, or build with --precision fp16",
        )
    while most - fewest > 1:
        middle = (fewest + most) // 2
        found = drop_of(tuple(order[:middle]))
        if found <= limit:
            most, drop = middle, found
        else:
            fewest = middle
    return tuple(order[:most]), drop


def _ranked(sensitivity: Sensitivity, model: onnx.ModelProto) -> tuple[str, ...]:
    fed = {node.name: node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    shares: dict[str, float] = {}
    for loss in sensitivity.losses:
        if loss.kind == "activation":
            shares[loss.name] = shares.get(loss.name, 0.0) + loss.share
    for loss in sensitivity.losses:
        if loss.kind == "weights" and fed.get(loss.name) in shares:
            shares[fed[loss.name]] += loss.share
    return tuple(sorted(shares, key=lambda name: -shares[name]))


def float_share(float_model: onnx.ModelProto, quantized: onnx.ModelProto) -> float:
    """Compute the fraction of the convolutions' multiplications that a Q/DQ graph runs in float."""
    shapes, view = GraphView(float_model), GraphView(quantized)
    whole = kept = 0.0
    for conv in quantized.graph.node:
        if conv.op_type != "Conv":
            continue
        producer = view.producer(conv.input[1])
        weight = producer.input[0] if producer is not None else conv.input[1]
        sides = view.constant(weight).shape
        work = float(np.prod(sides[1:])) * float(np.prod(shapes.shape(conv.output[0])))
        whole += work
        kept += work if producer is None else 0.0
    return kept / whole if whole else 0.0
