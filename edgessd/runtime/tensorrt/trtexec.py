"""Compile with NVIDIA's program trtexec, if TensorRT has no Python binding."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from edgessd.core.errors import BackendError, LoweringError
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine, build_failure, dla_notes
from edgessd.runtime.tensorrt.layer_report import LayerReport, read_layer_report
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider

_FORMATS = {"float32": "fp32", "float16": "fp16", "int8": "int8", "int32": "int32"}
_ERROR_LINE = re.compile(r"^(?:\[[^\]]*\] )*\[E\] ?(.*)$", re.MULTILINE)
_PASSED = "&&&& PASSED"


def compile_with_trtexec(
    weak: Path,
    strong: Path,
    options: EngineOptions,
    provider: Provider,
    *,
    tensors: Sequence[TensorSpec] = (),
    timing_cache: Path | None = None,
    log: Path | None = None,
) -> CompiledEngine:
    """Compile a graph like `compile_engine`, with trtexec.

    Raises:
        LoweringError: Its parser refuses the graph.
        BackendError: It fails for another reason, is killed, or writes no complete engine.
    """
    started = time.perf_counter()
    graph = strong if provider.dialect.strongly_typed else weak
    with TemporaryDirectory(prefix="edgessd-trtexec-") as folder:
        plan, layers = Path(folder) / "engine.plan", Path(folder) / "layers.json"
        command = command_line(
            provider, graph, plan, layers, options, tensors, timing_cache=timing_cache
        )
        if timing_cache is not None:
            timing_cache.parent.mkdir(parents=True, exist_ok=True)
        output, code = _run(command)
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"{' '.join(command)}\n{output}", encoding="utf-8")
        if code != 0 or _PASSED not in output or not plan.is_file():
            raise _failure(provider, graph, output, code, log, options)
        content = plan.read_bytes()
        report = _read_report(layers)
    return CompiledEngine(
        content=content,
        typed="strongly" if provider.dialect.strongly_typed else "weakly",
        report=report,
        seconds=time.perf_counter() - started,
        notes=dla_notes(report, options),
    )


def command_line(
    provider: Provider,
    graph: Path,
    plan: Path,
    layers: Path,
    options: EngineOptions,
    tensors: Sequence[TensorSpec],
    *,
    timing_cache: Path | None = None,
) -> list[str]:
    """Make the program's arguments for its version.

    Args:
        provider: Provider with the program.
        graph: The .onnx.
        plan: File for the engine.
        layers: File for the layer report.
        options: Precision, DLA, memory, search.
        tensors: Inputs, then outputs, each in the graph's order. Without a stated format trtexec makes
            every int8 input and output of a weakly typed network float32.
        timing_cache: File of kernel timings.

    Raises:
        BackendError: The program lacks an option.
    """
    dialect = provider.dialect
    if options.compute_capabilities:
        raise BackendError(
            f"{provider.title} compiles only for the GPU of its own machine",
            found=f"a request for compute capability {', '.join(options.compute_capabilities)}",
            fix="Finish the bundle on the device: edgessd build --finish BUNDLE",
        )
    command = [
        str(provider.trtexec),
        f"--onnx={graph}",
        f"--saveEngine={plan}",
        # The engine alone is needed, not the program's benchmark. TensorRT 8.6 renamed the option.
        "--skipInference" if provider.version >= (8, 6) else "--buildOnly",
        "--profilingVerbosity=detailed",
        f"--exportLayerInfo={layers}",
        f"--memPoolSize=workspace:{options.workspace_mb}",
    ]
    if dialect.optimization_level:
        command.append(f"--builderOptimizationLevel={options.optimization_level}")
    if not dialect.strongly_typed:
        command.append("--fp16")
        if options.precision == "int8":
            command.append("--int8")
        for option, side in (("input", tensors[:1]), ("output", tensors[1:])):
            if side:
                formats = ",".join(f"{_FORMATS[spec.dtype]}:chw" for spec in side)
                command.append(f"--{option}IOFormats={formats}")
    if options.dla_core is not None:
        command += [f"--useDLACore={options.dla_core}", "--allowGPUFallback"]
    if timing_cache is not None:
        command.append(f"--timingCacheFile={timing_cache}")
    return command


def _run(command: list[str]) -> tuple[str, int]:
    """Run the program; return its output and exit status."""
    try:
        run = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise BackendError(
            f"{command[0]} can't be run", found=str(error), fix="Install TensorRT again"
        ) from error
    return run.stdout, run.returncode


def _failure(
    provider: Provider,
    graph: Path,
    output: str,
    code: int,
    log: Path | None,
    options: EngineOptions,
) -> BackendError | LoweringError:
    errors = [line.strip() for line in _ERROR_LINE.findall(output) if line.strip()]
    if code < 0:
        errors.append(f"it was killed by signal {-code}")
    elif not errors:
        errors.append(f"exit status {code} and no engine")
    parsing = [line for line in errors if "arsing" in line or "ModelImporter" in line]
    if parsing:
        return LoweringError(
            f"{provider.title} refuses {graph.name}",
            found="; ".join(parsing[:4]),
            fix="Build the bundle again with the newest edgessd",
        )
    # The kernel's out-of-memory killer sends SIGKILL and leaves no message.
    found = "; ".join(errors[-3:]) + (" (out of memory, most likely)" if code == -9 else "")
    return build_failure(provider, found, log, options)


def _read_report(path: Path) -> LayerReport | None:
    if not path.is_file() or not path.stat().st_size:
        return None
    return read_layer_report(path.read_text(encoding="utf-8"))
