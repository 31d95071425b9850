"""Buffers are aligned and shared, and operators have their lowest versions."""

from __future__ import annotations

import numpy as np
from tflite_graphs import Parsed

from edgessd.lower.tflite.lower import lower_to_tflite

# Lowest op version that takes int8, by tensorflow/lite/tools/versioning/op_version.cc.
INT8_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "CONCATENATION": 2, "RESHAPE": 1}


def test_versions_are_the_lowest_that_take_int8(small):
    assert Parsed(lower_to_tflite(small, input_dtype="int8").content).versions() == INT8_VERSIONS
    unsigned = Parsed(lower_to_tflite(small, input_dtype="uint8").content).versions()
    assert unsigned == INT8_VERSIONS | {"QUANTIZE": 1}


def buffer_places(content):
    """Find (offset in the file, bytes) of each buffer's data."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            data = buffer.DataAsNumpy()
            yield data.__array_interface__["data"][0] - start, data.size


def test_buffers_are_aligned_and_shared(small):
    content = lower_to_tflite(small).content
    parsed = Parsed(content)
    data = [bytes(b.data) for b in parsed.model.buffers if b.data is not None]
    assert len(data) == len(set(data)), "equal constants must share a buffer"
    offsets = [offset for offset, size in buffer_places(content) if size]
    assert len(offsets) == len(data) > 100
    assert not [offset for offset in offsets if offset % 16]
