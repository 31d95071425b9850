"""edgessd: labeled images to a running object detector on small devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgessd.version import __version__

if TYPE_CHECKING:
    from edgessd.core.detections import Detections
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.runtime.detector import Detector

__all__ = ["Detections", "Detector", "Pipeline", "__version__"]

_HOMES = {
    "Detector": "edgessd.runtime.detector",
    "Detections": "edgessd.core.detections",
    "Pipeline": "edgessd.pipeline.pipeline",
}


def __getattr__(name: str) -> Any:
    """Load the public classes on first use, so that `import edgessd` stays instant."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgessd' has no attribute {name!r}")
