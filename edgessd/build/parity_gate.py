"""No bundle leaves a build unless its engine finds what the float graph finds.

The engine is opened from a bundle as a device would open it, and runs on some of the calibration
images. They aren't new to it, so this proves that nothing broke, not how accurate the detector is.
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
"""An engine that cuts at a score of its own can't be asked for what sank below it from just above."""

_WAY_OUT = (
    "Calibrate with more images like those the camera will see. `edgessd sensitivity` shows which "
    "tensors lose it; --no-gate builds the bundle as it is"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A bundle before it is written.

    Attributes:
        manifest, engine, companions: As `write_bundle` takes them.
    """

    manifest: Manifest
    engine: bytes
    companions: Mapping[str, bytes]


def hold_to_parity(
    candidate: Candidate, graph: FloatGraph, images: CalibrationSet, bound: ParityBound
) -> Parity:
    """Measure a candidate against its float graph.

    Args:
        candidate: The bundle that shall be written.
        graph: As exported, before anything was done for quantization.
        images: Those of the calibration.
        bound: From the recipe.

    Returns:
        `passed`, or `undecided` where the library that executes the engine is missing or the images
        show too few objects.

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
            f"The engine of {candidate.manifest.name} doesn't find what its float graph finds",
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
    """Float graph and engine as files of a folder that goes away."""
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
    """Which of the float graph's detections the engine must find."""
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
    # Spread evenly over all images; further ones only where these show too little.
    for path in dict.fromkeys((*evenly(images.paths, bound.images), *images.paths)):
        if len(used) >= bound.images and objects >= bound.detections:
            break
        try:
            photo = images.photo(path)
        except DataError:
            continue  # calibration has named it
        used.append(path)
        expected.append(reference.run(photo).detections)
        found.append(engine.run(photo).detections)
        objects += int((expected[-1].scores > over).sum())
    parity = Parity(
        verdict="undecided",
        reason=f"The float graph finds {objects} objects over {over:g} in {len(used)} calibration "
        f"images; {bound.detections} are needed to tell",
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
        moved = f", scores moved by {parity.mean_score_drift:.3f} in the mean"
    return (
        f"{parity.agreement_AP:.4f}: of {parity.detections} detections {parity.lost} lost and "
        f"{parity.added} added{moved}"
    )
