"""The examples of docs/sinks.md are what the code takes and gives."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import SinkError
from edgessd.pipeline.regions import parse_regions
from edgessd.pipeline.sinks.csv_rows import COLUMNS
from edgessd.pipeline.sinks.webhook import signature

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/sinks.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


def test_the_regions_file_is_one() -> None:
    (block,) = blocks("toml")
    regions = parse_regions(tomllib.loads(block))
    assert [region.name for region in regions.all] == ["door", "table"]
    # What it shows of settings are the defaults.
    plain = parse_regions({"line": [{"name": "a", "from": [0, 0], "to": [1, 1]}]})
    assert (regions.units, regions.margin) == (plain.units, plain.margin)
    assert regions.tracking == plain.tracking


def test_the_json_line_is_as_the_schema_has_it() -> None:
    from jsonschema import Draft202012Validator

    (block,) = blocks("json")
    schema = json.loads((ROOT / "edgessd/pipeline/record.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(block))


def test_the_columns_are_named() -> None:
    assert ", ".join(COLUMNS) in " ".join(TEXT.split())


def run_block(number: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "document"}
    exec(compile(blocks("python")[number], "docs/sinks.md", "exec"), names)
    return names


def test_the_signature_can_be_checked_as_shown() -> None:
    is_genuine = run_block(1)["is_genuine"]
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000"}
    headers["webhook-signature"] = signature(b"secret", "msg_1", "1700000000", b"{}")
    assert is_genuine(b"secret", headers, b"{}")
    assert not is_genuine(b"other", headers, b"{}")
    assert not is_genuine(b"secret", headers, b"{ }")


def test_a_sink_of_ones_own_and_tracking_run_as_shown(
    photos: Path, tiny_bundles: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.sinks.sink import Sink

    bell: Sink = run_block(2)["Doorbell"]()
    with Pipeline(str(photos), tiny_bundles["host"].directory, [bell]) as pipeline:
        assert len(list(pipeline)) == 16
    assert pipeline.status().sinks[0].written == 16
    with pytest.raises(SinkError, match="connected"):
        bell._ring()  # type: ignore[attr-defined]

    monkeypatch.chdir(tmp_path)
    regions = blocks("toml")[0].replace('"person"', '"cat"')
    (tmp_path / "regions.toml").write_text(regions)
    (tmp_path / "film.mp4").symlink_to(photos)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/cells-host").symlink_to(tiny_bundles["host"].directory)
    last = run_block(0)["result"]
    assert [region.name for region in last.regions] == ["door", "table"]
    assert last.detections.track_ids is not None


def test_every_metric_that_is_named_is_served_and_none_is_left_out(
    photos: Path, tiny_bundles: dict[str, Any]
) -> None:
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.sinks.metrics import Metrics

    with Pipeline(str(photos), tiny_bundles["host"].directory) as pipeline:
        page = Metrics(pipeline.status).text().decode()
    served = set(re.findall(r"# HELP (edgessd_\w+)", page))
    assert served == set(re.findall(r"`(edgessd_\w+)`", TEXT))
