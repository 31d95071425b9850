"""`TargetSpec`: a device, the engine format it runs and the quantization scheme, as one datasheet."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError

Scheme = Literal["float", "affine", "symmetric"]


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts of the hardware, each as its maker states it.

    Attributes:
        soc: System on chip.
        cpu: Cores, architecture, clock.
        ram: Sizes there are.
        accelerator: What runs networks beside the CPU.
        sources: Pages that state these facts.
    """

    soc: str = ""
    cpu: str = ""
    ram: str = ""
    accelerator: str = ""
    sources: tuple[str, ...] = ()


class EngineWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `build` makes for the target.

    Attributes:
        format: Of the engine file that the device executes in the end.
        scheme: Quantization scheme.
        input_dtype: Of the engine's image input. An engine that ends in the detection op takes uint8
            instead of int8: that is what other people's clients feed it.
        column_pairs: Whether the first convolution reads two pixels as one, see `LoweringOptions`.
        postprocess: Default of `build --postprocess`.
        compiled_on_device: The engine can only be compiled on the device: `build` elsewhere bundles the
            quantized graph and marks it `needs_finish`.
    """

    format: Literal["tflite", "onnx", "tensorrt"]
    scheme: Scheme
    input_dtype: Literal["float32", "int8", "uint8"]
    postprocess: Literal["raw", "op"] = "raw"
    column_pairs: bool = False
    compiled_on_device: bool = False

    def __post_init__(self) -> None:
        if (self.scheme == "float" or self.format != "tflite") and self.input_dtype != "float32":
            raise ConfigError(
                f"A {self.scheme} {self.format} engine can't have this input",
                expected="float32",
                found=self.input_dtype,
            )
        if self.format == "tflite" and self.scheme != "affine":
            raise ConfigError(
                "A .tflite engine is quantized with the affine scheme",
                expected="affine",
                found=self.scheme,
            )
        if self.postprocess == "op" and self.format != "tflite":
            raise ConfigError(
                "Only a .tflite can end in the detection post-process op",
                expected="raw",
                found=f"op for {self.format}",
            )


class TargetSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of targets/.

    Attributes:
        name: As in `build --target`; the file's name without .toml.
        title: One line for a person.
        device: The hardware.
        engine: What is built.
        backends: What executes it, best first.
        threads: CPU threads at run time; fewer where there are fewer cores.
        profiles: Names of the devices that this family stands for.
        stands_for: The profile that is built where the machine isn't one of the family.
        pending: What this version doesn't do for the target yet, in sentences for a person.
    """

    name: str
    title: str
    engine: EngineWish
    backends: tuple[str, ...]
    device: Device = Device()
    threads: int = 4
    profiles: tuple[str, ...] = ()
    stands_for: str = ""
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
                f"The target {self.name} stands for a profile it doesn't have",
                expected=", ".join(self.profiles) or "a name in profiles",
                found=self.stands_for,
            )
