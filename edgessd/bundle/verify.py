"""Verify a bundle: its manifest, its files' hashes, its contract."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from edgessd.bundle.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    CompanionFile,
    EngineFile,
    Manifest,
)
from edgessd.core.errors import BundleError, ConfigError, EdgessdError
from edgessd.core.files import sha256_of
from edgessd.core.network_tensors import output_shapes
from edgessd.core.tensors import TensorSpec, check_number_form

REBUILD = "Build it again with `edgessd build`, or copy it again from where it was built"


def read_manifest(directory: Path) -> Manifest:
    """Parse manifest.json strictly.

    Raises:
        BundleError: There is no manifest, it isn't JSON, its format is newer, or a key is unknown or missing.
    """
    path = directory / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{directory} isn't a bundle: {MANIFEST_NAME} can't be read",
            expected=f"a folder with {MANIFEST_NAME} and an engine, as `edgessd build` writes it",
            found=error.strerror or str(error),
            fix="Name the bundle's own folder, e.g. dist/codes-raspberry-pi",
        ) from error
    try:
        loose = json.loads(content)
    except ValueError as error:
        raise BundleError(f"{path} isn't JSON", found=str(error), fix=REBUILD) from error
    version = loose.get("format_version", FORMAT_VERSION) if isinstance(loose, dict) else None
    # This comes before the strict parse, since a newer manifest may have keys unknown to this version.
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"{directory} was written by a newer edgessd",
            expected=f"bundle format {FORMAT_VERSION} or older",
            found=f"format {version}",
            fix="Update edgessd here: python -m pip install --upgrade edgessd",
        )
    try:
        return msgspec.convert(loose, Manifest)
    except (msgspec.ValidationError, EdgessdError) as error:
        raise BundleError(
            f"{path} isn't a manifest that this version of edgessd reads",
            found=str(error),
            fix=REBUILD,
        ) from error


def verify_files(manifest: Manifest, directory: Path) -> None:
    """Check that every file lies in the bundle with the size and sha256 that the manifest states.

    Raises:
        BundleError: A file is missing, changed, or lies outside the bundle.
    """
    _verify_file(manifest.engine, directory)
    if manifest.finish is not None:
        _verify_file(manifest.finish.weakly_typed, directory)
        _verify_file(manifest.finish.strongly_typed, directory)
    elif manifest.needs_finish:
        raise BundleError(
            f"{directory} must be finished on its device, and its manifest doesn't say what to compile there",
            expected=f"`finish` in {MANIFEST_NAME}",
            fix=REBUILD,
        )


def _verify_file(stated: EngineFile | CompanionFile, directory: Path) -> None:
    path = directory / stated.file
    if Path(stated.file).name != stated.file:
        raise BundleError(
            f"{directory} names a file outside itself",
            expected="a file name without a path",
            found=stated.file,
            fix=REBUILD,
        )
    if not path.is_file():
        raise BundleError(
            f"{directory} lacks a file",
            expected=f"the file {stated.file}",
            found=", ".join(sorted(entry.name for entry in directory.iterdir())),
            fix=REBUILD,
        )
    if path.stat().st_size != stated.size:
        raise BundleError(
            f"{path} isn't the file that was built",
            expected=f"{stated.size} bytes",
            found=f"{path.stat().st_size} bytes",
            fix=REBUILD,
        )
    digest = sha256_of(path)
    if digest != stated.sha256:
        raise BundleError(
            f"{path} was changed or damaged since it was built",
            expected=f"sha256 {stated.sha256[:16]}…",
            found=f"{digest[:16]}…",
            fix=REBUILD,
        )


def verify_contract(manifest: Manifest) -> None:
    """Check the engine's tensors against the contract.

    Raises:
        BundleError: The input isn't one image of the contract's size; raw outputs aren't N anchors
            and C columns; an integer tensor has no quantization.
    """
    engine, contract = manifest.engine, manifest.contract
    if len(engine.inputs) != 1:
        raise BundleError(
            "The engine isn't a detector",
            expected="one image input",
            found=f"{len(engine.inputs)} inputs",
            fix=REBUILD,
        )
    image = engine.inputs[0]
    height, width = contract.preprocess.height, contract.preprocess.width
    shape = (1, height, width, 3) if image.layout == "NHWC" else (1, 3, height, width)
    if image.layout == "flat" or image.shape != shape:
        _disagree("input", image, f"an image of {shape}")
    _require_number_form(image)
    if manifest.postprocess == "op":
        _verify_op_outputs(engine.outputs)
        return
    expected = output_shapes(contract)
    found = {output.name: output for output in engine.outputs}
    if set(found) != set(expected):
        raise BundleError(
            "The engine's outputs aren't those of a raw SSD head",
            expected=" and ".join(expected),
            found=", ".join(found) or "none",
            fix=REBUILD,
        )
    for name, wanted in expected.items():
        if found[name].shape != wanted:
            _disagree("output", found[name], f"{wanted} (anchors and labels of the contract)")
        _require_number_form(found[name])


def _verify_op_outputs(outputs: tuple[TensorSpec, ...]) -> None:
    if len(outputs) != 4 or any(output.dtype != "float32" for output in outputs):
        raise BundleError(
            "The engine doesn't end in a detection post-process op",
            expected="four float32 outputs: boxes, classes, scores, count",
            found=", ".join(f"{output.name} {output.dtype}" for output in outputs) or "none",
            fix=REBUILD,
        )


def _require_number_form(tensor: TensorSpec) -> None:
    try:
        check_number_form(tensor)
    except ConfigError as error:
        raise BundleError(
            error.problem, expected=error.expected, found=error.found, fix=REBUILD
        ) from error


def _disagree(role: str, tensor: TensorSpec, expected: str) -> None:
    raise BundleError(
        f"The engine's {role} {tensor.name} doesn't fit the contract of its bundle",
        expected=expected,
        found=f"{tensor.shape}, layout {tensor.layout}",
        fix=REBUILD,
    )
