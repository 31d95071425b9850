"""Read target files, targets/*.toml; an unknown key is an error."""

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
    """List all targets by name, each family before its profiles."""
    specs = [read_target(path) for path in _files(directory)]
    family_of = {profile: spec.name for spec in specs for profile in spec.profiles}
    return tuple(sorted(specs, key=lambda spec: (family_of.get(spec.name, spec.name), spec.name)))


def load_target(name: str, directory: Path | None = None) -> TargetSpec:
    """Load a target by name.

    Args:
        name: A name from `edgessd targets`.
        directory: Folder of the files; None takes the targets that ship with edgessd.

    Raises:
        TargetError: There is no such target.
        ConfigError: Its file has a wrong, unknown or missing value.
    """
    paths = {path.stem: path for path in _files(directory)}
    if name not in paths:
        raise TargetError(
            f"There is no target {name!r}",
            expected=", ".join(sorted(paths)),
            found=name,
            fix="`edgessd targets` describes each of them",
        )
    return read_target(paths[name])


def read_target(path: Path) -> TargetSpec:
    """Parse one file strictly. Its name must be that of the target in it."""
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
    """Find the device to build for, and a sentence on the choice if a family was named.

    Args:
        name: Name of a target or of a family.
        here: Target of this machine (`detect.Machine.target`). A family resolves to it if it is one of
            the family's profiles, else to the profile that the family stands for.
    """
    spec = load_target(name)
    if here in spec.profiles:
        chosen = load_target(here)
        return chosen, f"{name}: this machine is a {chosen.title}"
    if spec.stands_for:
        chosen = load_target(spec.stands_for)
        why = "edgessd doesn't know this board" if here == name else "this machine is none"
        sentence = f"{name}: {why}, so the target is {chosen.name} ({chosen.title})"
        others = ", ".join(profile for profile in spec.profiles if profile != chosen.name)
        return chosen, f"{sentence}; others: {others}" if others else sentence
    return spec, ""


def _files(directory: Path | None) -> list[Path]:
    return sorted((directory or resource_directory("targets")).glob("*.toml"))
