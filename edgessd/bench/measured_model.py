"""Set up a `Detector` with the settings for measuring AP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from edgessd.bench.comparison import Findings, MeasuredModel
from edgessd.core.arrays import ImageArray
from edgessd.core.contract import Nms
from edgessd.metrics.coco import EVALUATION_NMS
from edgessd.runtime.detector import Detector

# An engine that ends in a detection op has suppressed already; an IoU of 1 suppresses nothing more.
_AFTER_OP = Nms(
    score_threshold=EVALUATION_NMS.score_threshold,
    iou_threshold=1.0,
    max_candidates=EVALUATION_NMS.max_detections,
    max_detections=EVALUATION_NMS.max_detections,
)


def measured_model(detector: Detector, name: str) -> MeasuredModel:
    """Set a detector's suppression to `EVALUATION_NMS` and wrap it for measurements.

    Args:
        detector: Opened detector; the caller closes it.
        name: Name in the measurements.
    """
    decodes_itself = detector.model.ends_in_op
    detector.nms = _AFTER_OP if decodes_itself else EVALUATION_NMS
    notes = list(detector.notes)
    if decodes_itself:
        notes.append(
            f"{name} decodes and suppresses by itself, with settings of its own: its AP isn't that of "
            f"score > {EVALUATION_NMS.score_threshold:g} and NMS at {EVALUATION_NMS.iou_threshold:g}"
        )
    return MeasuredModel(
        path=name,
        labels=detector.labels,
        nms=detector.nms,
        run=_runner(detector, keep_raw=not decodes_itself),
        outputs=() if decodes_itself else tuple(detector.backend.outputs),
        details=detector.details,
        notes=tuple(notes),
    )


def without_xnnpack(detector: Detector) -> None:
    """Let a .tflite run on LiteRT's own kernels, without XNNPACK.

    Raises:
        BackendError: LiteRT refuses the engine without its delegate.
    """
    from edgessd.runtime.tflite_backend import LiteRtBackend

    # One thread: threads wait for each other by spinning, and two take four times as long as one.
    slower = LiteRtBackend(detector.model.engine_path, threads=1, xnnpack=False)
    detector.backend.close()
    detector.model = replace(detector.model, backend=slower)


def engine_sentence(details: Mapping[str, object]) -> str:
    """Describe backend and library of an engine, e.g. "litert, ai-edge-litert 2.3.0, XNNPACK"."""
    library = f"{details.get('library', '')} {details.get('version', '')}".strip()
    parts = [str(details.get("backend", "")), library, str(details.get("delegate", ""))]
    return ", ".join(part for part in parts if part)


def _runner(detector: Detector, *, keep_raw: bool) -> Callable[[ImageArray], Findings]:
    def run(image: ImageArray) -> Findings:
        tensor, transform = detector.preprocess(image)
        outputs = detector.infer(tensor)
        return Findings(
            detections=detector.postprocess(outputs, transform), raw=outputs if keep_raw else {}
        )

    return run
