"""Measure the overhead of edgessd's runtime over TensorRT, and the accuracy of the engine.

    python benchmarks/tensorrt_engine.py dist/voc-rtx --data ../shared/data/voc100 \
        --json benchmarks/results/tensorrt-DEVICE.json

Needs a Jetson or an NVIDIA GPU. In one run, alternating in short blocks:

* `enqueue`: the engine enqueued back to back, by the GPU's own clock, as `trtexec` measures. The lower
  bound for every program.
* `infer`: one run after the other, from the image tensor in memory to the outputs in memory.
* `overlapped`: two runs in flight, as in the pipeline.

Then AP over a dataset, of the engine and of its graph in onnxruntime, and the largest differences of the raw
outputs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgessd.bench.accuracy import evaluate
from edgessd.bench.machine import this_machine
from edgessd.core.images import read_image
from edgessd.data.dataset import load_dataset
from edgessd.metrics.coco import EVALUATION_NMS
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.pipeline.meter import Latency
from edgessd.runtime.detector import Detector
from edgessd.runtime.tensorrt.backend import TensorRtBackend

BLOCKS, RUNS = 20, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="labeled images")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    images = tuple(
        image for split in load_dataset(arguments.data).splits.values() for image in split
    )
    with (
        Detector(arguments.bundle, backend="tensorrt", nms=EVALUATION_NMS) as engine,
        Detector(arguments.bundle, backend="onnxruntime", nms=EVALUATION_NMS) as reference,
    ):
        figures = {
            "machine": asdict(this_machine()),
            "engine": engine.details,
            **time_runtime(engine, images),
            **compare(engine, reference, images),
        }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")


def time_runtime(detector: Detector, images: Sequence[LabeledImage]) -> dict[str, Any]:
    """Measure latency and throughput of the runtime against plain enqueue."""
    backend = detector.backend
    assert isinstance(backend, TensorRtBackend)
    tensor = detector.preprocess(read_image(images[0].path))[0].copy()
    for _ in range(RUNS):
        backend.infer(tensor)
    enqueue: list[float] = []
    infer: list[float] = []
    overlapped: list[float] = []
    for _ in range(BLOCKS):
        enqueue.append(backend.gpu_milliseconds(RUNS) / 1e3)
        for _ in range(RUNS):
            start = time.perf_counter()
            backend.infer(tensor)
            infer.append(time.perf_counter() - start)
        start = time.perf_counter()
        backend.submit(tensor)
        for _ in range(RUNS - 1):
            backend.submit(tensor)
            backend.collect()
        backend.collect()
        overlapped.append((time.perf_counter() - start) / RUNS)
    pure, latency = statistics.median(enqueue), Latency.of(infer)
    return {
        "enqueue_ms": round(1e3 * pure, 4),
        "infer": asdict(latency),
        "overlapped_fps": round(1 / statistics.median(overlapped), 1),
        "ratio_infer_to_enqueue": round(latency.p50_ms / 1e3 / pure, 3),
        "ratio_overlapped_to_enqueue": round(statistics.median(overlapped) / pure, 3),
        "share_outside_engine": round(1 - pure / (latency.p50_ms / 1e3), 3),
    }


def compare(
    engine: Detector, reference: Detector, images: Sequence[LabeledImage]
) -> dict[str, Any]:
    """Return AP of both, and the largest difference of each raw output over the first images."""
    accuracy = {
        name: evaluate(detector, images, detector.labels).metrics.AP
        for name, detector in (("AP", engine), ("AP_reference", reference))
    }
    apart: dict[str, float] = {}
    for image in images[:20]:
        frame = read_image(image.path)
        found = {
            name: np.array(value, np.float32)
            for name, value in engine.infer(engine.preprocess(frame)[0]).items()
        }
        expected = reference.infer(reference.preprocess(frame)[0])
        for name, value in expected.items():
            difference = float(np.abs(found[name] - value.astype(np.float32)).max())
            apart[name] = max(apart.get(name, 0.0), difference)
    return {**accuracy, "images": len(images), "largest_difference": apart}


if __name__ == "__main__":
    main()
