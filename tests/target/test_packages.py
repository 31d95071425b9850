"""Commands that install missing packages."""

from __future__ import annotations

import pytest

from edgessd.target.packages import install_command


@pytest.mark.parametrize(
    ("machine_name", "python", "expected"),
    [
        ("x86_64", (3, 12), "python -m pip install ai-edge-litert"),
        ("aarch64", (3, 11), "python -m pip install ai-edge-litert"),
        ("armv7l", (3, 11), "tflite-runtime"),
        ("armv7l", (3, 13), "64-bit system"),
    ],
)
def test_litert_is_installed_differently_on_32_bits(
    machine_name: str, python: tuple[int, int], expected: str
) -> None:
    assert expected in install_command("litert", machine=machine_name, python=python)


def test_other_packages_install_under_their_own_name() -> None:
    assert install_command("flatbuffers") == "python -m pip install flatbuffers"
