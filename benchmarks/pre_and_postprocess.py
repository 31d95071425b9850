"""Time preprocessing and postprocessing, each against a plain implementation.

    python benchmarks/pre_and_postprocess.py --json benchmarks/results/pre_and_postprocess.json

Preprocessing: a 768x432 frame to a 300x300 input, by `preprocess_image` and in a plain way (swap the
channels of the frame, resize, subtract and divide in float32, quantize). Postprocessing: raw outputs
of 1,917 anchors with 20 objects in view to detections, by `Postprocessor` on integers, by the same on
floats, in a plain way (dequantize and activate everything first), and by TFLite's own detection op.
All run in short alternating blocks, so that other load slows them alike. `--clock cpu` counts the processor
time of this thread instead, which varies less if other programs run. Ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgessd.core.anchors import AnchorSpec, anchor_boxes, ssd_levels
from edgessd.core.boxes import cxcywh_to_xyxy, iou_matrix
from edgessd.core.contract import Contract, Preprocess, Scoring
from edgessd.core.decode import Postprocessor, activate_scores, decode_boxes, encode_boxes
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES, INPUT
from edgessd.core.nms import nms_per_class
from edgessd.core.preprocess import ImageTransform, preprocess_image
from edgessd.core.tensors import QuantParams, TensorSpec

Step = Callable[[], object]

PREPROCESS = Preprocess(width=300, height=300, mean=(128.0,) * 3, std=(128.0,) * 3)
ANCHORS = AnchorSpec(
    levels=ssd_levels(
        grids=[(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)],
        scales=[0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0],
        ratios=[[2], *[[2, 3]] * 5],
        skip_extra_on_first=True,
    )
)
CODES = QuantParams(scale=0.08)
SCORES = QuantParams(scale=0.1)
TRANSFORM = ImageTransform(source_width=768, source_height=432)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1, help="threads of OpenCV")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    clock = time.thread_time_ns if arguments.clock == "cpu" else time.perf_counter_ns
    groups = {
        "uint8 input": preprocess_steps("uint8", QuantParams(scale=1 / 128, zero_point=128)),
        "int8 input": preprocess_steps("int8", QuantParams(scale=1 / 128)),
        "float32 input": preprocess_steps("float32", None),
        "21 columns, softmax": postprocess_steps(20, "softmax"),
        "21 columns, sigmoid": postprocess_steps(20, "sigmoid"),
        "91 columns, softmax": postprocess_steps(90, "softmax"),
        "91 columns, sigmoid": postprocess_steps(90, "sigmoid"),
    }
    results = {
        name: interleave(steps, clock, blocks=arguments.blocks) for name, steps in groups.items()
    }
    for name, medians in results.items():
        ours = next(iter(medians.values()))
        for step, median in medians.items():
            print(f"{name:20}  {step:28} p50 {median:6.3f} ms   ours / it {ours / median:5.2f}")
    if arguments.json:
        record = {"clock": arguments.clock, "opencv_threads": arguments.threads, "p50_ms": results}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


def preprocess_steps(dtype: str, quantization: QuantParams | None) -> dict[str, Step]:
    """Return our function and the plain one for one input dtype."""
    frame = np.random.default_rng(0).integers(0, 256, (432, 768, 3), dtype=np.uint8)
    tensor = TensorSpec(
        name=INPUT,
        shape=(1, 300, 300, 3),
        dtype=dtype,
        quantization=quantization,
        layout="NHWC",
    )
    out = np.empty(tensor.shape, dtype)

    def plainly() -> object:
        image = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), (300, 300))
        real = (image.astype(np.float32) - np.float32(128)) / np.float32(128)
        if quantization is None:
            return real[None]
        limits = np.iinfo(dtype)
        integers = np.round(real / np.float32(quantization.scale)) + quantization.zero_point
        return np.clip(integers, limits.min, limits.max).astype(dtype)[None]

    ours, _ = preprocess_image(frame, PREPROCESS, tensor, out)
    assert np.array_equal(ours, plainly())
    return {"edgessd": lambda: preprocess_image(frame, PREPROCESS, tensor, out), "plainly": plainly}


def postprocess_steps(labels: int, activation: str) -> dict[str, Step]:
    """Return all functions that turn the raw outputs of one image into detections."""
    contract = Contract(
        preprocess=PREPROCESS,
        anchors=ANCHORS,
        labels=tuple(f"label {index}" for index in range(labels)),
        scoring=Scoring(activation=activation),
    )
    raw_codes, raw_scores = scene(contract)
    codes, scores = real(raw_codes, CODES), real(raw_scores, SCORES)
    integers = Postprocessor(contract, *outputs(contract, "int8"))
    floats = Postprocessor(contract, *outputs(contract, "float32"))
    found = integers(raw_codes, raw_scores, TRANSFORM)
    print(
        f"{contract.columns} columns, {activation}: {len(integers.candidates(raw_scores)[0])} "
        f"candidates, {len(found)} detections"
    )
    assert np.array_equal(found.boxes, floats(codes, scores, TRANSFORM).boxes)
    assert np.array_equal(found.boxes, plain_detections(contract, raw_codes, raw_scores))
    return {
        "edgessd, integers": lambda: integers(raw_codes, raw_scores, TRANSFORM),
        "edgessd, floats": lambda: floats(codes, scores, TRANSFORM),
        "plainly": lambda: plain_detections(contract, raw_codes, raw_scores),
        "TFLite_Detection_PostProcess": detection_op(contract, raw_codes, raw_scores),
    }


def scene(contract: Contract, objects: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Make raw int8 outputs for objects of random size, each found by its 8 best-fitting anchors."""
    random = np.random.default_rng(0)
    anchors = anchor_boxes(contract.anchors)
    has_background = contract.scoring.activation == "softmax"
    logits = random.normal(0 if has_background else -5, 1, (len(anchors), contract.columns))
    codes = random.normal(0, 0.5, (len(anchors), 4))
    if has_background:
        logits[:, 0] = random.normal(7, 1, len(anchors))
    boxes = np.hstack(
        [random.uniform(0.1, 0.9, (objects, 2)), random.uniform(0.1, 0.4, (objects, 2))]
    )
    overlaps = iou_matrix(cxcywh_to_xyxy(boxes.astype(np.float32)), cxcywh_to_xyxy(anchors))
    for box, overlap in zip(boxes, overlaps, strict=True):
        fitting = np.argsort(-overlap)[:8]
        column = random.integers(1, contract.columns)
        logits[fitting, column] = random.uniform(1, 5, 8) + (7 if has_background else 0)
        ideal = encode_boxes(box[None].astype(np.float32), anchors[fitting], contract.box_code)
        codes[fitting] = ideal + random.normal(0, 0.3, (8, 4))
    return quantized(codes, CODES)[None], quantized(logits, SCORES)[None]


def plain_detections(
    contract: Contract, raw_codes: np.ndarray, raw_scores: np.ndarray
) -> np.ndarray:
    """Dequantize, activate and decode everything before filtering."""
    scores = activate_scores(real(raw_scores, SCORES), contract.scoring)[0, :, 1:]
    boxes = decode_boxes(
        real(raw_codes, CODES)[0], anchor_boxes(contract.anchors), contract.box_code
    )
    anchors, classes = np.nonzero(scores > contract.nms.score_threshold)
    kept = nms_per_class(boxes[anchors], scores[anchors, classes], classes, contract.nms)
    return TRANSFORM.to_source(boxes[anchors[kept]])


def detection_op(contract: Contract, raw_codes: np.ndarray, raw_scores: np.ndarray) -> Step:
    """Build TFLite's detection op with its dequantization and activation, as `--postprocess op` does."""
    from ai_edge_litert.interpreter import Interpreter

    from edgessd.lower.tflite.flatbuffer import ModelBuilder
    from edgessd.lower.tflite.ir import Activation
    from edgessd.lower.tflite.postprocess import add_postprocess

    builder = ModelBuilder()
    inputs = [
        Activation(name=name, shape=raw.shape, layout="plain", params=grid)
        for name, raw, grid in (
            (BOX_CODES, raw_codes, CODES),
            (CLASS_SCORES, raw_scores, SCORES),
        )
    ]
    outputs, specs = add_postprocess(builder, *inputs, contract)
    content = builder.build(
        description="detection op alone",
        inputs={item.name: builder.activation(item) for item in inputs},
        outputs=outputs,
        signature_outputs=dict(zip([spec.name for spec in specs], outputs, strict=True)),
    )
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    indices = [item["index"] for item in interpreter.get_input_details()]
    yxhw = np.ascontiguousarray(raw_codes[..., [1, 0, 3, 2]])

    def run() -> object:
        interpreter.set_tensor(indices[0], yxhw)
        interpreter.set_tensor(indices[1], raw_scores)
        interpreter.invoke()
        return [interpreter.get_tensor(item["index"]) for item in interpreter.get_output_details()]

    return run


def outputs(contract: Contract, dtype: str) -> tuple[TensorSpec, TensorSpec]:
    is_integer = dtype == "int8"
    count = contract.anchors.count
    return (
        TensorSpec(
            name=BOX_CODES,
            shape=(1, count, 4),
            dtype=dtype,
            quantization=CODES if is_integer else None,
        ),
        TensorSpec(
            name=CLASS_SCORES,
            shape=(1, count, contract.columns),
            dtype=dtype,
            quantization=SCORES if is_integer else None,
        ),
    )


def quantized(values: np.ndarray, grid: QuantParams) -> np.ndarray:
    return np.clip(np.rint(values / grid.scale) + grid.zero_point, -128, 127).astype(np.int8)


def real(raw: np.ndarray, grid: QuantParams) -> np.ndarray:
    return (raw.astype(np.float32) - np.float32(grid.zero_point)) * np.float32(grid.scale)


def interleave(
    steps: dict[str, Step], clock: Callable[[], int], *, blocks: int
) -> dict[str, float]:
    """Return the median milliseconds of each step, from alternating blocks of 25 runs."""
    times: dict[str, list[int]] = {name: [] for name in steps}
    for block in range(blocks + 1):
        for name, step in steps.items():
            for _ in range(25):
                start = clock()
                step()
                if block:  # the first block warms up
                    times[name].append(clock() - start)
    return {name: statistics.median(values) / 1e6 for name, values in times.items()}


if __name__ == "__main__":
    main()
