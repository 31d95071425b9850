"""The live page in a real browser, on a desktop and on a phone.

Needs Debian's packages chromium and chromium-driver, and `pip install selenium`.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn")
webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from edgessd.pipeline.live.hub import Extras  # noqa: E402
from edgessd.pipeline.live.page import LivePage  # noqa: E402
from edgessd.pipeline.pipeline import Pipeline  # noqa: E402
from edgessd.runtime.detector import Detector  # noqa: E402
from edgessd.runtime.starter import starter_bundle  # noqa: E402

pytestmark = [pytest.mark.process, pytest.mark.realtime]

TOKEN = "a-token-that-nobody-guesses"
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
PHONE = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0, "touch": True}}


@pytest.fixture(scope="module")
def page() -> Iterator[LivePage]:
    with (
        Detector(starter_bundle(), threads=1) as detector,
        Pipeline(["pattern:640x480@10", "pattern:320x240@4"], detector) as pipeline,
    ):
        page = LivePage(
            pipeline,
            host="0.0.0.0",
            port=0,
            token=TOKEN,
            extras=Extras(model="codes", celsius=lambda: 47.0),
        )
        pipeline.add_sink(page)
        page.pipeline = pipeline  # type: ignore[attr-defined] # for the tests alone
        running = threading.Thread(target=lambda: [None for _ in pipeline])
        running.start()
        yield page
        pipeline.stop()
        running.join(30)


@contextmanager
def browser(**experimental: Any) -> Iterator[Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no browser; install Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, "--window-size=1360,1000"):
        options.add_argument(flag)
    for name, value in experimental.items():
        options.add_experimental_option(name, value)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture(scope="module")
def desktop(page: LivePage) -> Iterator[Any]:
    with browser() as chrome:
        chrome.get(f"http://127.0.0.1:{page.port}/?token={TOKEN}")
        until(lambda: shown_frame(chrome, 0) is not None)
        yield chrome


def until(true: Callable[[], object], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
    return value


def shown_frame(chrome: Any, stream: int) -> str | None:
    found = chrome.find_elements("css selector", f'[data-stream="{stream}"] canvas[data-frame]')
    return found[0].get_attribute("data-frame") if found else None


def scores(chrome: Any) -> list[float]:
    """Return the scores in the list of detections, read at one moment."""
    script = (
        "return [...document.querySelectorAll('#detections li')].map((row) => row.dataset.score)"
    )
    return [float(score) for score in chrome.execute_script(script)]


def labels(chrome: Any) -> set[str]:
    script = (
        "return [...document.querySelectorAll('#detections li')].map((row) => row.dataset.label)"
    )
    return set(chrome.execute_script(script))


def boxes_drawn(chrome: Any) -> int:
    """Count the pixels of the picture that have the color of aruco's boxes."""
    script = """
        const canvas = document.querySelector('[data-stream="0"] canvas');
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const [r, g, b] = arguments[0];
        let count = 0;
        for (let i = 0; i < data.length; i += 4)
            if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 60) count++;
        return count;
    """
    from edgessd.core.drawing import class_color

    blue, green, red = class_color(chrome.labels.index("aruco"))
    return int(chrome.execute_script(script, [red, green, blue]))


def test_the_address_loses_the_token_and_no_script_can_read_it(desktop: Any) -> None:
    assert TOKEN not in desktop.current_url
    assert TOKEN not in desktop.execute_script(
        "return document.cookie + JSON.stringify(localStorage)"
    )


def test_pictures_move_and_figures_are_shown(desktop: Any) -> None:
    first = shown_frame(desktop, 0)
    until(lambda: shown_frame(desktop, 0) != first)
    until(lambda: shown_frame(desktop, 1) is not None)
    until(lambda: desktop.find_element("id", "state").text == "live")
    until(lambda: desktop.find_element("id", "figure-fps").text not in ("", "–"))
    assert desktop.find_element("id", "model").text == "codes"
    # Every plot has a curve, also that of the temperature.
    until(lambda: len(desktop.find_elements("css selector", ".plot polyline.series0")) == 4)
    assert "47" in desktop.find_element("css selector", '[data-series="celsius"] .now').text
    names = "[...document.querySelectorAll('#stream-table td:first-child')]"
    script = f"return {names}.map((cell) => cell.textContent)"
    assert desktop.execute_script(script) == ["pattern:640x480@10", "pattern:320x240@4"]


def test_dragging_the_threshold_changes_the_boxes(desktop: Any, page: LivePage) -> None:
    desktop.labels = page.pipeline.controls.labels  # type: ignore[attr-defined]
    slider = desktop.find_element("id", "threshold")
    width = slider.size["width"]

    def drag_to(value: float) -> None:
        """Drag the knob from its center, which can't reach the ends by half of its width."""
        offset = (value - 0.5) * (width - 16)
        actions = ActionChains(desktop).move_to_element(slider).click_and_hold()
        actions.move_by_offset(round(offset), 0).release().perform()

    drag_to(0.08)
    until(lambda: desktop.find_element("id", "threshold-value").text in ("0.07", "0.08", "0.09"))
    until(lambda: scores(desktop) and min(scores(desktop)) < 0.3)
    until(lambda: boxes_drawn(desktop) > 200)
    assert page.pipeline.controls.score_threshold == pytest.approx(0.08, abs=0.02)  # type: ignore[attr-defined]

    slider.send_keys(Keys.END)
    until(lambda: desktop.find_element("id", "threshold-value").text == "1.00")
    until(lambda: not scores(desktop))
    until(lambda: boxes_drawn(desktop) < 40)
    assert desktop.find_element("id", "nothing").is_displayed()

    drag_to(0.3)
    until(lambda: scores(desktop))


def test_clicking_a_class_shows_only_that_class(desktop: Any, page: LivePage) -> None:
    controls = page.pipeline.controls  # type: ignore[attr-defined]
    controls.score_threshold = 0.1
    until(lambda: len(labels(desktop)) > 1)

    def chip(name: str) -> Any:
        chips = desktop.find_elements("css selector", "#classes .chip")
        return next(chip for chip in chips if chip.text == name)

    chip("aruco").click()
    until(lambda: labels(desktop) == {"aruco"})
    assert controls.classes == frozenset({"aruco"})
    assert chip("aruco").get_attribute("aria-pressed") == "true"
    assert chip("All").get_attribute("aria-pressed") == "false"
    chip("All").click()
    until(lambda: len(labels(desktop)) > 1)
    assert controls.classes is None


def test_another_viewer_sees_what_the_first_has_set(desktop: Any, page: LivePage) -> None:
    with browser() as other:
        other.get(f"http://127.0.0.1:{page.port}/?token={TOKEN}")
        until(lambda: shown_frame(other, 0) is not None)
        other.find_element("id", "threshold").send_keys(Keys.END)
        until(lambda: desktop.find_element("id", "threshold-value").text == "1.00")
        other.find_element("id", "threshold").send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * 20)
        until(lambda: desktop.find_element("id", "threshold-value").text == "0.20")
        assert other.find_element("id", "figure-viewers").text == "2"


def test_a_held_picture_stays_until_it_is_released(desktop: Any) -> None:
    button = desktop.find_element("css selector", '[data-stream="0"] button.pause')
    button.click()
    time.sleep(0.5)  # for pictures under way
    held, other = shown_frame(desktop, 0), shown_frame(desktop, 1)
    until(lambda: shown_frame(desktop, 1) != other)
    assert shown_frame(desktop, 0) == held
    button.click()
    until(lambda: shown_frame(desktop, 0) != held)


def test_one_of_two_streams_can_be_enlarged(desktop: Any) -> None:
    card = desktop.find_element("css selector", '[data-stream="1"]')
    before = card.size["width"]
    card.find_element("css selector", "canvas").click()
    until(lambda: card.size["width"] > 1.8 * before)
    card.find_element("css selector", "canvas").click()
    until(lambda: card.size["width"] == before)


def test_light_and_dark_are_remembered(desktop: Any) -> None:
    def paper() -> str:
        return str(desktop.execute_script("return getComputedStyle(document.body).backgroundColor"))

    light = paper()
    desktop.find_element("id", "theme").click()
    dark = paper()
    assert dark != light
    desktop.refresh()
    until(lambda: shown_frame(desktop, 0) is not None)
    assert paper() == dark


def test_the_browser_logs_no_problem(desktop: Any) -> None:
    # These tests, not the page, read the picture.
    entries = [entry for entry in desktop.get_log("browser") if entry["source"] != "rendering"]
    assert [entry for entry in entries if entry["level"] != "INFO"] == []


def test_without_the_token_the_page_asks_for_it(page: LivePage) -> None:
    with browser() as chrome:
        chrome.get(f"http://127.0.0.1:{page.port}/")
        assert not chrome.find_elements("id", "streams")
        chrome.find_element("id", "token").send_keys("wrong-wrong-wrong-wrong", Keys.ENTER)
        until(lambda: "wrong" in chrome.current_url)
        assert not chrome.find_elements("id", "streams")
        chrome.find_element("id", "token").send_keys(TOKEN, Keys.ENTER)
        until(lambda: shown_frame(chrome, 0) is not None)
        assert TOKEN not in chrome.current_url


def test_on_a_phone_the_page_fits_and_the_slider_can_be_touched(page: LivePage) -> None:
    with browser(mobileEmulation=PHONE) as phone:
        phone.get(f"http://127.0.0.1:{page.port}/?token={TOKEN}")
        until(lambda: shown_frame(phone, 0) is not None)
        until(lambda: len(phone.find_elements("css selector", ".plot polyline.series0")) == 4)
        wide = phone.execute_script("return document.documentElement.scrollWidth")
        assert wide == phone.execute_script("return window.innerWidth") == 390
        canvas = phone.find_element("css selector", '[data-stream="0"] canvas')
        assert canvas.size["width"] > 350
        chips = phone.find_elements("css selector", "#classes .chip")
        assert min(chip.size["height"] for chip in chips) >= 28
        slider = phone.find_element("id", "threshold")
        phone.execute_script("arguments[0].scrollIntoView()", slider)
        slider.send_keys(Keys.HOME)
        until(lambda: phone.find_element("id", "threshold-value").text == "0.00")
        until(lambda: len(scores(phone)) > 3)


def test_the_page_comes_back_by_itself_after_a_restart() -> None:
    def start(port: int) -> tuple[Pipeline, LivePage, threading.Thread]:
        pipeline = Pipeline("pattern:320x240@8", starter_bundle())
        page = LivePage(pipeline, port=port)
        pipeline.add_sink(page)
        running = threading.Thread(target=lambda: [None for _ in pipeline])
        running.start()
        return pipeline, page, running

    def end(pipeline: Pipeline, running: threading.Thread) -> None:
        pipeline.stop()
        running.join(30)
        pipeline.__exit__(None, None, None)

    pipeline, page, running = start(0)
    with browser() as chrome:
        chrome.get(page.urls()[0])
        until(lambda: shown_frame(chrome, 0) is not None)
        end(pipeline, running)
        until(lambda: chrome.find_element("id", "state").text == "connection lost")
        notice = chrome.find_element("css selector", ".notice")
        until(lambda: "No connection" in notice.text)
        pipeline, page, running = start(page.port)
        until(lambda: chrome.find_element("id", "state").text == "live")
        until(lambda: not chrome.find_element("css selector", ".notice").is_displayed())
        end(pipeline, running)
