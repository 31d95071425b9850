"""Files of lines and rows: full disks, folders that are files, and closed readers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import SinkError
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.csv_rows import CsvSink
from edgessd.pipeline.sinks.json_lines import JsonLinesSink

pytestmark = pytest.mark.process

Make = Callable[..., Result]


@pytest.mark.parametrize("kind", [JsonLinesSink, CsvSink])
def test_a_full_disk_ends_the_sink_with_its_reason(kind: Any, make_result: Make) -> None:
    with pytest.raises(SinkError, match="No space left") as refused:  # noqa: PT012
        sink = kind("/dev/full")
        for index in range(3):
            sink.write(make_result(index, "person"))
    assert "/dev/full" in str(refused.value)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="JSON lines can't be written"):
        JsonLinesSink(str(tmp_path / "file/out.jsonl"))


@pytest.mark.parametrize(
    ("on_closed", "message"),
    [
        ("lambda: closed.append(True)", "ended 1"),
        ("None", "The reader of stdout has gone 0"),
    ],
)
def test_a_reader_of_stdout_that_leaves_ends_the_run(on_closed: str, message: str) -> None:
    program = """
import sys
from edgessd.core.detections import Detections
from edgessd.core.errors import SinkError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.meter import StageSeconds
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.json_lines import JsonLinesSink
import numpy as np
closed = []
sink = JsonLinesSink("-", on_closed=ON_CLOSED)
image = np.zeros((9, 9, 3), np.uint8)
seconds = StageSeconds(preprocess=0, infer=0, postprocess=0)
try:
    for index in range(3000):
        frame = Frame(image=image, source="x", index=index, timestamp=0, captured_at=0)
        sink.write(Result(frame=frame, detections=Detections.empty(("a",)), seconds=seconds, delay=0))
    print("ended", len(closed), file=sys.stderr)
except SinkError as error:
    print(error.problem, len(closed), file=sys.stderr)
""".replace("ON_CLOSED", on_closed)
    done = subprocess.run(
        f"{sys.executable} -c '{program}' | head -2",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.strip() == message
