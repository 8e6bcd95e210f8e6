"""The training loop, the only one: it serves every task and every model."""

import logging
import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from trainstudy import compilation, memory, optimizers
from trainstudy.tasks import Task, stream

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10


class DivergenceError(Exception):
    """The loss of a training step is not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


@dataclass
class Outcome:
    """What a run leaves behind: metric rows, the weights of its best epoch, and how it ended."""

    rows: list[dict] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: float = math.nan
    weights: dict[str, Tensor] = field(default_factory=dict)
    diverged_step: int | None = None  # counted from 1 over the whole run
    memory: dict[str, int | None] = field(default_factory=dict)  # of training, see memory.peaks
    seconds: float = 0.0  # wall-clock from the first step to the end of the last evaluation
    seconds_compiling: float | None = None  # before the first step; None where nothing is compiled

    def record(self, epoch: int, split: str, scores: dict[str, float], seconds: float) -> None:
        """Add one row for each score."""
        self.rows += [
            {"epoch": epoch, "split": split, "metric": name, "value": value, "seconds": seconds}
            for name, value in scores.items()
        ]


def fit(task: Task, model: nn.Module, settings: dict) -> Outcome:
    """Train a model and score it after every epoch; test it at the end, last and best epoch."""
    optimizer = optimizers.build(settings["optimizer"], model)
    outcome, progress, learner = Outcome(), _Progress(task, settings["epochs"]), model
    if settings.get("compile"):
        learner, outcome.seconds_compiling = compilation.compile_training(task, model)
    start = time.perf_counter()
    for epoch in range(1, settings["epochs"] + 1):
        began = time.perf_counter()
        try:
            scores = _train_epoch(task, learner, optimizer, settings, epoch, progress)
        except DivergenceError as stop:
            outcome.diverged_step = stop.step
            break
        trained = time.perf_counter()
        outcome.memory = memory.peaks(task.device)
        rate = {"seconds": trained - began, "learning_rate": optimizer.param_groups[0]["lr"]}
        outcome.record(epoch, "train", scores | rate, trained - start)
        validation = task.evaluate(model, "validation")
        done = time.perf_counter()
        outcome.record(epoch, "validation", validation | {"seconds": done - trained}, done - start)
        progress.epoch_line(epoch, scores, validation, trained - began)
        if not math.isfinite(validation["loss"]):
            outcome.diverged_step = epoch * task.steps
            break
        _keep_best(outcome, model, epoch, task.sign * validation[task.selects])
    if outcome.diverged_step is None:
        _test(task, model, outcome, settings["epochs"], start)
    else:
        log.warning(
            "diverged: the loss is not finite at step %d; the run ends here and counts as diverged",
            outcome.diverged_step,
        )
    outcome.weights = outcome.weights or _copy(model)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _train_epoch(task, model, optimizer, settings, epoch, progress) -> dict[str, float]:
    model.train()
    # Dropout draws from the global stream; seeding it here lets any epoch be repeated alone.
    torch.manual_seed(stream(task.seed, epoch, "dropout").initial_seed())
    # Filled on the device, where reading them at every step would stop it; and made once, because
    # small blocks that outlive a step lie between its large ones and keep them from being reused.
    losses = torch.zeros(task.steps, device=task.device)
    scores = torch.empty(2, task.examples, device=task.device)
    for step, batch in enumerate(task.batches(epoch)):
        rate = optimizers.learning_rate_factor(
            settings["schedule"], epoch - 1 + (step + 0.5) / task.steps, settings["epochs"]
        )
        for group in optimizer.param_groups:
            group["lr"] = settings["optimizer"]["lr"] * rate
        objective, batch_scores = task.loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        objective.backward()
        if settings["gradient_clipping"]:
            nn.utils.clip_grad_norm_(model.parameters(), settings["gradient_clipping"])
        optimizer.step()
        if step + 1 == min(memory.WARM_UP_STEPS, task.steps - 1):
            memory.forget_peaks(task.device)
        losses[step] = objective.detach()
        first = step * task.batch_size
        scores[:, first : first + batch_scores.shape[1]] = batch_scores
        if progress.due():
            _check(losses, epoch)
            progress.step_line(epoch, step + 1, objective.item())
    _check(losses, epoch)
    return task.summarise("train", scores)


def _check(losses: Tensor, epoch: int) -> None:
    """Raise DivergenceError where a loss (steps,) of this epoch is not finite."""
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        raise DivergenceError((epoch - 1) * len(losses) + int(bad[0]) + 1)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    # Contiguous: the CNNs keep their weights channels last, which safetensors cannot store.
    return {
        name: weight.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, weight in model.state_dict().items()
    }


def _keep_best(outcome: Outcome, model: nn.Module, epoch: int, score: float) -> None:
    if outcome.best_epoch is None or score > outcome.best_score:
        outcome.best_epoch, outcome.best_score, outcome.weights = epoch, score, _copy(model)


def _test(task, model: nn.Module, outcome: Outcome, last: int, start: float) -> None:
    """Test the last epoch's weights and, where it is another, the best epoch's."""
    for epoch in dict.fromkeys([last, outcome.best_epoch or last]):
        if epoch != last:
            model.load_state_dict(outcome.weights)
        began = time.perf_counter()
        scores = task.evaluate(model, "test")
        done = time.perf_counter()
        outcome.record(epoch, "test", scores | {"seconds": done - began}, done - start)


class _Progress:
    """Writes how far a run is: a line every few seconds and one after every epoch."""

    def __init__(self, task: Task, epochs: int) -> None:
        self.task, self.epochs = task, epochs
        self.start = self.last = time.perf_counter()
        self.shown = "accuracy" if task.selects == "accuracy" else "perplexity"

    def due(self) -> bool:
        return time.perf_counter() - self.last > SECONDS_BETWEEN_LINES

    def step_line(self, epoch: int, step: int, loss: float) -> None:
        now = time.perf_counter()
        self.last = now
        done = (epoch - 1) * self.task.steps + step
        rate = done * self.task.units / self.task.steps / (now - self.start)
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
        now = time.perf_counter()
        self.last = now
        shown = self.shown
        rate = self.task.units / seconds
        log.info(
            "epoch %d/%d  loss %.4f  %s %.4g  validation loss %.4f  %s %.4g  %s %s/s  %s left",
            epoch,
            self.epochs,
            train["loss"],
            shown,
            train[shown],
            validation["loss"],
            shown,
            validation[shown],
            f"{rate:,.0f}",
            self.task.unit,
            self._left(now, epoch * self.task.steps),
        )

    def _left(self, now: float, done: int) -> str:
        """Return the time left as h:mm:ss, at the pace so far."""
        total = self.epochs * self.task.steps
        left = round((now - self.start) / done * (total - done))
        return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
