"""`TargetSpec`: a device, its engine format and its quantization scheme."""

from __future__ import annotations

import re
from string import Formatter
from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError

Scheme = Literal["float", "affine", "symmetric"]
InputDType = Literal["float32", "float16", "int8", "uint8"]
PostprocessMode = Literal["raw", "op"]
"""The engine ends in raw outputs, or in a detection operator that decodes and suppresses."""

# (format, scheme) → dtypes of an engine's image input; other combinations aren't built.
_INPUTS: dict[tuple[str, str], tuple[InputDType, ...]] = {
    ("tflite", "affine"): ("int8", "uint8", "float32"),
    ("onnx", "float"): ("float32",),
    ("onnx", "affine"): ("float32",),
    ("onnx", "symmetric"): ("float32",),
    ("tensorrt", "symmetric"): ("int8",),
    ("tensorrt", "float"): ("float16",),
}
_CAPABILITY = re.compile(r"\d+\.\d")
_PLACEHOLDERS = {
    "csi": {"sensor", "width", "height", "fps"},
    "file": {"path"},
    "stream": {"uri"},
}


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts of the hardware as its maker states them.

    Attributes:
        soc: System on chip.
        cpu: Cores, architecture, clock.
        ram: Sizes of the memory.
        accelerator: Hardware that runs networks beside the CPU.
        power_modes: Names from the device's own tool, with the budget, e.g. "15W".
        sources: Pages that state these facts.
    """

    soc: str = ""
    cpu: str = ""
    ram: str = ""
    accelerator: str = ""
    power_modes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Engine that `build` makes for the target.

    Attributes:
        format: Format of the engine file that the device executes.
        scheme: Quantization scheme.
        input_dtype: Type of the engine's image input. A .tflite that ends in the detection op takes uint8
            instead of int8, which other clients feed it.
        column_pairs: True if the first convolution reads two pixels as one, see `lower.tflite.lower`.
        postprocess: Default of `build --postprocess`.
        compiled_on_device: True if the engine can only be compiled on the device. `build` on another machine
            bundles the graph and marks it `needs_finish`.
    """

    format: Literal["tflite", "onnx", "tensorrt"]
    scheme: Scheme
    input_dtype: InputDType
    postprocess: PostprocessMode = "raw"
    column_pairs: bool = False
    compiled_on_device: bool = False

    def __post_init__(self) -> None:
        schemes = tuple(scheme for form, scheme in _INPUTS if form == self.format)
        if self.scheme not in schemes:
            raise ConfigError(
                f"A {self.format} engine can't have the {self.scheme} scheme",
                expected=" or ".join(schemes),
                found=self.scheme,
            )
        dtypes = _INPUTS[self.format, self.scheme]
        if self.input_dtype not in dtypes:
            raise ConfigError(
                f"A {self.scheme} {self.format} engine can't have this input",
                expected=" or ".join(dtypes),
                found=self.input_dtype,
            )
        if self.postprocess == "op" and self.format == "onnx":
            raise ConfigError(
                "Only a .tflite or a TensorRT engine can end in post-processing",
                expected="raw",
                found=f"op for {self.format}",
            )


class JetPack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One release of a Jetson's software.

    Attributes:
        version: Version of JetPack, e.g. "6.2".
        l4t: Release of Jetson Linux, e.g. "36.4"; /etc/nv_tegra_release begins with it.
        tensorrt: Version of its TensorRT.
        cuda: Version of its CUDA.
        python: Version of its `python3`, which TensorRT's and OpenCV's bindings fit.
    """

    version: str
    l4t: str
    tensorrt: str
    cuda: str
    python: str


class TensorRtSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Features of TensorRT on the target, and settings of a build there.

    Attributes:
        provider: Distribution that compiles and executes.
        compute_capabilities: Compute capabilities of the GPU, "major.minor"; several for a family of GPUs.
        int8: True if the GPU multiplies 8-bit integers.
        fp16: True if the GPU computes in half precision.
        int8_reason: Reason for the lack of INT8, in a sentence for a person; "" if there is INT8.
        dla_cores: Number of deep learning accelerators.
        workspace_mb: Upper limit of scratch memory during a build, in MiB.
        optimization_level: Level of the builder, 0 to 5 (TensorRT 8.6 and later).
        nms_max_candidates: INMSLayer's limit of boxes, 2000 on compute capability 5.3 and 6.2, else 5000:
            https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/operators/NMS.html
        unified_memory: True if CPU and GPU share their RAM, so that mapped buffers need no copy.
        jetpacks: JetPacks that support the board, oldest first.
    """

    compute_capabilities: tuple[str, ...]
    int8: bool
    fp16: bool
    provider: Literal["tensorrt", "tensorrt_rtx"] = "tensorrt"
    int8_reason: str = ""
    dla_cores: int = 0
    workspace_mb: int = 1024
    optimization_level: int = 3
    nms_max_candidates: int = 5000
    unified_memory: bool = True
    jetpacks: tuple[JetPack, ...] = ()

    def __post_init__(self) -> None:
        wrong = [text for text in self.compute_capabilities if not _CAPABILITY.fullmatch(text)]
        if wrong or not self.compute_capabilities:
            raise ConfigError(
                "A GPU needs its compute capability",
                expected='one or more such as "8.7"',
                found=", ".join(wrong) or "none",
            )
        if self.int8 == bool(self.int8_reason):
            raise ConfigError(
                "int8 and int8_reason contradict each other",
                expected="a reason if int8 is false, none if it is true",
                found=f"int8 {self.int8}, reason {self.int8_reason!r}",
            )
        for key, value, least, most in (
            ("dla_cores", self.dla_cores, 0, 2),
            ("workspace_mb", self.workspace_mb, 1, 1 << 20),
            ("optimization_level", self.optimization_level, 0, 5),
            ("nms_max_candidates", self.nms_max_candidates, 1, 5000),
        ):
            if not least <= value <= most:
                raise ConfigError(
                    f"{key} is out of range", expected=f"{least} to {most}", found=str(value)
                )


class CameraSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """GStreamer pipelines of the device; each ends in an appsink of BGR frames, "" for none.

    Attributes:
        csi: Pipeline of a camera on the board's CSI connector; {sensor} {width} {height} {fps}.
        file: Pipeline of a video file, decoded by the hardware, with every frame; {path}.
        stream: Pipeline of a live URL, decoded by the hardware, with the newest frame; {uri}.
    """

    csi: str = ""
    file: str = ""
    stream: str = ""

    def __post_init__(self) -> None:
        for key, text in (("csi", self.csi), ("file", self.file), ("stream", self.stream)):
            known = _PLACEHOLDERS[key]
            try:
                named = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
            except ValueError as error:
                raise ConfigError(f"camera.{key} has a stray brace", found=str(error)) from error
            if named - known:
                raise ConfigError(
                    f"camera.{key} has an unknown placeholder",
                    expected=", ".join(sorted(known)),
                    found=", ".join(sorted(named - known)),
                )
            if text and "appsink" not in text:
                raise ConfigError(
                    f"camera.{key} has no appsink, from which OpenCV reads the frames",
                    expected="... ! appsink",
                    found=text,
                )


class TargetSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of a file in targets/.

    Attributes:
        name: Name for `build --target`; the file's name without .toml.
        title: One line for a person.
        device: Hardware.
        engine: Engine that is built.
        backends: Names of the backends that execute it, best first.
        threads: CPU threads at run time; fewer on a machine with fewer cores.
        profiles: Names of the devices of this family.
        stands_for: Profile that is built on a machine outside the family.
        tensorrt: Features and settings of TensorRT; None for other engine formats.
        camera: GStreamer pipelines of the device.
        pending: Features that are missing in this version, in sentences for a person.
    """

    name: str
    title: str
    engine: EngineSpec
    backends: tuple[str, ...]
    device: Device = Device()
    threads: int = 4
    profiles: tuple[str, ...] = ()
    stands_for: str = ""
    tensorrt: TensorRtSpec | None = None
    camera: CameraSpec = CameraSpec()
    pending: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.backends:
            raise ConfigError(f"The target {self.name} has no backend", expected="at least one")
        if self.threads < 1:
            raise ConfigError(
                f"The target {self.name} has no thread",
                expected="1 or more",
                found=str(self.threads),
            )
        if self.stands_for and self.stands_for not in self.profiles:
            raise ConfigError(
                f"The target {self.name} stands for a profile that it doesn't have",
                expected=", ".join(self.profiles) or "a name in profiles",
                found=self.stands_for,
            )
        self._check_tensorrt()

    def _check_tensorrt(self) -> None:
        if (self.engine.format == "tensorrt") != (self.tensorrt is not None):
            raise ConfigError(
                f"The target {self.name} contradicts itself about TensorRT",
                expected='[engine] format = "tensorrt" and a [tensorrt] table, or neither',
                found=f"format {self.engine.format!r}, "
                f"{'no' if self.tensorrt is None else 'a'} [tensorrt] table",
            )
        if self.tensorrt is None:
            return
        if self.engine.scheme == "symmetric" and not self.tensorrt.int8:
            raise ConfigError(
                f"{self.title} can't run an INT8 engine: {self.tensorrt.int8_reason}",
                expected='scheme = "float"',
                found="symmetric",
            )
        if self.engine.scheme == "float" and not self.tensorrt.fp16:
            raise ConfigError(
                f"{self.title} can't run an FP16 engine",
                expected='scheme = "symmetric"',
                found="float",
            )
