"""`edgessd sensitivity`: the table, the page, and the refusal of a float target."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import edgessd

pytestmark = pytest.mark.slow


def test_a_float_target_is_refused(tiny_checkpoint: Path) -> None:
    ended = edgessd(
        "sensitivity", "--target", "host-float", "--checkpoint", tiny_checkpoint, code=1
    )
    assert "Nothing is quantized for host-float" in " ".join(ended.err.split())


def test_tensors_are_ranked_and_written_as_a_page(
    confident_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "minmax.toml"
    recipe.write_text('name = "minmax"\nactivations = { method = "minmax" }\n')
    page = tmp_path / "heat.html"
    ended = edgessd(
        "sensitivity", "--checkpoint", confident_checkpoint, "--calibration", photos,
        "--recipe", recipe, "--images", "1", "--report", page, "--json",
    )  # fmt: skip
    found = json.loads(ended.out)
    assert (found["scheme"], found["recipe"], found["images"]) == ("affine", "minmax", 1)
    shares = [row["share"] for row in found["tensors"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert {row["kind"] for row in found["tensors"]} == {"activation", "weights"}
    assert found["tensors"][0]["name"] in page.read_text()
