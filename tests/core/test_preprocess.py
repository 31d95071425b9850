"""Preprocessing: transform, number forms and layouts, against formulas in float64."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgessd.core.contract import Preprocess
from edgessd.core.errors import ConfigError, DataError
from edgessd.core.preprocess import (
    ImageTransform,
    fill_tensor,
    fit_image,
    pixel_table,
    preprocess_image,
    table_kind,
)
from edgessd.core.tensors import QuantParams, TensorSpec

SIGNED = QuantParams(scale=1 / 128, zero_point=0)
UNSIGNED = QuantParams(scale=1 / 128, zero_point=128)


def image_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def spec_of(mean: float = 128.0, **settings) -> Preprocess:
    return Preprocess(
        **{"width": 30, "height": 20, "mean": (mean,) * 3, "std": (mean,) * 3, **settings}
    )


def input_of(
    dtype: str, quantization: QuantParams | None = None, layout: str = "NHWC"
) -> TensorSpec:
    shape = (1, 20, 30, 3) if layout == "NHWC" else (1, 3, 20, 30)
    return TensorSpec(
        name="image", shape=shape, dtype=dtype, quantization=quantization, layout=layout
    )


def test_stretch_fills_the_input_and_swaps_channels() -> None:
    image = image_of(47, 61)
    pixels, transform = fit_image(image, spec_of(color="RGB"))
    expected = cv2.resize(image, (30, 20), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(pixels, expected[..., ::-1])
    assert transform == ImageTransform(source_width=61, source_height=47)
    untouched, _ = fit_image(image, spec_of(color="BGR"))
    np.testing.assert_array_equal(untouched, expected)


@pytest.mark.parametrize(
    ("height", "width", "rectangle"),
    [
        (100, 300, (0, 5, 30, 10)),  # wide: bars above and below
        (300, 100, (11, 0, 7, 20)),  # tall: 20/3 rounds to 7
        (40, 60, (0, 0, 30, 20)),  # the input's own aspect ratio: no bars
        (1, 900, (0, 9, 30, 1)),  # never thinner than a pixel
    ],
)
def test_letterbox_centers_the_image_between_bars(height, width, rectangle) -> None:
    image = image_of(height, width)
    pixels, transform = fit_image(image, spec_of(resize="letterbox", fill=7, color="BGR"))
    left, top, inner_width, inner_height = rectangle
    inside = pixels[top : top + inner_height, left : left + inner_width]
    np.testing.assert_array_equal(
        inside, cv2.resize(image, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    )
    bars = np.ones((20, 30), bool)
    bars[top : top + inner_height, left : left + inner_width] = False
    assert (pixels[bars] == 7).all()
    assert transform.left * 30 == pytest.approx(left)
    assert transform.top * 20 == pytest.approx(top)
    assert (transform.width * 30, transform.height * 20) == pytest.approx(
        (inner_width, inner_height)
    )


def test_a_transform_and_its_inverse_give_the_same_boxes() -> None:
    transform = ImageTransform(
        source_width=640, source_height=480, left=0.1, top=0.2, width=0.8, height=0.5
    )
    boxes = np.array([[0, 0, 640, 480], [10, 20, 30, 45]], np.float32)
    fractions = transform.to_input(boxes)
    np.testing.assert_allclose(fractions[0], [0.1, 0.2, 0.9, 0.7], atol=1e-6)
    np.testing.assert_allclose(transform.to_source(fractions), boxes, atol=1e-3)


def test_boxes_beyond_the_source_are_clipped_to_it() -> None:
    transform = ImageTransform(source_width=100, source_height=50)
    found = transform.to_source(np.array([[-0.5, -0.1, 0.5, 2.0]], np.float32))
    np.testing.assert_array_equal(found, [[0, 0, 50, 50]])


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("dtype", "quantization"),
    [
        ("float32", None),
        ("float16", None),
        ("uint8", UNSIGNED),
        ("int8", SIGNED),
        ("int8", QuantParams(scale=0.021, zero_point=-3)),
        ("uint8", QuantParams(scale=0.004, zero_point=200)),  # saturates on both sides
    ],
)
@pytest.mark.parametrize("same_for_all", [True, False])
def test_every_number_form_follows_the_formula(layout, dtype, quantization, same_for_all) -> None:
    spec = (
        spec_of()
        if same_for_all
        else Preprocess(width=30, height=20, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    )
    pixels = image_of(20, 30)
    tensor = input_of(dtype, quantization, layout)
    out = np.empty(tensor.shape, dtype)
    assert fill_tensor(pixels, spec, tensor, out) is out

    real = (pixels.astype(np.float64) - spec.mean) / spec.std
    if quantization is not None:
        limits = np.iinfo(dtype)
        real = np.rint(real / quantization.scale) + quantization.zero_point
        real = np.clip(real, limits.min, limits.max)
    expected = real.astype(dtype)[None]
    if layout == "NCHW":
        expected = expected.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(out, expected)


def test_pixels_are_the_input_where_scale_and_mean_allow() -> None:
    spec = spec_of()
    assert table_kind(spec, input_of("uint8", UNSIGNED)) == "identity"
    assert table_kind(spec, input_of("int8", SIGNED)) == "flip_sign"
    assert table_kind(spec_of(mean=127.5), input_of("int8", SIGNED)) == "table"
    assert table_kind(spec, input_of("float32")) == "table"
    np.testing.assert_array_equal(
        pixel_table(spec, "int8", SIGNED)[:, 0], np.arange(256, dtype=np.int64) - 128
    )


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("dtype", "quantization"), [("uint8", UNSIGNED), ("int8", SIGNED), ("float32", None)]
)
def test_one_step_gives_what_two_steps_give(resize, layout, dtype, quantization) -> None:
    image, spec = image_of(33, 71), spec_of(resize=resize)
    tensor = input_of(dtype, quantization, layout)
    pixels, transform = fit_image(image, spec)
    expected = fill_tensor(pixels, spec, tensor)
    out = np.empty(tensor.shape, dtype)
    found, found_transform = preprocess_image(image, spec, tensor, out)
    assert found is out
    assert found_transform == transform
    np.testing.assert_array_equal(found, expected)


def test_a_view_into_a_larger_frame_is_read_correctly() -> None:
    frame = image_of(60, 80)
    view = frame[5:50:1, 7:70]
    pixels, _ = fit_image(view, spec_of())
    np.testing.assert_array_equal(pixels, fit_image(view.copy(), spec_of())[0])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_color_image_is_refused(image) -> None:
    with pytest.raises(DataError, match=r"shape \(height, width, 3\)"):
        fit_image(image, spec_of())


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (TensorSpec(name="x", shape=(1, 30, 20, 3), dtype="float32", layout="NHWC"), "doesn't fit"),
        (TensorSpec(name="x", shape=(1, 20, 30, 3), dtype="float32", layout="flat"), "doesn't fit"),
        (input_of("int8"), "can't be read as numbers"),
        (input_of("float32", SIGNED), "can't be read as numbers"),
        (input_of("int32"), "can't be read as numbers"),
    ],
)
def test_an_input_tensor_that_no_image_fits_is_refused(tensor, reason) -> None:
    with pytest.raises(ConfigError, match=reason):
        fill_tensor(image_of(20, 30), spec_of(), tensor)
