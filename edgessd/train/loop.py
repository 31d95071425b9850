"""Train a model batch by batch; after each epoch evaluate, log and save what a resume needs."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgessd.core.errors import TrainingError
from edgessd.metrics.coco import CocoMetrics
from edgessd.model.checkpoint import save_checkpoint
from edgessd.model.ssdlite import SsdLite
from edgessd.train.config import TrainConfig
from edgessd.train.distributed import DistributedGroup
from edgessd.train.ema import MovingAverage
from edgessd.train.evaluate import Evaluator
from edgessd.train.interrupt import StopRequest
from edgessd.train.loader import Batch, BatchLoader
from edgessd.train.loss import Losses
from edgessd.train.method import FloatTraining, Method
from edgessd.train.metrics_log import MetricsLog, Row
from edgessd.train.normalize import Normalize
from edgessd.train.optimizer import make_optimizer, set_rates
from edgessd.train.precision import autocast, choose_precision
from edgessd.train.reporter import Reporter
from edgessd.train.schedule import Schedule
from edgessd.train.sheet import draw_sheet
from edgessd.train.state import Position, restore_state, save_state

if TYPE_CHECKING:
    from edgessd.quantize.qat.network import QatNetwork

STATE, LAST, BEST = "state.pt", "last.pt", "best.pt"


@dataclass(frozen=True, kw_only=True)
class Components:
    """Components of a training.

    Attributes:
        model: Network on its device, with its initial weights.
        loader: Batches of this process.
        evaluator: Evaluator of the evaluation images; None if there are none, and in every process
            but the leader.
        picks_best: True if the evaluations choose best.pt.
        sheet: Evaluator of the photos on the sample sheets; None in every process but the leader.
        provenance: Entries for the checkpoints.
        loaded_backbone: True if the backbone's weights were loaded.
        method: Loss, metrics and checkpoint form; None for a float training.
    """

    model: SsdLite | QatNetwork
    loader: BatchLoader
    evaluator: Evaluator | None
    picks_best: bool
    sheet: Evaluator | None
    provenance: dict[str, str]
    loaded_backbone: bool
    method: Method | None = None


class Trainer:
    """Train one model in one run folder.

    Attributes:
        config: All settings.
        components: Model, batches and evaluators.
        folder: The run folder.
        position: Progress so far.
        metrics: Metrics of this process's last evaluation; None before the first.
    """

    def __init__(
        self,
        config: TrainConfig,
        components: Components,
        folder: Path,
        group: DistributedGroup,
        reporter: Reporter,
    ) -> None:
        self.config = config
        self.components = components
        self.folder = folder
        self.position = Position()
        self.metrics: CocoMetrics | None = None
        self._group = group
        self._reporter = reporter
        self._model = components.model
        self._device = next(components.model.parameters()).device
        self._precision = choose_precision(config.machine.precision, self._device)
        self._method: Method = components.method or FloatTraining(
            components.model.contract.scoring, config.loss
        )
        optimize = config.optimize
        self._optimizer = make_optimizer(
            components.model,
            optimize,
            backbone_lr=optimize.backbone_lr if components.loaded_backbone else 1,
        )
        self._average = (
            MovingAverage(components.model, decay=optimize.ema_decay, ramp=optimize.ema_ramp)
            if optimize.ema_decay
            else None
        )
        self._schedule = Schedule(warmup_steps=optimize.warmup_steps, final=optimize.final_lr)
        self._normalize = Normalize(components.model.contract.preprocess, self._device)
        self._steps_an_epoch = math.ceil(components.loader.batches / optimize.accumulate)
        self._started = time.perf_counter()

    @property
    def smooth_model(self) -> nn.Module:
        """Model that is evaluated and saved: the moving average, or the trained model without one."""
        return self._average.model if self._average else self._model

    def resume(self) -> None:
        """Restore the run folder's state."""
        self.position = restore_state(
            self.folder / STATE, self._model, self._optimizer, self._average
        )
        self._started = time.perf_counter() - self.position.seconds

    def fit(self, stop: StopRequest) -> bool:
        """Train to the end of the schedule; False if a stop was requested earlier."""
        model = self._group.wrap(self._model, self._device)
        with MetricsLog(self.folder, self.position.history, write=self._group.is_leader) as log:
            ended = self._progress() >= 1
            while not ended:
                if not self._train_epoch(model, stop):
                    self._save(LAST)
                    return False
                # Read before the evaluation, which may use up the rest of a time budget.
                ended = self._progress() >= 1
                self._finish_epoch(log, ended)
            log.draw()
        return True

    def _progress(self) -> float:
        """Fraction of the schedule completed, in [0, 1]; equal in all processes."""
        optimize = self.config.optimize
        if optimize.time_budget:
            elapsed = self._group.from_leader(time.perf_counter() - self._started)
            return min(1.0, elapsed / (60 * optimize.time_budget))
        return min(1.0, self.position.step / (optimize.epochs * self._steps_an_epoch))

    def _train_epoch(self, model: nn.Module, stop: StopRequest) -> bool:
        """Train on the rest of the current epoch; False if a stop was requested during it."""
        self._model.train()
        position, accumulate = self.position, self.config.optimize.accumulate
        self._reporter.epoch_begins(position, self.components.loader)
        batches = self.components.loader.epoch(position.epoch, start=position.batches)
        try:
            accumulated: list[Batch] = []
            mark = time.perf_counter()
            for batch in batches:
                accumulated.append(batch)
                is_last = position.batches + len(accumulated) == self.components.loader.batches
                if len(accumulated) < accumulate and not is_last:
                    continue
                self.step(accumulated, model)
                mark = self._note(accumulated, since=mark)
                accumulated = []
                if self._group.any(bool(stop)):
                    return False
                if self.config.optimize.time_budget and self._progress() >= 1:
                    break
        finally:
            batches.close()
        return True

    def step(self, batches: list[Batch], model: nn.Module | None = None) -> None:
        """Take one optimizer step on the mean loss of the batches.

        Args:
            batches: At least one batch.
            model: The model as `DistributedGroup.wrap` returns it; the bare model if absent.
        """
        model = model or self._model
        position, optimize = self.position, self.config.optimize
        set_rates(
            self._optimizer,
            optimize.lr * self._schedule.factor(step=position.step, progress=self._progress()),
        )
        self._optimizer.zero_grad(set_to_none=True)
        for number, batch in enumerate(batches):
            with self._group.without_averaging(model, number < len(batches) - 1):
                losses = self._forward(model, batch)
                torch.autograd.backward(losses.total / len(batches))
            self._add_up(losses, batch)
        limit = optimize.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), limit)
        if not math.isfinite(float(norm)):
            raise self._diverged("gradient", float(norm))
        self._optimizer.step()
        if self._average:
            self._average.update(self._model)
        position.sums["grad_norm"] = position.sums.get("grad_norm", 0.0) + float(norm)
        position.sums["steps"] = position.sums.get("steps", 0.0) + 1
        position.step += 1

    def _forward(self, model: nn.Module, batch: Batch) -> Losses:
        images = self._normalize(batch.images)
        class_ids = batch.class_ids.to(self._device, non_blocking=True)
        codes = batch.box_codes.to(self._device, non_blocking=True)
        with autocast(self._device, self._precision):
            box_codes, class_scores = model(images)
        losses = self._method.losses(images, box_codes, class_scores, class_ids, codes)
        if not math.isfinite(losses.total.item()):
            raise self._diverged("loss", losses.total.item())
        return losses

    def _diverged(self, quantity: str, value: float) -> TrainingError:
        lr = self.config.optimize.lr
        return TrainingError(
            f"The {quantity} became {value} in epoch {self.position.epoch + 1}, step "
            f"{self.position.step + 1}",
            expected=f"a finite {quantity}",
            found=f"lr {lr:g}, precision {self._precision}",
            fix=f"Train again with a lower learning rate (--lr {lr / 3:.1g}); {LAST}, if it exists, "
            "holds the weights of the last complete epoch",
        )

    def _add_up(self, losses: Losses, batch: Batch) -> None:
        values = {
            "loss": losses.total.item(),
            "class_loss": losses.classes.item(),
            "box_loss": losses.boxes.item(),
            "positives": float(losses.positives),
            "images": float(len(batch.images)),
            "batches": 1.0,
        }
        for name, value in values.items():
            self.position.sums[name] = self.position.sums.get(name, 0.0) + value

    def _note(self, batches: list[Batch], *, since: float) -> float:
        """Record a step that began at `since`, with its loading time; return the time now."""
        now = time.perf_counter()
        position = self.position
        position.batches += len(batches)
        position.images += sum(len(batch.images) for batch in batches) * self._group.world_size
        position.training_seconds += now - since
        position.sums["seconds"] = position.sums.get("seconds", 0.0) + now - since
        position.seconds = now - self._started
        for batch in batches:
            for problem in batch.broken:
                self._reporter.broken(problem)
        self._reporter.step_done(position, self._row(), self._progress())
        return now

    def _row(self) -> Row:
        """Means over the current epoch so far."""
        sums, position = self.position.sums, self.position
        batches = sums["batches"]
        return {
            "epoch": position.epoch + 1,
            "step": position.step,
            "lr": self._optimizer.param_groups[0]["lr"],
            "loss": sums["loss"] / batches,
            "class_loss": sums["class_loss"] / batches,
            "box_loss": sums["box_loss"] / batches,
            "grad_norm": sums["grad_norm"] / sums["steps"],
            "positives_per_image": sums["positives"] / sums["images"],
            "images_per_second": sums["images"] * self._group.world_size / sums["seconds"],
            "seconds": position.seconds,
        }

    def _finish_epoch(self, log: MetricsLog, ends: bool) -> None:
        """Evaluate if it is due; write the metrics row, the sheet, the checkpoints and the state."""
        position, machine = self.position, self.config.machine
        row = self._row()
        position.epoch += 1
        position.batches, position.sums = 0, {}
        position.seconds = time.perf_counter() - self._started
        if self._group.is_leader:
            due = position.epoch % machine.eval_every == 0 and self.components.picks_best
            if self.components.evaluator and (due or ends):
                self._evaluate(self.components.evaluator, row)
            if machine.sheet_every and (ends or position.epoch % machine.sheet_every == 0):
                self._draw(position.epoch)
            position.history.append(row)
            log.add(row)
            self._reporter.epoch_done(row)
            if ends and not self.components.picks_best:
                self._write(BEST)
        self._save(LAST)
        self._group.barrier()

    def _evaluate(self, evaluator: Evaluator, row: Row) -> None:
        self._reporter.evaluation_begins(len(evaluator.photos))
        self.metrics = self._method.evaluate(evaluator, self.smooth_model)
        row["AP"], row["AP50"] = self.metrics.AP, self.metrics.AP50
        best = self.position.best_AP
        if best is None or best < self.metrics.AP:
            self.position.best_AP = self.metrics.AP
            if self.components.picks_best:
                self._write(BEST)

    def _draw(self, epoch: int) -> None:
        if self.components.sheet:
            draw_sheet(
                self.components.sheet,
                self.smooth_model,
                self.folder / "sheets" / f"epoch-{epoch:03d}.png",
            )

    def _write(self, name: str) -> None:
        provenance = {
            **self.components.provenance,
            "epochs": str(self.position.epoch),
            "steps": str(self.position.step),
            "images_seen": str(self.position.images),
        }
        save_checkpoint(self.folder / name, self._method.snapshot(self.smooth_model, provenance))

    def _save(self, name: str) -> None:
        """Write a checkpoint of the newest weights, and the state that belongs to it."""
        if self._group.is_leader:
            self.position.seconds = time.perf_counter() - self._started
            self._write(name)
            save_state(
                self.folder / STATE, self.position, self._model, self._optimizer, self._average
            )
