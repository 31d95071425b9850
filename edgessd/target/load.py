"""Read targets/*.toml; an unknown key is an error."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from edgessd.core.errors import ConfigError, TargetError
from edgessd.core.resources import resource_directory
from edgessd.target.spec import TargetSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def list_targets(directory: Path | None = None) -> tuple[TargetSpec, ...]:
    """Every target there is, families before their profiles, otherwise by name."""
    specs = [read_target(path) for path in _files(directory)]
    family_of = {profile: spec.name for spec in specs for profile in spec.profiles}
    return tuple(sorted(specs, key=lambda spec: (family_of.get(spec.name, spec.name), spec.name)))


def load_target(name: str, directory: Path | None = None) -> TargetSpec:
    """The target of that name.

    Args:
        name: As `edgessd targets` lists it.
        directory: Where the files lie; None takes those that ship with edgessd.

    Raises:
        TargetError: No such target.
        ConfigError: Its file says something a target can't have.
    """
    paths = {path.stem: path for path in _files(directory)}
    if name not in paths:
        raise TargetError(
            f"There is no target {name!r}",
            expected=", ".join(sorted(paths)),
            found=name,
            fix="`edgessd targets` shows what each of them is",
        )
    return read_target(paths[name])


def read_target(path: Path) -> TargetSpec:
    """Parse one file strictly; it must be named as the target in it."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        spec = msgspec.convert(table, TargetSpec)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"The target file {path} can't be read", found=str(error)) from error
    except ConfigError as error:
        raise ConfigError(f"The target file {path} can't be used", found=str(error)) from error
    if spec.name != path.stem:
        raise ConfigError(
            f"The target file {path} names another target", expected=path.stem, found=spec.name
        )
    return spec


def resolve_target(name: str, here: str = "") -> tuple[TargetSpec, str]:
    """The device to build for, and a sentence where it isn't literally the name that was given.

    Args:
        name: Of a target or of a family.
        here: Target name of this machine (`detect.Machine.target`); a family resolves to it if it is
            one of its profiles, else to what it stands for.
    """
    spec = load_target(name)
    if here in spec.profiles:
        chosen = load_target(here)
        return chosen, f"{name}: this machine is a {chosen.title}"
    if spec.stands_for:
        chosen = load_target(spec.stands_for)
        why = "this board isn't one that edgessd knows" if here == name else "this machine is none"
        said = f"{name}: {why}, so the target is {chosen.name} ({chosen.title})"
        others = ", ".join(profile for profile in spec.profiles if profile != chosen.name)
        return chosen, f"{said}; others: {others}" if others else said
    return spec, ""


def _files(directory: Path | None) -> list[Path]:
    return sorted((directory or resource_directory("targets")).glob("*.toml"))
