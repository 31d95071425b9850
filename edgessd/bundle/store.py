"""Write bundles atomically, and open them after verification."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgessd.bundle.manifest import (
    MANIFEST_NAME,
    CompanionFile,
    EngineFile,
    EngineFormat,
    Manifest,
)
from edgessd.bundle.quality import Accuracy
from edgessd.bundle.verify import read_manifest, verify_contract, verify_files
from edgessd.core.errors import BundleError
from edgessd.core.files import replacing_directory, write_atomically
from edgessd.core.tensors import TensorSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """Verified engine and manifest.

    Attributes:
        directory: Folder of the bundle.
        manifest: Content of its manifest.json.
    """

    directory: Path
    manifest: Manifest

    @property
    def engine_path(self) -> Path:
        """File that a backend executes."""
        return self.directory / self.manifest.engine.file


def describe_engine(
    file: str,
    content: bytes,
    *,
    format: EngineFormat,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
) -> EngineFile:
    """Make the manifest's entry for an engine file with this name and content."""
    return EngineFile(
        file=file,
        format=format,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        inputs=inputs,
        outputs=outputs,
    )


def describe_companion(file: str, content: bytes) -> CompanionFile:
    """Make the manifest's entry for a file beside the engine."""
    return CompanionFile(file=file, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def write_bundle(
    directory: Path,
    manifest: Manifest,
    engine: bytes,
    companions: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write `manifest.json` and the engine; replace an older bundle in one step.

    Args:
        directory: Folder of the bundle, made with its parents. An existing folder must be empty or a
            bundle.
        manifest: Manifest whose `engine` is from `describe_engine` over the same bytes.
        engine: Content of the engine file.
        companions: Name → content of the other files that the manifest states.

    Raises:
        BundleError: The folder holds something else, or the manifest and the files differ.
    """
    require_replaceable(directory)
    verify_contract(manifest)
    with replacing_directory(directory) as temporary:
        for name, content in {**(companions or {}), manifest.engine.file: engine}.items():
            (temporary / name).write_bytes(content)
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (temporary / MANIFEST_NAME).write_bytes(text + b"\n")
        verify_files(manifest, temporary)
    return Bundle(directory=directory, manifest=manifest)


def open_bundle(directory: Path | str) -> Bundle:
    """Read a bundle and verify its manifest, the sha256 of each file, and tensors against the contract.

    Raises:
        BundleError: One of them is wrong.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    verify_files(manifest, directory)
    verify_contract(manifest)
    return Bundle(directory=directory, manifest=manifest)


def add_accuracy(directory: Path, accuracy: Accuracy) -> Manifest:
    """Write an accuracy into a bundle's manifest; leave the engine as it is.

    An older entry of the same data, split and engine is replaced.

    Raises:
        BundleError: There is no bundle, or its verification fails.
    """
    manifest = open_bundle(directory).manifest
    same = (accuracy.data, accuracy.split, accuracy.engine)
    kept = [entry for entry in manifest.accuracy if (entry.data, entry.split, entry.engine) != same]
    manifest = msgspec.structs.replace(manifest, accuracy=(*kept, accuracy))
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    write_atomically(directory / MANIFEST_NAME, text + b"\n")
    return manifest


def require_replaceable(directory: Path) -> None:
    """Check that a folder is absent, empty or a bundle.

    Raises:
        BundleError: The folder holds something else.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise BundleError(
            f"The bundle can't be written: {directory} is a file",
            expected="a new folder, an empty one, or a bundle to replace",
            fix="Name another folder with --out",
        )
    entries = sorted(entry.name for entry in directory.iterdir())
    if entries and MANIFEST_NAME not in entries:
        raise BundleError(
            f"The bundle can't be written to {directory}: the folder holds something else",
            expected="a new folder, an empty one, or a bundle to replace",
            found=", ".join(entries[:5]) + (" …" if len(entries) > 5 else ""),
            fix="Name another folder with --out",
        )
