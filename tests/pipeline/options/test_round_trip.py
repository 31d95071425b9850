"""Any options, written as a file and read again."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.file import options_of, read_values, write_options
from edgessd.pipeline.options.run import RunOptions, absolute
from edgessd.pipeline.options.secrets import hide_secrets
from edgessd.pipeline.options.source import SourceOptions


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers from low to high, but none so small that a processor may round it to 0.

    Libraries that other tests load switch that rounding on for the whole process.
    """
    return st.floats(low, high, allow_subnormal=False)


# Any Unicode text, but no halves of characters, which TOML can't have.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True)
PATHS = TEXT.filter(lambda text: "\0" not in text).map(Path)
# Values of the attributes for which not every value of the type is valid.
VALID: dict[str, st.SearchStrategy[Any]] = {
    "address": st.one_of(
        st.just("camera:0?width=640"),
        st.just("rtsp://me:hunter2%40@cam/1?channel=1"),
        st.just("rtsp://cam/1?token=hunter2"),
        st.just("gst:videotestsrc ! appsink"),
        PATHS.map(str),
    ),
    "url": st.sampled_from(["https://hooks.example/T0/hunter2", "http://localhost:80/%20#a"]),
    "metrics": st.sampled_from(["0", "0.0.0.0:9464", "[::1]:80"]),
    "record.path": TEXT.filter(lambda text: not {"/", "\0"} & {*text}).map(
        lambda text: Path(text + ".mkv")
    ),
    "mqtt.url": st.sampled_from(["mqtt://broker", "mqtts://broker:8883/home/door"]),
    "fps": floats(0.001, 1000),
    "threshold": floats(0, 1),
    "stall_seconds": floats(0.1, 86_400),
    "freeze_seconds": floats(0, 86_400),
    "open_seconds": floats(0.1, 86_400),
    "minutes": floats(0.01, 1e12),
    "every": floats(0, 1e300),
    "qos": st.integers(0, 2),
    "port": st.integers(0, 65535),
    "width": st.integers(1, 65535),
    "height": st.integers(1, 65535),
    "threads": st.integers(1, 1024),
    "engines": st.integers(1, 1024),
}


def values_of(kind: Any, name: str, place: str) -> st.SearchStrategy[Any]:
    """Return values of an annotation."""
    for key in (f"{place}.{name}", name):
        if key in VALID and kind is not type(None):
            return VALID[key]
    if name.endswith("_env") and kind is str:
        return NAMES
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        return st.lists(values_of(get_args(kind)[0], name, place), min_size=1, max_size=3).map(
            tuple
        )
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return tables(kind, name)
    simple = {str: TEXT, Path: PATHS, bool: st.booleans(), int: st.integers(1, 10**30)}
    return st.none() if kind is type(None) else simple[kind]


@st.composite
def tables(draw: st.DrawFn, kind: type[Any], place: str) -> Any:
    """Make options of a type, each attribute given or left out."""
    arguments = {}
    for name, hint in get_type_hints(kind).items():
        required = next(f.required for f in msgspec.structs.fields(kind) if f.name == name)
        if required or draw(st.booleans()):
            kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
            arguments[name] = draw(st.one_of([values_of(each, name, place) for each in kinds]))
    if kind is SourceOptions or place == "webhook":
        first = "address" if kind is SourceOptions else "url"
        arguments[first] = draw(VALID[first])
        if draw(st.booleans()):
            arguments |= {first: None, f"{first}_env": draw(NAMES)}
        else:
            arguments[f"{first}_env"] = None
    if kind is SourceOptions and arguments.get("wait"):
        arguments["reconnect"] = True
    if kind is RunOptions:
        if arguments.get("jsonl") == arguments.get("csv"):
            arguments["csv"] = None  # they can't share a file
        for name in ("snapshots", "webhook"):
            if (table := arguments.get(name)) is not None and table.on == "events":
                sources = [
                    msgspec.structs.replace(source, regions=Path("regions.toml"))
                    for source in arguments["source"]
                ]
                arguments["source"] = tuple(sources)
    return kind(**arguments)


@settings(max_examples=40, deadline=None)
@given(options=tables(RunOptions, ""))
def test_options_survive_a_file(
    options: RunOptions, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("round")
    hidden, secrets = hide_secrets(absolute(options, folder))
    path = folder / "o.toml"
    path.write_bytes(write_options(hidden).encode())
    assert "hunter2" not in path.read_text(encoding="utf-8")
    again = options_of(read_values(path), path)
    assert again == hidden
    assert write_options(again) == write_options(hidden)
    assert hide_secrets(again) == (again, {})
    for before, after in zip(options.source, hidden.source, strict=True):
        if before.address and "hunter2" in before.address:
            assert "hunter2" in " ".join(secrets.values())
            assert after.address is None or after.username_env in secrets


def test_a_name_that_isnt_utf_8_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"bar\\udce9.mp4"):
        write_options(RunOptions(source=(SourceOptions(address="bar\udce9.mp4"),)))
