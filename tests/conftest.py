"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_once import made_once

if TYPE_CHECKING:
    from edgessd.bundle.store import Bundle
    from edgessd.graph.float_graph import FloatGraph
    from edgessd.quantize.recipe import Recipe

# Before any test module imports torch or onnxruntime. One thread each: the suite runs beside other work,
# where two threads that wait for each other take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
TINY_TARGETS = ("host", "host-float", "android", "jetson-orin-nano")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files of slow tests, the slowest first, so that no process works on alone at the end.

    A file is as slow as its longest time limit (`timeout`), and any slow test is slower than none.
    """
    slowness: dict[Path, float] = {}
    for item in items:
        limits = [mark.args[0] for mark in item.iter_markers("timeout")]
        limits += [1.0 for _ in item.iter_markers("slow")]
        slowness[item.path] = max([slowness.get(item.path, 0.0), *limits])
    items.sort(key=lambda item: -slowness[item.path])


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real datasets and weights, kept outside the project; tests that need them skip without."""
    folder = Path(os.environ.get("EDGESSD_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(
            f"no real data at {folder}; set EDGESSD_SHARED to a folder that has data/ and weights/"
        )
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained detector of 96x96 pixels: quick to build, and its outputs are as good as any."""

    def make(folder: Path) -> None:
        import torch

        from edgessd.model.checkpoint import checkpoint_of, save_checkpoint
        from edgessd.model.new_detector import new_detector
        from edgessd.model.ssdlite import build_model

        torch.manual_seed(7)
        config, contract = new_detector(("cat", "dog", "bird"), width=0.35, input_size=(96, 96))
        checkpoint = checkpoint_of(build_model(config, contract), {"data": "none"})
        save_checkpoint(folder / "tiny.pt", checkpoint)

    return made_once(tmp_path_factory, "tiny", make) / "tiny.pt"


@pytest.fixture(scope="session")
def confident_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny detector with large score weights, which scores many anchors of any photo high."""
    from dataclasses import replace

    from edgessd.model.checkpoint import load_checkpoint, save_checkpoint

    checkpoint = load_checkpoint(tiny_checkpoint)
    heads = [
        name
        for name in checkpoint.state
        if ".score." in name and "pointwise" in name and name.endswith("weight")
    ]
    assert heads
    state = {
        name: value * 60 if name in heads else value for name, value in checkpoint.state.items()
    }
    path = tmp_path_factory.mktemp("confident") / "confident.pt"
    save_checkpoint(path, replace(checkpoint, state=state))
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 16 pictures that aren't all alike, 120x90."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for number in range(16):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        picture = cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:02}.png"), picture)
    return folder


@pytest.fixture(scope="session")
def cheap_recipe() -> Recipe:
    """The default recipe without its passes and searches, for tests that need some quantized graph."""
    from msgspec.structs import replace

    from edgessd.quantize.recipe import FloatPasses, load_recipe

    return replace(
        load_recipe("default"),
        float_passes=FloatPasses(),
        tighten_ranges=False,
        rounding="nearest",
        correct_bias=False,
    )


@pytest.fixture(scope="session")
def tiny_bundles(
    tiny_checkpoint: Path,
    photos: Path,
    cheap_recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Bundle]:
    """The tiny detector built for host, host-float, android (post-process op) and jetson."""
    from edgessd.bundle.store import open_bundle

    def make(dist: Path) -> None:
        from edgessd.build.build_bundle import BuildRequest, build_bundle, export_checkpoint
        from edgessd.build.calibration_images import images_in
        from edgessd.target.load import load_target

        exported = export_checkpoint(tiny_checkpoint)
        for name in TINY_TARGETS:
            request = BuildRequest(
                target=load_target(name),
                checkpoint=tiny_checkpoint,
                name="tiny",
                out=dist / f"tiny-{name}",
                recipe=cheap_recipe,
                images=lambda: images_in(photos, limit=16),
                cache=dist / ".cache",
                gate=False,  # an untrained detector's scores are all alike: none is worth finding
            )
            build_bundle(request, exported=exported)

    dist = made_once(tmp_path_factory, "dist", make)
    return {name: open_bundle(dist / f"tiny-{name}") for name in TINY_TARGETS}


@pytest.fixture(scope="session")
def small_graph(tmp_path_factory: pytest.TempPathFactory) -> FloatGraph:
    """The float graph of an untrained detector with three classes on 97x64 pixels.

    Its batch norm has seen noise, so that activations are neither dead nor all clipped.
    """
    from edgessd.graph.float_graph import load_graph, save_graph

    def make(folder: Path) -> None:
        import torch

        from edgessd.graph.export import export_module
        from edgessd.model.new_detector import new_detector
        from edgessd.model.ssdlite import build_model

        torch.manual_seed(0)
        config, contract = new_detector(("a", "b", "c"), width=0.35, input_size=(97, 64))
        model = build_model(config, contract)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            model.train()(torch.rand(16, 3, 64, 97) * 2 - 1)
        save_graph(export_module(model, contract), folder / "small.onnx")

    return load_graph(made_once(tmp_path_factory, "small", make) / "small.onnx")


@pytest.fixture(scope="session")
def voc_graph(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> FloatGraph:
    """The float graph of a trained detector for VOC's 20 classes."""
    from edgessd.graph.float_graph import load_graph, save_graph

    def make(folder: Path) -> None:
        from edgessd.graph.export import export_float_graph
        from edgessd.model.importers.folded import import_folded

        checkpoint = import_folded(shared / "weights/ssdlite_mobilenet_v2_voc")
        save_graph(export_float_graph(checkpoint), folder / "voc.onnx")

    return load_graph(made_once(tmp_path_factory, "voc", make) / "voc.onnx")
