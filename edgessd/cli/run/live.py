"""`edgessd run --live`: serve the page and print its address."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgessd.cli.console import people

if TYPE_CHECKING:
    from pathlib import Path

    from edgessd.pipeline.live.page import LivePage
    from edgessd.pipeline.options.outputs import LiveOptions
    from edgessd.pipeline.pipeline import Pipeline
    from edgessd.pipeline.sinks.metrics import Metrics

_log = logging.getLogger(__name__)
_MOST_ADDRESSES = 3


def open_live(options: LiveOptions, pipeline: Pipeline, *, model: Path | None) -> LivePage:
    """Serve the page and print its address, once.

    Raises:
        SinkError: See `LivePage`.
    """
    from edgessd.bench.sensors import read_sensors
    from edgessd.pipeline.live.access import choose_token
    from edgessd.pipeline.live.hub import Extras
    from edgessd.pipeline.live.page import LivePage

    given = os.environ.get(options.token_env)
    token = choose_token(options.host, given, variable=options.token_env)
    page = LivePage(
        pipeline,
        host=options.host,
        port=options.port,
        token=token,
        extras=Extras(
            model=model.name if model else "",
            celsius=lambda: read_sensors().celsius,
            metrics=_metrics(pipeline),
        ),
    )
    # The user knows a token of their own; it stays out of terminals and journals.
    urls = page.urls(with_token=not given)[:_MOST_ADDRESSES]
    hint = f" (with the token of {options.token_env})" if given else ""
    console = people()
    if console.quiet:
        _log.info(
            "Live page: %s%s",
            urls[0],
            hint,
            extra={"edgessd": {"event": "live_page", "urls": urls}},
        )
    for url in urls:
        console.print(f"Live page: [bold]{url}[/bold]{hint}", soft_wrap=True)
    if console.is_terminal and page.token and not given:
        _print_qr_code(urls[0])
    return page


def _metrics(pipeline: Pipeline) -> Metrics | None:
    """Return the sink of Prometheus' metrics, None if its client library isn't installed."""
    if find_spec("prometheus_client") is None:
        return None
    from edgessd.pipeline.sinks.metrics import Metrics

    labels = {
        number: pipeline.controls.labels_of(number) for number in range(len(pipeline.sources))
    }
    return Metrics(pipeline.status, labels=labels)


def _print_qr_code(url: str) -> None:
    """Print a QR code for the camera of a phone, on which nobody likes to type a token."""
    import cv2
    import numpy as np

    dark = cv2.QRCodeEncoder.create().encode(url) == 0
    dark = np.pad(dark, 2)
    if dark.shape[0] % 2:
        dark = np.pad(dark, ((0, 1), (0, 0)))
    glyphs = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
    for upper, lower in zip(dark[::2], dark[1::2], strict=True):
        line = "".join(glyphs[bool(a), bool(b)] for a, b in zip(upper, lower, strict=True))
        # White on black with any colors of the terminal.
        people().print(line, style="bright_white on black", soft_wrap=True)
