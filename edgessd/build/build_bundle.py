"""Build a bundle: load the checkpoint, export, calibrate, quantize, lower, check parity, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, cast

import msgspec

from edgessd.build.engines import make_engine
from edgessd.build.max_drop import JUDGED_ON, DropSearch, WithinDrop
from edgessd.build.parity_gate import Candidate, require_parity
from edgessd.bundle.manifest import Manifest, Provenance
from edgessd.bundle.quality import CalibrationAudit, Parity
from edgessd.bundle.store import Bundle, require_replaceable, write_bundle
from edgessd.calibrate.calibration_set import CalibrationSet, evenly
from edgessd.calibrate.collect import refuse_few
from edgessd.core.errors import ConfigError, TargetError
from edgessd.core.files import sha256_of
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import FloatGraph
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import Recipe
from edgessd.quantize.schemes import SchemeName
from edgessd.quantize.workflow import quantize_graph
from edgessd.target.packages import installed_version
from edgessd.target.spec import PostprocessMode, TargetSpec
from edgessd.version import __version__

Stage = Literal["load", "export", "calibrate", "quantize", "audit", "lower", "parity", "bundle"]
Report = Callable[[Stage, int, int], None]
"""Function called with (stage, done, total); total is 0 for a stage without steps."""

# Packages whose versions can change a bundle's bytes.
_TOOLS = ("numpy", "onnx", "onnxruntime", "onnxsim", "opencv-python-headless", "torch")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """Inputs of one build.

    Attributes:
        target: Device to build for.
        checkpoint: File of the detector.
        name: Name of the bundle.
        out: Folder of the bundle.
        recipe: Quantization settings.
        images: Function that chooses the calibration images; called only if the target is quantized.
        postprocess: End of the engine; None takes the target's.
        cache: Folder of rewritten graphs and calibration tables; None keeps none.
        gate: True if the engine must reach the recipe's parity bound.
        max_drop: Largest loss of agreement AP, in [0, 1]. The fewest tensors that it takes stay in float.
            None leaves this to the recipe.
    """

    target: TargetSpec
    checkpoint: Path
    name: str
    out: Path
    recipe: Recipe
    images: Callable[[], CalibrationSet]
    postprocess: PostprocessMode | None = None
    cache: Path | None = None
    gate: bool = True
    max_drop: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedCheckpoint:
    """A checkpoint's float graph, with the path and the sha256 of its file."""

    graph: FloatGraph
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildResult:
    """Outcome of one build.

    Attributes:
        bundle: Written and verified bundle.
        seconds: Seconds of each stage, in order.
        images: Calibration images; None for a float target.
        left_float: Tensors that `max_drop` left in float; None if the request has no limit.
        engine_advice: Sentences about layers of the engine that could be faster.
    """

    bundle: Bundle
    seconds: dict[str, float]
    images: CalibrationSet | None
    left_float: WithinDrop | None = None
    engine_advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Clock:
    """Measures the stages and reports them."""

    report: Report
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        self.report(name, 0, 0)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    @contextmanager
    def stages(self) -> Iterator[Report]:
        """Provide a report to a function with several stages; each ends when the next begins."""
        running: list[tuple[Stage, float]] = []

        def end() -> None:
            for name, start in running:
                spent = time.perf_counter() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + spent
            running.clear()

        def report(name: Stage, done: int, total: int) -> None:
            if not running or running[0][0] != name:
                end()
                running.append((name, time.perf_counter()))
            self.report(name, done, total)

        yield report
        end()


def build_bundle(
    request: BuildRequest,
    report: Report = lambda *_: None,
    *,
    exported: ExportedCheckpoint | None = None,
) -> BuildResult:
    """Build one bundle.

    Args:
        request: Inputs of the build.
        report: Function called with (stage, done, total) as the build goes on.
        exported: Graph from `export_checkpoint`, if several targets are built from one checkpoint.

    Raises:
        EdgessdError: A stage refuses its input. No bundle is left half-written, and one that was at `out`
            stays.
    """
    clock = _Clock(report)
    # Checks that need no work come before the export, which takes seconds.
    postprocess = _postprocess(request)
    require_replaceable(request.out)
    images = None if request.target.engine.scheme == "float" else request.images()
    if images is not None:
        refuse_few(len(images), request.recipe.minimum_images, "images")
        images.keep(_photos_needed_again(request, images))
    if exported is None:
        exported = _export(request.checkpoint, clock)
    graph: FloatGraph | QuantGraph = exported.graph
    audit: CalibrationAudit | None = None
    left_float: WithinDrop | None = None
    if images is not None:
        graph, audit, left_float = _quantize(request, exported.graph, images, clock)
    with clock.stage("lower"):
        engine = make_engine(request.target, graph, postprocess)
    manifest = Manifest(
        name=request.name,
        target=request.target.name,
        scheme=request.target.engine.scheme,
        postprocess=postprocess,
        engine=engine.file,
        contract=graph.contract,
        provenance=_provenance(exported, graph, engine.tools),
        needs_finish=engine.needs_finish,
        finish=engine.finish,
        notes=request.target.pending,
        calibration=audit,
    )
    if images is not None:
        candidate = Candidate(
            manifest=manifest, engine=engine.content, companions=engine.companions
        )
        parity = _parity(request, candidate, exported.graph, images, clock)
        manifest = msgspec.structs.replace(manifest, parity=parity)
    with clock.stage("bundle"):
        bundle = write_bundle(request.out, manifest, engine.content, engine.companions)
    return BuildResult(
        bundle=bundle,
        seconds=clock.seconds,
        images=images,
        left_float=left_float,
        engine_advice=engine.advice,
    )


def _photos_needed_again(request: BuildRequest, images: CalibrationSet) -> list[Path]:
    """Choose the photos that the search and the gate need after calibration."""
    searched = [] if request.max_drop is None else evenly(images.paths, JUDGED_ON)
    gated = evenly(images.paths, request.recipe.parity.images) if request.gate else []
    return [*searched, *gated]


def _parity(
    request: BuildRequest,
    candidate: Candidate,
    graph: FloatGraph,
    images: CalibrationSet,
    clock: _Clock,
) -> Parity:
    if not request.gate:
        return Parity(verdict="skipped", reason="Built with --no-gate")
    with clock.stage("parity"):
        return require_parity(candidate, graph, images, request.recipe.parity)


def export_checkpoint(checkpoint: Path) -> ExportedCheckpoint:
    """Load and export a checkpoint, for several calls of `build_bundle`."""
    return _export(checkpoint, _Clock(lambda *_: None))


def _export(path: Path, clock: _Clock) -> ExportedCheckpoint:
    with clock.stage("load"):
        checkpoint = load_checkpoint(path)
        digest = sha256_of(path)
    with clock.stage("export"):
        return ExportedCheckpoint(graph=export_float_graph(checkpoint), path=path, sha256=digest)


def _postprocess(request: BuildRequest) -> PostprocessMode:
    spec = request.target.engine
    if request.postprocess == "op" and spec.format == "onnx":
        raise TargetError(
            f"The engine of {request.target.name} can't end in the detection operator",
            expected="--postprocess raw",
            found=f"a {spec.format} engine",
            fix="Leave --postprocess out, or build for a target with a .tflite or TensorRT engine",
        )
    return request.postprocess or spec.postprocess


def _quantize(
    request: BuildRequest, graph: FloatGraph, images: CalibrationSet, clock: _Clock
) -> tuple[QuantGraph, CalibrationAudit, WithinDrop | None]:
    """Quantize for the target's scheme; return the graph, the audit and the tensors left in float."""
    scheme = cast(SchemeName, request.target.engine.scheme)
    if graph.trained_ranges is not None:
        _refuse_max_drop(request)
    with clock.stages() as progress:
        found = quantize_graph(
            graph,
            images,
            recipe=request.recipe,
            schemes=(scheme,),
            cache=request.cache,
            progress=progress,
        )
        within = None
        if request.max_drop is not None:
            progress("quantize", 0, 0)
            search = DropSearch(
                exported=graph, found=found, images=images, scheme=scheme, recipe=request.recipe
            )
            within = search.within(request.max_drop)
            found = within.found
    return found.quantized[scheme], found.audit, within


def _refuse_max_drop(request: BuildRequest) -> None:
    if request.max_drop is not None:
        raise ConfigError(
            "--max-drop can't search a checkpoint that was trained with quantization",
            expected="a float checkpoint",
            found=f"{request.checkpoint}, whose ranges come from training",
            fix="Leave --max-drop out, or build from the float checkpoint that the training started from",
        )


def _provenance(
    source: ExportedCheckpoint, graph: FloatGraph | QuantGraph, tools: Mapping[str, str]
) -> Provenance:
    return Provenance(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgessd=__version__,
        # The whole path would tell where its owner keeps files.
        checkpoint="/".join(source.path.parts[-2:]),
        checkpoint_sha256=source.sha256,
        calibration=graph.quantization.calibration if isinstance(graph, QuantGraph) else None,
        # All of them have run, so one without a version is installed under another name.
        tools={**{name: installed_version(name) or "unknown" for name in _TOOLS}, **tools},
    )
