"""Compare the quantization of one float detector by edgessd and by other tools.

    edgessd import folded ../shared/weights/ssdlite_mobilenet_v2_voc --out voc.pt
    python benchmarks/peers/quantization/compare.py --checkpoint voc.pt \
        --calibration ../shared/data/coco128/images/train2017:0:100 \
        --calibration ../shared/data/coco_train:0:100 --calibration ../shared/data/coco_train:100:200 \
        --data ../shared/data/voc100 --agreement ../shared/data/coco128/images/val2017 \
        --out benchmarks/results/quantization_peers.json

Every quantizer gets the same calibration images, preprocessed once by `edgessd.core.preprocess`, and runs
in a process of its own. ai-edge-quantizer and ModelOpt run in environments of their own, which are made
in WORK once (2 GB each) or named with `--python ai_edge=PATH`. The same code evaluates all engines on one
thread: agreement AP with the float graph over all images, and AP if there are labels. Calibration images
are not evaluated.

Existing rows of OUT are kept, so that an interrupted run can continue. `--again` measures the selected
rows (`--peer`, `--method`) again. A method that fails or takes longer than `--limit` has a row with the
reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from job import Job
from rows import Row, best, key, means, merge, table
from scoring import Judge, add_images, detect, drawn, found_by

from edgessd.bench.machine import this_machine
from edgessd.core.files import replacing, write_atomically
from edgessd.core.images import list_images, read_image
from edgessd.core.network_tensors import image_spec
from edgessd.core.preprocess import preprocess_image
from edgessd.data.dataset import load_dataset
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import FloatGraph, save_graph
from edgessd.model.checkpoint import load_checkpoint

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PEERS = {
    "edgessd": "edgessd_ptq",
    "onnxruntime": "onnxruntime_static",
    "ai_edge": "ai_edge",
    "modelopt": "modelopt_onnx",
}
RUNS_IN = {".onnx": "onnxruntime", ".tflite": "LiteRT"}


def main() -> None:
    arguments = _arguments()
    name = arguments.name or arguments.checkpoint.stem
    graph = export_float_graph(load_checkpoint(arguments.checkpoint))
    folder = arguments.work.resolve() / f"{name}-{graph.sha256[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    save_graph(graph, folder / "float.onnx")
    results = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    section = results.setdefault("detectors", {}).setdefault(name, {"rows": []})
    if section.setdefault("float_graph_sha256", graph.sha256) != graph.sha256:
        raise SystemExit(f"{name} in {arguments.out} is another detector: give --name or remove it")

    judge = _judge(arguments, graph)
    floats = judge.judge([judge.reference[path] for path in judge.paths], ())
    section |= {"images": len(judge.paths), "float_AP": floats.get("AP")}
    results["machine"] = asdict(this_machine())
    results["judged_in"] = {
        "onnxruntime": version("onnxruntime"),
        "LiteRT": version("ai-edge-litert"),
        "threads": 1,
    }
    known = {key(row) for row in section["rows"]}
    for task in _tasks(arguments):
        if key(task.row) in known and not arguments.again:
            continue
        row = _run(task, arguments, graph, judge, folder)
        section["rows"] = merge(section["rows"], row)
        section["means"] = means(section["rows"])
        write_atomically(arguments.out, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
        print(_words(row), file=sys.stderr, flush=True)
    averaged = means(section["rows"])
    print(f"{name}: float AP {section['float_AP']}, {section['images']} images\n")
    print(table(averaged))
    for measure in ("agreement_AP", "AP"):
        for scheme, row in best(averaged, measure).items():
            print(f"\nBest {measure}, {scheme}: {row['peer']} {row['method']}, {row[measure]:.4f}")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Run one method of one peer on one draw."""

    module: ModuleType
    python: Path | None
    row: Row
    draw: str


def _tasks(arguments: argparse.Namespace) -> list[Task]:
    tasks = []
    for peer in arguments.peer or PEERS:
        module = import_module(PEERS[peer])
        for draw in arguments.calibration:
            for method, settings in module.METHODS.items():
                if arguments.method and method not in arguments.method:
                    continue
                row = {
                    "peer": module.DISTRIBUTION,
                    "method": method,
                    "scheme": settings["scheme"],
                    "runs_in": RUNS_IN[settings["engine"]],
                    "draw": _draw_name(draw),
                }
                python = arguments.python.get(peer)
                tasks.append(Task(module=module, python=python, row=row, draw=draw))
    return tasks


def _run(
    task: Task, arguments: argparse.Namespace, graph: FloatGraph, judge: Judge, folder: Path
) -> Row:
    """Quantize and evaluate; return a row with `failed` if the quantizer fails."""
    images = [path.resolve() for path in drawn(task.draw)]
    tensors = folder / f"{_file_name(task.row['draw'])}.npy"
    if not tensors.is_file():
        _write_tensors(images, graph, tensors)
    settings = task.module.METHODS[task.row["method"]]
    stem = folder / _file_name("-".join(key(task.row)))
    job = Job(
        peer=task.module.__name__,
        method=task.row["method"],
        checkpoint=arguments.checkpoint.resolve(),
        float_graph=folder / "float.onnx",
        tensors=tensors,
        images=tuple(images),
        folder=folder,
        engine=stem.with_name(stem.name + settings["engine"]),
        contract=stem.with_name(stem.name + ".contract.json"),
    )
    job.engine.unlink(missing_ok=True)
    python = task.python or _environment(task.module, arguments.work.resolve())
    try:
        taken = _quantize(job, python, arguments.limit)
    except QuantizerError as error:
        return {**task.row, "failed": str(error)}
    found = found_by(job.engine, job.contract, graph.contract, judge.paths)
    return {**task.row, **taken, **judge.judge(found, drawn(task.draw))}


class QuantizerError(Exception):
    """Return the quantizer's own message on its failure."""


def _quantize(job: Job, python: Path, limit: float) -> dict[str, Any]:
    request = job.engine.with_suffix(".json")
    request.write_text(job.to_json())
    try:
        done = subprocess.run(
            [python, HERE / "worker.py", request],
            cwd=job.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        raise QuantizerError(f"not done after {limit:g} s") from error
    job.engine.with_suffix(".log").write_text(done.stdout + done.stderr)
    if done.returncode != 0 or not job.engine.is_file():
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"it ended with {done.returncode}"
        raise QuantizerError(reason.replace(str(job.folder), "WORK")[:200])
    taken: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return taken


def _environment(module: ModuleType, work: Path) -> Path:
    """Return the Python of a peer: this one, or one with its requirements, made if missing."""
    if module.REQUIREMENTS is None:
        return Path(sys.executable)
    python = work / f"venv-{module.DISTRIBUTION}" / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "-r", HERE / module.REQUIREMENTS]
        subprocess.run(install, check=True)
    return python


def _write_tensors(images: Sequence[Path], graph: FloatGraph, path: Path) -> None:
    spec = graph.contract.preprocess
    image = image_spec(spec)
    tensors = [preprocess_image(read_image(image_path), spec, image)[0] for image_path in images]
    with replacing(path) as temporary:
        np.save(temporary, np.concatenate(tensors))


def _judge(arguments: argparse.Namespace, graph: FloatGraph) -> Judge:
    labeled = load_dataset(arguments.data).split(arguments.split) if arguments.data else ()
    paths = [image.path for image in labeled]
    paths += [path for folder in arguments.agreement for path in list_images(folder)]
    if not paths:
        raise SystemExit("give images to judge on with --data or --agreement")
    seen = {path.resolve() for draw in arguments.calibration for path in drawn(draw)}
    if both := seen & {path.resolve() for path in paths}:
        raise SystemExit(f"{len(both)} images would calibrate and be judged on, as {min(both)}")
    found = detect(graph.model.SerializeToString(), graph.contract, paths)
    reference = dict(zip(paths, found, strict=True))
    return Judge(labeled=labeled, paths=paths, reference=reference, labels=graph.contract.labels)


def _draw_name(draw: str) -> str:
    """Return the last two folders of the draw's path, which don't depend on the machine."""
    folder, colon, part = draw.partition(":")
    return "/".join(Path(folder).resolve().parts[-2:]) + colon + part


def _file_name(text: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in text)


def _words(row: Mapping[str, Any]) -> str:
    what = f"{row['peer']:20}{row['method']:48}{row['draw']:28}"
    if "failed" in row:
        return f"{what}failed: {row['failed']}"
    ap = f"  AP {row['AP']:.4f}" if "AP" in row else ""
    return f"{what}agreement {row['agreement_AP']:.4f}{ap}  {row['seconds']} s"


def _python(text: str) -> tuple[str, Path]:
    peer, _, path = text.partition("=")
    if peer not in PEERS or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: PEER=PATH is wanted, with {', '.join(PEERS)}")
    # Not resolved: the Python of a virtual environment is a link and finds its packages by the link's path.
    return peer, Path(path).absolute()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_images(parser)
    parser.add_argument(
        "--name", help="name of the detector in OUT; default: the checkpoint's name"
    )
    parser.add_argument("--peer", action="append", choices=list(PEERS))
    parser.add_argument(
        "--method", action="append", help="measure this method only, as named in the table"
    )
    parser.add_argument("--again", action="store_true", help="measure existing rows again")
    parser.add_argument("--limit", type=float, default=600, help="maximum seconds per method")
    parser.add_argument("--python", type=_python, action="append", default=[], metavar="PEER=PATH")
    parser.add_argument(
        "--work", type=Path, default=Path(".peer"), help="folder for all intermediate files"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file of all rows")
    arguments = parser.parse_args()
    arguments.python = dict(arguments.python)
    return arguments


if __name__ == "__main__":
    main()
