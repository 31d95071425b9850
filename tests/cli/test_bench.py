"""`edgessd bench` as a user starts it: JSON keys, the report, and what it loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import edgessd

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def google(shared: Path) -> Path:
    folder = shared / "data/google_ssd_mobilenet_v1_coco"
    return folder / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"


def test_bench_gives_the_promised_keys_and_a_report(
    google: Path, shared: Path, tmp_path: Path
) -> None:
    source = shared / "data/coco128/images/val2017"
    words = ("--seconds", 0.2, "--source", source, "--report", "bench.html", "--json")
    done = edgessd("bench", "--model", google, *words, cwd=tmp_path)
    result = done.json
    engine = result["engine"]
    assert 0 < engine["p50_ms"] <= engine["p95_ms"] <= engine["p99_ms"]
    assert engine["runs"] >= 50
    assert result["pipeline"]["frames"] == 128
    assert result["pipeline"]["fps"] > 0
    assert result["peak_rss_mb"] > result["rss_before_mb"] > 10
    assert result["file_bytes"] == google.stat().st_size
    assert result["machine"]["cores"] >= 1

    page = (tmp_path / "bench.html").read_text()
    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg;base64,") == 6
    assert f"{engine['p50_ms']:.2f}" in page
    # The page is one file and fetches nothing.
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)


def test_run_and_bench_need_neither_torch_nor_onnx(
    google: Path, shared: Path, tmp_path: Path
) -> None:
    picture = sorted((shared / "data/coco128/images/val2017").iterdir())[0]
    program = (
        "import sys\n"
        "import edgessd.pipeline.pipeline, edgessd.bench.run_bench, edgessd.bench.report.page\n"
        "from edgessd.cli.app import make_app\n"
        f"for words in (['run', '--source', {str(picture)!r}], ['bench', '--seconds', '0.1']):\n"
        f"    make_app()(words + ['--model', {str(google)!r}], standalone_mode=False)\n"
        "print(sorted({'torch', 'onnx', 'onnxsim'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
