"""Bundles that don't open: damaged files, wrong manifests, engines that don't fit their contract."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pet_bundle import BOX_CODES, CLASS_SCORES, CONTRACT, ENGINE, IMAGE, make_manifest

from edgessd.bundle.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Finish,
)
from edgessd.bundle.store import (
    describe_companion,
    open_bundle,
    write_bundle,
)
from edgessd.core.errors import BundleError

TYPED = ENGINE * 2


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "dist" / "pets-host", make_manifest(), ENGINE).directory


def write_unfinished(directory: Path) -> Path:
    """A bundle whose device compiles one of two graphs."""
    weak = describe_companion("engine.tflite", ENGINE)
    finish = Finish(
        weakly_typed=weak,
        strongly_typed=describe_companion("typed.onnx", TYPED),
        precision="int8",
        inputs=(IMAGE,),
        outputs=(BOX_CODES, CLASS_SCORES),
    )
    manifest = make_manifest(needs_finish=True, finish=finish)
    return write_bundle(directory, manifest, ENGINE, {"typed.onnx": TYPED}).directory


def edit_manifest(bundle: Path, **changes: Any) -> None:
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("position", [0, 500, len(ENGINE) - 1])
def test_a_flipped_bit_is_noticed(bundle: Path, position: int) -> None:
    content = bytearray(ENGINE)
    content[position] ^= 1
    (bundle / "engine.tflite").write_bytes(content)
    with pytest.raises(BundleError, match="changed or damaged") as error:
        open_bundle(bundle)
    assert "edgessd build" in str(error.value)


def test_a_truncated_engine_is_noticed_by_its_size(bundle: Path) -> None:
    (bundle / "engine.tflite").write_bytes(ENGINE[:-1])
    with pytest.raises(BundleError, match="1023 bytes"):
        open_bundle(bundle)


def test_a_missing_engine_names_what_is_there(bundle: Path) -> None:
    (bundle / "engine.tflite").unlink()
    with pytest.raises(BundleError, match=r"lacks a file.*engine\.tflite.*manifest\.json"):
        open_bundle(bundle)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="isn't a bundle"):
        open_bundle(tmp_path)


def test_a_broken_manifest_is_no_manifest(bundle: Path) -> None:
    (bundle / MANIFEST_NAME).write_text("{")
    with pytest.raises(BundleError, match="isn't JSON"):
        open_bundle(bundle)


def test_a_list_is_no_manifest(bundle: Path) -> None:
    (bundle / MANIFEST_NAME).write_text("[]")
    with pytest.raises(BundleError, match="isn't a manifest"):
        open_bundle(bundle)


def test_an_unknown_key_is_refused(bundle: Path) -> None:
    edit_manifest(bundle, treshold=0.5)  # codespell:ignore
    with pytest.raises(BundleError, match="treshold"):  # codespell:ignore
        open_bundle(bundle)


def test_a_value_outside_its_range_is_refused(bundle: Path) -> None:
    contract = msgspec.to_builtins(CONTRACT)
    contract["nms"]["score_threshold"] = 3
    edit_manifest(bundle, contract=contract)
    with pytest.raises(BundleError, match="score_threshold is out of range"):
        open_bundle(bundle)


def test_a_newer_format_asks_for_an_update_even_with_unknown_keys(bundle: Path) -> None:
    edit_manifest(bundle, format_version=FORMAT_VERSION + 1, shards=[1, 2])
    with pytest.raises(BundleError, match=r"newer edgessd.*--upgrade edgessd"):
        open_bundle(bundle)


def test_an_engine_outside_the_bundle_is_refused(bundle: Path) -> None:
    shutil.move(bundle / "engine.tflite", bundle.parent / "engine.tflite")
    engine = msgspec.to_builtins(make_manifest().engine) | {"file": "../engine.tflite"}
    edit_manifest(bundle, engine=engine)
    with pytest.raises(BundleError, match="outside itself"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"image": msgspec.structs.replace(IMAGE, shape=(1, 8, 9, 3))},
            r"an image of \(1, 8, 8, 3\)",
        ),
        ({"image": msgspec.structs.replace(IMAGE, layout="flat")}, "input image"),
        ({"image": msgspec.structs.replace(IMAGE, quantization=None)}, "can't be read as numbers"),
        ({"image": msgspec.structs.replace(IMAGE, dtype="float32")}, "can't be read as numbers"),
        (
            {"outputs": (msgspec.structs.replace(BOX_CODES, shape=(1, 5, 4)), CLASS_SCORES)},
            "box_codes doesn't fit",
        ),
        (
            {"outputs": (BOX_CODES, msgspec.structs.replace(CLASS_SCORES, shape=(1, 4, 2)))},
            "class_scores doesn't fit",
        ),
        ({"outputs": (BOX_CODES,)}, "raw SSD head"),
        ({"postprocess": "op"}, "detection post-process op"),
    ],
)
def test_a_contract_that_the_engine_does_not_fit_is_never_written(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        write_bundle(tmp_path / "pets", make_manifest(**changes), ENGINE)
    assert not (tmp_path / "pets").exists()


def test_both_graphs_of_an_unfinished_bundle_are_verified(tmp_path: Path) -> None:
    bundle = write_unfinished(tmp_path / "pets-jetson")
    assert open_bundle(bundle).manifest.finish is not None
    (bundle / "typed.onnx").write_bytes(TYPED[::-1])
    with pytest.raises(BundleError, match=r"typed\.onnx was changed or damaged"):
        open_bundle(bundle)
    (bundle / "typed.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks a file.*typed\.onnx"):
        open_bundle(bundle)


def test_an_unfinished_bundle_without_graphs_to_compile_is_refused(tmp_path: Path) -> None:
    bundle = write_unfinished(tmp_path / "pets-jetson")
    edit_manifest(bundle, finish=None)
    with pytest.raises(BundleError, match="doesn't say what to compile"):
        open_bundle(bundle)
