"""onnxruntime as a backend: files that it can't use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgessd.core.errors import BackendError
from edgessd.core.onnx_metadata import TENSORS_KEY
from edgessd.runtime.ort_backend import OrtBackend


def _engine(*inputs: str, side: int | str = 4, metadata: str | None = None) -> bytes:
    shape = [1, 3, side, side]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Sum", list(inputs), ["total"])],
            "sum",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
            [helper.make_tensor_value_info("total", TensorProto.FLOAT, shape)],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    if metadata is not None:
        model.metadata_props.add(key=TENSORS_KEY, value=metadata)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_an_engine_runs_and_refuses_to_after_it_is_closed() -> None:
    backend = OrtBackend(_engine("image"))
    image = np.ones((1, 3, 4, 4), np.float32)
    np.testing.assert_array_equal(backend.infer(image)["total"], image)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="was closed"):
        backend.infer(image)


def test_two_inputs_are_no_detector() -> None:
    with pytest.raises(BackendError, match="one image input"):
        OrtBackend(_engine("left", "right"))


def test_a_shape_that_is_not_fixed_is_refused() -> None:
    with pytest.raises(BackendError, match="static shape"):
        OrtBackend(_engine("image", side="side"))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{", "can't be read"),
        (
            '{"inputs": [{"name": "image", "shape": [1, 3, 8, 8], "dtype": "float32"}], "outputs": []}',
            "differs from its metadata",
        ),
    ],
)
def test_metadata_that_does_not_fit_the_tensors_is_refused(metadata: str, message: str) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        OrtBackend(_engine("image", metadata=metadata))
    assert "edgessd build" in str(caught.value)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BackendError, match=r"refuses .*broken\.onnx"):
        OrtBackend(tmp_path / "broken.onnx")
