"""`edgessd demo`: train, build and benchmark a detector on generated images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from edgessd.bench.report.page import Picture
    from edgessd.bench.results import BenchResult
    from edgessd.build.build_bundle import ExportedCheckpoint
    from edgessd.calibrate.calibration_set import CalibrationSet

TARGETS = ("host", "raspberry-pi", "coral", "jetson")
NAME = "codes"
_SEED = 20_261_121
_BENCH_SECONDS = 2.0
_PICTURES = 9


def command(
    out: Annotated[Path, typer.Option(help="Folder for all output.", metavar="DIR")] = Path("demo"),
    images: Annotated[int, typer.Option(help="Number of generated scenes.", min=100)] = 600,
    minutes: Annotated[float, typer.Option(help="Training time in minutes.", min=0.05)] = 1.5,
    as_json: JsonFlag = False,
) -> None:
    """Generate images, train, quantize, build for four targets, benchmark, report.

    Nothing is downloaded. Training starts from the starter model, as it would
    with your own photos. All of it takes under five minutes on two cores.

    Example: edgessd demo
    """
    start = time.perf_counter()
    console = people()
    scenes, run, report = out / "scenes", out / "run", out / "report.html"
    _check_folder(out)
    with _step(console, f"1  Generate {images} scenes of printed codes"):
        _synth(scenes, images)
    with _step(console, f"2  Train for {minutes:g} minutes, from the starter model's weights"):
        checkpoint = _train(scenes, run, minutes)
    with _step(console, "3  Calibrate once, quantize, build for " + ", ".join(TARGETS)):
        bundles = _build_all(checkpoint, out / "dist")
    with _step(console, "4  Benchmark each on the generated test images"):
        measured = [_bench_apart(bundle, scenes) for bundle in bundles]
    results = [entry[0] for entry in measured]
    _report(report, results, measured[0][1])

    from edgessd.cli.bench import print_results

    print_results(results)
    seconds = time.perf_counter() - start
    console.print(f"\nDone in {seconds / 60:.1f} minutes. Open [bold]{report}[/], then try:")
    console.print(
        f"  edgessd run --source {scenes / 'images/test'} --model {bundles[0]} --record codes.mp4",
        soft_wrap=True,
    )
    console.print("  edgessd data check YOUR_PHOTOS")
    console.print("  edgessd train --data YOUR_PHOTOS --out runs/mine")
    if as_json:
        print_json(_as_json(report, bundles, results, seconds))


def _check_folder(out: Path) -> None:
    from edgessd.data.synth.generate import RECORD

    if out.exists() and any(out.iterdir()) and not (out / "scenes" / RECORD).is_file():
        raise ConfigError(
            f"{out} holds other files than a demo's",
            expected="a new or empty folder, or one that an earlier demo wrote",
            fix="Name another folder: edgessd demo --out DIR",
        )


@contextmanager
def _step(console: Console, title: str) -> Iterator[None]:
    console.print(f"\n[bold]{title}[/]")
    start = time.perf_counter()
    yield
    console.print(f"   {time.perf_counter() - start:.0f} s", style="dim")


def _synth(scenes: Path, images: int) -> None:
    from edgessd.cli.progress import counting
    from edgessd.data.synth.generate import generate_dataset

    with counting("scenes") as progress:
        generate_dataset(
            scenes,
            images=images,
            seed=_SEED,
            size=(480, 360),
            vary_aspect=True,
            overwrite=True,
            progress=lambda done: progress(done, images),
        )


def _train(scenes: Path, run: Path, minutes: float) -> Path:
    import shutil

    from edgessd.runtime.starter import starter_checkpoint
    from edgessd.train.config import merge, read_preset
    from edgessd.train.reporter import Reporter
    from edgessd.train.run import train

    shutil.rmtree(run, ignore_errors=True)
    config = merge(
        read_preset("fine-tune"),
        {
            "data": {"path": str(scenes)},
            "model": {"weights": str(starter_checkpoint())},
            "optimize": {"time_budget": minutes},
        },
    )
    with Reporter(people()) as reporter:
        return train(config, run, reporter=reporter).checkpoint


def _build_all(checkpoint: Path, dist: Path) -> list[Path]:
    from edgessd.build.build_bundle import export_checkpoint
    from edgessd.cli.build import CALIBRATION_IMAGES, choose_images

    exported = export_checkpoint(checkpoint)
    images = choose_images(None, checkpoint, is_starter=False, limit=CALIBRATION_IMAGES)
    return [_build(checkpoint, exported, images, target, dist) for target in TARGETS]


def _build(
    checkpoint: Path,
    exported: ExportedCheckpoint,
    images: CalibrationSet,
    target: str,
    dist: Path,
) -> Path:
    from edgessd.build.build_bundle import BuildRequest, build_bundle
    from edgessd.cli.build import print_result
    from edgessd.quantize.recipe import load_recipe
    from edgessd.target.load import resolve_target

    spec, _ = resolve_target(target)
    result = build_bundle(
        BuildRequest(
            target=spec,
            checkpoint=checkpoint,
            name=f"{NAME}-{target}",
            out=dist / f"{NAME}-{target}",
            recipe=load_recipe("default"),
            images=lambda: images,
            cache=dist / ".cache",
        ),
        exported=exported,
    )
    print_result(result)
    return result.bundle.directory


def _bench_apart(bundle: Path, scenes: Path) -> tuple[BenchResult, tuple[Picture, ...]]:
    """Benchmark in a process of its own, so that training's memory isn't counted as the engine's."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_bench, bundle, scenes).result()


def _bench(bundle: Path, scenes: Path) -> tuple[BenchResult, tuple[Picture, ...]]:
    from edgessd.bench.run_bench import measure
    from edgessd.bundle.verify import read_manifest
    from edgessd.cli.bench import bench_images, found_in
    from edgessd.cli.evaluate import measure_accuracy
    from edgessd.cli.open_model import open_measured
    from edgessd.runtime.detector import Detector

    # A bundle that only its device can compile is measured through its reference graph.
    backend = "onnxruntime" if read_manifest(bundle).needs_finish else None
    images, images_name = bench_images(str(scenes / "images/test"))
    result, detector = measure(
        lambda threads: Detector(bundle, backend=backend, threads=threads),
        path=bundle,
        images=images,
        images_name=images_name,
        seconds=_BENCH_SECONDS,
    )
    with detector:
        pictures = found_in(detector, images[:_PICTURES])
    report, _ = measure_accuracy(open_measured(bundle), scenes, "test")
    return replace(result, accuracy=report), pictures


def _report(path: Path, results: list[BenchResult], pictures: tuple[Picture, ...]) -> None:
    from edgessd.bench.report.page import Report, write_report

    note = (
        "One checkpoint, one calibration, four targets, all measured on this machine. The raspberry-pi, "
        "coral and host bundles hold the same integer arithmetic and run on the CPU here; the jetson "
        "bundle's Q/DQ graph runs in onnxruntime as the reference of what TensorRT will compile."
    )
    write_report(
        Report(title="edgessd demo", results=tuple(results), pictures=pictures, notes=(note,)), path
    )


def _as_json(
    report: Path, bundles: list[Path], results: list[BenchResult], seconds: float
) -> dict[str, Any]:
    return {
        "report": str(report),
        "seconds": round(seconds, 1),
        "bundles": {
            target: {"bundle": str(bundle), **found.as_json()}
            for target, bundle, found in zip(TARGETS, bundles, results, strict=True)
        },
    }
