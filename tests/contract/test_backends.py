"""One suite for every backend: what callers may rely on, whichever library runs the engine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgessd.bundle.store import Bundle
from edgessd.core.errors import BackendError
from edgessd.core.tensors import QuantParams
from edgessd.quantize.recipe import Recipe
from edgessd.runtime.backend import Backend, Overlapping, Tensor
from edgessd.runtime.catalog import BACKENDS, backend_entry, backends_for, open_engine

pytestmark = pytest.mark.slow

Bundles = dict[str, Bundle]


def random_input(backend: Backend, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    spec = backend.input
    if spec.quantization is None:
        return rng.uniform(-1, 1, spec.shape).astype(spec.dtype)
    limits = np.iinfo(spec.dtype)
    return rng.integers(limits.min, limits.max, spec.shape, spec.dtype, endpoint=True)


@pytest.fixture(scope="module")
def integer_bundle(
    tiny_checkpoint: Path, photos: Path, cheap_recipe: Recipe, tmp_path_factory
) -> Bundle:
    """The tiny detector for a Jetson, with integers for outputs."""
    from edgessd.build.build_bundle import BuildRequest, build_bundle
    from edgessd.build.calibration_images import images_in
    from edgessd.target.load import load_target

    exemptions = tuple(
        entry for entry in cheap_recipe.exemptions if "box_codes" not in entry.tensors
    )
    request = BuildRequest(
        target=load_target("jetson-orin-nano"),
        checkpoint=tiny_checkpoint,
        name="tiny",
        out=tmp_path_factory.mktemp("integers") / "tiny",
        recipe=msgspec.structs.replace(cheap_recipe, exemptions=exemptions),
        images=lambda: images_in(photos, limit=16),
        gate=False,
    )
    return build_bundle(request).bundle


class BackendContract:
    """Subclasses name a backend and the bundle whose engine it runs."""

    name: str
    target: str

    @pytest.fixture
    def bundle(self, tiny_bundles: Bundles) -> Bundle:
        return tiny_bundles[self.target]

    @pytest.fixture
    def backend(self, bundle: Bundle):
        opened = self.open(bundle)
        yield opened
        opened.close()

    def open(self, bundle: Bundle, threads: int = 1) -> Backend:
        engine = bundle.manifest.engine
        return open_engine(bundle.engine_path, engine.format, backend=self.name, threads=threads)

    def test_states_what_a_benchmark_needs(self, backend: Backend) -> None:
        assert backend.name == self.name
        assert {"library", "version", "threads", "delegate"} <= backend.details.keys()
        assert backend.details["threads"] == 1

    def test_describes_its_tensors_as_the_manifest_does(
        self, backend: Backend, bundle: Bundle
    ) -> None:
        engine = bundle.manifest.engine
        described = {spec.name: spec for spec in (backend.input, *backend.outputs)}
        for stated in (*engine.inputs, *engine.outputs):
            found = described[stated.name]
            assert (found.shape, found.dtype, found.layout) == (
                stated.shape,
                stated.dtype,
                stated.layout,
            )
            assert (found.quantization is None) == (stated.quantization is None)

    def test_gives_outputs_in_their_stated_form(self, backend: Backend) -> None:
        values = backend.infer(random_input(backend))
        assert list(values) == [spec.name for spec in backend.outputs]
        for spec in backend.outputs:
            assert values[spec.name].shape == spec.shape
            assert values[spec.name].dtype == spec.numpy_dtype

    def test_outputs_depend_on_the_input_and_on_nothing_else(self, backend: Backend) -> None:
        def scores(seed: int) -> Tensor:
            return backend.infer(random_input(backend, seed))["class_scores"].copy()

        first, other, again = scores(0), scores(1), scores(0)
        np.testing.assert_array_equal(first, again)
        assert (first != other).mean() > 0.1

    def test_the_input_is_left_as_it_was(self, backend: Backend) -> None:
        tensor = random_input(backend)
        before = tensor.copy()
        backend.infer(tensor)
        np.testing.assert_array_equal(tensor, before)

    def test_outputs_may_be_held_while_it_runs_again(self, backend: Backend) -> None:
        """They may change then, but holding them neither fails nor changes what comes next."""
        expected = backend.infer(random_input(backend, 2))["class_scores"].copy()
        held = [backend.infer(random_input(backend, seed)) for seed in range(3)]
        assert [set(values) for values in held] == [{spec.name for spec in backend.outputs}] * 3
        np.testing.assert_array_equal(held[-1]["class_scores"], expected)

    def test_takes_an_input_that_is_not_contiguous(self, backend: Backend) -> None:
        tensor = random_input(backend)
        expected = backend.infer(tensor)["box_codes"].copy()
        strided = np.concatenate([tensor, tensor], axis=-1)[..., : tensor.shape[-1]]
        assert not strided.flags.c_contiguous
        np.testing.assert_array_equal(backend.infer(strided)["box_codes"], expected)

    def test_refuses_another_shape(self, backend: Backend) -> None:
        with pytest.raises(BackendError, match="doesn't fit the engine"):
            backend.infer(random_input(backend)[:, :-1])

    def test_refuses_another_dtype(self, backend: Backend) -> None:
        with pytest.raises(BackendError, match="float64"):
            backend.infer(random_input(backend).astype(np.float64))

    def test_threads_do_not_change_the_outputs(self, backend: Backend, bundle: Bundle) -> None:
        other = self.open(bundle, threads=2)
        assert other.details["threads"] == 2
        one, two = (opened.infer(random_input(opened)) for opened in (backend, other))
        for name, value in one.items():
            np.testing.assert_allclose(
                value.astype(np.float32), two[name].astype(np.float32), rtol=1e-4, atol=1e-4
            )
        other.close()

    def test_closing_twice_is_fine_and_running_afterwards_is_refused(self, bundle: Bundle) -> None:
        backend = self.open(bundle)
        tensor = random_input(backend)
        outputs = backend.infer(tensor)
        kept = outputs["class_scores"].copy()
        backend.close()
        backend.close()
        np.testing.assert_array_equal(outputs["class_scores"], kept)
        with pytest.raises(BackendError, match="closed"):
            backend.infer(tensor)

    def test_refuses_a_file_that_is_no_engine(self, bundle: Bundle, tmp_path: Path) -> None:
        form = bundle.manifest.engine.format
        path = tmp_path / f"broken.{form}"
        path.write_bytes(b"this is not an engine" * 10)
        with pytest.raises(BackendError, match="refuses"):
            open_engine(path, form, backend=self.name)

    def test_names_the_library_it_found(self) -> None:
        assert any(
            character.isdigit() for character in backend_entry(self.name).load().library_version()
        )


class TestLiteRt(BackendContract):
    name = "litert"
    target = "host"

    def test_runs_without_its_delegate_too(self, backend: Backend, bundle: Bundle) -> None:
        from edgessd.runtime.tflite_backend import LiteRtBackend

        reference = LiteRtBackend(bundle.engine_path.read_bytes(), xnnpack=False)
        assert reference.details["delegate"] == "none"
        tensor = random_input(backend)
        for name, value in reference.infer(tensor).items():
            # Two roundings of an untrained network on noise: alike, not equal.
            other = backend.infer(tensor)[name]
            assert np.corrcoef(value.ravel(), other.ravel())[0, 1] > 0.95, name

    def test_says_nothing_on_stderr(
        self, bundle: Bundle, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.open(bundle).close()
        assert capfd.readouterr().err == ""


class TestOnnxruntimeFloat(BackendContract):
    name = "onnxruntime"
    target = "host-float"

    def test_brings_the_contract_that_the_file_carries(
        self, backend: Backend, bundle: Bundle
    ) -> None:
        from edgessd.core.contract import Contract

        text = backend.metadata["edgessd.contract"]
        assert msgspec.json.decode(text, type=Contract) == bundle.manifest.contract


class TestOnnxruntimeQdq(BackendContract):
    """The reference of a TensorRT bundle: int8 pixels in, raw outputs float."""

    name = "onnxruntime"
    target = "jetson-orin-nano"

    def test_takes_pixels_as_integers(self, backend: Backend) -> None:
        assert backend.input.dtype == "int8"
        assert backend.input.quantization == QuantParams(scale=1 / 128)
        assert {spec.dtype for spec in backend.outputs} == {"float32"}


class TestOnnxruntimeIntegers(BackendContract):
    """onnxruntime with integer inputs and outputs, by a recipe that doesn't keep the outputs float."""

    name = "onnxruntime"
    target = "jetson-orin-nano"

    @pytest.fixture
    def bundle(self, integer_bundle: Bundle) -> Bundle:
        return integer_bundle

    def test_its_scales_are_those_of_the_graph(self, backend: Backend, bundle: Bundle) -> None:
        assert (backend.input,) == bundle.manifest.engine.inputs
        assert backend.outputs == bundle.manifest.engine.outputs
        for spec in backend.outputs:
            assert spec.dtype == "int8"
            assert spec.quantization is not None
            assert spec.quantization.zero_point == 0

    def test_detects_what_the_bundle_with_float_outputs_detects(
        self, bundle: Bundle, tiny_bundles: Bundles, photos: Path
    ) -> None:
        """The same network but for the rounding of its last tensors."""
        from edgessd.core.images import read_image
        from edgessd.runtime.detector import Detector

        image = read_image(sorted(photos.iterdir())[0])
        whole, kept = (
            Detector(of.directory, backend=self.name) for of in (bundle, tiny_bundles[self.target])
        )
        for detector in (whole, kept):
            assert detector(image).labels == bundle.manifest.contract.labels
        tensor, _ = whole.preprocess(image)
        np.testing.assert_array_equal(kept.preprocess(image)[0], tensor)
        integers, floats = whole.infer(tensor), kept.infer(tensor)
        for spec in bundle.manifest.engine.outputs:
            assert spec.quantization is not None
            scale = spec.quantization.scale
            clipped = np.clip(floats[spec.name], -128 * scale, 127 * scale)
            distance = np.abs(integers[spec.name] * scale - clipped) / scale
            # Half a step of the joined tensor, after half a step of the head's own.
            assert (distance <= 1).mean() > 0.95, (spec.name, distance.max())


@pytest.fixture(scope="module")
def rtx_bundle(
    tiny_checkpoint: Path,
    photos: Path,
    cheap_recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """The tiny detector for TensorRT-RTX, where this machine's GPU is one that it compiles for."""
    from edgessd.build.build_bundle import BuildRequest, build_bundle
    from edgessd.build.calibration_images import images_in
    from edgessd.runtime.tensorrt.open_cuda import identify_gpu
    from edgessd.target.load import load_target

    target = load_target("rtx")
    try:
        gpu = identify_gpu()
    except BackendError as error:
        pytest.skip(str(error))
    assert target.tensorrt is not None
    if gpu.compute_capability not in target.tensorrt.compute_capabilities:
        pytest.skip(f"TensorRT-RTX has no engine for {gpu.name}")
    pytest.importorskip("tensorrt_rtx")
    request = BuildRequest(
        target=target,
        checkpoint=tiny_checkpoint,
        name="tiny",
        out=tmp_path_factory.mktemp("rtx") / "tiny-rtx",
        recipe=cheap_recipe,
        images=lambda: images_in(photos, limit=16),
        gate=False,
    )
    return build_bundle(request).bundle


class TestTensorRt(BackendContract):
    """On a GPU that TensorRT-RTX compiles for; the engine is compiled on the spot."""

    name = "tensorrt"
    target = "rtx"

    @pytest.fixture
    def bundle(self, rtx_bundle: Bundle) -> Bundle:
        return rtx_bundle

    def test_names_the_library_it_found(self, bundle: Bundle) -> None:
        super().test_names_the_library_it_found()

    def test_runs_that_overlap_give_what_single_runs_give(self, backend: Backend) -> None:
        assert isinstance(backend, Overlapping)
        tensors = [random_input(backend, seed) for seed in range(3)]
        single = [backend.infer(tensor)["class_scores"].copy() for tensor in tensors]
        backend.submit(tensors[0])
        for number, tensor in enumerate(tensors[1:]):
            backend.submit(tensor)
            np.testing.assert_array_equal(backend.collect()["class_scores"], single[number])
        np.testing.assert_array_equal(backend.collect()["class_scores"], single[2])


def test_every_backend_in_the_catalog_is_held_to_the_contract() -> None:
    held = {suite.name for suite in BackendContract.__subclasses__()}
    assert held == set(BACKENDS)


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(BackendError, match="litert or onnxruntime or tensorrt"):
        backend_entry("tensorrrt")


def test_a_backend_that_does_not_run_the_format_names_one_that_does(
    tiny_bundles: Bundles,
) -> None:
    with pytest.raises(BackendError, match="Use --backend litert"):
        open_engine(tiny_bundles["host"].engine_path, "tflite", backend="onnxruntime")


def test_a_format_that_nothing_runs_is_refused(tmp_path: Path) -> None:
    assert backends_for("edgetpu") == ()
    with pytest.raises(BackendError, match="No backend runs edgetpu"):
        open_engine(tmp_path / "engine.bin", "edgetpu")


def test_a_missing_library_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edgessd.runtime import tflite_backend

    monkeypatch.setattr(tflite_backend, "LIBRARIES", (("not_there.interpreter", "ai-edge-litert"),))
    with pytest.raises(BackendError, match=r"pip install (ai-edge-litert|tflite-runtime)"):
        tflite_backend.load_library()
