"""What a task of learning is, and where its randomness comes from.

A task keeps its whole data set on the device. What it draws at random follows from (seed, epoch)
alone, so that any epoch can be repeated. Scores of a batch are one tensor (2, B), on the device.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from trainstudy.arrays import Dataset


def stream(seed: int, epoch: int, purpose: str, device: torch.device | str = "cpu") -> Generator:
    """Return a random stream of its own for one purpose in one epoch of one run."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{purpose}".encode()).digest()
    return Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Task(ABC):
    """What the tasks share, and what the training loop asks of one."""

    unit: str  # what throughput counts
    units: int  # how many of them an epoch of training has
    steps: int  # of an epoch
    examples: int  # that an epoch trains on
    selects: str  # the validation score that decides which epoch is best
    sign: int  # +1 where a higher score is better
    carried: Tensor  # what a step of training leaves to the next; zero where an epoch begins

    def __init__(self, data: Dataset, settings: dict, seed: int, device: torch.device) -> None:
        self.manifest = data.manifest
        self.settings, self.seed, self.device = settings, seed, device
        self.batch_size: int = settings["batch_size"]
        self.carried = torch.zeros(0, device=device)
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[settings["precision"]]

    def order(self, count: int, epoch: int) -> Tensor:
        """Return the order (count,) of the training examples in an epoch."""
        return torch.randperm(count, generator=stream(self.seed, epoch, "order")).to(self.device)

    def autocast(self) -> torch.autocast:
        """Return the context in which the model computes in the precision of the settings."""
        bf16 = self.dtype == torch.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bf16)

    @abstractmethod
    def rows(self, epoch: int) -> Sequence[Tensor]:
        """Return which examples (B,) each step of an epoch trains on."""

    @abstractmethod
    def batch(self, rows: Tensor, augmentation: Generator) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of the examples `rows` (B,), augmented at random."""

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and targets of one epoch of training."""
        augmentation = stream(self.seed, epoch, "augmentation", self.device)
        for rows in self.rows(epoch):
            yield self.batch(rows, augmentation)

    @abstractmethod
    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what to minimise (), and the scores of the batch (2, B), without gradient."""

    @abstractmethod
    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Return the scores of a model on a split; draws nothing at random."""

    @abstractmethod
    def summarise(self, split: str, scores: Tensor) -> dict[str, float]:
        """Return the scores of an epoch by name, from those of its examples (2, N)."""
