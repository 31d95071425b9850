"""Choice of the CUDA library, and a machine without one."""

from __future__ import annotations

import pytest

from edgessd.core.errors import BackendError
from edgessd.runtime.tensorrt import cuda_pycuda, cuda_python
from edgessd.runtime.tensorrt.open_cuda import identify_gpu, open_cuda


def test_without_a_driver_every_way_to_cuda_is_refused(no_gpu) -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    for door in (open_cuda, identify_gpu, lambda: open_cuda("cuda-python")):
        with pytest.raises(BackendError, match=r"CUDA doesn't run on this machine.*edgessd doctor"):
            door()


def test_without_a_library_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    for module in (cuda_python, cuda_pycuda):
        monkeypatch.setattr(module, "import_module", absent)
    with pytest.raises(BackendError) as caught:
        open_cuda()
    text = str(caught.value)
    assert "pycuda: No module named 'pycuda.driver'" in text
    assert "cuda-python: No module named 'cuda.bindings.runtime'" in text
    assert 'pip install "cuda-python==12.*"' in text


def test_an_unknown_library_is_refused() -> None:
    with pytest.raises(BackendError, match="pycuda or cuda-python"):
        open_cuda("cupy")
