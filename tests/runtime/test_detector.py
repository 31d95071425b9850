"""`Detector` over everything it opens, and everything it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgessd.bundle.store import Bundle, describe_engine, write_bundle
from edgessd.core.contract import Nms
from edgessd.core.errors import BackendError, BundleError, ConfigError
from edgessd.core.images import list_images, read_image
from edgessd.core.tensors import Affine
from edgessd.runtime.detector import Detector
from edgessd.runtime.starter import default_bundle, starter_bundle

Bundles = dict[str, Bundle]
# An untrained head scores everything about alike, so nearly everything must be let through.
EAGER = Nms(score_threshold=0.2, iou_threshold=0.5)


@pytest.fixture
def photo(photos: Path) -> np.ndarray:
    return read_image(list_images(photos)[0])


def test_a_float_bundle_finds_what_its_checkpoint_finds(
    tiny_bundles: Bundles, tiny_checkpoint: Path, photo: np.ndarray
) -> None:
    from edgessd.model.checkpoint import load_checkpoint
    from edgessd.model.predictor import CheckpointPredictor

    expected = CheckpointPredictor(load_checkpoint(tiny_checkpoint), nms=EAGER)(photo)
    with Detector(tiny_bundles["host-float"].directory, nms=EAGER) as detector:
        found = detector(photo)
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(np.sort(found.boxes, 0), np.sort(expected.boxes, 0), atol=0.05)


def test_the_op_finds_what_the_raw_outputs_decode_to(tiny_bundles: Bundles, photos: Path) -> None:
    """Same integers, two decoders: TFLite's in the engine and ours."""
    raw, op = (Detector(tiny_bundles[name].directory) for name in ("host", "android"))
    raw.nms = msgspec.structs.replace(raw.nms, score_threshold=0.3)
    assert op.model.ends_in_op
    assert not raw.model.ends_in_op
    compared = 0
    for path in list_images(photos):
        image = read_image(path)
        ours, theirs = raw(image), op(image)
        for box, score in zip(theirs.boxes[:3], theirs.scores[:3], strict=True):
            # One rounding step of the scores may reorder neighbours; a near twin must exist.
            near = np.abs(ours.boxes - box).max(axis=1) < 3
            assert (np.abs(ours.scores[near] - score) < 0.05).any(), path
            compared += 1
    raw.close()
    op.close()
    assert compared > 0


def test_stages_are_what_a_call_does(tiny_bundles: Bundles, photo: np.ndarray) -> None:
    with Detector(tiny_bundles["host"].directory, nms=EAGER) as detector:
        whole = detector(photo)
        tensor, transform = detector.preprocess(photo)
        again, _ = detector.preprocess(photo, out=np.empty_like(tensor))
        np.testing.assert_array_equal(tensor, again)
        found = detector.postprocess(detector.infer(tensor), transform)
    np.testing.assert_array_equal(whole.boxes, found.boxes)
    assert transform.source_width == photo.shape[1]


def test_says_what_it_is(tiny_bundles: Bundles) -> None:
    with Detector(tiny_bundles["host"].directory, threads=1) as detector:
        assert (detector.name, detector.target, detector.model.scheme) == ("tiny", "host", "affine")
        assert detector.labels == ("cat", "dog", "bird")
        assert detector.input_size == (96, 96)
        assert detector.model.engine_path.name == "engine.tflite"
        assert detector.details["backend"] == "litert"
        assert detector.details["threads"] == 1


def test_suppression_can_be_changed_while_it_runs(tiny_bundles: Bundles, photo: np.ndarray) -> None:
    with Detector(tiny_bundles["host"].directory, nms=EAGER) as detector:
        assert len(detector(photo)) > 0
        detector.score_threshold = 1.0
        assert detector.nms == msgspec.structs.replace(EAGER, score_threshold=1.0)
        assert len(detector(photo)) == 0
        with pytest.raises(ConfigError, match="out of range"):
            detector.score_threshold = 2


def test_closing_twice_is_fine(tiny_bundles: Bundles, photo: np.ndarray) -> None:
    detector = Detector(tiny_bundles["host"].directory)
    detector.close()
    detector.close()
    with pytest.raises(BackendError, match="closed"):
        detector(photo)


@pytest.mark.parametrize(
    ("target", "scheme"), [("host-float", "float"), ("jetson-orin-nano", "symmetric")]
)
def test_an_onnx_of_ours_runs_by_the_contract_it_carries(
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


def test_an_unfinished_bundle_runs_only_where_its_reference_is_asked_for(
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


def test_a_manifest_that_lies_about_its_engine_is_refused(
    tiny_bundles: Bundles, tmp_path: Path
) -> None:
    """Its hash holds, its contract holds; only the engine itself can tell."""
    bundle = tiny_bundles["host"]
    content = bundle.engine_path.read_bytes()
    engine = bundle.manifest.engine
    outputs = tuple(
        msgspec.structs.replace(output, quantization=Affine(scale=0.5)) for output in engine.outputs
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


def test_the_manifest_stands_for_its_bundle(tiny_bundles: Bundles) -> None:
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
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(BackendError, match=reason):
        Detector(tmp_path / name)


def test_no_threads_is_refused(tiny_bundles: Bundles) -> None:
    with pytest.raises(BackendError, match="threads >= 1"):
        Detector(tiny_bundles["host"].directory, threads=0)


def test_the_newest_runnable_bundle_is_the_default(tiny_bundles: Bundles, tmp_path: Path) -> None:
    import os

    for age, name in enumerate(("jetson-orin-nano", "host", "android")):
        directory = shutil.copytree(tiny_bundles[name].directory, tmp_path / "dist" / name)
        os.utime(directory / "manifest.json", (1e9 - age, 1e9 - age))
    assert default_bundle(tmp_path).name == "host"


def test_without_any_bundle_the_starter_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgessd.runtime import starter

    folder = tmp_path / "starter"
    monkeypatch.setattr(starter, "resource_directory", lambda name: folder)
    with pytest.raises(BundleError, match=r"There is no model.*edgessd train"):
        default_bundle(tmp_path)
    (folder / "codes-int8").mkdir(parents=True)
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        starter_bundle()
    (folder / "codes-int8" / "manifest.json").write_text("{}")
    assert default_bundle(tmp_path) == folder / "codes-int8"


def test_running_loads_neither_torch_nor_onnx(tiny_bundles: Bundles) -> None:
    """A Raspberry Pi has neither."""
    program = (
        "import sys, numpy\n"
        "from edgessd import Detector\n"
        "for model, backend in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    Detector(model, backend=backend)(numpy.zeros((60, 80, 3), numpy.uint8))\n"
        "heavy = {'torch', 'onnx', 'onnxsim', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    models = [
        argument
        for name, backend in (
            ("host", "litert"),
            ("android", "litert"),
            ("host-float", "onnxruntime"),
            ("jetson-orin-nano", "onnxruntime"),
        )
        for argument in (str(tiny_bundles[name].directory), backend)
    ]
    subprocess.run([sys.executable, "-c", program, *models], check=True)
