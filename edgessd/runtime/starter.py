"""Find the starter model, and the model that runs if none is named."""

from __future__ import annotations

from pathlib import Path

from edgessd.bundle.manifest import MANIFEST_NAME
from edgessd.bundle.verify import read_manifest
from edgessd.core.errors import BundleError
from edgessd.core.resources import resource_directory

BUNDLES = "dist"
"""Folder of the bundles that `edgessd build` writes, relative to the working folder."""


def starter_bundle() -> Path:
    """Return the folder of the starter model's int8 bundle, for any CPU that LiteRT runs on.

    Raises:
        BundleError: This installation lacks it.
    """
    return _starter("codes-int8", MANIFEST_NAME)


def starter_checkpoint() -> Path:
    """Return the starter model's float checkpoint, the default of `edgessd build`.

    Raises:
        BundleError: This installation lacks it.
    """
    return _starter("codes.pt")


def default_bundle(folder: Path) -> Path:
    """Return the newest complete bundle in `folder`/dist, else the starter's.

    A bundle that must still be finished on its device is skipped.

    Raises:
        BundleError: A manifest can't be parsed, or there is neither a bundle nor the starter.
    """
    manifests = sorted(
        (folder / BUNDLES).glob(f"*/{MANIFEST_NAME}"),
        key=lambda path: path.stat().st_mtime_ns,
        reverse=True,
    )
    for manifest in manifests:
        # A bundle is written in a folder whose name starts with a dot.
        if not manifest.parent.name.startswith(".") and not _needs_finish(manifest.parent):
            return manifest.parent
    return starter_bundle()


def _needs_finish(directory: Path) -> bool:
    return read_manifest(directory).needs_finish


def _starter(name: str, *inside: str) -> Path:
    try:
        path = resource_directory("starter") / name
    except FileNotFoundError as error:
        raise _without_starter(str(error)) from error
    if not path.joinpath(*inside).is_file():
        raise _without_starter(f"{path.joinpath(*inside)} is missing")
    return path


def _without_starter(found: str) -> BundleError:
    return BundleError(
        "There is no model: none was named, ./dist has none, and this installation lacks the starter model",
        expected="a model, a bundle in ./dist, or the starter model",
        found=found,
        fix="Train one with `edgessd train`, or name a model (--model for run and bench, "
        "--checkpoint for build)",
    )
