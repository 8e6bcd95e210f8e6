"""One training step, which a GPU takes in one piece.

A step of a small model is hundreds of kernels of a few microseconds each, and Python starts them
more slowly than a GPU ends them. So there the step is recorded once, as a CUDA graph, and replayed:
the same kernels on the same memory, started by the driver alone.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn

from trainstudy import memory
from trainstudy.tasks import Task

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
        self.recorded = recorded and task.device.type == "cuda"
        # Steps that make the state of the optimizer and let libraries choose their kernels.
        self.plain = memory.WARM_UP_STEPS
        self.graph: torch.cuda.CUDAGraph | None = None
        self.rows: Tensor  # what the recorded step reads
        self.found: Found  # and where it leaves what it returns

    def __call__(self, rows: Tensor) -> Found:
        """Train on the examples `rows` (B,).

        Returns what was minimised (), the L2 norm () of the whole gradient before clipping, and the
        scores (2, B) of the examples, all on the device and good until the next step.
        """
        if not self.recorded or self.plain > 0 or len(rows) < self.task.batch_size:
            self.plain -= 1
            return self._take(rows)
        if self.graph is None:
            self.graph = self._record(rows)
        self.rows.copy_(rows)
        self.graph.replay()
        return self.found

    def _take(self, rows: Tensor) -> Found:
        objective, scores = self.task.loss(self.learner, self.task.batch(rows, self.augmentation))
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()
        norm = _clip(self.learner, self.clipping)
        self.optimizer.step()
        return objective.detach(), norm, scores

    def _record(self, rows: Tensor) -> torch.cuda.CUDAGraph:
        """Record a step on as many examples, without taking it; what it allocates stays its own."""
        self.rows, graph = rows.clone(), torch.cuda.CUDAGraph()
        graph.register_generator_state(self.augmentation)
        with _capturable(self.optimizer), torch.cuda.graph(graph):
            self.found = self._take(self.rows)
        return graph


def try_batch(task: Task, learner: nn.Module) -> float:
    """Let one batch go forward and backward, and return the seconds that it took.

    It leaves weights, gradients and buffers as they were. What is made when first used, compiled
    code or a GPU's libraries, is there afterwards.
    """
    began = time.perf_counter()
    learner.train()
    buffers = {name: buffer.clone() for name, buffer in learner.named_buffers()}
    task.loss(learner, next(task.batches(1)))[0].backward()
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
    yield
    for group in groups:
        group["capturable"] = False


def _clip(model: nn.Module, limit: float | None) -> Tensor:
    """Return the L2 norm () of the whole gradient, which is then shortened to `limit`."""
    if limit:
        return nn.utils.clip_grad_norm_(model.parameters(), limit)
    return nn.utils.get_total_norm([w.grad for w in model.parameters() if w.grad is not None])
