"""Target files: strict parsing, the shipped ones, and families."""

from __future__ import annotations

from pathlib import Path

import pytest
from target_files import MINIMAL, write

from edgessd.core.errors import ConfigError, TargetError
from edgessd.target.load import list_targets, load_target, read_target, resolve_target

SHIPPED = {
    "android",
    "coral",
    "host",
    "host-float",
    "jetson",
    "jetson-agx-orin",
    "jetson-agx-xavier",
    "jetson-nano",
    "jetson-orin-nano",
    "jetson-orin-nx",
    "jetson-thor",
    "jetson-tx2",
    "jetson-xavier-nx",
    "raspberry-pi",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "rtx",
}


def test_every_shipped_target_parses() -> None:
    specs = {spec.name: spec for spec in list_targets()}
    assert specs.keys() >= SHIPPED
    for spec in specs.values():
        for profile in spec.profiles:
            assert profile in specs


def test_profiles_build_what_their_family_builds() -> None:
    """One bundle serves the whole family, except boards without INT8."""
    for spec in list_targets():
        for profile in (load_target(name) for name in spec.profiles):
            if profile.tensorrt is None or profile.tensorrt.int8:
                assert profile.engine == spec.engine
            else:
                assert (profile.engine.scheme, profile.engine.input_dtype) == ("float", "float16")


def test_a_profile_follows_its_family() -> None:
    names = [spec.name for spec in list_targets()]
    family = names.index("raspberry-pi")
    assert names[family + 1 : family + 3] == ["raspberry-pi-4", "raspberry-pi-5"]


def test_backends_of_every_target_are_known_here() -> None:
    from edgessd.runtime.catalog import BACKENDS

    for spec in list_targets():
        assert set(spec.backends) <= set(BACKENDS), spec.name


def test_missing_features_are_listed() -> None:
    for name in ("coral", "android", "jetson-nano", "jetson-agx-xavier"):
        assert load_target(name).pending
    for name in ("host", "host-float", "raspberry-pi", "jetson", "jetson-orin-nano", "rtx"):
        assert not load_target(name).pending


def test_an_unknown_target_names_the_known_ones() -> None:
    with pytest.raises(TargetError, match=r"raspberry-pi.*edgessd targets"):
        load_target("raspbery-pi")


def test_a_family_resolves_to_this_machines_profile() -> None:
    spec, sentence = resolve_target("raspberry-pi", here="raspberry-pi-5")
    assert spec.name == "raspberry-pi-5"
    assert "this machine is a Raspberry Pi 5" in sentence


def test_a_family_on_another_machine_is_itself_or_the_profile_it_stands_for() -> None:
    assert resolve_target("raspberry-pi", here="host")[0].name == "raspberry-pi"
    assert resolve_target("raspberry-pi", here="host")[1] == ""
    spec, sentence = resolve_target("jetson", here="host")
    assert spec.name == "jetson-orin-nano"
    assert "the target is jetson-orin-nano" in sentence


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    spec = read_target(write(tmp_path, MINIMAL))
    assert (spec.threads, spec.pending, spec.engine.postprocess) == (4, (), "raw")


def test_a_file_is_named_as_its_target(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names another target"):
        read_target(write(tmp_path, MINIMAL, "tablet.toml"))


def test_an_unknown_jetson_resolves_to_the_profile_that_is_built_instead() -> None:
    spec, sentence = resolve_target("jetson", here="jetson")
    assert spec.name == "jetson-orin-nano"
    assert "edgessd doesn't know this board" in sentence
    assert "jetson-agx-orin" in sentence
