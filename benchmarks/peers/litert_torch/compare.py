"""Build the peer and ours from one checkpoint and one calibration, and time them side by side.

    python benchmarks/peers/litert_torch/compare.py --checkpoint voc.pt \
        --calibration ../shared/data/coco128/images/train2017 --out .peer

Run it with edgessd's own Python from the root of the repository. It makes the peer's environment (2.3 GB)
once in OUT/venv, and the engines beside it. Without `--rebuild` existing engines are reused. Ratios are
ours / theirs, printed by `benchmarks/tflite_latency.py`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent


def main() -> None:
    arguments = _arguments()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    ours, peer, float_graph = out / "ours.tflite", out / "peer.tflite", out / "float.onnx"
    if arguments.rebuild or not peer.is_file():
        build_peer(arguments, environment(out / "venv"), peer)
    if arguments.rebuild or not (ours.is_file() and float_graph.is_file()):
        build_ours(arguments, ours, float_graph)
    engines = [ours, peer, float_graph, *arguments.also]
    script = ROOT / "benchmarks" / "tflite_latency.py"
    _run([sys.executable, script, *engines, *(["--json"] if arguments.json else [])])


def environment(folder: Path) -> Path:
    """Return the Python of the peer's virtual environment; make the environment if it is missing."""
    python = folder / "bin" / "python"
    if not python.is_file():
        _run([sys.executable, "-m", "venv", folder])
        _run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"])
    return python


def build_peer(arguments: argparse.Namespace, python: Path, peer: Path) -> None:
    command = [python, HERE / "convert.py", "--checkpoint", arguments.checkpoint]
    command += ["--calibration", arguments.calibration, "--images", str(arguments.images)]
    _run([*command, "--out", peer], PYTHONPATH=str(ROOT))


def build_ours(arguments: argparse.Namespace, engine: Path, float_graph: Path) -> None:
    """Make the float graph for onnxruntime, and the engine of `build --target host`."""
    from edgessd.calibrate.calibration_set import CalibrationSet
    from edgessd.core.images import list_images
    from edgessd.graph.export import export_float_graph
    from edgessd.graph.float_graph import save_graph
    from edgessd.lower.tflite.lower import lower_to_tflite
    from edgessd.model.checkpoint import load_checkpoint
    from edgessd.model.importers.folded import import_folded
    from edgessd.quantize.recipe import load_recipe
    from edgessd.quantize.workflow import quantize_graph
    from edgessd.target.load import load_target

    given: Path = arguments.checkpoint
    graph = export_float_graph(import_folded(given) if given.is_dir() else load_checkpoint(given))
    save_graph(graph, float_graph)
    images = CalibrationSet(list_images(arguments.calibration)[: arguments.images])
    found = quantize_graph(graph, images, recipe=load_recipe("default"), schemes=("affine",))
    spec = load_target("host").engine
    lowered = lower_to_tflite(
        found.quantized["affine"], input_dtype=spec.input_dtype, column_pairs=spec.column_pairs
    )
    engine.write_bytes(lowered.content)


def _run(command: list[object], **variables: str) -> None:
    words = [str(word) for word in command]
    print("$", " ".join(words), file=sys.stderr)
    subprocess.run(words, check=True, env={**os.environ, **variables})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="a .pt file or a folded folder"
    )
    parser.add_argument("--calibration", type=Path, required=True, help="a folder of images")
    parser.add_argument(
        "--images", type=int, default=100, help="number of images, in the order of their names"
    )
    parser.add_argument("--out", type=Path, default=Path(".peer"), help="folder for all results")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more engines to time")
    parser.add_argument("--rebuild", action="store_true", help="make the engines again")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    main()
