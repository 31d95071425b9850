"""Make docs/live.png: the live page of the test pattern on a desktop and on a phone.

Run it with `python docs/live_screenshot.py`. Needs chromium, chromium-driver and selenium.
"""

from __future__ import annotations

import shutil
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from edgessd.bench.sensors import read_sensors
from edgessd.pipeline.live.hub import Extras
from edgessd.pipeline.live.page import LivePage
from edgessd.pipeline.pipeline import Pipeline
from edgessd.runtime.starter import starter_bundle

OUT = Path(__file__).parent / "live.png"
SOURCES = ("pattern:1280x720@12",)
# The plots need this long to fill.
SECONDS = 45
GAP = 28
GROUND = (225, 230, 236)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def photograph(url: str, width: int, height: int, theme: str, seconds: float) -> Image.Image:
    """Return a screenshot of the page after some seconds, in a browser of that size."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    metrics: dict[str, Any] = {"width": width, "height": height, "pixelRatio": 1.0}
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    chrome = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        chrome.get(url)
        chrome.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        time.sleep(seconds)
        return Image.open(BytesIO(chrome.get_screenshot_as_png())).convert("RGB")
    finally:
        chrome.quit()


def main() -> None:
    """Run a pipeline, take two screenshots, and put them side by side."""
    with Pipeline(SOURCES, starter_bundle()) as pipeline:
        extras = Extras(model="codes-int8", celsius=lambda: read_sensors().celsius)
        page = LivePage(pipeline, port=0, extras=extras)
        pipeline.add_sink(page)
        running = threading.Thread(target=lambda: [None for _ in pipeline])
        running.start()
        desktop = photograph(page.urls()[0], 1400, 900, "light", SECONDS)
        phone = photograph(page.urls()[0], 415, 900, "dark", 4)
        pipeline.stop()
        running.join()
    size = (desktop.width + phone.width + 3 * GAP, desktop.height + 2 * GAP)
    sheet = Image.new("RGB", size, GROUND)
    sheet.paste(desktop, (GAP, GAP))
    sheet.paste(phone, (desktop.width + 2 * GAP, GAP))
    sheet.save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
