"""`edgessd build`: build a bundle for a device from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgessd.cli.console import JsonFlag, people, print_json
from edgessd.cli.model_options import CheckpointFile, RecipeName

if TYPE_CHECKING:
    from edgessd.build.build_bundle import BuildResult, Report
    from edgessd.bundle.quality import Parity
    from edgessd.calibrate.calibration_set import CalibrationSet

RUNS = "runs"
CALIBRATION_IMAGES = 100


def command(
    target: Annotated[
        str | None, typer.Option(help="Device to build for; `edgessd targets` lists them.")
    ] = None,
    checkpoint: CheckpointFile = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images like those the camera will see; labels aren't needed. Default: training "
            "images.",
            metavar="DIR",
        ),
    ] = None,
    calibration_images: Annotated[
        int,
        typer.Option(help="Largest number of calibration images, spread evenly over all.", min=1),
    ] = CALIBRATION_IMAGES,
    recipe: RecipeName = "default",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the bundle. Default: dist/NAME-TARGET.", metavar="DIR"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the bundle. Default: the run's name.")
    ] = None,
    postprocess: Annotated[
        Literal["raw", "op"] | None,
        typer.Option(
            help="End the engine in raw outputs, or in an operator that decodes and suppresses."
        ),
    ] = None,
    force_small: Annotated[
        bool, typer.Option("--force-small", help="Accept any number of calibration images.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Maximum loss of agreement AP on the calibration images. For TensorRT, the fewest tensors "
            "needed to stay below it remain float16.",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    no_gate: Annotated[
        bool,
        typer.Option("--no-gate", help="Skip the parity gate."),
    ] = False,
    precision: Annotated[
        Literal["int8", "fp16"] | None,
        typer.Option(help="Precision of a TensorRT engine. Default: the target's."),
    ] = None,
    finish: Annotated[
        Path | None,
        typer.Option(
            help="Compile a bundle that was built elsewhere, on the Jetson that it was built for.",
            metavar="BUNDLE",
        ),
    ] = None,
    dla: Annotated[
        int | None,
        typer.Option(help="DLA core to compile for; the GPU runs the other layers.", min=0),
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Compile again even if the engine cache has this engine."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Build a quantized bundle for a device, or finish one on the device.

    Example: edgessd build --target raspberry-pi --checkpoint runs/cells/best.pt --calibration photos/
    """
    if finish is not None and target is None:
        from edgessd.cli.finish import finish_command

        finish_command(finish, dla_core=dla, rebuild=rebuild, as_json=as_json)
        return
    if target is None or finish is not None:
        raise typer.BadParameter("give either --target NAME or --finish BUNDLE")
    if dla is not None or rebuild:
        raise typer.BadParameter("--dla and --rebuild go with --finish BUNDLE")

    from edgessd.runtime.starter import BUNDLES
    from edgessd.target.detect import detect_machine
    from edgessd.target.load import resolve_target
    from edgessd.target.precision import with_precision

    start = time.perf_counter()
    console = people()
    # Mistakes in the command are reported before torch is loaded, which takes seconds.
    spec, resolved = resolve_target(target, detect_machine().target)
    source, is_starter = choose_checkpoint(checkpoint, Path.cwd())
    bundle_name = name or checkpoint_name(source, is_starter=is_starter)
    folder = out or Path(BUNDLES) / f"{bundle_name}-{target}"
    if resolved:
        console.print(resolved, soft_wrap=True)
    spec = with_precision(spec, precision)

    from edgessd.build.build_bundle import BuildRequest, build_bundle
    from edgessd.quantize.recipe import load_recipe, without_minimum

    chosen = load_recipe(recipe)

    def images() -> CalibrationSet:
        return choose_images(calibration, source, is_starter=is_starter, limit=calibration_images)

    request = BuildRequest(
        target=spec,
        checkpoint=source,
        name=bundle_name,
        out=folder,
        recipe=without_minimum(chosen) if force_small else chosen,
        images=images,
        postprocess=postprocess,
        cache=folder.parent / ".cache",
        gate=not no_gate,
        max_drop=max_drop,
    )
    with stage_display() as report:
        result = build_bundle(request, report)
    if as_json:
        print_json(as_object(result, time.perf_counter() - start))
    else:
        print_result(result, time.perf_counter() - start)


def choose_checkpoint(given: Path | None, folder: Path) -> tuple[Path, bool]:
    """Return the checkpoint to build from, and whether it is the starter model's."""
    from edgessd.core.errors import CheckpointError
    from edgessd.runtime.starter import starter_checkpoint

    if given is not None:
        if not given.exists():
            raise CheckpointError(
                f"There is no file {given}",
                expected="a checkpoint, for example best.pt in a run folder",
                fix="Correct the path",
            )
        # The folder of a run means its best checkpoint.
        return (given / "best.pt" if (given / "best.pt").is_file() else given), False
    runs = list(folder.glob(f"{RUNS}/*/best.pt"))
    if runs:
        newest = max(runs, key=lambda path: path.stat().st_mtime_ns)
        return newest.relative_to(folder), False
    return starter_checkpoint(), True


def checkpoint_name(checkpoint: Path, *, is_starter: bool) -> str:
    """Return the run's name, `cells` for runs/cells/best.pt, or the file's name outside a run."""
    in_run = checkpoint.stem in ("best", "last") and not is_starter
    return checkpoint.resolve().parent.name if in_run else checkpoint.stem


def choose_images(
    given: Path | None, checkpoint: Path, *, is_starter: bool, limit: int
) -> CalibrationSet:
    """Choose the calibration images: the named folder, else the checkpoint's training images."""
    from edgessd.build.calibration_images import images_in, images_of_run, with_evaluation_of
    from edgessd.core.resources import resource_directory

    if given is not None:
        return with_evaluation_of(images_in(given, limit=limit), checkpoint)
    if is_starter:
        return images_in(resource_directory("calibration") / "starter", limit=limit)
    return images_of_run(checkpoint, limit=limit)


@contextmanager
def stage_display() -> Iterator[Report]:
    """Print a line with the time of each finished stage, and a progress bar of the running one."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=people(), transient=True) as progress:
        task = progress.add_task("", total=None)
        start = time.perf_counter()
        current = ""

        def finish() -> None:
            if current:
                took = time.perf_counter() - start
                progress.console.print(f"  {current:<10}{took:6.1f} s")

        def report(stage: str, done: int, total: int) -> None:
            nonlocal current, start
            if stage != current:
                finish()
                current, start = stage, time.perf_counter()
            progress.update(task, description=stage, completed=done, total=total or None)

        yield report
        finish()


def as_object(result: BuildResult, seconds: float) -> dict[str, Any]:
    """Return the values for `--json`; `seconds` is the time of the whole command, loading torch included."""
    import msgspec

    manifest = result.bundle.manifest
    calibration = manifest.provenance.calibration
    return {
        "bundle": str(result.bundle.directory),
        "engine": str(result.bundle.engine_path),
        "needs_finish": manifest.needs_finish,
        "seconds": round(seconds, 2),
        "stages": {stage: round(seconds, 2) for stage, seconds in result.seconds.items()},
        "target": manifest.target,
        "scheme": manifest.scheme,
        "bytes": manifest.engine.size,
        "calibration_images": calibration.images if calibration else 0,
        "recipe": calibration.recipe if calibration else None,
        "calibration": msgspec.to_builtins(manifest.calibration),
        "parity": msgspec.to_builtins(manifest.parity),
        "notes": list(manifest.notes),
        "advice": advice(result),
    }


def advice(result: BuildResult) -> list[str]:
    """List the sentences about tensors left in float and about layers that could be faster."""
    left_float = [] if result.left_float is None else [result.left_float.sentence()]
    return [*left_float, *result.engine_advice]


def print_result(result: BuildResult, seconds: float | None = None) -> None:
    """Print calibration, parity, bundle, advice and the next step; without `seconds`, add up the stages."""
    took = sum(result.seconds.values()) if seconds is None else seconds
    console, manifest = people(), result.bundle.manifest
    calibration = manifest.provenance.calibration
    if calibration is not None and result.images is not None:
        console.print(
            f"Calibrated with {calibration.images} images ({result.images.source}), recipe "
            f"{calibration.recipe}",
            soft_wrap=True,
        )
    for warning in manifest.calibration.warnings if manifest.calibration else ():
        console.print(f"[yellow]Doubtful[/]: {warning}.", soft_wrap=True)
    if result.left_float is not None:
        console.print(f"{result.left_float.sentence()}.", soft_wrap=True)
    _print_parity(manifest.parity)
    console.print(
        f"[green]Built[/green] {result.bundle.directory}: {manifest.engine.file}, "
        f"{manifest.engine.size / 1e6:.2f} MB, {manifest.scheme}, for {manifest.target} in "
        f"{took:.1f} s",
        soft_wrap=True,
    )
    for sentence in result.engine_advice:
        console.print(f"Could be faster: {sentence}", soft_wrap=True)
    for note in manifest.notes:
        console.print(f"Not done: {note}.", soft_wrap=True)
    if manifest.needs_finish:
        console.print(
            f"Next, on the device: edgessd build --finish {result.bundle.directory.name} (`edgessd run` "
            f"compiles it too). Here: edgessd eval {result.bundle.directory} --data DIR runs the same "
            "graph in onnxruntime",
            soft_wrap=True,
        )
    else:
        console.print(f"Next: edgessd bench --model {result.bundle.directory}", soft_wrap=True)


def _print_parity(parity: Parity | None) -> None:
    """Print the agreement with the float graph, or the reason why it wasn't measured."""
    if parity is None:
        return
    console = people()
    if parity.verdict != "passed":
        console.print(f"[yellow]Parity {parity.verdict}[/]: {parity.reason}", soft_wrap=True)
        return
    console.print(
        f"Parity: agreement AP {parity.agreement_AP:.4f} with the float graph over {parity.images} "
        f"calibration images, {parity.detections} detections, {parity.lost} lost, {parity.added} added "
        f"({parity.engine}; at least {parity.bound:g} is required)",
        soft_wrap=True,
    )
