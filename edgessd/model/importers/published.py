"""Download a published weights file once, and check its sha256."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from edgessd.core.errors import CheckpointError
from edgessd.core.files import cache_directory, replacing, sha256_of


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file on the internet.

    Attributes:
        url: Address of the file.
        sha256: Expected sha256 of its bytes.
        size: Expected size in bytes.
    """

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


# Size and sha256 are those in OpenVINO's Open Model Zoo (models/public/mobilenet-v2-pytorch/model.yml).
# The publisher's file name has the first 8 digits of the sha256.
MOBILENET_V2_IMAGENET = PublishedFile(
    url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
    sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    size=14212972,
)


def fetch(file: PublishedFile, *, timeout: float = 30.0) -> Path:
    """Return the file's path in the cache; download it if it isn't there.

    Raises:
        CheckpointError: The download fails, or the file has another sha256.
    """
    cached = cache_directory() / file.name
    if cached.is_file() and sha256_of(cached) == file.sha256:
        return cached
    try:
        with replacing(cached) as temporary:
            _download(file, temporary, timeout)
    except (OSError, urllib.error.URLError) as error:
        raise CheckpointError(
            f"{file.name} can't be downloaded from {file.url}",
            found=str(error),
            fix=f"Download it on a machine with a network and give the path: --weights {file.name}, "
            f"or put it at {cached}. To start without it: --weights none, or another checkpoint",
        ) from error
    return cached


def _download(file: PublishedFile, path: Path, timeout: float) -> None:
    with urllib.request.urlopen(file.url, timeout=timeout) as response, path.open("wb") as out:
        shutil.copyfileobj(response, out)
    found = sha256_of(path)
    if found != file.sha256:
        raise CheckpointError(
            f"{file.name} isn't the file that was published",
            expected=f"{file.size} bytes with sha256 {file.sha256}",
            found=f"{path.stat().st_size} bytes with sha256 {found}",
            fix="Try again; a proxy or a broken connection may have changed the file",
        )
