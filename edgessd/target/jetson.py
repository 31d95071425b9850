"""Identify a Jetson and its JetPack from the device tree and the Jetson Linux release."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgessd.target.spec import JetPack

# (first Jetson Linux release, JetPack). A release belongs to the last entry that isn't newer and has the same
# major number. https://developer.nvidia.com/embedded/jetpack-archive
_JETPACKS = (
    ((32, 7), "4.6"),
    ((35, 1), "5.0.2"),
    ((35, 2), "5.1"),
    ((36, 3), "6.0"),
    ((36, 4), "6.1"),
    ((36, 4, 3), "6.2"),
    ((36, 4, 4), "6.2.1"),
    ((36, 5), "6.2.2"),
    ((38, 2), "7.0"),
    ((38, 4), "7.1"),
    ((39, 2), "7.2"),
)

# NVIDIA's part numbers of the modules in the device tree's `compatible`.
MODULES = (
    (r"p3448-\d+", "jetson-nano"),
    (r"p3450-\d+", "jetson-nano"),  # the developer kit of p3448
    (r"p(?:3310|3489|3636)-\d+", "jetson-tx2"),
    (r"p3668-\d+", "jetson-xavier-nx"),
    (r"p2888-\d+", "jetson-agx-xavier"),
    (r"p3767-000[0-2]", "jetson-orin-nx"),
    (r"p3767-000[3-5]", "jetson-orin-nano"),
    (r"p3701-\d+", "jetson-agx-orin"),
    (r"p3834-\d+", "jetson-thor"),
)
MODELS = (
    (r"Orin Nano", "jetson-orin-nano"),
    (r"Orin NX", "jetson-orin-nx"),
    (r"AGX Orin", "jetson-agx-orin"),
    (r"Xavier NX", "jetson-xavier-nx"),
    (r"AGX Xavier|^Jetson-AGX$", "jetson-agx-xavier"),  # the latter from JetPack 4 and 5
    (r"Jetson Nano", "jetson-nano"),
    (r"Jetson TX2|^quill$", "jetson-tx2"),
    (r"Thor", "jetson-thor"),
)
# Chips of a single profile. T194 and T234 are on modules that differ.
CHIPS = (
    ("nvidia,tegra210", "jetson-nano"),
    ("nvidia,tegra186", "jetson-tx2"),
    ("nvidia,tegra264", "jetson-thor"),
)


def jetson_target(model: str, compatible: Sequence[str], l4t: str) -> str:
    """Find the profile of a Jetson: "jetson" for an unknown board, "" for any other machine.

    Args:
        model: Device tree's `model`; a maker of carrier boards may have put its own name there.
        compatible: Device tree's `compatible`, e.g. ("nvidia,p3768-0000+p3767-0005",
            "nvidia,p3767-0005", "nvidia,tegra234"). The module's number has priority over the model.
        l4t: Jetson Linux release; "" if there is none.
    """
    by_module = _targets(MODULES, compatible)
    # A device tree for several modules names all of them; then the model decides.
    if len(by_module) == 1:
        return by_module.pop()
    by_model = _targets(MODELS, [model])
    if len(by_model) == 1 and (l4t or compatible or "Jetson" in model or model == "quill"):
        return by_model.pop()
    for chip, target in CHIPS:
        if chip in compatible and l4t:
            return target
    return "jetson" if l4t or "Jetson" in model else ""


def jetpack_of(l4t: str) -> str:
    """Return the JetPack version of a Jetson Linux release such as "36.4.3"; "" if unknown."""
    numbers = release_numbers(l4t)
    fitting = [name for first, name in _JETPACKS if first[:1] == numbers[:1] and first <= numbers]
    return fitting[-1] if fitting else ""


def jetpack_here(jetpacks: Iterable[JetPack], l4t: str) -> JetPack | None:
    """Find the entry of a target's table for a Jetson Linux release; None if there is none."""
    numbers = release_numbers(l4t)
    fitting = [
        jetpack
        for jetpack in jetpacks
        if release_numbers(jetpack.l4t)[:1] == numbers[:1]
        and release_numbers(jetpack.l4t) <= numbers
    ]
    return max(fitting, key=lambda jetpack: release_numbers(jetpack.l4t), default=None)


def find_trtexec(root: Path = Path("/")) -> Path | None:
    """Find TensorRT's program in PATH, or in JetPack's folder below `root`."""
    found = shutil.which("trtexec")
    if found:
        return Path(found)
    program = root / "usr/src/tensorrt/bin/trtexec"
    return program if os.access(program, os.X_OK) else None


def release_numbers(text: str) -> tuple[int, ...]:
    """Split a release into numbers: "36.4.3" → (36, 4, 3)."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _targets(table: Sequence[tuple[str, str]], texts: Iterable[str]) -> set[str]:
    return {target for text in texts for pattern, target in table if re.search(pattern, text)}
