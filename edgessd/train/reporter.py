"""Progress and notes of a training on the console."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from edgessd.train.loader import BatchLoader
from edgessd.train.metrics_log import Row
from edgessd.train.state import Position

_SHOWN_BROKEN = 5
_SECONDS_PER_LINE = 60


class Reporter:
    """Show progress and notes on a console; silent if it is None.

    Attributes:
        broken_images: One paragraph for each unreadable image.
    """

    def __init__(self, console: Console | None) -> None:
        self.broken_images: list[str] = []
        self._console = console
        self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._task = None
        if console:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.fields[detail]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(elapsed_when_finished=False),
                TextColumn("left"),
                console=console,
            )
            self._task = self._bar.add_task("reading", total=None, detail="")

    def __enter__(self) -> Reporter:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def note(self, sentence: str) -> None:
        """Print one sentence."""
        if self._console:
            self._console.print(sentence)

    def broken(self, problem: str) -> None:
        """Record an unreadable image; print the first few."""
        if problem in self.broken_images:
            return
        self.broken_images.append(problem)
        if len(self.broken_images) <= _SHOWN_BROKEN:
            self.note(f"[yellow]skipped:[/] {problem}")

    def reading(self, done: int, total: int) -> None:
        """Show how many images have been read into memory before training."""
        self._update(description="reading images", completed=done, total=total, detail="")

    def epoch_begins(self, position: Position, loader: BatchLoader) -> None:
        """Show that an epoch starts or resumes."""
        self._update(description=f"epoch {position.epoch + 1}", detail="")

    def step_done(self, position: Position, row: Row, progress: float) -> None:
        """Show an optimizer step; `progress` is the completed fraction of the training."""
        detail = (
            f"loss {row['loss']:.3f} (class {row['class_loss']:.3f}, box {row['box_loss']:.3f})  "
            f"lr {row['lr']:.2g}  {row['images_per_second']:.1f} img/s"
        )
        description = f"epoch {position.epoch + 1}"
        self._update(description=description, completed=progress, total=1.0, detail=detail)
        if self._console and not self._console.is_terminal:
            # A log file shows no bar, so it gets a line per minute.
            now = time.monotonic()
            if now - self._last_line > _SECONDS_PER_LINE:
                self._last_line = now
                self.note(f"{progress:.0%}  {description}  {detail}")

    def evaluation_begins(self, images: int) -> None:
        """Show that an evaluation starts."""
        self._update(detail=f"evaluating {images} images")

    def epoch_done(self, row: Row) -> None:
        """Print the metrics of a finished epoch."""
        accuracy = f"  AP {row['AP']:.4f}  AP50 {row['AP50']:.4f}" if "AP" in row else ""
        self.note(
            f"epoch {row['epoch']:.0f}  loss {row['loss']:.3f} (class {row['class_loss']:.3f}, "
            f"box {row['box_loss']:.3f})  {row['images_per_second']:.1f} img/s  "
            f"{row['seconds'] / 60:.1f} min{accuracy}"
        )

    def _update(self, **values: object) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, **values)  # type: ignore[arg-type]
