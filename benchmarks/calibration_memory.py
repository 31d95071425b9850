"""Measure the memory and time of calibration for several numbers of images.

Each number runs in a process of its own, which reports its peak resident memory and its seconds, and the
seconds of the plain float graph on the same preprocessed images.

    edgessd import folded ../shared/weights/ssdlite_mobilenet_v2_voc --out voc.pt
    python benchmarks/calibration_memory.py --checkpoint voc.pt \\
        --images ../shared/data/coco128 --images ../shared/data/coco_train --images ../shared/data/bccd
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.ordered_map import WORKERS
from edgessd.core.images import list_images, read_image
from edgessd.core.network_tensors import INPUT, image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.graph.float_graph import load_graph, save_graph
from edgessd.graph.verify import make_session

ALLOWED_GROWTH_MB = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--images", type=Path, action="append", required=True, help="folder")
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--child", nargs=2, metavar=("GRAPH", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        graph, count = arguments.child
        print(json.dumps(measure(Path(graph), arguments.images, int(count))))
        return
    from edgessd.graph.export import export_float_graph
    from edgessd.model.checkpoint import load_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "float.onnx"
        save_graph(export_float_graph(load_checkpoint(arguments.checkpoint)), graph)
        rows = [_child(graph, arguments.images, count) for count in arguments.counts]
    for row in rows:
        print(
            f"{row['images']:6} images   peak {row['peak_mb']:7.1f} MB   "
            f"calibration {row['calibration_s']:6.2f} s   float graph {row['float_s']:6.2f} s   "
            f"ratio {row['calibration_s'] / row['float_s']:.2f}"
        )
    growth = rows[-1]["peak_mb"] - rows[0]["peak_mb"]
    print(f"growth {growth:+.1f} MB, allowed {ALLOWED_GROWTH_MB} MB")
    raise SystemExit(growth > ALLOWED_GROWTH_MB)


def measure(path: Path, folders: list[Path], count: int) -> dict[str, float]:
    """Calibrate with `count` images, then run the float graph alone over them."""
    images = [image for folder in folders for image in list_images(folder)][:count]
    if len(images) < count:
        raise SystemExit(f"{count} images wanted, {len(images)} found")
    graph = load_graph(path)
    started = time.perf_counter()
    collect(graph, CalibrationSet(images))
    calibrated = time.perf_counter()
    peak = _peak_mb()
    session = make_session(graph.model, threads=WORKERS)
    spec = graph.contract.preprocess
    tensor = image_spec(spec)
    begun = time.perf_counter()
    for image in images:
        session.run(None, {INPUT: preprocess_image(read_image(image), spec, tensor)[0]})
    return {
        "images": count,
        "peak_mb": peak,
        "calibration_s": calibrated - started,
        "float_s": time.perf_counter() - begun,
    }


def _peak_mb() -> float:
    """Return the peak resident memory of this process in MB.

    getrusage would include the memory of the parent process at the time of the fork.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _child(graph: Path, folders: list[Path], count: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(graph), str(count)]
    for folder in folders:
        command += ["--images", str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
