"""Models that `open_model` recognizes, and everything it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgessd.bundle.store import Bundle, describe_engine, write_bundle
from edgessd.core.contract import Nms
from edgessd.core.errors import BackendError, BundleError
from edgessd.core.images import list_images, read_image
from edgessd.core.tensors import QuantParams
from edgessd.runtime.detector import Detector

Bundles = dict[str, Bundle]
# An untrained head gives similar scores to all anchors, so the threshold is low.
EAGER = Nms(score_threshold=0.2, iou_threshold=0.5)


@pytest.fixture
def photo(photos: Path) -> np.ndarray:
    return read_image(list_images(photos)[0])


@pytest.mark.parametrize(
    ("target", "scheme"), [("host-float", "float"), ("jetson-orin-nano", "symmetric")]
)
def test_an_edgessd_onnx_runs_by_its_own_contract(
    tiny_bundles: Bundles, tmp_path: Path, photo: np.ndarray, target: str, scheme: str
) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(tiny_bundles[target].engine_path.read_bytes())
    with (
        Detector(path, nms=EAGER) as alone,
        Detector(tiny_bundles[target].directory, backend="onnxruntime", nms=EAGER) as bundled,
    ):
        assert alone.model.scheme == scheme
        assert alone.model.manifest is None
        np.testing.assert_array_equal(alone(photo).boxes, bundled(photo).boxes)


def test_a_foreign_onnx_is_refused(tiny_bundles: Bundles, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(tiny_bundles["host-float"].engine_path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(BackendError, match=r"has no contract.*edgessd import"):
        Detector(tmp_path / "foreign.onnx")


def test_an_unfinished_bundle_runs_only_as_its_reference(
    tiny_bundles: Bundles, photo: np.ndarray
) -> None:
    directory = tiny_bundles["jetson-orin-nano"].directory
    with pytest.raises(BundleError, match=r"can't run here.*--backend onnxruntime"):
        Detector(directory)
    with Detector(directory, backend="onnxruntime") as detector:
        assert any("Not the device's engine" in note for note in detector.notes)
        detector(photo)


def copied(bundle: Bundle, folder: Path) -> Path:
    return Path(shutil.copytree(bundle.directory, folder / "copy"))


def test_a_flipped_byte_is_refused(tiny_bundles: Bundles, tmp_path: Path) -> None:
    directory = copied(tiny_bundles["host"], tmp_path)
    engine = directory / "engine.tflite"
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 0x10
    engine.write_bytes(content)
    with pytest.raises(BundleError, match="changed or damaged"):
        Detector(directory)


def test_a_manifest_that_contradicts_its_engine_is_refused(
    tiny_bundles: Bundles, tmp_path: Path
) -> None:
    """Hash and contract are right; only the opened engine differs."""
    bundle = tiny_bundles["host"]
    content = bundle.engine_path.read_bytes()
    engine = bundle.manifest.engine
    outputs = tuple(
        msgspec.structs.replace(output, quantization=QuantParams(scale=0.5))
        for output in engine.outputs
    )
    lying = msgspec.structs.replace(
        bundle.manifest,
        engine=describe_engine(
            engine.file, content, format="tflite", inputs=engine.inputs, outputs=outputs
        ),
    )
    write_bundle(tmp_path / "lying", lying, content)
    with pytest.raises(BundleError, match="differs from the manifest"):
        Detector(tmp_path / "lying")


def test_the_engine_of_a_bundle_is_not_run_without_its_manifest(tiny_bundles: Bundles) -> None:
    bundle = tiny_bundles["host"]
    with pytest.raises(BundleError, match=f"Give {bundle.directory} instead"):
        Detector(bundle.engine_path)


def test_a_path_to_the_manifest_opens_its_bundle(tiny_bundles: Bundles) -> None:
    with Detector(tiny_bundles["host"].directory / "manifest.json") as detector:
        assert detector.name == "tiny"


def test_a_bundle_for_a_target_unknown_here_still_runs(
    tiny_bundles: Bundles, tmp_path: Path
) -> None:
    bundle = tiny_bundles["host"]
    manifest = msgspec.structs.replace(bundle.manifest, target="someones-board")
    write_bundle(tmp_path / "board", manifest, bundle.engine_path.read_bytes())
    with Detector(tmp_path / "board") as detector:
        assert detector.details["backend"] == "litert"


def test_a_bundle_takes_no_label_file(tiny_bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="labels of its own"):
        Detector(tiny_bundles["host"].directory, labels=tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "There is no model"),
        ("absent.tflite", "edgessd build --target host"),
        ("weights.pt", "--checkpoint FILE"),
        ("picture.jpg", r"Found \.jpg"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(BackendError, match=reason):
        Detector(tmp_path / name)


def test_no_threads_is_refused(tiny_bundles: Bundles) -> None:
    with pytest.raises(BackendError, match="threads >= 1"):
        Detector(tiny_bundles["host"].directory, threads=0)
