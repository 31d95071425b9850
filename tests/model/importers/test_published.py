"""A published file is downloaded once, and only if it has the expected sha256."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgessd.core.errors import CheckpointError
from edgessd.model.importers.published import MOBILENET_V2_IMAGENET, PublishedFile, fetch


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of an HTTP server."""
    folder = tmp_path / "published"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", folder
        http.shutdown()
        thread.join()


def test_a_file_is_downloaded_once_and_checked(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    monkeypatch.setenv("EDGESSD_CACHE", str(tmp_path / "cache"))
    content = b"the published bytes"
    (folder / "weights.pth").write_bytes(content)
    file = PublishedFile(
        url=f"{url}/weights.pth", sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )
    assert fetch(file).read_bytes() == content
    (folder / "weights.pth").unlink()
    cached = fetch(file)  # the server has no such file any more
    assert cached.read_bytes() == content
    cached.write_bytes(content[:-1])  # a damaged file in the cache is not used
    with pytest.raises(CheckpointError, match="404"):
        fetch(file)


def test_a_file_with_other_bytes_is_refused_and_deleted(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    cache = tmp_path / "cache"
    monkeypatch.setenv("EDGESSD_CACHE", str(cache))
    (folder / "mobilenet_v2-b0353104.pth").write_bytes(b"something else")
    file = replace(MOBILENET_V2_IMAGENET, url=f"{url}/mobilenet_v2-b0353104.pth")
    with pytest.raises(CheckpointError, match="isn't the file that was published"):
        fetch(file)
    assert list(cache.iterdir()) == []


def test_without_network_the_error_names_the_file_to_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESSD_CACHE", str(tmp_path))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    file = replace(MOBILENET_V2_IMAGENET, url=f"http://127.0.0.1:{port}/weights.pth")
    with pytest.raises(CheckpointError, match=r"--weights weights\.pth"):
        fetch(file)


def test_the_sha256_agrees_with_the_file_name() -> None:
    assert MOBILENET_V2_IMAGENET.name == "mobilenet_v2-b0353104.pth"
    assert MOBILENET_V2_IMAGENET.sha256.startswith("b0353104")
    assert len(MOBILENET_V2_IMAGENET.sha256) == 64
