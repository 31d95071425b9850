"""The small flatbuffer reader: fields as the library wrote them, and damaged buffers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import flatbuffers
import pytest
from flatbuffers import flexbuffers

from edgessd.core.errors import BackendError
from edgessd.core.tensors import QuantParams, TensorSpec
from edgessd.runtime.flatbuffer_view import DamagedBufferError, flexbuffer_numbers, root_table
from edgessd.runtime.foreign_tflite import read_foreign_model


def one_table() -> memoryview:
    """A table with an int32 7, a string "car", floats [1.5, -2], slot 3 left out, and a child."""
    builder = flatbuffers.Builder()
    name = builder.CreateString("car")
    builder.StartVector(4, 2, 4)
    builder.PrependFloat32(-2.0)
    builder.PrependFloat32(1.5)
    floats = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUint8Slot(0, 200, 0)
    child = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(child)
    children = builder.EndVector()
    builder.StartObject(6)
    builder.PrependInt32Slot(0, 7, 0)
    builder.PrependUOffsetTRelativeSlot(1, name, 0)
    builder.PrependUOffsetTRelativeSlot(2, floats, 0)
    builder.PrependUOffsetTRelativeSlot(4, child, 0)
    builder.PrependUOffsetTRelativeSlot(5, children, 0)
    builder.Finish(builder.EndObject())
    return memoryview(bytes(builder.Output()))


def test_reads_every_kind_of_field() -> None:
    table = root_table(one_table())
    assert table.number(0, "i") == 7
    assert table.text(1) == "car"
    assert table.numbers(2, "f") == [1.5, -2.0]
    child = table.table(4)
    assert child is not None
    assert child.number(0, "B") == 200
    assert [entry.number(0, "B") for entry in table.tables(5)] == [200]


def test_absent_fields_have_their_defaults() -> None:
    table = root_table(one_table())
    assert table.number(3, "i", default=5) == 5
    assert table.table(3) is None
    assert (table.text(3), table.numbers(3, "f"), table.tables(3)) == ("", [], [])
    assert table.number(99, "i") == 0


@pytest.mark.parametrize("length", range(0, len(one_table()), 3))
def test_a_cut_buffer_is_never_read_beyond_its_end(length: int) -> None:
    """Every field is read correctly or raises DamagedBufferError, and nothing else."""
    whole, cut = root_table(one_table()), one_table()[:length]
    with contextlib.suppress(DamagedBufferError):
        table = root_table(cut)
        assert table.text(1) in ("", whole.text(1))
        assert table.numbers(2, "f") in ([], whole.numbers(2, "f"))
        assert len(table.tables(5)) <= 1


@pytest.mark.parametrize("big", [False, True])
def test_reads_the_scalars_of_a_flexbuffer_map(big: bool) -> None:
    options = {
        "max_detections": 10,
        "num_classes": 90,
        "nms_iou_threshold": 0.6,
        "use_regular_nms": True,
        "offset": -3,
        "name": "left out",
    }
    if big:  # a wide number makes every value of the map eight bytes wide
        options["large"] = 1 << 40
    builder = flexbuffers.Builder()
    builder.MapFromElements(options)
    found = flexbuffer_numbers(memoryview(bytes(builder.Finish())))
    del options["name"]
    assert found == pytest.approx({key: float(value) for key, value in options.items()})


def test_options_that_are_no_map_have_no_entries() -> None:
    assert flexbuffer_numbers(memoryview(bytes(flexbuffers.Dumps([1, 2])))) == {}


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xff\x27\x01"])
def test_damaged_options_are_named(data: bytes) -> None:
    with pytest.raises(DamagedBufferError, match="options"):
        flexbuffer_numbers(memoryview(data))


@pytest.mark.parametrize("length", [0, 5, 40, 300, 5_000])
def test_a_truncated_model_is_an_error_with_a_way_out(
    shared: Path, tmp_path: Path, length: int
) -> None:
    folder = shared / "data" / "google_ssd_mobilenet_v1_coco"
    whole = (folder / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[:length])
    image = TensorSpec(
        name="image",
        shape=(1, 300, 300, 3),
        dtype="uint8",
        quantization=QuantParams(scale=1 / 128, zero_point=128),
        layout="NHWC",
    )
    with pytest.raises(BackendError):
        read_foreign_model(path, image, ())
