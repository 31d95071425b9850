"""Installed TensorRT: versions, and errors with the install command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgessd.core.errors import BackendError
from edgessd.runtime.tensorrt import provider as provider_module
from edgessd.runtime.tensorrt.provider import (
    Provider,
    find_provider,
    parse_version,
    require_binding,
    system_bindings,
    trtexec_version,
)

THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no binding be importable and no trtexec exist."""

    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(provider_module, "import_module", absent)
    monkeypatch.setattr(provider_module, "find_trtexec", lambda: None)


def program(folder: Path, script: str) -> Path:
    """Write a shell script in place of trtexec."""
    path = folder / "trtexec"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def bind(root: Path, python: str, library: str = "tensorrt.so") -> None:
    folder = root / f"usr/lib/python{python}/dist-packages/tensorrt"
    folder.mkdir(parents=True)
    (folder / library).touch()


def test_finds_rtx_with_its_version(rtx: Provider) -> None:
    assert rtx.name == "tensorrt_rtx"
    assert rtx.version >= (1, 4)
    assert rtx.title == f"TensorRT-RTX {rtx.module.__version__}"
    assert rtx.dialect.strongly_typed
    assert rtx.dialect.ahead_of_time


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(BackendError, match="tensorrt or tensorrt_rtx"):
        find_provider("tensorflow")


def test_without_tensorrt_a_pc_gets_the_install_command(nowhere, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=rf"Python {THIS_PYTHON}.*pip install tensorrt"):
        find_provider("tensorrt", root=tmp_path)
    with pytest.raises(BackendError, match=r"pip install tensorrt-rtx"):
        find_provider("tensorrt_rtx", root=tmp_path)


def test_without_tensorrt_a_jetson_gets_jetpacks_package(nowhere, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1\n")
    with pytest.raises(BackendError, match="apt install python3-libnvinfer"):
        find_provider("tensorrt", root=tmp_path)


def test_a_binding_for_another_python_is_named(nowhere, tmp_path: Path) -> None:
    bind(tmp_path, "3.12")
    other = "3.12" if THIS_PYTHON != "3.12" else "3.13"
    if other == "3.13":
        bind(tmp_path, "3.13")
    with pytest.raises(BackendError) as caught:
        find_provider("tensorrt", root=tmp_path)
    text = str(caught.value)
    assert f"Found Python {THIS_PYTHON}" in text
    assert f"for Python {other}" in text
    assert f"/usr/bin/python{other} -m venv --system-site-packages" in text


def test_a_binding_that_the_environment_hides_is_named(nowhere, tmp_path: Path) -> None:
    bind(tmp_path, THIS_PYTHON)
    with pytest.raises(BackendError, match=r"hidden from this environment.*--system-site-packages"):
        find_provider("tensorrt", root=tmp_path)


def test_the_python_of_jetpack_5_is_too_old_for_edgessd(nowhere, tmp_path: Path) -> None:
    bind(tmp_path, "3.8")
    with pytest.raises(BackendError, match=r"for Python 3\.8 and edgessd needs 3\.10.*JetPack 6"):
        find_provider("tensorrt", root=tmp_path)


def test_the_python_of_debians_common_folder_is_read_from_the_library(tmp_path: Path) -> None:
    bind(tmp_path, "3", "tensorrt.cpython-310-aarch64-linux-gnu.so")
    assert system_bindings(tmp_path) == ((3, 10),)


@pytest.mark.parametrize(
    ("number", "version"),
    [("8502", (8, 5, 2)), ("8601", (8, 6, 1)), ("100300", (10, 3, 0)), ("110401", (11, 4, 1))],
)
def test_trtexecs_version_is_read_from_its_output(tmp_path: Path, number: str, version) -> None:
    script = f'echo "&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] # trtexec --help"'
    assert trtexec_version(program(tmp_path, script)) == version


def test_a_trtexec_without_a_version_is_refused(tmp_path: Path) -> None:
    script = "echo 'error while loading shared libraries: libnvinfer.so.10' >&2; exit 127"
    with pytest.raises(BackendError, match=r"TensorRT version of.*libnvinfer\.so\.10"):
        trtexec_version(program(tmp_path, script))


def test_trtexec_is_used_without_a_binding(
    nowhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(tmp_path, 'echo "&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # x"')
    monkeypatch.setattr(provider_module, "find_trtexec", lambda: path)
    found = find_provider()
    assert (found.name, found.version, found.module, found.trtexec) == (
        "tensorrt",
        (8, 6, 1),
        None,
        path,
    )
    with pytest.raises(BackendError, match="which compiles"):
        require_binding(found, root=tmp_path)


def test_versions_are_read_from_any_suffix() -> None:
    assert parse_version("10.13.3.9.post1") == (10, 13, 3, 9)
    assert parse_version("1.7.1.116") == (1, 7, 1, 116)
