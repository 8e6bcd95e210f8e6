"""Where a run stands: all that decides how it goes on, to be saved and taken up again."""

import datetime
import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainstudy import cores, gpu, memory, optimizers, provenance
from trainstudy.checkpoint import Saved
from trainstudy.quantities import counted
from trainstudy.tally import Tally
from trainstudy.tasks import Task, stream

PLAIN = ("epoch", "step", "learning_rate", "began", "trained")
OF_EPOCH = ("losses", "norms", "scores")
OF_OUTCOME = (
    "rows",
    "best_epoch",
    "best_score",
    "seconds_compiling",
    "started",
    "commit",
    "resumes",
    "places",
)


@dataclass
class Outcome:
    """What a run leaves behind: metric rows, the weights of its best epoch, and how it ended."""

    rows: list[dict] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: float = math.nan
    weights: dict[str, Tensor] = field(default_factory=dict)
    diverged_step: int | None = None  # counted from 1 over the whole run
    seconds: float = 0.0  # wall-clock from the first step to the end of the last evaluation
    seconds_compiling: float | None = None  # of steps, before the first; None without `compile`
    started: str = ""  # when the first part began
    commit: str | None = None  # of the code, when the first part began
    resumes: int = 0
    places: list[str] = field(default_factory=list)  # where it was computed, one after another
    memory: dict[str, int | None] = field(default_factory=dict)  # peaks over all parts, bytes
    waited: float | None = None  # seconds for a core, over all parts; see cores.waited
    gpu: dict[str, Any] = field(default_factory=dict)  # over all parts; see gpu.Meter

    @property
    def earlier_places(self) -> list[str]:
        """Where the run was before it came to where it is, each place once."""
        return [*dict.fromkeys(self.places[:-1])]

    def record(self, epoch: int, split: str, scores: dict[str, float], seconds: float) -> None:
        """Add one row for each score."""
        self.rows += [
            {"epoch": epoch, "split": split, "metric": name, "value": value, "seconds": seconds}
            for name, value in scores.items()
        ]


class State:
    """A run between two of its steps.

    Times are seconds since the first step; those between the death of one process and the start
    of the next do not count.
    """

    def __init__(
        self, task: Task, model: nn.Module, settings: dict, card: gpu.Claim | None = None
    ) -> None:
        self.task, self.model = task, model
        self.optimizer = optimizers.build(settings["optimizer"], model)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        here = _place(task.device)
        self.outcome = Outcome(started=now, commit=provenance.commit(), places=[here])
        self.epochs, self.patience = settings["epochs"], settings["early_stopping"]
        self.epoch, self.step = 1, 0  # the epoch in progress, and how many of its steps are done
        self.learning_rate = settings["optimizer"]["lr"]  # of the last step
        self.began = 0.0  # when the epoch began
        self.trained: float | None = None  # when its last step ended
        # Filled on the device, where reading them at every step would stop it; and made once,
        # because small blocks that outlive a step lie between its large ones and keep them from
        # being reused.
        self.losses = torch.zeros(task.steps, device=task.device)
        self.norms = torch.zeros(task.steps, device=task.device)  # of the gradient, unclipped
        self.scores = torch.zeros(2, task.examples, device=task.device)
        self.augmentation = torch.Generator(task.device)
        self._before, self._start = 0.0, time.perf_counter()
        self.meter, self.wait = gpu.Meter(task.device, card), Tally(cores.waited)

    def clock(self) -> float:
        """Return the seconds that this run has taken, over all its parts."""
        return self._before + time.perf_counter() - self._start

    def add_compiling(self, seconds: float | None) -> None:
        """Add what compiling took in this process, before its first step."""
        if seconds is not None:
            self.outcome.seconds_compiling = seconds + (self.outcome.seconds_compiling or 0)

    def begin_epoch(self) -> None:
        """Start what is random in an epoch from (seed, epoch), so that it can be repeated alone."""
        self.began, self.trained = self.clock(), None
        self.losses.zero_()
        self.task.carried.zero_()
        seed, epoch = self.task.seed, self.epoch
        torch.manual_seed(stream(seed, epoch, "dropout").initial_seed())
        self.augmentation.manual_seed(stream(seed, epoch, "augmentation").initial_seed())

    def end_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0

    def is_trained(self) -> bool:
        """Say whether no epoch is left: all are done, or none of the last few was the best."""
        done, best = self.epoch - 1, self.outcome.best_epoch or 0
        return done >= self.epochs or (self.patience is not None and done - best >= self.patience)

    def keep_best(self, score: float) -> None:
        """Keep a copy of the weights, on the host, where an epoch is better than all before."""
        outcome = self.outcome
        if outcome.best_epoch is None or score > outcome.best_score:
            outcome.best_epoch, outcome.best_score = self.epoch, score
            outcome.weights = weights_of(self.model)

    def note_memory(self, found: dict[str, int | None]) -> None:
        """Keep the larger of what is found and what was found before, by measure."""
        for name, size in found.items():
            self.outcome.memory[name] = max(
                filter(None, [size, self.outcome.memory.get(name)]), default=None
            )

    def finish(self) -> Outcome:
        """Return what the run leaves behind."""
        self.outcome.weights = self.outcome.weights or weights_of(self.model)
        self.outcome.seconds, self.outcome.gpu = self.clock(), self.meter.read()
        self.outcome.waited = self.wait.read()
        self.note_memory(memory.standing(self.task.device))
        return self.outcome

    def capture(self) -> Saved:
        """Return all that decides how the run goes on, as plain facts and tensors, not copied."""
        self.note_memory(memory.standing(self.task.device))
        facts = {name: getattr(self, name) for name in PLAIN}
        facts |= {name: getattr(self.outcome, name) for name in OF_OUTCOME}
        facts |= {"seconds": self.clock(), "waited": self.wait.read()}
        facts |= {"memory": self.outcome.memory, "gpu": self.meter.read()}
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        if not self._is_best():
            tensors |= {f"best.{name}": w for name, w in self.outcome.weights.items()}
        tensors |= {name: getattr(self, name) for name in OF_EPOCH}
        return facts, tensors | self._random() | {"carried": self.task.carried}

    def restore(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take up the run where `capture` was called."""
        [here] = self.outcome.places
        for name in PLAIN:
            setattr(self, name, facts[name])
        for name in OF_OUTCOME:
            setattr(self.outcome, name, facts[name])
        if self.outcome.places[-1] != here:
            self.outcome.places.append(here)
        self.outcome.memory = facts["memory"]
        self.model.load_state_dict(_part(tensors, "model."))
        self._restore_optimizer(_part(tensors, "optimizer."))
        for name in OF_EPOCH:
            getattr(self, name).copy_(tensors[name])
        self.task.carried.copy_(tensors["carried"])
        best = {name: weight.clone() for name, weight in _part(tensors, "best.").items()}
        self.outcome.weights = weights_of(self.model) if self._is_best() else best
        if facts["step"]:  # else the epoch seeds its own
            self._restore_random(tensors)
        self._before, self._start = facts["seconds"], time.perf_counter()
        self.meter.go_on(facts["gpu"])
        self.wait = Tally(cores.waited, facts["waited"])

    def _is_best(self) -> bool:
        """Say whether the weights of the model are those of the best epoch."""
        return self.step == 0 and self.outcome.best_epoch == self.epoch - 1

    def _random(self) -> dict[str, Tensor]:
        states = {
            "random.global": torch.get_rng_state(),
            "random.augmentation": self.augmentation.get_state(),
        }
        if self.task.device.type == "cuda":
            states["random.cuda"] = torch.cuda.get_rng_state(self.task.device)
        return states

    def _restore_random(self, tensors: dict[str, Tensor]) -> None:
        torch.set_rng_state(tensors["random.global"])
        self.augmentation.set_state(tensors["random.augmentation"])
        if self.task.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.task.device)

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        weights = [w for group in self.optimizer.param_groups for w in group["params"]]
        values: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, key = name.split(".")
            weight = weights[int(index)]
            # In the memory format of its weight: the fused optimizers take it for granted. Always
            # copied, since one tensor that is not would hold the whole file in memory.
            like = weight if tensor.shape == weight.shape else tensor
            values.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensor)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": values})


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights and buffers on the host."""
    # Contiguous: the CNNs keep their weights channels last, which safetensors cannot store.
    return {
        name: weight.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, weight in model.state_dict().items()
    }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _place(device: torch.device) -> str:
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else provenance.machine()["processor"]
    return f"{name}, {counted(torch.get_num_threads(), 'thread')}"
