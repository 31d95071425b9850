"""Build the documentation site in build/site/html: the documents of the repository and the reference.

Run it with `make docs`. A dead link or a missing anchor fails the build.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

import edgessd
from edgessd.pipeline.options.run import RunOptions
from edgessd.pipeline.options.source import SourceOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "build/site"

# The pages have the tree of the repository, so that a relative link works on a forge and on the site.
DOCUMENTS = (
    "*.md",
    "LICENSE",
    "docs/*.md",
    "docs/*.png",
    "docs/*.svg",
    "benchmarks/results/*.json",
    "calibration/README.md",
    "edgessd/starter/MODEL_CARD.md",
)


def stage_documents(pages: Path) -> None:
    """Copy every document and picture to its own path below a folder."""
    for pattern in DOCUMENTS:
        for source in ROOT.glob(pattern):
            target = pages / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def packages_from_the_top() -> Iterator[Path]:
    """Yield the folders of the packages in the order of their layers."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    for layer in layers:
        for name in layer.split("|"):
            yield ROOT / name.strip().replace(".", "/")


def public_classes() -> list[type]:
    """Return the classes that users of the Python API work with."""
    return [getattr(edgessd, name) for name in edgessd.__all__ if name[0].isupper()] + [
        RunOptions,
        SourceOptions,
    ]


def class_page(public: type) -> str:
    """Return the page of one public class."""
    return f"# {public.__name__}\n\n::: {public.__module__}.{public.__name__}\n"


def package_page(package: Path) -> str:
    """Return the page of one package: its docstring and the public names of all its modules."""
    summary = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    modules = sorted(path for path in package.rglob("*.py") if path.stem != "__init__")
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules)
    return "\n\n".join(
        [f"# edgessd.{package.name}", summary, *(f"::: {name}" for name in names), ""]
    )


def stage_reference(pages: Path) -> list[dict[str, Any]]:
    """Write the pages of the reference and return their part of the navigation."""
    classes = {public.__name__: class_page(public) for public in public_classes()}
    packages = {package.name: package_page(package) for package in packages_from_the_top()}
    (pages / "reference").mkdir()
    for name, content in {**classes, **packages}.items():
        (pages / f"reference/{name}.md").write_text(content)
    return [
        {title: [{name: f"reference/{name}.md"} for name in group]}
        for title, group in (("Python API", classes), ("Packages", packages))
    ]


def run_zensical(stage: Path, nav: list[dict[str, Any]]) -> int:
    """Build the site of the folder `stage/pages` in `stage/html`; return the exit status.

    Args:
        stage: Folder with the pages.
        nav: Navigation, in place of the one in docs/zensical.toml.
    """
    settings = tomllib.loads((ROOT / "docs/zensical.toml").read_text())
    project = settings["project"]
    project["nav"] = nav
    project["plugins"]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT)]
    config = stage / "zensical.toml"
    config.write_text(tomli_w.dumps(settings))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(config)]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """Stage all pages and build the site; return the exit status."""
    shutil.rmtree(STAGE, ignore_errors=True)
    stage_documents(STAGE / "pages")
    settings = tomllib.loads((ROOT / "docs/zensical.toml").read_text())
    return run_zensical(STAGE, settings["project"]["nav"] + stage_reference(STAGE / "pages"))


if __name__ == "__main__":
    sys.exit(main())
