"""One training step, which a GPU takes in one piece.

A step of a small model is hundreds of kernels of a few microseconds each, and Python starts them
more slowly than a GPU ends them. So there the step is recorded once, as a CUDA graph, and replayed:
the same kernels on the same memory, started by the driver alone.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn

from trainstudy.tasks import Task, stream

# Steps that make the state of the optimizer and let libraries choose kernels and take their
# workspaces, before a step is recorded and before its memory counts.
WARM_UP_STEPS = 3

Found = tuple[Tensor, Tensor, Tensor]


class Step:
    """Batch, loss, gradient, clipping and optimizer.

    `learner` is the model as it trains, `clipping` the largest norm of the gradient or None, and
    `augmentation` the random stream for it, whose seed may be set between steps. The optimizer is
    one of optimizers.build, all of whose state lies on the device.
    """

    def __init__(
        self,
        task: Task,
        learner: nn.Module,
        optimizer: torch.optim.Optimizer,
        clipping: float | None,
        augmentation: Generator,
        recorded: bool = True,
    ) -> None:
        """`recorded` false: on a GPU, too, every operation is started on its own."""
        self.task, self.learner, self.optimizer = task, learner, optimizer
        self.clipping, self.augmentation = clipping, augmentation
        # Not with ROCm, where nobody has tried it.
        nvidia = task.device.type == "cuda" and torch.version.hip is None
        self.recorded = recorded and nvidia
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.rows: Tensor  # what the recorded step reads
        self.found: Found  # and where it leaves what it returns

    def __call__(self, rows: Tensor) -> Found:
        """Train on the examples `rows` (B,).

        Returns what was minimised (), the L2 norm () of the whole gradient before clipping, and the
        scores (2, B) of the examples, all on the device and good until the next step.
        """
        warm = self.taken >= WARM_UP_STEPS
        self.taken += 1
        if not (self.recorded and warm) or len(rows) < self.task.batch_size:
            return self._take(rows)
        if self.graph is None:
            self.graph = self._record(rows)
        self.rows.copy_(rows)
        self.graph.replay()
        return self.found

    def _take(self, rows: Tensor) -> Found:
        objective, scores = self.task.loss(self.learner, self.task.batch(rows, self.augmentation))
        objective.backward()
        norm = _clip(self.learner, self.clipping)
        self.optimizer.step()
        # At once: during the next forward pass, or beside a recorded step, they only take memory.
        self.optimizer.zero_grad(set_to_none=True)
        return objective.detach(), norm, scores

    def _record(self, rows: Tensor) -> torch.cuda.CUDAGraph:
        """Record a step on as many examples, without taking it; what it allocates stays its own."""
        self.rows, graph = rows.clone(), torch.cuda.CUDAGraph()
        if torch.__version__ < "2.14":  # a TorchVersion; from there on it finds the stream itself
            graph.register_generator_state(self.augmentation)
        gc.collect()  # 2.14 records nothing while parts of an earlier step's graph are left
        with _capturable(self.optimizer), torch.cuda.graph(graph):
            self.found = self._take(self.rows)
        return graph


def try_batches(task: Task, learner: nn.Module) -> float:
    """Let a batch of every size go forward and backward, and return the seconds that it took.

    They leave weights, gradients and buffers as they were, but not what is carried, nor torch's
    random state, which are set where an epoch begins or a run is restored. What is made when first
    used, compiled code or a GPU's libraries, is there afterwards.
    """
    began = time.perf_counter()
    learner.train()
    buffers = {name: buffer.clone() for name, buffer in learner.named_buffers()}
    augmentation = stream(task.seed, 0, "augmentation", task.device)
    for rows in {len(rows): rows for rows in task.rows(1)}.values():
        task.loss(learner, task.batch(rows, augmentation))[0].backward()
        learner.zero_grad(set_to_none=True)
    for name, buffer in learner.named_buffers():
        buffer.copy_(buffers[name])
    return time.perf_counter() - began


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Let Adam be recorded, which it refuses by default though it is fused and fit for it.

    Not asked for when it is made, as it would then warn of every step that is not recorded.
    """
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False


def _clip(model: nn.Module, limit: float | None) -> Tensor:
    """Return the L2 norm () of the whole gradient, which is then shortened to `limit`."""
    if limit:
        return nn.utils.clip_grad_norm_(model.parameters(), limit)
    return nn.utils.get_total_norm([w.grad for w in model.parameters() if w.grad is not None])
