"""A small bundle without a model: an engine of plain bytes with a manifest that fits its contract."""

from __future__ import annotations

from typing import Any

import msgspec

from edgessd.bundle.manifest import Manifest, Provenance
from edgessd.bundle.store import describe_engine
from edgessd.core.anchors import AnchorLevel, AnchorSpec
from edgessd.core.contract import Contract, Preprocess
from edgessd.core.tensors import QuantParams, TensorSpec

ENGINE = bytes(range(256)) * 4
IMAGE = TensorSpec(
    name="image",
    shape=(1, 8, 8, 3),
    dtype="uint8",
    quantization=QuantParams(scale=1 / 128, zero_point=128),
    layout="NHWC",
)
# 2 x 2 cells with one shape are 4 anchors; two labels and the background are 3 columns.
BOX_CODES = TensorSpec(
    name="box_codes", shape=(1, 4, 4), dtype="int8", quantization=QuantParams(scale=0.1)
)
CLASS_SCORES = TensorSpec(
    name="class_scores", shape=(1, 4, 3), dtype="int8", quantization=QuantParams(scale=0.1)
)
CONTRACT = Contract(
    preprocess=Preprocess(width=8, height=8),
    anchors=AnchorSpec(
        levels=(AnchorLevel(rows=2, columns=2, step=(0.5, 0.5), shapes=((0.5, 0.5),)),)
    ),
    labels=("cat", "dog"),
)


def make_manifest(
    *,
    image: TensorSpec = IMAGE,
    outputs: tuple[TensorSpec, ...] = (BOX_CODES, CLASS_SCORES),
    **changes: Any,
) -> Manifest:
    engine = describe_engine(
        "engine.tflite", ENGINE, format="tflite", inputs=(image,), outputs=outputs
    )
    manifest = Manifest(
        name="pets",
        target="host",
        scheme="affine",
        postprocess="raw",
        engine=engine,
        contract=CONTRACT,
        provenance=Provenance(
            created="2026-01-01T00:00:00+00:00",
            edgessd="0.1.0",
            checkpoint="pets/best.pt",
            checkpoint_sha256="0" * 64,
        ),
    )
    return msgspec.structs.replace(manifest, **changes)
