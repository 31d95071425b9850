"""The options of a run as a TOML file: `edgessd run --config FILE.toml`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import tomli_w

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.run import RunOptions, absolute_values
from edgessd.pipeline.options.secrets import require_no_secrets
from edgessd.pipeline.options.source import SourceOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

S = TypeVar("S", bound=msgspec.Struct)

# Tables with an address, which may contain a secret.
_WITH_ADDRESS = ("source", "webhook", "mqtt")
# Number of characters of a wrong value that are shown.
_SHOWN = 80
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
    return options_of(read_values(path), path)


def read_values(path: Path) -> dict[str, Any]:
    """Read the arguments of `RunOptions` from a file, with absolute paths.

    Each is checked by itself. They may lack a source, or contradict each other, as long as the command
    line adds what is missing.

    Raises:
        ConfigError: See `read_options`.
    """
    try:
        # A byte order mark, as editors of Windows write it, isn't part of the text.
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"The options file {path} can't be read",
            found=error.strerror or str(error),
            fix="Give --config the path of a TOML file. `edgessd run … --print-config` writes one.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The options file {path} isn't TOML",
            expected="text in UTF-8",
            found=str(error),
            fix="Save it as UTF-8 in the editor.",
        ) from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError also for a number with too many digits
        raise ConfigError(
            f"The options file {path} isn't TOML",
            found="too many brackets in brackets"
            if isinstance(error, RecursionError)
            else str(error),
            fix='Text needs quotes, as in address = "camera:0".',
        ) from error
    with _naming(path):
        values = _parse_values(document, RunOptions, "")
        require_no_secrets(**{name: values[name] for name in _WITH_ADDRESS if name in values})
    return absolute_values(values, path.absolute().parent)


def options_of(values: Mapping[str, Any], path: Path) -> RunOptions:
    """Make options from the values of a file.

    Raises:
        ConfigError: They contradict each other, or there is no source.
    """
    with _naming(path):
        return RunOptions(**{"source": (), **values})


def write_options(options: RunOptions) -> str:
    """Return the options as TOML that `read_options` reads; all values are written but None.

    Raises:
        ConfigError: The name of a file isn't UTF-8, as TOML must be.
    """
    document: dict[str, Any] = _without_none(msgspec.to_builtins(options, enc_hook=str))
    text = tomli_w.dumps(document)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = next(each for each in text.splitlines() if error.object[error.start] in each)
        raise ConfigError(
            "An options file can't hold the name of this file",
            expected="a name in UTF-8",
            found=line.encode(errors="backslashreplace").decode(),
            fix="Rename the file.",
        ) from error
    return text


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_none(each) for each in value]
    return value


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in every refusal."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            f"The options file {path} can't be used: {error.problem}",
            expected=error.expected,
            found=error.found,
            fix=error.fix,
        ) from error


def _parse(table: Mapping[str, Any], kind: type[S], place: str) -> S:
    """Convert a table, and say in every refusal where it is."""
    values = _parse_values(table, kind, place)
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(
            f"{error.problem}, in {place}",
            expected=error.expected,
            found=error.found,
            fix=error.fix,
        ) from error


def _parse_values(table: Mapping[str, Any], kind: type[Any], place: str) -> dict[str, Any]:
    """Convert the values of a table to the arguments of its type.

    Args:
        table: As TOML has it.
        kind: Type of the table.
        place: Name of the table for messages; empty for the whole file.
    """
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise _unknown_key(key, tuple(known), place)
        parsed = _parse_tables(key, value, known[key].type)
        try:
            values[known[key].name] = msgspec.convert(parsed, known[key].type, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise _wrong_value(str(error), key, value, known[key].type, place) from error
    for field in known.values():
        # A run may get its sources from the command line.
        if field.required and field.name not in values and place:
            raise ConfigError(f"The key {field.encode_name} is missing in {place}")
    return values


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
    shown = _harmless(key)
    return ConfigError(
        f"The key {shown} is unknown in {place or 'the part before the first table'}",
        expected=nearest[0] if nearest else "one of " + ", ".join(known),
        found=shown,
        fix=fix,
    )


def _wrong_value(message: str, key: str, value: Any, kind: Any, place: str) -> ConfigError:
    """Say in words what msgspec says in types."""
    inside = f" in {place}" if place else ""
    expected = re.search(r"Expected `([^`]*)`", message)
    if expected is None:
        choices = re.findall(r"'(\w+)'", str(kind))
        return ConfigError(
            f"{key}{inside} is unknown",
            expected=" or ".join(f'"{choice}"' for choice in choices) or message,
            found=_shown(value),
        )
    words = [_TYPES.get(each, each) for each in expected[1].split(" | ") if each != "null"]
    return ConfigError(
        f"{key}{inside} has the wrong type", expected=" or ".join(words), found=_shown(value)
    )


def _shown(value: Any) -> str:
    """Return a value as TOML writes it, see `_harmless`."""
    text: str = tomli_w.dumps({"value": value})
    return _harmless(" ".join(text.removeprefix("value = ").split()))


def _harmless(text: str) -> str:
    """Return the beginning of a text, with *** for what may be a secret in the address of a server."""
    hidden = re.sub(r"://[^\"]*", "://***", text)
    plain = "".join(letter if letter.isprintable() else "�" for letter in hidden)
    return plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "…"
