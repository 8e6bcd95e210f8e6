"""What is learned: batches, loss and evaluation of language modelling and of classification.

A task keeps its whole data set on the device. What it draws at random follows from (seed, epoch)
alone, so that any epoch can be repeated. Scores of a batch are one tensor (2, B), on the device.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from trainstudy import metrics
from trainstudy.arrays import Dataset
from trainstudy.augment import augment
from trainstudy.losses import linear_cross_entropy
from trainstudy.mixing import mix, mixes

EVALUATION_BATCH = 500  # images


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
    def batches(
        self, epoch: int, augmentation: Generator | None = None, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and targets of one epoch of training, from step `first` on.

        `augmentation` is the random stream for it, as it was before that step; by default that of
        the epoch's start.
        """

    @abstractmethod
    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what to minimise (), and the scores of the batch (2, B), without gradient."""

    @abstractmethod
    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Return the scores of a model on a split; draws nothing at random."""

    @abstractmethod
    def summarise(self, split: str, scores: Tensor) -> dict[str, float]:
        """Return the scores of an epoch by name, from those of its examples (2, N)."""


class Classification(Task):
    """Images with one label each. Training drops the last, partial batch."""

    unit, selects, sign = "images", "accuracy", +1

    def __init__(self, data: Dataset, settings: dict, seed: int, device: torch.device) -> None:
        super().__init__(data, settings, seed, device)
        self.data = {name: torch.from_numpy(a).to(device) for name, a in data.arrays.items()}
        self.mean, self.deviation = (
            torch.tensor(self.manifest[key], device=device).view(1, -1, 1, 1)
            for key in ("mean", "deviation")
        )
        count = len(self.data["train.labels"])
        self.steps = count // self.batch_size
        if not self.steps:
            raise ValueError(
                f"batch_size {self.batch_size} is larger than the training set of "
                f"{count} images; choose a smaller one"
            )
        self.units = self.examples = self.steps * self.batch_size

    def images(self, split: str, rows: Tensor | slice) -> Tensor:
        """Return images (B, C, H, W) as numbers from 0 to 1."""
        return self.data[f"{split}.images"][rows].float() / 255

    def normalise(self, images: Tensor) -> Tensor:
        """Subtract the mean and divide by the standard deviation of each channel."""
        return (images - self.mean) / self.deviation

    def batches(
        self, epoch: int, augmentation: Generator | None = None, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented images (B, C, H, W) and labels (B,) of one epoch.

        Where images are mixed their labels are probabilities, (B, classes).
        """
        order = self.order(len(self.data["train.labels"]), epoch)[: self.examples]
        generator = augmentation or stream(self.seed, epoch, "augmentation", self.device)
        settings, classes = self.settings["augmentation"], self.manifest["classes"]
        mixed = mixes(settings)
        for rows in order.split(self.batch_size)[first:]:
            images = augment(self.images("train", rows), settings, generator)
            labels = self.data["train.labels"][rows].long()
            if mixed:
                images, labels = mix(images, labels, classes, settings, generator)
            yield self.normalise(images), labels

    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what to minimise, and each example's loss (nat) and hit (2, B).

        Of a mixed image the loss is the cross-entropy against the probabilities of its labels, and
        a hit is the label with the larger share.
        """
        images, labels = batch
        with self.autocast():
            logits = model(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, reduction="none")
        smoothing = self.settings["label_smoothing"]
        objective = (
            F.cross_entropy(logits, labels, label_smoothing=smoothing) if smoothing else loss.mean()
        )
        expected = labels if labels.ndim == 1 else labels.argmax(1)
        return objective, torch.stack([loss.detach(), (logits.argmax(1) == expected).float()])

    @torch.no_grad()
    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Return the scores of a model on a split, without augmentation."""
        model.eval()
        scores = []
        for rows in torch.arange(len(self.data[f"{split}.labels"])).split(EVALUATION_BATCH):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            images = self.normalise(self.images(split, part))
            scores.append(self.loss(model, (images, self.data[f"{split}.labels"][part].long()))[1])
        return self.summarise(split, torch.cat(scores, dim=1))

    def summarise(self, split: str, scores: Tensor) -> dict[str, float]:
        """Return the scores of an epoch by name; see metrics.classification."""
        loss, correct = scores.cpu().numpy()
        return metrics.classification(loss, correct, self.batch_size)


class LanguageModelling(Task):
    """Predict every next token of text cut into sequences; the last, partial batch is kept.

    Where the state is carried, a step trains on the next sequence of each of `batch_size` streams:
    contiguous parts of the text, in order, of which the first are longer by one sequence where they
    cannot be equal. So none is lost, and the last step of the epoch is the partial one.
    """

    unit, selects, sign = "tokens", "loss", -1

    def __init__(self, data: Dataset, settings: dict, seed: int, device: torch.device) -> None:
        super().__init__(data, settings, seed, device)
        self.data = {
            split: self.cut(torch.from_numpy(data.arrays[f"{split}.tokens"].astype("int64")))
            for split in ("train", "validation", "test")
        }
        self.examples = len(self.data["train"][0])
        self.steps = -(-self.examples // self.batch_size)
        self.units = int((self.data["train"][1] > 0).sum())
        if settings["carry_state"]:
            self.carried = self.zero_state(self.batch_size)

    def zero_state(self, streams: int) -> Tensor:
        """Return the state of the model before the first token, (2, layers, streams, H)."""
        model = self.settings["model"]
        return torch.zeros(2, model["layers"], streams, model["hidden"], device=self.device)

    def cut(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Cut tokens (N,) into sources and targets (S, T), the last padded with 0.

        Targets are the sources shifted by one; a 0 among them is not predicted.
        """
        length = self.settings["sequence_length"]
        count = -(-len(tokens) // length)
        padded = F.pad(tokens, (0, count * length + 1 - len(tokens)))
        sources, targets = padded[:-1].view(count, length), padded[1:].view(count, length)
        return sources.to(self.device), targets.to(self.device)

    def batches(
        self, epoch: int, augmentation: Generator | None = None, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield sources and targets (B, T) of one epoch; text is not augmented."""
        sources, targets = self.data["train"]
        if self.settings["carry_state"]:
            order = streams(len(sources), self.batch_size).to(self.device)
        else:
            order = self.order(len(sources), epoch)
        for rows in order.split(self.batch_size)[first:]:
            yield sources[rows], targets[rows]

    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what to minimise, and each sequence's summed loss (nat) and tokens (2, B)."""
        carries = self.settings["carry_state"]
        return self._loss(model, batch, self.carried[:, :, : len(batch[0])] if carries else None)

    def _loss(
        self, model: Any, batch: tuple[Tensor, Tensor], state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return what `loss` does; the sequences go on from a state of as many streams, or one."""
        sources, targets = batch
        if state is not None:
            sources = sources.view(state.shape[2], -1)
        with self.autocast():
            features = model.features(sources, state).flatten(0, 1)  # (B·T, E)
        objective, losses = linear_cross_entropy(
            features, model.table, targets.flatten(), self.settings["label_smoothing"], self.dtype
        )
        tokens = (targets > 0).sum(dim=1)
        return objective, torch.stack([losses.view_as(targets).sum(dim=1), tokens.float()])

    @torch.no_grad()
    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Return the scores of a model on a split; a state is carried through all of the text."""
        model.eval()
        state = self.zero_state(1) if self.settings["carry_state"] else None
        pairs = zip(*(part.split(self.batch_size) for part in self.data[split]), strict=True)
        scores = [self._loss(model, pair, state)[1] for pair in pairs]
        return self.summarise(split, torch.cat(scores, dim=1))

    def summarise(self, split: str, scores: Tensor) -> dict[str, float]:
        """Return the scores of an epoch by name; see metrics.language_modelling."""
        loss, tokens = scores.cpu().numpy()
        length = self.settings["sequence_length"]
        return metrics.language_modelling(
            loss, tokens, self.batch_size, length, self.manifest["bytes"][split]
        )


def streams(count: int, number: int) -> Tensor:
    """Return the order (count,) in which sequences are the steps of a number of streams.

    Each stream is a contiguous part; 7 in 3 streams: 0 3 5, 1 4 6, 2.
    """
    parts = torch.arange(count).tensor_split(number)
    steps = nn.utils.rnn.pad_sequence(list(parts), padding_value=-1)  # (steps, number)
    return steps[steps >= 0]


TASKS: dict[str, type[Task]] = {"images": Classification, "text": LanguageModelling}
