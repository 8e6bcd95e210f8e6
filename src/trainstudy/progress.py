"""How far a run is: a line every few seconds and one after every epoch."""

import logging
import time

from trainstudy.quantities import number
from trainstudy.tasks import Task

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10


class Progress:
    """Writes the lines; `first` is how many steps were done before this process."""

    def __init__(self, task: Task, epochs: int, first: int = 0) -> None:
        self.task, self.epochs, self.first = task, epochs, first
        self.start = self.last = time.perf_counter()
        self.epoch_start, self.epoch_first = self.start, first  # here, of the epoch in progress
        self.shown = "accuracy" if task.selects == "accuracy" else "perplexity"

    def due(self) -> bool:
        """Say whether it is time for a line."""
        return time.perf_counter() - self.last > SECONDS_BETWEEN_LINES

    def step_line(self, epoch: int, step: int, loss: float) -> None:
        """Write where an epoch is, and the loss of its last step."""
        now = time.perf_counter()
        self.last = now
        done = (epoch - 1) * self.task.steps + step
        steps, seconds = done - self.epoch_first, now - self.epoch_start
        rate = steps * self.task.units / self.task.steps / seconds
        log.info(
            "epoch %d/%d  step %d/%d  loss %.4f  %s %s/s  %s left",
            epoch,
            self.epochs,
            step,
            self.task.steps,
            loss,
            f"{rate:,.0f}",
            self.task.unit,
            self._left(now, done),
        )

    def epoch_line(self, epoch: int, train: dict, validation: dict, seconds: float) -> None:
        """Write the scores of an epoch that took so many seconds to train."""
        now = time.perf_counter()
        self.last = self.epoch_start = now
        self.epoch_first = epoch * self.task.steps
        shown = self.shown
        rate = self.task.units / seconds
        log.info(
            "epoch %d/%d  loss %.4f  %s %s  validation loss %.4f  %s %s  %s %s/s  %s left",
            epoch,
            self.epochs,
            train["loss"],
            shown,
            number(train[shown]),
            validation["loss"],
            shown,
            number(validation[shown]),
            f"{rate:,.0f}",
            self.task.unit,
            self._left(now, epoch * self.task.steps),
        )

    def _left(self, now: float, done: int) -> str:
        """Return the time left as h:mm:ss, at the pace of this process so far; – without a step."""
        if done == self.first:
            return "–"
        total = self.epochs * self.task.steps
        left = round((now - self.start) / (done - self.first) * (total - done))
        return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
