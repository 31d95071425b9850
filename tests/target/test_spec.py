"""Targets that contradict themselves, and the facts of those that ship."""

from __future__ import annotations

from pathlib import Path

import pytest
from target_files import MINIMAL, write

from edgessd.core.errors import ConfigError
from edgessd.target.load import list_targets, load_target, read_target


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("threads", 'flavor = "red"\nthreads'), "flavor"),
        (('title = "Some board"\n', ""), "title"),
        (('"affine"', '"asymmetric"'), "asymmetric"),
        (('["litert"]', "[]"), "no backend"),
        (('"affine"', '"symmetric"'), r"can't have the symmetric scheme.*affine"),
        (('"uint8"', '"float32"\npostprocess = "op"\ncompiled = 1'), "compiled"),
        (('format = "tflite"', 'format = "onnx"'), "can't have this input"),
        (("threads = 4", "threads = 0"), "no thread"),
        (("threads = 4", 'stands_for = "another"'), "stands for a profile"),
        (("name", "na me"), "can't be read"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    text = MINIMAL.replace("[engine]", "threads = 4\n[engine]")
    assert change[0] in text
    with pytest.raises(ConfigError, match=reason) as error:
        read_target(write(tmp_path, text.replace(*change, 1)))
    assert "board.toml" in str(error.value)


def test_a_plain_onnx_engine_does_not_end_in_post_processing(tmp_path: Path) -> None:
    text = (
        MINIMAL.replace('format = "tflite"', 'format = "onnx"')
        .replace('"affine"', '"float"')
        .replace('"uint8"', '"float32"\npostprocess = "op"')
    )
    with pytest.raises(ConfigError, match="can end in post-processing"):
        read_target(write(tmp_path, text))


TENSORRT = """
name = "board"
title = "Some Jetson"
backends = ["onnxruntime"]
[engine]
format = "tensorrt"
scheme = "symmetric"
input_dtype = "int8"
[tensorrt]
compute_capabilities = ["8.7"]
int8 = true
fp16 = true
[camera]
csi = "nvarguscamerasrc sensor-id={sensor} ! appsink"
"""


def test_a_tensorrt_target_has_defaults(tmp_path: Path) -> None:
    tensorrt = read_target(write(tmp_path, TENSORRT)).tensorrt
    assert tensorrt is not None
    assert (tensorrt.provider, tensorrt.dla_cores, tensorrt.nms_max_candidates) == (
        "tensorrt",
        0,
        5000,
    )
    assert tensorrt.unified_memory


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"int8"', '"float32"', r"can't have this input.*int8"),
        ('"symmetric"', '"affine"', r"can't have the affine scheme.*symmetric or float"),
        (
            "int8 = true",
            'int8 = false\nint8_reason = "Maxwell has none"',
            r"can't run an INT8 engine: Maxwell has none.*scheme = .float",
        ),
        ("int8 = true", "int8 = false", "contradict each other"),
        ('["8.7"]', '["sm_87"]', "compute capability.*sm_87"),
        ('["8.7"]', "[]", "compute capability"),
        ("int8 = true", "int8 = true\ndla_cores = 3", "dla_cores is out of range.*0 to 2"),
        ("int8 = true", "int8 = true\noptimization_level = 6", "optimization_level"),
        ("{sensor}", "{camera}", r"unknown placeholder.*sensor.*camera"),
        ("{sensor}", "{sensor", "stray brace"),
        (" ! appsink", "", "has no appsink"),
        ("[tensorrt]", "[device]\n[tensorrt]\nspeed = 1", "speed"),
    ],
)
def test_a_wrong_tensorrt_target_is_refused_with_the_reason(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    assert old in TENSORRT
    with pytest.raises(ConfigError, match=reason):
        read_target(write(tmp_path, TENSORRT.replace(old, new, 1)))


def test_a_tensorrt_engine_needs_its_table_and_nothing_else_has_one(tmp_path: Path) -> None:
    without = TENSORRT[: TENSORRT.index("[tensorrt]")]
    with pytest.raises(ConfigError, match="contradicts itself about TensorRT"):
        read_target(write(tmp_path, without))
    with pytest.raises(ConfigError, match="contradicts itself about TensorRT"):
        read_target(
            write(
                tmp_path,
                MINIMAL + '[tensorrt]\ncompute_capabilities = ["8.7"]\nint8 = true\nfp16 = true\n',
            )
        )


def test_boards_without_int8_state_the_reason() -> None:
    for name in ("jetson-nano", "jetson-tx2"):
        spec = load_target(name)
        assert spec.tensorrt is not None
        assert "no INT8" in spec.tensorrt.int8_reason
        assert spec.tensorrt.nms_max_candidates == 2000


def test_only_chips_with_dla_have_cores() -> None:
    cores = {
        spec.name: spec.tensorrt.dla_cores for spec in list_targets() if spec.tensorrt is not None
    }
    assert {name for name, count in cores.items() if count} == {
        "jetson-xavier-nx",
        "jetson-agx-xavier",
        "jetson-orin-nx",
        "jetson-agx-orin",
    }
