"""INT8 by compute capability."""

from __future__ import annotations

import pytest

from edgessd.runtime.tensorrt.gpu import GpuIdentity


@pytest.mark.parametrize(
    ("capability", "int8"),
    [((5, 3), False), ((6, 0), False), ((6, 1), True), ((6, 2), False), ((7, 2), True)],
)
def test_int8_is_known_by_the_capability(capability, int8: bool) -> None:
    gpu = GpuIdentity(name="x", capability=capability, total_memory=1, unified=True)
    assert gpu.has_int8 is int8
