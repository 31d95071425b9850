"""Open any form of a detector for measuring: checkpoint, graph, bundle or foreign .tflite."""

from __future__ import annotations

from pathlib import Path

from edgessd.bench.comparison import Findings, MeasuredModel
from edgessd.bundle.manifest import MANIFEST_NAME
from edgessd.core.errors import BackendError, ConfigError
from edgessd.metrics.coco import EVALUATION_NMS


def open_measured(
    path: str | Path,
    *,
    threads: int | None = None,
    backend: str | None = None,
    label_file: Path | None = None,
) -> MeasuredModel:
    """Open a model under `EVALUATION_NMS`.

    Args:
        path: A .pt checkpoint or a run's folder with its best.pt, a bundle's folder, an edgessd
            .onnx, or a .tflite.
        threads: CPU threads; None leaves the number to the model.
        backend: Backend of a bundle or graph; None takes the model's own. If a TensorRT bundle can't run
            here, onnxruntime runs the graph that it is compiled from, and the notes state it.
        label_file: Label file of a foreign .tflite without labels.
    """
    given = Path(path)
    if not (given / MANIFEST_NAME).is_file() and (given / "best.pt").is_file():
        given = given / "best.pt"
    if given.suffix in (".pt", ".pth"):
        if backend is not None or label_file is not None:
            raise ConfigError(
                f"{given} is a checkpoint, which torch runs and which has labels of its own",
                found="--backend" if backend is not None else "--labels",
                fix="Leave the option out",
            )
        return _open_checkpoint(given, str(path), threads)
    from edgessd.bench.measured_model import measured_model
    from edgessd.runtime.detector import Detector

    if backend is None and _engine_runs_elsewhere(given):
        backend = "onnxruntime"
    detector = Detector(given, backend=backend, threads=threads, labels=label_file)
    return measured_model(detector, str(path))


def open_without_xnnpack(path: str | Path, *, threads: int | None = None) -> MeasuredModel | None:
    """Open a .tflite or a bundle of one on LiteRT's own kernels; return None for other models."""
    from edgessd.bench.measured_model import measured_model, without_xnnpack
    from edgessd.bundle.verify import read_manifest
    from edgessd.runtime.detector import Detector

    given = Path(path)
    directory = given.parent if given.name == MANIFEST_NAME else given
    bundle = (directory / MANIFEST_NAME).is_file()
    if bundle and read_manifest(directory).engine.format != "tflite":
        return None
    if not bundle and given.suffix != ".tflite":
        return None
    detector = Detector(given, threads=threads)
    without_xnnpack(detector)
    return measured_model(detector, f"{path} without XNNPACK")


def _open_checkpoint(path: Path, name: str, threads: int | None) -> MeasuredModel:
    import torch

    from edgessd.model.checkpoint import load_checkpoint
    from edgessd.model.predictor import CheckpointPredictor

    predictor = CheckpointPredictor(load_checkpoint(path), nms=EVALUATION_NMS, threads=threads)
    return MeasuredModel(
        path=name,
        labels=predictor.contract.labels,
        nms=EVALUATION_NMS,
        run=lambda image: Findings(detections=predictor(image), raw={}),
        # A checkpoint's outputs are real values without a grid.
        outputs=(),
        details={
            "backend": "torch",
            "version": torch.__version__,
            "threads": torch.get_num_threads(),
        },
    )


def _engine_runs_elsewhere(path: Path) -> bool:
    """Return True for a bundle whose TensorRT or GPU this machine doesn't have."""
    from edgessd.bundle.verify import read_manifest
    from edgessd.runtime.opening import require_engine_support

    directory = path.parent if path.name == MANIFEST_NAME else path
    if not directory.is_dir():
        return False
    manifest = read_manifest(directory)  # the Detector verifies the rest
    if manifest.finish is None:
        return False
    try:
        require_engine_support(manifest.target)
    except BackendError:
        return True
    return False
