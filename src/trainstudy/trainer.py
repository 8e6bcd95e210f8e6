"""The training loop, the only one: it serves every task and every model."""

import logging
import math

import torch
from torch import Tensor, nn

from trainstudy import compilation, memory, metrics, optimizers
from trainstudy.checkpoint import Interrupted, Unsaved
from trainstudy.gpu import Claim
from trainstudy.progress import Progress
from trainstudy.state import Outcome, State
from trainstudy.step import WARM_UP_STEPS, Step, try_batches
from trainstudy.tasks import Task

log = logging.getLogger(__name__)


class DivergenceError(Exception):
    """The loss of a training step, or of the validation after an epoch, is not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


def fit(
    task: Task,
    model: nn.Module,
    settings: dict,
    checkpoints: Unsaved | None = None,
    card: Claim | None = None,
) -> Outcome:
    """Train a model and score it after every epoch; test it at the end, last and best epoch.

    Ends early where the score that selects the best epoch has not improved for `early_stopping`
    epochs.
    Goes on from the newest checkpoint. Raises checkpoint.Interrupted where told to stop, and
    checkpoint.DiskFullError where a checkpoint does not fit.
    """
    checkpoints = checkpoints or Unsaved()
    learner, compiling = model, None
    with checkpoints.stoppable():
        if settings.get("compile"):
            learner = compilation.compiled(model)
            compiling = try_batches(task, learner)
        elif task.device.type == "cuda":  # whose libraries would load in the first epoch's time
            try_batches(task, model)
        if task.device.type == "cuda":
            for split in ("validation", "test"):  # their last parts have sizes of their own
                task.evaluate(model, split)
    state = State(task, model, settings, card)
    _resume(state, checkpoints)
    state.add_compiling(compiling)
    advance = Step(
        task, learner, state.optimizer, settings["gradient_clipping"], state.augmentation
    )
    progress = Progress(task, state.epochs, (state.epoch - 1) * task.steps + state.step)
    try:
        while not state.is_trained():
            _run_epoch(state, advance, settings, checkpoints, progress)
            state.end_epoch()
            if state.is_trained() or checkpoints.due(between_epochs=True):
                checkpoints.save(*state.capture())
        with checkpoints.stoppable():
            _test(state, last=state.epoch - 1)
    except DivergenceError as stop:
        state.outcome.diverged_step = stop.step
        log.warning("diverged: %s; the run ends here and counts as diverged", stop)
    return state.finish()


def _resume(state: State, checkpoints: Unsaved) -> None:
    found = checkpoints.load()
    if found is None:
        return
    state.restore(*found)
    where = "its tests" if state.is_trained() else f"epoch {state.epoch}/{state.epochs}"
    after = f", after step {state.step}/{state.task.steps}" if state.step else ""
    log.info("goes on with %s%s; resumed %d times", where, after, state.outcome.resumes)
    if earlier := state.outcome.earlier_places:
        log.warning(
            "started elsewhere (%s): the numbers are not those of a run on one machine to the last "
            "bit",
            "; ".join(earlier),
        )


def _run_epoch(
    state: State, advance: Step, settings: dict, checkpoints: Unsaved, progress: Progress
) -> None:
    """Train and validate one epoch, or what is left of it."""
    task, outcome, epoch = state.task, state.outcome, state.epoch
    scores = _train_epoch(state, advance, settings, checkpoints, progress)
    if state.trained is None:
        state.trained = state.clock()
    try:
        with checkpoints.stoppable():
            validation = task.evaluate(state.model, "validation")
    except Interrupted:
        checkpoints.save(*state.capture())
        raise
    trained, done = state.trained, state.clock()
    seconds = trained - state.began
    rate = {"seconds": seconds, "learning_rate": state.learning_rate}
    outcome.record(epoch, "train", scores | rate, trained)
    outcome.record(epoch, "validation", validation | {"seconds": done - trained}, done)
    progress.epoch_line(epoch, scores, validation, seconds)
    if not math.isfinite(validation["loss"]):
        raise DivergenceError(epoch * task.steps)
    state.keep_best(task.sign * validation[task.selects])


def _train_epoch(
    state: State, advance: Step, settings: dict, checkpoints: Unsaved, progress: Progress
) -> dict[str, float]:
    task, epoch = state.task, state.epoch
    advance.learner.train()
    if state.step == 0:
        state.begin_epoch()
    # Peaks of tensors are those of training steps after WARM_UP_STEPS of this process, not of
    # evaluation, which leaves what it took reserved.
    memory.forget_peaks(task.device)
    counting = max(advance.taken, WARM_UP_STEPS)
    for step, rows in enumerate(task.rows(epoch)[state.step :], start=state.step):
        factor = optimizers.learning_rate_factor(
            settings["schedule"], epoch - 1 + (step + 0.5) / task.steps, settings["epochs"]
        )
        state.learning_rate = settings["optimizer"]["lr"] * factor
        optimizers.set_learning_rate(state.optimizer, state.learning_rate)
        objective, state.norms[step], batch_scores = advance(rows)
        if advance.taken == WARM_UP_STEPS:
            memory.forget_peaks(task.device)
        state.losses[step] = objective
        first = step * task.batch_size
        state.scores[:, first : first + batch_scores.shape[1]] = batch_scores
        state.step = step + 1
        if progress.due():
            _check(state.losses, epoch)
            progress.step_line(epoch, step + 1, objective.item())
        if checkpoints.due():
            _note_peaks(state, advance.taken > counting)
            checkpoints.save(*state.capture())
    _note_peaks(state, advance.taken > counting)
    _check(state.losses, epoch)
    return task.summarise("train", state.scores) | metrics.gradient(state.norms.cpu().numpy())


def _note_peaks(state: State, counts: bool) -> None:
    if counts:
        state.note_memory(memory.peaks(state.task.device))


def _check(losses: Tensor, epoch: int) -> None:
    """Raise DivergenceError where a loss (steps,) of this epoch is not finite."""
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        raise DivergenceError((epoch - 1) * len(losses) + int(bad[0]) + 1)


def _test(state: State, last: int) -> None:
    """Test the last epoch's weights and, where it is another, the best epoch's."""
    task, outcome = state.task, state.outcome
    if last < state.epochs:
        log.info("ends after epoch %d: epoch %d is still the best", last, outcome.best_epoch)
    for epoch in dict.fromkeys([last, outcome.best_epoch or last]):
        if epoch != last:
            state.model.load_state_dict(outcome.weights)
        began = state.clock()
        scores = task.evaluate(state.model, "test")
        done = state.clock()
        outcome.record(epoch, "test", scores | {"seconds": done - began}, done)
