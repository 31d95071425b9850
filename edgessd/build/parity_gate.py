"""Refuse a bundle whose engine finds other objects than its float graph.

The engine is opened from a bundle, as on a device, and runs on some of the calibration images. They aren't
new to the engine, so this proves that nothing broke. It doesn't measure the detector's accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from edgessd.bench.comparison import MeasuredModel
from edgessd.bench.measured_model import engine_sentence, measured_model
from edgessd.bundle.manifest import Manifest
from edgessd.bundle.quality import Parity
from edgessd.bundle.store import write_bundle
from edgessd.calibrate.calibration_set import CalibrationSet, evenly
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError, DataError, ParityError
from edgessd.core.files import sha256_of_set
from edgessd.graph.float_graph import FloatGraph, save_graph
from edgessd.metrics.drift import Drift, image_drift, summarize_drift
from edgessd.metrics.parity import REFERENCE_SCORE, agreement_ap
from edgessd.quantize.recipe import ParityBound
from edgessd.runtime.catalog import backend_entry, default_threads
from edgessd.runtime.detector import Detector

_THREADS = 2

_OP_MARGIN = 0.1
"""Distance from an engine's own score threshold within which its detections may be missing."""

_WAY_OUT = (
    "Calibrate with more images like those the camera will see. `edgessd sensitivity` ranks the "
    "tensors by their error; --no-gate builds the bundle without this check"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A bundle before it is written.

    Attributes:
        manifest, engine, companions: Arguments of `write_bundle`.
    """

    manifest: Manifest
    engine: bytes
    companions: Mapping[str, bytes]


def require_parity(
    candidate: Candidate, graph: FloatGraph, images: CalibrationSet, bound: ParityBound
) -> Parity:
    """Measure a candidate against its float graph.

    Args:
        candidate: Bundle before it is written.
        graph: Float graph as exported, before the float passes.
        images: Calibration images.
        bound: Bound of the recipe.

    Returns:
        `passed`, or `undecided` if the library that executes the engine is missing or the images show too
        few objects.

    Raises:
        ParityError: The agreement is below the bound.
    """
    backend = "onnxruntime" if candidate.manifest.finish is not None else None
    needed = backend or (
        "litert" if candidate.manifest.engine.format == "tflite" else "onnxruntime"
    )
    try:
        backend_entry(needed).load().library_version()
    except BackendError as error:
        return Parity(verdict="undecided", reason=error.problem, bound=bound.agreement)
    with _opened(candidate, graph, backend) as (reference, engine):
        parity = _measure(reference, engine, images, bound, over=_truth_over(candidate.manifest))
    if parity.agreement_AP is not None and parity.agreement_AP < bound.agreement:
        raise ParityError(
            f"The engine of {candidate.manifest.name} finds other objects than its float graph",
            expected=f"agreement AP of at least {bound.agreement:g} over {parity.images} of the "
            "calibration images",
            found=_found(parity),
            fix=_WAY_OUT,
        )
    return parity


@contextmanager
def _opened(
    candidate: Candidate, graph: FloatGraph, backend: str | None
) -> Iterator[tuple[MeasuredModel, MeasuredModel]]:
    """Open float graph and engine from files in a temporary folder."""
    threads = default_threads(_THREADS)
    with TemporaryDirectory() as folder:
        float_file, bundle = Path(folder) / "float.onnx", Path(folder) / "bundle"
        save_graph(graph, float_file)
        write_bundle(bundle, candidate.manifest, candidate.engine, candidate.companions)
        with (
            Detector(float_file, threads=threads) as reference,
            Detector(bundle, backend=backend, threads=threads) as engine,
        ):
            yield (
                measured_model(reference, "the float graph"),
                measured_model(engine, candidate.manifest.name),
            )


def _truth_over(manifest: Manifest) -> float:
    """Choose the score above which the engine must find the float graph's detections."""
    if manifest.postprocess == "op":
        return max(REFERENCE_SCORE, manifest.contract.nms.score_threshold + _OP_MARGIN)
    return REFERENCE_SCORE


def _measure(
    reference: MeasuredModel,
    engine: MeasuredModel,
    images: CalibrationSet,
    bound: ParityBound,
    *,
    over: float,
) -> Parity:
    used: list[Path] = []
    expected: list[Detections] = []
    found: list[Detections] = []
    objects = 0
    # First some images spread evenly, then the others until enough objects are found.
    for path in dict.fromkeys((*evenly(images.paths, bound.images), *images.paths)):
        if len(used) >= bound.images and objects >= bound.detections:
            break
        try:
            photo = images.photo(path)
        except DataError:
            continue  # the calibration has reported it
        used.append(path)
        expected.append(reference.run(photo).detections)
        found.append(engine.run(photo).detections)
        objects += int((expected[-1].scores > over).sum())
    parity = Parity(
        verdict="undecided",
        reason=f"The float graph finds {objects} objects over {over:g} in {len(used)} calibration "
        f"images; a verdict needs {bound.detections}",
        reference=engine_sentence(reference.details),
        engine=engine_sentence(engine.details),
        data="calibration images",
        images=len(used),
        images_sha256=sha256_of_set(map(images.sha256, used)),
        detections=objects,
        score_threshold=over,
        bound=bound.agreement,
    )
    if objects < bound.detections:
        return parity
    drift = summarize_drift(
        [
            image_drift(first, second, over=over)
            for first, second in zip(expected, found, strict=True)
        ]
    )
    return _with_drift(parity, agreement_ap(expected, found, over=over), drift)


def _with_drift(parity: Parity, agreement: float, drift: Drift) -> Parity:
    return msgspec.structs.replace(
        parity,
        verdict="passed",
        reason="",
        agreement_AP=round(agreement, 6),
        mean_iou=drift.mean_iou,
        mean_score_drift=drift.mean_score_drift,
        lost=drift.lost,
        added=drift.added,
    )


def _found(parity: Parity) -> str:
    moved = ""
    if parity.mean_score_drift is not None:
        moved = f", scores changed by {parity.mean_score_drift:.3f} on average"
    return (
        f"{parity.agreement_AP:.4f}: of {parity.detections} detections {parity.lost} lost and "
        f"{parity.added} added{moved}"
    )
