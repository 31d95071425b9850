"""`edgessd build --finish BUNDLE`: compile a bundle's graph on the device that it was built for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgessd.cli.console import people, print_json

if TYPE_CHECKING:
    from edgessd.runtime.tensorrt.finish import FinishedEngine


def finish_command(path: Path, *, dla_core: int | None, rebuild: bool, as_json: bool) -> None:
    """Compile a bundle, or take the engine cache's entry for this graph, TensorRT and GPU.

    Raises:
        EdgessdError: This is no bundle, it has nothing to compile, or TensorRT can't compile it here.
    """
    from edgessd.bundle.store import open_bundle
    from edgessd.runtime.tensorrt.finish import finish_bundle
    from edgessd.target.load import load_target

    bundle = open_bundle(path)
    with people().status(f"Compiling {path}; this takes minutes on a small board"):
        finished = finish_bundle(
            bundle, load_target(bundle.manifest.target), rebuild=rebuild, dla_core=dla_core
        )
    if as_json:
        print_json(
            {
                "bundle": str(path),
                "engine": str(finished.plan),
                "needs_finish": False,
                "seconds": round(finished.seconds, 2),
                "cached": finished.cached,
                "provider": finished.provider,
                "version": finished.version,
                "layers": dict(finished.report.counts) if finished.report else None,
            }
        )
    else:
        print_finished(path, finished)


def print_finished(path: Path, finished: FinishedEngine) -> None:
    """Print the engine and the number of its layers in each precision."""
    console = people()
    action = "Taken from the cache" if finished.cached else "Compiled"
    console.print(
        f"[green]{action}[/green] {finished.plan} with {finished.provider} {finished.version} in "
        f"{finished.seconds:.1f} s",
        soft_wrap=True,
    )
    if finished.report is not None:
        layers = ", ".join(f"{count} {name}" for name, count in finished.report.counts.items())
        console.print(f"Layers: {layers}", soft_wrap=True)
    console.print(f"Next: edgessd bench --model {path}", soft_wrap=True)
