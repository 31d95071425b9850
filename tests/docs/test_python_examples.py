"""Python examples of the documents: each runs as it stands, but for cameras, which are photos here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from documents import ROOT, Example, examples

EXAMPLES = examples("python")
# Run by test_sinks_document.py, which checks what they give.
ELSEWHERE = ("docs/sinks.md",)
BUNDLE = ROOT / "edgessd/starter/codes-int8"
BUNDLES = ("mine-raspberry-pi", "codes-raspberry-pi")
CAMERAS = ("camera:0", "rtsp://10.0.0.5/main")


def prepare_folder(folder: Path, photos: Path) -> None:
    """Make the paths that the examples name: the starter model, its bundles and the photos."""
    (folder / "edgessd").symlink_to(ROOT / "edgessd")
    (folder / "photos").symlink_to(photos)
    (folder / "cameras.toml").write_text('[[source]]\naddress = "photos"\n')
    (folder / "dist").mkdir()
    for name in BUNDLES:
        (folder / "dist" / name).symlink_to(BUNDLE)


@pytest.mark.parametrize(
    "example",
    [
        example
        for example in EXAMPLES
        if example.document not in ELSEWHERE and "def test_" not in example.code
    ],
    ids=str,
)
def test_example_runs(
    example: Example,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "to_supervision" in example.code:
        pytest.importorskip("supervision")
    if "LivePage" in example.code:
        pytest.importorskip("uvicorn")
    prepare_folder(tmp_path, photos)
    monkeypatch.chdir(tmp_path)
    code = example.code
    for camera in CAMERAS:
        code = code.replace(f'"{camera}"', '"photos"')
    image = np.zeros((48, 64, 3), np.uint8)
    exec(compile(code, str(example), "exec"), {"__name__": "example", "frame_bgr": image})
    if "print(" in code and "named()" not in code:
        assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example_compiles(example: Example) -> None:
    compile(example.code, str(example), "exec")


def test_every_guide_for_python_has_examples() -> None:
    documents = {example.document for example in EXAMPLES}
    assert documents >= {
        "README.md",
        "CONTRIBUTING.md",
        "docs/live.md",
        "docs/run.md",
        "docs/sources.md",
    }
