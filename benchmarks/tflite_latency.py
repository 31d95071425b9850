"""Compare the latency of several engines in one process.

    python benchmarks/tflite_latency.py ours.tflite peer.tflite float.onnx --threads 1,2

The first engine is ours; every other one gets the ratio ours / its. Engines run in short alternating blocks,
so that other load slows them alike. Ratios are of medians over all blocks, with the spread of the ratios per
block. `--clock cpu` counts processor time instead, which is comparable on a busy machine with one thread.
Engines are .tflite (LiteRT with XNNPACK) or .onnx (onnxruntime). Only the invocation is timed: the input is
set once and the output is not read.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Invoke = Callable[[], object]
Clock = Callable[[], int]


def main() -> None:
    arguments = _arguments()
    results = []
    for threads in map(int, arguments.threads.split(",")):
        engines = {str(path): load(path, threads) for path in arguments.engines}
        clock = time.process_time_ns if arguments.clock == "cpu" else time.perf_counter_ns
        blocks = interleave(engines, clock, blocks=arguments.blocks, runs=arguments.runs)
        results.append({"threads": threads, "clock": arguments.clock, "engines": summarize(blocks)})
        _show(results[-1])
    if arguments.json:
        print(json.dumps(results))


def load(path: Path, threads: int) -> Invoke:
    """Open an engine with random input; return a function that runs it once."""
    random = np.random.default_rng(0)
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        for described in interpreter.get_input_details():
            noise = random.integers(0, 127, described["shape"]).astype(described["dtype"])
            interpreter.set_tensor(described["index"], noise)
        return interpreter.invoke
    if path.suffix != ".onnx":
        sys.exit(f"{path}: expected .tflite or .onnx")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = {
        value.name: random.standard_normal(value.shape).astype(np.float32)
        for value in session.get_inputs()
    }
    return lambda: session.run(None, feeds)


def interleave(
    engines: dict[str, Invoke], clock: Clock, *, blocks: int, runs: int, warmup: int = 10
) -> dict[str, list[list[float]]]:
    """Return milliseconds of every run by engine and block; the order of engines rotates."""
    for invoke in engines.values():
        for _ in range(warmup):
            invoke()
    names = list(engines)
    times: dict[str, list[list[float]]] = {name: [] for name in names}
    for block in range(blocks):
        turn = block % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(_block(engines[name], clock, runs))
    return times


def _block(invoke: Invoke, clock: Clock, runs: int) -> list[float]:
    invoke()  # the engine before it left the caches to itself
    times = []
    for _ in range(runs):
        started = clock()
        invoke()
        times.append((clock() - started) / 1e6)
    return times


def summarize(blocks: dict[str, list[list[float]]]) -> dict[str, dict[str, float]]:
    """Return p50, p95 and minimum of each engine in ms, and the ratio of the first engine to each."""
    first = next(iter(blocks))
    ours = [statistics.median(block) for block in blocks[first]]
    summary = {}
    for name, engine_blocks in blocks.items():
        everything = np.concatenate(engine_blocks)
        theirs = [statistics.median(block) for block in engine_blocks]
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        low, high = np.percentile(ratios, [25, 75])
        summary[name] = {
            "p50_ms": float(np.percentile(everything, 50)),
            "p95_ms": float(np.percentile(everything, 95)),
            "min_ms": float(everything.min()),
            "ratio_of_p50": float(np.median(np.concatenate(blocks[first])) / np.median(everything)),
            "ratio_block_median": float(np.median(ratios)),
            "ratio_block_p25": float(low),
            "ratio_block_p75": float(high),
        }
    return summary


def _show(result: dict) -> None:
    print(f"threads {result['threads']}", file=sys.stderr)
    for name, numbers in result["engines"].items():
        print(
            f"  p50 {numbers['p50_ms']:7.2f} ms  p95 {numbers['p95_ms']:7.2f}  "
            f"min {numbers['min_ms']:7.2f}  ours/this {numbers['ratio_of_p50']:.3f} "
            f"(blocks {numbers['ratio_block_median']:.3f}, "
            f"{numbers['ratio_block_p25']:.3f}-{numbers['ratio_block_p75']:.3f})  {name}",
            file=sys.stderr,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engines", type=Path, nargs="+", help="ours first, then the others")
    parser.add_argument("--threads", default="1,2", help="one number, or several, as in 1,2")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--runs", type=int, default=20, help="runs per block")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    main()
