"""Each name of an appended operator stands for one tensor."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.lower.tensorrt.op_writer import OpWriter


def test_names_are_given_once() -> None:
    writer = OpWriter(public=())
    writer.constant("one", 1, np.float32)
    writer.constant("one", 1, np.float32)
    with pytest.raises(ValueError, match="Two constants"):
        writer.constant("one", 2, np.float32)
    writer.op("Relu", ["x"], "made")
    with pytest.raises(ValueError, match="Two tensors"):
        writer.op("Relu", ["x"], "made")
    with pytest.raises(ValueError, match="Two tensors"):
        writer.op("Relu", ["x"], "one")
