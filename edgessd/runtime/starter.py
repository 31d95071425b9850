"""The model that runs before anyone has trained one, and which model runs if none is named."""

from __future__ import annotations

from pathlib import Path

from edgessd.bundle.manifest import MANIFEST_NAME
from edgessd.bundle.verify import read_manifest
from edgessd.core.errors import BundleError
from edgessd.core.resources import resource_directory

BUNDLES = "dist"
"""Where `edgessd build` puts bundles, relative to the working folder."""


def starter_bundle() -> Path:
    """The folder of the starter model's int8 bundle, made for any CPU that LiteRT runs on.

    Raises:
        BundleError: This installation lacks it.
    """
    return _starter("codes-int8", MANIFEST_NAME)


def starter_checkpoint() -> Path:
    """The starter model's float checkpoint, from which `build` starts where nothing was trained.

    Raises:
        BundleError: This installation lacks it.
    """
    return _starter("codes.pt")


def default_bundle(folder: Path) -> Path:
    """The newest bundle in `folder`/dist that can run here, else the starter's.

    A bundle that is still to be finished on its device is passed over: it isn't what runs.

    Raises:
        BundleError: The newest one's manifest doesn't parse, or there is neither a bundle nor the
            starter.
    """
    manifests = sorted(
        (folder / BUNDLES).glob(f"*/{MANIFEST_NAME}"),
        key=lambda path: path.stat().st_mtime_ns,
        reverse=True,
    )
    for manifest in manifests:
        # A folder whose name starts with a dot is one that is being written.
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
        "There is no model to take: none was named, none lies here, and the starter model isn't "
        "part of this installation",
        found=found,
        fix="Train one with `edgessd train`, or name a model (--model for run and bench, "
        "--checkpoint for build)",
    )
