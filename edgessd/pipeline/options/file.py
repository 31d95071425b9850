"""The options of a run as a TOML file: `edgessd run --config FILE.toml`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import tomli_w

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.run import RunOptions, absolute
from edgessd.pipeline.options.secrets import require_no_secrets
from edgessd.pipeline.options.source import SourceOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

S = TypeVar("S", bound=msgspec.Struct)

# The types that msgspec and TOML name, in words.
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list in brackets",
    "object": "a table",
    "datetime": "a date",
    "date": "a date",
    "time": "a time",
}


def read_options(path: Path) -> RunOptions:
    """Read options from a file. Relative paths in it are relative to its folder.

    Raises:
        ConfigError: The file is missing, isn't TOML, has an unknown key, a wrong type, a value out of
            its range or a secret.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The options file {path} can't be read",
            found=error.strerror or str(error),
            fix="Give --config the path of a TOML file. `edgessd run … --print-config` writes one.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The options file {path} isn't TOML",
            found=str(error),
            fix='Text needs quotes, as in address = "camera:0".',
        ) from error
    try:
        options = parse_options(document)
    except ConfigError as error:
        raise ConfigError(
            f"The options file {path} can't be used: {error.problem}",
            expected=error.expected,
            found=error.found,
            fix=error.fix,
        ) from error
    return absolute(options, path.absolute().parent)


def parse_options(document: Mapping[str, Any]) -> RunOptions:
    """Make options from a parsed TOML document.

    Raises:
        ConfigError: See `read_options`.
    """
    options = _parse(document, RunOptions, "")
    require_no_secrets(options)
    return options


def write_options(options: RunOptions) -> str:
    """Return the options as TOML that `read_options` reads; all values are written but None."""
    document: dict[str, Any] = _without_none(msgspec.to_builtins(options, enc_hook=str))
    return tomli_w.dumps(document)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_none(each) for each in value]
    return value


def _parse(table: Mapping[str, Any], kind: type[S], place: str) -> S:
    """Convert a table, its own tables first, so that an error knows where it is.

    Args:
        table: As TOML has it.
        kind: What it becomes.
        place: Where the table is, for people; empty for the whole file.
    """
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise _unknown_key(key, tuple(known), place)
        values[key] = _parse_tables(key, value, known[key].type)
    try:
        return msgspec.convert(values, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error), values, known, place) from error
    except ConfigError as error:
        problem = f"{error.problem}, in {place}" if place else error.problem
        raise ConfigError(
            problem, expected=error.expected, found=error.found, fix=error.fix
        ) from error


def _parse_tables(key: str, value: Any, kind: Any) -> Any:
    """Convert a value that must be a table or a list of tables; other values stay as they are."""
    structs = [each for each in _types_in(kind) if issubclass(each, msgspec.Struct)]
    if not structs:
        return value
    if str(kind).startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise ConfigError(
                f"{key} isn't a list of tables",
                expected=f"[[{key}]], in two brackets, before each of them",
                found=f"one table, [{key}]" if isinstance(value, dict) else _shown(value),
            )
        return [
            _parse(each, structs[0], f"[[{key}]] number {number}")
            for number, each in enumerate(value, 1)
        ]
    if not isinstance(value, dict):
        raise ConfigError(f"{key} isn't a table", expected=f"[{key}]", found=_shown(value))
    return _parse(value, structs[0], f"[{key}]")


def _types_in(kind: Any) -> list[type]:
    """Return the classes that an annotation names: `tuple[A, ...]` and `A | None` name A."""
    if isinstance(kind, type) and not get_args(kind):
        return [kind]
    return [each for part in get_args(kind) for each in _types_in(part)]


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


def _unknown_key(key: str, known: tuple[str, ...], place: str) -> ConfigError:
    nearest = get_close_matches(key, known, n=1)
    fix = None
    if place and key in RunOptions.__struct_fields__:
        fix = f"{key} is an option of the whole run. Write it before the first table."
    elif not place and key in SourceOptions.__struct_encode_fields__:
        fix = f"{key} is an option of a source. Write it in a [[source]] table."
    return ConfigError(
        f"The key {key} is unknown in {place or 'the part before the first table'}",
        expected=nearest[0] if nearest else "one of " + ", ".join(known),
        found=key,
        fix=fix,
    )


def _wrong_value(
    message: str, values: Mapping[str, Any], known: Mapping[str, Any], place: str
) -> ConfigError:
    """Say in words what msgspec says in types."""
    inside = f" in {place}" if place else ""
    if missing := re.search(r"missing required field `(\w+)`", message):
        return ConfigError(f"The key {missing[1]} is missing{inside}")
    at = re.search(r"at `\$\.(\w+)", message)
    key = at[1] if at else "a value"
    expected = re.search(r"Expected `([^`]*)`", message)
    if expected is None:
        choices = re.findall(r"'(\w+)'", str(known[key].type)) if key in known else []
        return ConfigError(
            f"{key}{inside} is unknown",
            expected=" or ".join(f'"{choice}"' for choice in choices) or message,
            found=_shown(values.get(key)),
        )
    words = [_TYPES.get(each, each) for each in expected[1].split(" | ") if each != "null"]
    return ConfigError(
        f"{key}{inside} has the wrong type",
        expected=" or ".join(words),
        found=_shown(values.get(key)),
    )


def _shown(value: Any) -> str:
    """Return a value as TOML writes it."""
    text: str = tomli_w.dumps({"value": value})
    return " ".join(text.removeprefix("value = ").split())
