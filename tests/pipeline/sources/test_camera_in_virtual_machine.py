"""Run `test_camera_vivid` in a virtual machine, for kernels that can't load the virtual camera."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgessd.pipeline.sources.camera import list_cameras

pytestmark = [pytest.mark.device, pytest.mark.process]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def kernel_with_vivid() -> tuple[Path, Path] | None:
    """Find a kernel with the virtual camera: Debian's, or the one in $EDGESSD_TEST_KERNEL."""
    root = Path(os.environ.get("EDGESSD_TEST_KERNEL", "/"))
    for modules in sorted((root / "lib/modules").glob("*"), reverse=True):
        kernel = root / f"boot/vmlinuz-{modules.name}"
        if kernel.is_file() and next(modules.rglob("vivid.ko*"), None):
            return kernel, modules
    return None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_camera_tests_pass_in_a_machine_that_has_one(tmp_path: Path) -> None:
    if any(name.startswith("vivid") for name in list_cameras().values()):
        pytest.skip("this machine has the virtual camera itself")
    if shutil.which("qemu-system-x86_64") is None or not Path("/bin/busybox").exists():
        pytest.skip("no virtual machine; sudo apt install qemu-system-x86 busybox-static")
    kernel = kernel_with_vivid()
    if kernel is None:
        pytest.skip("no kernel with the virtual camera; sudo apt install linux-image-amd64")
    command = (
        f"cd {ROOT} && export PATH={os.environ['PATH']} OMP_NUM_THREADS=1 "
        "PYTHONDONTWRITEBYTECODE=1 && "
        f"{sys.executable} -m pytest -q -rs -p no:cacheprovider {HERE / 'test_camera_vivid.py'}"
    )
    ended = subprocess.run(
        [
            sys.executable, str(HERE / "servers/virtual_machine.py"),
            *map(str, kernel), str(tmp_path), "500", command,
        ],
        capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
    assert "skipped" not in ended.stdout, ended.stdout
