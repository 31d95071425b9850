"""The Python of docs/live.md, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/live.md").read_text(), flags=re.S)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(
    example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "to_supervision" in example:
        pytest.importorskip("supervision")
    if "LivePage" in example:
        pytest.importorskip("uvicorn")
    monkeypatch.chdir(ROOT)
    exec(compile(example, "docs/live.md", "exec"), {"__name__": "example"})
    if "print" in example:
        assert capsys.readouterr().out.strip()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
