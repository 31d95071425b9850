"""Notes of a training on a console."""

from __future__ import annotations

import io

from rich.console import Console

from edgessd.train.reporter import Reporter

ROW = {
    "epoch": 3.0,
    "loss": 1.5,
    "class_loss": 1.0,
    "box_loss": 0.5,
    "images_per_second": 12.5,
    "seconds": 90.0,
}


def _console() -> Console:
    return Console(file=io.StringIO(), width=200)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_epoch_has_its_accuracy_if_it_was_evaluated() -> None:
    console = _console()
    with Reporter(console) as reporter:
        reporter.epoch_done(ROW)
        reporter.epoch_done({**ROW, "AP": 0.25, "AP50": 0.5})
    first, second = (line for line in _text(console).splitlines() if "epoch 3" in line)
    assert "loss 1.500 (class 1.000, box 0.500)" in first
    assert "1.5 min" in first
    assert "AP" not in first
    assert second.rstrip().endswith("AP 0.2500  AP50 0.5000")


def test_each_broken_image_is_recorded_once_and_the_first_few_are_printed() -> None:
    console = _console()
    with Reporter(console) as reporter:
        for number in (*range(40), 0, 1):
            reporter.broken(f"{number}.png is broken")
    assert len(reporter.broken_images) == 40
    assert 0 < _text(console).count("skipped:") < 40


def test_without_a_console_it_is_silent_and_still_records() -> None:
    with Reporter(None) as reporter:
        reporter.reading(1, 2)
        reporter.broken("a.png is broken")
        reporter.epoch_done(ROW)
    assert reporter.broken_images == ["a.png is broken"]
