"""Table of differences between the families of TensorRT versions.

The facts are from NVIDIA's Python bindings of 8.6.1, 10.3, 10.13, 10.16, 11.4 and TensorRT-RTX 1.7
(tests/golden/tensorrt_api.json) and from NVIDIA's migration guide:
https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x.html
Outside a JetPack there is no binding of 8.5, so its row follows the published API.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgessd.core.errors import BackendError

Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """Features of a family of TensorRT versions.

    Attributes:
        strongly_typed: Networks take every type from the graph; there are no INT8 and FP16 flags.
        network_flags: Names in `NetworkDefinitionCreationFlag` to set in a new network.
        optimization_level: `builder_optimization_level` exists.
        node_names: The parser's errors name their node.
        timing_cache: Kernels are timed during a build, and the timings can be kept. TensorRT-RTX
            compiles without timing; its calls exist and do nothing.
        ahead_of_time: A build can be for GPUs of other machines.
        runtime_cache: Kernels are compiled at run time, and the results can be kept.
        tells_capturable: A context tells beforehand if a CUDA graph can be captured.
    """

    strongly_typed: bool
    network_flags: tuple[str, ...] = ()
    optimization_level: bool = True
    node_names: bool = True
    timing_cache: bool = True
    ahead_of_time: bool = False
    runtime_cache: bool = False
    tells_capturable: bool = False


DIALECTS: dict[str, tuple[tuple[Version, Dialect], ...]] = {
    "tensorrt": (
        ((11, 0), Dialect(strongly_typed=True)),
        ((10, 0), Dialect(strongly_typed=False)),
        (
            (8, 6),
            Dialect(strongly_typed=False, network_flags=("EXPLICIT_BATCH",), node_names=False),
        ),
        (
            (8, 5),
            Dialect(
                strongly_typed=False,
                network_flags=("EXPLICIT_BATCH",),
                node_names=False,
                optimization_level=False,
            ),
        ),
    ),
    "tensorrt_rtx": (
        (
            (1, 4),
            Dialect(
                strongly_typed=True,
                network_flags=("STRONGLY_TYPED",),
                timing_cache=False,
                ahead_of_time=True,
                runtime_cache=True,
                tells_capturable=True,
            ),
        ),
    ),
}
"""Provider → (first version, dialect), newest first."""

PROVIDERS = tuple(DIALECTS)


def dialect_of(provider: str, version: Version) -> Dialect:
    """Find the features of a version.

    Raises:
        BackendError: The version is too old for edgessd.
    """
    for first, dialect in DIALECTS[provider]:
        if version >= first:
            return dialect
    oldest = ".".join(map(str, DIALECTS[provider][-1][0]))
    jetpack = provider == "tensorrt"
    raise BackendError(
        f"This {provider} is too old",
        expected=f"{oldest} or newer",
        found=".".join(map(str, version)),
        fix="Update JetPack: 6.x brings 8.6 to 10.3. JetPack 4.6 is the newest for a Nano or TX2: "
        "run the bundle's graph there with --backend onnxruntime"
        if jetpack
        else "python -m pip install --upgrade tensorrt-rtx",
    )
