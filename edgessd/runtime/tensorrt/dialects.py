"""What each family of TensorRT versions understands, as one table.

Read from NVIDIA's own Python bindings of 8.6.1, 10.3, 10.13, 10.16, 11.4 and TensorRT-RTX 1.7
(tests/golden/tensorrt_api.json) and from its pages on migration:
https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x.html
For 8.5 there is no binding outside a JetPack; its row follows the published API of 8.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgessd.core.errors import BackendError

Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """Differences between the families that edgessd has to know.

    Attributes:
        strongly_typed: Networks take every type from the graph; the INT8 and FP16 flags are gone.
        network_flags: Of `NetworkDefinitionCreationFlag`, set where a network is made.
        optimization_level: `builder_optimization_level` exists.
        node_names: The parser's errors name their node.
        timing_cache: Kernels are timed while building, and the timings can be kept. TensorRT-RTX
            compiles without timing; the calls are there and do nothing.
        ahead_of_time: The build can be for GPUs that aren't here.
        runtime_cache: Kernels are compiled at run time, and the results can be kept.
        tells_capturable: A context says beforehand whether a CUDA graph can be made of it.
    """

    strongly_typed: bool
    network_flags: tuple[str, ...] = ()
    optimization_level: bool = True
    node_names: bool = True
    timing_cache: bool = True
    ahead_of_time: bool = False
    runtime_cache: bool = False
    tells_capturable: bool = False


# Provider → (first version, dialect), newest first.
_DIALECTS: dict[str, tuple[tuple[Version, Dialect], ...]] = {
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

PROVIDERS = tuple(_DIALECTS)


def dialect_of(provider: str, version: Version) -> Dialect:
    """The dialect that a version speaks.

    Raises:
        BackendError: Older than anything edgessd builds with.
    """
    for first, dialect in _DIALECTS[provider]:
        if version >= first:
            return dialect
    oldest = ".".join(map(str, _DIALECTS[provider][-1][0]))
    jetpack = provider == "tensorrt"
    raise BackendError(
        f"This {provider} is too old",
        expected=f"{oldest} or newer",
        found=".".join(map(str, version)),
        fix="Update JetPack: 6.x brings 8.6 to 10.3. A Nano or TX2 has no newer one than 4.6: run the "
        "bundle's graph there with --backend onnxruntime"
        if jetpack
        else "python -m pip install --upgrade tensorrt-rtx",
    )
