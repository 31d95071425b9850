"""Write the HTML table of the accuracy that quantizing each tensor costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgessd.bench.report.comparison_page import heat, shade
from edgessd.bench.report.page import render_template
from edgessd.core.files import write_atomically


def write_sensitivity(record: Mapping[str, Any], path: Path) -> None:
    """Render the record of `edgessd sensitivity --json` and write the page atomically."""
    page = render_template(
        "sensitivity.html",
        title=f"Where {record['checkpoint']} loses accuracy",
        record=record,
        worst=max((row["share"] for row in record["tensors"]), default=1.0),
        heat=heat,
        shade=shade,
    )
    write_atomically(path, page)
