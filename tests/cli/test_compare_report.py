"""`edgessd compare`: boxes, kernels, inner tensors and the page, on the tiny detector's bundles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.bench.report.comparison_page import heat, shade
from edgessd.bundle.store import Bundle

pytestmark = pytest.mark.slow

Bundles = dict[str, Bundle]


@pytest.fixture(scope="module")
def few(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    for path in sorted(photos.iterdir())[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_a_tflite_is_run_on_both_kinds_of_kernels(
    tiny_checkpoint: Path, tiny_bundles: Bundles, few: Path, tmp_path: Path
) -> None:
    host, jetson = (str(tiny_bundles[n].directory) for n in ("host", "jetson-orin-nano"))
    page = tmp_path / "page.html"
    ended = edgessd(
        "compare", tiny_checkpoint, host, jetson, "--data", few, "--report", page, "--json"
    )
    artifacts = json.loads(ended.out)["artifacts"]
    assert list(artifacts) == [host, jetson, f"{host} without XNNPACK"]
    assert artifacts[host]["engine"]["delegate"] == "XNNPACK"
    assert artifacts[f"{host} without XNNPACK"]["engine"]["delegate"] == "none"
    boxes = artifacts[host]["boxes"]
    assert boxes["matched"] > 0
    assert 0.5 <= boxes["worst_iou"] <= boxes["mean_iou"] <= 1
    assert 0 < boxes["mean_score_drift"] <= boxes["worst_score_drift"] < 1
    worst = [image["disagreement"] for image in artifacts[host]["worst_images"]]
    assert worst == sorted(worst, reverse=True)
    layers = artifacts[host]["layers"]
    assert (layers["images"], layers["below_db"]) == (3, 20)
    assert len(layers["layers"]) > 60
    assert layers["first"] is None or layers["layers"][layers["first"]] < 20
    text = page.read_text()
    assert "http" not in re.sub(r'"http://www.w3.org[^"]*"', "", text)
    assert text.count("data:image/jpeg") == 2 * sum(
        len(artifact["worst_images"]) for artifact in artifacts.values()
    )
    assert "backbone.stem.activation" in text
    assert "broken.jpg" in ended.err


def test_kernels_and_layers_can_be_left_out(tiny_bundles: Bundles, few: Path) -> None:
    host, floats = (str(tiny_bundles[name].directory) for name in ("host", "host-float"))
    ended = edgessd("compare", floats, host, "--data", few, "--no-kernels", "--no-layers", "--json")
    artifacts = json.loads(ended.out)["artifacts"]
    assert list(artifacts) == [host]
    assert "layers" not in artifacts[host]


def test_cells_redden_with_what_they_lose() -> None:
    assert heat(60) == heat(40) == shade(0, 0.05) == "rgba(220, 60, 40, 0.00)"
    assert heat(10) == heat(0) == shade(-0.05, 0.05) == shade(1, 0.05) == "rgba(220, 60, 40, 0.65)"
    assert heat(None) == shade(None, 0.05) == "transparent"
