"""Jetsons identified by model, compatible and /etc/nv_tegra_release."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.target.detect import detect_machine, device_tree_compatible
from edgessd.target.jetson import jetpack_here, jetpack_of
from edgessd.target.load import list_targets, load_target, resolve_target

# (model, compatible, Jetson Linux, target)
BOARDS = [
    (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        ("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
        "R36 (release), REVISION: 4.3",
        "jetson-orin-nano",
    ),
    (
        "NVIDIA Jetson Orin Nano Developer Kit",
        ("nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234"),
        "R36 (release), REVISION: 3.0",
        "jetson-orin-nano",
    ),
    (
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        ("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
        "R36 (release), REVISION: 4.0",
        "jetson-orin-nx",
    ),
    (
        "NVIDIA Jetson AGX Orin Developer Kit",
        ("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
        "R36 (release), REVISION: 4.3",
        "jetson-agx-orin",
    ),
    (
        "NVIDIA Jetson Xavier NX Developer Kit",
        ("nvidia,p3449-0000+p3668-0000", "nvidia,p3668-0000", "nvidia,tegra194"),
        "R35 (release), REVISION: 4.1",
        "jetson-xavier-nx",
    ),
    (
        "Jetson-AGX",
        ("nvidia,p2972-0000", "nvidia,tegra194"),
        "R32 (release), REVISION: 7.4",
        "jetson-agx-xavier",
    ),
    (
        "NVIDIA Jetson Nano Developer Kit",
        ("nvidia,p3450-0000", "nvidia,jetson-nano", "nvidia,tegra210"),
        "R32 (release), REVISION: 7.4",
        "jetson-nano",
    ),
    (
        "quill",
        ("nvidia,quill", "nvidia,p2597-0000+p3310-1000", "nvidia,tegra186"),
        "R32 (release), REVISION: 7.1",
        "jetson-tx2",
    ),
    ("NVIDIA Jetson TX2", (), "R32 (release), REVISION: 7.1", "jetson-tx2"),
    (
        "NVIDIA Jetson AGX Thor Developer Kit",
        ("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
        "R38 (release), REVISION: 2.0",
        "jetson-thor",
    ),
    # A maker's carrier board with a name of its own: the module's number decides.
    (
        "Maker Vision Box 200",
        ("maker,box-200", "nvidia,p3767-0001", "nvidia,tegra234"),
        "R36 (release), REVISION: 4.3",
        "jetson-orin-nx",
    ),
    # One device tree for all modules of a carrier: the name decides.
    (
        "NVIDIA Orin NX Developer Kit",
        ("nvidia,p3768-0000+p3767-0000", "nvidia,p3768-0000+p3767-0003", "nvidia,tegra234"),
        "R35 (release), REVISION: 3.1",
        "jetson-orin-nx",
    ),
    # The chip alone identifies a profile if only one has it, else the family.
    (
        "Maker Nano",
        ("maker,nano", "nvidia,tegra210"),
        "R32 (release), REVISION: 7.4",
        "jetson-nano",
    ),
    ("Maker Box", ("maker,box", "nvidia,tegra234"), "R36 (release), REVISION: 4.3", "jetson"),
    ("NVIDIA Jetson Next Developer Kit", (), "R40 (release), REVISION: 1.0", "jetson"),
    # Inside a container there is no release file, but the device tree is the host's.
    (
        "NVIDIA Jetson AGX Orin Developer Kit",
        ("nvidia,p3737-0000+p3701-0000", "nvidia,p3701-0000", "nvidia,tegra234"),
        "",
        "jetson-agx-orin",
    ),
]
OTHERS = [
    ("Raspberry Pi 5 Model B Rev 1.0", ("raspberrypi,5-model-b", "brcm,bcm2712")),
    ("Radxa ROCK 5B", ("radxa,rock-5b", "rockchip,rk3588")),
    ("Thor Industries Box", ()),
    ("Google Pixel C", ("google,smaug", "nvidia,tegra210")),
]


def tree(root: Path, model: str, compatible: tuple[str, ...], release: str) -> Path:
    device_tree = root / "proc/device-tree"
    device_tree.mkdir(parents=True)
    (device_tree / "model").write_bytes(model.encode() + b"\0")
    (device_tree / "compatible").write_bytes(b"".join(c.encode() + b"\0" for c in compatible))
    if release:
        (root / "etc").mkdir()
        (root / "etc/nv_tegra_release").write_text(f"# {release}, GCID: 1, BOARD: generic\n")
    return root


@pytest.mark.parametrize(("model", "compatible", "release", "target"), BOARDS)
def test_a_jetson_is_identified(
    tmp_path: Path, model: str, compatible: tuple[str, ...], release: str, target: str
) -> None:
    root = tree(tmp_path, model, compatible, release)
    assert device_tree_compatible(root) == compatible
    machine = detect_machine(root, arch="aarch64")
    assert (machine.target, machine.model) == (target, model)
    assert bool(machine.l4t) == bool(release)
    # `build --target jetson` resolves to it on that board.
    spec, sentence = resolve_target("jetson", here=machine.target)
    assert spec.name == ("jetson-orin-nano" if target == "jetson" else target)
    assert sentence


@pytest.mark.parametrize(("model", "compatible"), OTHERS)
def test_other_boards_are_no_jetsons(
    tmp_path: Path, model: str, compatible: tuple[str, ...]
) -> None:
    machine = detect_machine(tree(tmp_path, model, compatible, ""), arch="aarch64")
    assert "jetson" not in machine.target


def test_the_profiles_and_the_release_table_agree() -> None:
    entries = [
        (spec.name, jetpack)
        for spec in list_targets()
        if spec.tensorrt is not None
        for jetpack in spec.tensorrt.jetpacks
    ]
    assert len(entries) > 20
    for name, jetpack in entries:
        assert jetpack_of(jetpack.l4t) == jetpack.version, (name, jetpack)
    # A release has the same software on every board.
    assert len({entry for _, entry in entries}) == len({entry.version for _, entry in entries})


@pytest.mark.parametrize(
    ("board", "l4t", "version", "python"),
    [
        ("jetson-orin-nano", "36.4.3", "6.2", "3.10"),
        ("jetson-orin-nano", "36.5.0", "6.2", "3.10"),
        ("jetson-agx-orin", "35.1.0", "5.0.2", "3.8"),
        ("jetson-xavier-nx", "35.6.5", "5.1", "3.8"),
        ("jetson-nano", "32.7.4", "4.6", "3.6"),
        ("jetson-thor", "38.4.0", "7.1", "3.12"),
    ],
)
def test_a_release_finds_its_row(board: str, l4t: str, version: str, python: str) -> None:
    tensorrt = load_target(board).tensorrt
    assert tensorrt is not None
    here = jetpack_here(tensorrt.jetpacks, l4t)
    assert here is not None
    assert (here.version, here.python) == (version, python)


def test_an_unknown_release_has_no_row() -> None:
    tensorrt = load_target("jetson-thor").tensorrt
    assert tensorrt is not None
    assert jetpack_here(tensorrt.jetpacks, "36.4.3") is None
    assert jetpack_here(tensorrt.jetpacks, "") is None
    assert jetpack_of("") == ""
