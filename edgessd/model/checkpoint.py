"""Checkpoint: a detector as one file, with network configuration, weights, contract and provenance.

The file is a torch archive of plain values: `format`, `version`, `config` and `contract` (JSON),
`state` (tensors), `provenance` (strings), and optionally `trained_ranges` (JSON). It is loaded with
`weights_only=True`, so that opening a checkpoint never runs code from it.
"""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from edgessd.core.contract import Contract
from edgessd.core.errors import CheckpointError, ConfigError
from edgessd.core.files import replacing
from edgessd.model.config import ModelConfig
from edgessd.model.recognize import recognize_file
from edgessd.model.ssdlite import SsdLite, check_anchors
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.version import __version__

FORMAT = "edgessd-checkpoint"
FORMAT_VERSION = 1

# Exceptions that torch.load raises for damaged archives, damaged pickles and refused classes.
_DAMAGED = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained detector.

    Attributes:
        config: Configuration of the network.
        contract: Preprocessing, anchors, box code, scoring and labels.
        state: State dict of the network, float32 on the CPU.
        provenance: Origin of the weights and the data, in strings for people.
        trained_ranges: Activation ranges from quantization-aware training; None for a float detector.
    """

    config: ModelConfig
    contract: Contract
    state: dict[str, Tensor]
    provenance: dict[str, str] = field(default_factory=dict)
    trained_ranges: TrainedRanges | None = None


def checkpoint_of(model: SsdLite, provenance: dict[str, str] | None = None) -> Checkpoint:
    """Copy a model's weights into a checkpoint, which later training doesn't change."""
    return Checkpoint(
        config=model.config,
        contract=model.contract,
        state=_compact(model.state_dict()),
        provenance=dict(provenance or {}),
    )


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Write a checkpoint; an interrupted write leaves the old file.

    Args:
        path: The file to write.
        checkpoint: The detector.
        half: Store convolution weights in float16, for half the size; they are read as float32.
    """
    content = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "config": msgspec.json.encode(checkpoint.config).decode(),
        "contract": msgspec.json.encode(checkpoint.contract).decode(),
        "state": _compact(checkpoint.state, half=half),
        "provenance": {"edgessd": __version__, **checkpoint.provenance},
    }
    if checkpoint.trained_ranges is not None:
        content["trained_ranges"] = msgspec.json.encode(checkpoint.trained_ranges).decode()
    with replacing(Path(path)) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: The file is missing, truncated, of another format or version, or its contents
            contradict each other. For a known format, the error names the command that imports it.
    """
    path = Path(path)
    content = read_torch_file(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} isn't an edgessd checkpoint",
            expected=f"a file of the format {FORMAT!r}",
            found=recognize_file(content, path).found,
            fix=recognize_file(content, path).fix,
        )
    if content.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} is a checkpoint of another format version",
            expected=f"version {FORMAT_VERSION}",
            found=f"version {content.get('version')}",
            fix="Update edgessd, or train or import the checkpoint again with this version",
        )
    checkpoint = _decode(content, path)
    check_state(checkpoint, str(path))
    return checkpoint


def load_model(checkpoint: Checkpoint) -> SsdLite:
    """Make the network with the checkpoint's weights, in evaluation mode."""
    check_state(checkpoint, "The checkpoint")
    model = SsdLite(checkpoint.config, checkpoint.contract)
    model.load_state_dict(checkpoint.state)
    return model.eval()


def read_torch_file(path: Path) -> Any:
    """Read a file that torch saved, if it holds only plain values and tensors.

    Raises:
        CheckpointError: The file is missing, truncated, not torch's, or holds Python objects.
    """
    if path.is_dir():
        folder = recognize_file(None, path)
        raise CheckpointError(
            f"{path} is a folder", expected="a checkpoint file", found=folder.found, fix=folder.fix
        )
    if not path.is_file():
        raise CheckpointError(
            f"There is no file {path}",
            expected="a checkpoint, for example best.pt in a run folder",
            fix="Correct the path",
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> CheckpointError:
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith(b"PK") and start[:1] != b"\x80":
        foreign = recognize_file(None, path)
        return CheckpointError(
            f"{path} isn't a checkpoint",
            expected="a file written by edgessd train or edgessd import",
            found=foreign.found,
            fix=foreign.fix,
        )
    if start.startswith(b"PK") and not zipfile.is_zipfile(path):
        return CheckpointError(
            f"{path} is truncated",
            expected="a whole torch archive",
            found=f"{path.stat().st_size} bytes without the end of the archive",
            fix="Copy or download the file again",
        )
    return CheckpointError(
        f"{path} can't be read safely",
        expected="tensors and plain values only",
        found="pickled Python objects, which could run code, or damaged contents",
        fix="Save only its state dict (torch.save(model.state_dict(), FILE)) and import that file",
    )


def _decode(content: dict[str, Any], path: Path) -> Checkpoint:
    try:
        return Checkpoint(
            config=msgspec.json.decode(content["config"], type=ModelConfig),
            contract=msgspec.json.decode(content["contract"], type=Contract),
            state=_compact(content["state"]),
            provenance={str(key): str(value) for key, value in content["provenance"].items()},
            trained_ranges=(
                msgspec.json.decode(content["trained_ranges"], type=TrainedRanges)
                if "trained_ranges" in content
                else None
            ),
        )
    except KeyError as error:
        raise CheckpointError(
            f"{path} is incomplete",
            expected="config, contract, state and provenance",
            found=f"no {error.args[0]}",
            fix="Train or import the checkpoint again",
        ) from error
    except (msgspec.MsgspecError, ConfigError) as error:
        raise CheckpointError(
            f"{path} doesn't describe a detector", found=str(error), fix="Train or import it again"
        ) from error


def check_state(checkpoint: Checkpoint, name: str) -> None:
    """Check that the tensors are those that the configuration and contract require.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape.
        ConfigError: The anchors don't fit the network's feature maps.
    """
    check_anchors(checkpoint.config, checkpoint.contract)
    # build_model would draw random weights; on the meta device that loads torch's compiler for seconds.
    with torch.device("meta"):
        wanted = SsdLite(checkpoint.config, checkpoint.contract).state_dict()
    missing = [key for key in wanted if key not in checkpoint.state]
    unknown = [key for key in checkpoint.state if key not in wanted]
    if missing or unknown:
        raise CheckpointError(
            f"{name} doesn't hold its network's weights",
            expected=f"{len(wanted)} tensors",
            found=f"{len(missing)} missing ({_some(missing)}), {len(unknown)} unknown ({_some(unknown)})",
            fix="Train or import the checkpoint again",
        )
    for key, tensor in wanted.items():
        if checkpoint.state[key].shape != tensor.shape:
            raise CheckpointError(
                f"{name} has a tensor of another shape",
                expected=f"{key} {tuple(tensor.shape)}",
                found=str(tuple(checkpoint.state[key].shape)),
                fix="Train or import the checkpoint again",
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "") if names else "none"


def _compact(state: dict[str, Tensor], *, half: bool = False) -> dict[str, Tensor]:
    """Copy a state to contiguous float32 CPU tensors that share no storage with larger ones."""

    def dtype(tensor: Tensor) -> torch.dtype:
        if not tensor.is_floating_point():
            return tensor.dtype
        # Only convolutions, because batch norm variances can exceed float16's range.
        return torch.float16 if half and tensor.ndim == 4 else torch.float32

    return {
        name: tensor.detach().to("cpu", dtype(tensor)).clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
