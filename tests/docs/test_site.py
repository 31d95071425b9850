"""The documentation site: what its build refuses, and its picture."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.process
@pytest.mark.parametrize(
    ("link", "passes"),
    [("b.md#here", True), ("b.md#elsewhere", False), ("c.md", False)],
)
def test_dead_link_or_missing_anchor_fails_the_build(
    tmp_path: Path, link: str, passes: bool
) -> None:
    pytest.importorskip("zensical")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/a.md").write_text(f"# A\n\n[link]({link})\n")
    (tmp_path / "pages/b.md").write_text("# B\n\n## Here\n")
    status = load_script("build_site").run_zensical(tmp_path, [{"A": "a.md"}, {"B": "b.md"}])
    assert (status == 0) is passes


def test_reference_has_a_page_for_every_package(tmp_path: Path) -> None:
    load_script("build_site").stage_reference(tmp_path)
    pages = {page.stem for page in (tmp_path / "reference").iterdir()}
    packages = {path.parent.name for path in (ROOT / "edgessd").glob("*/__init__.py")}
    classes = {"Detections", "Detector", "Pipeline", "RunOptions", "SourceOptions"}
    assert pages == packages | classes


def test_picture_is_what_its_script_draws() -> None:
    script = load_script("layers_picture")
    assert (ROOT / "docs/layers.svg").read_text() == script.draw()


def test_picture_has_the_layers_of_the_import_contract() -> None:
    script = load_script("layers_picture")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    layered = next(contract for contract in contracts if contract["type"] == "layers")
    wall = next(
        contract for contract in contracts if "torch" in contract.get("forbidden_modules", ())
    )
    layers = [layer.replace("edgessd.", "") for layer in layered["layers"]]
    assert [name for name, _ in (*script.HOST_LANES, *script.DEVICE_LANES)] == layers
    below = {name.strip() for lane, _ in script.DEVICE_LANES for name in lane.split("|")}
    assert below == {name.removeprefix("edgessd.") for name in wall["source_modules"]}
