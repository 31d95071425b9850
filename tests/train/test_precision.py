"""Choice of the device and the number format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgessd.core.errors import ConfigError
from edgessd.train.precision import choose_device, choose_precision, has_cpu_bfloat16


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("Features\t: fp asimd bf16", True),
        ("model name\t: a processor", False),
    ],
)
def test_bfloat16_only_where_the_processor_has_it(tmp_path: Path, flags: str, has: bool):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    assert has_cpu_bfloat16(tmp_path / "cpuinfo") is has
    assert not has_cpu_bfloat16(tmp_path / "absent")


def test_a_named_precision_is_kept():
    assert choose_precision("bfloat16", torch.device("cpu")) == "bfloat16"
    assert choose_precision("float32", torch.device("cpu")) == "float32"


def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match="Unknown device"):
        choose_device("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_cuda_is_refused():
    with pytest.raises(ConfigError, match="no CUDA"):
        choose_device("cuda")
