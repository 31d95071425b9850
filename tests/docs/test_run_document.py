"""The options file of docs/run.md: it has every key, and `edgessd run` takes it."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from command_line import edgessd
from documents import examples

from edgessd.pipeline.options.file import read_options
from edgessd.pipeline.options.run import RunOptions
from edgessd.pipeline.options.source import SourceOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

(EXAMPLE,) = [shown for shown in examples("toml") if shown.document == "docs/run.md"]


def test_the_file_shows_every_key(tmp_path: Path) -> None:
    document = tomllib.loads(EXAMPLE.code)
    (tmp_path / "cameras.toml").write_text(EXAMPLE.code)
    options = read_options(tmp_path / "cameras.toml")
    shown_of_sources = {key for source in document["source"] for key in source}
    assert shown_of_sources == set(SourceOptions.__struct_encode_fields__)
    assert set(document) == set(RunOptions.__struct_fields__)
    for name in ("model", "record", "snapshots", "webhook", "mqtt", "live"):
        fields = msgspec.structs.fields(getattr(options, name))
        missing = {field.encode_name for field in fields} - set(document[name])
        assert missing == ({"url"} if name == "webhook" else set())


def test_edgessd_run_takes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cameras.toml").write_text(EXAMPLE.code)
    for name in ("YARD_PASSWORD", "GATE_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    printed = edgessd("run", "--config", tmp_path / "cameras.toml", "--print-config").out
    (tmp_path / "printed.toml").write_text(printed)
    assert read_options(tmp_path / "printed.toml") == read_options(tmp_path / "cameras.toml")
