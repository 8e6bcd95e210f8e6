"""Language modelling: batches, loss and evaluation."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from trainstudy import metrics
from trainstudy.arrays import Dataset
from trainstudy.losses import linear_cross_entropy
from trainstudy.tasks.task import Task

EVALUATION_BATCH = 64  # sequences, on a GPU


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
        # On a GPU the time of a recurrence hardly depends on how many sequences go side by side.
        self.evaluation_batch = self.batch_size
        if device.type == "cuda":
            self.evaluation_batch = max(self.batch_size, EVALUATION_BATCH)
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

    def rows(self, epoch: int) -> Sequence[Tensor]:
        """Return which sequences (B,) each step of an epoch trains on."""
        if self.settings["carry_state"]:
            order = streams(self.examples, self.batch_size).to(self.device)
        else:
            order = self.order(self.examples, epoch)
        return order.split(self.batch_size)

    def batch(self, rows: Tensor, augmentation: Generator) -> tuple[Tensor, Tensor]:
        """Return sources and targets (B, T); text is not augmented."""
        sources, targets = self.data["train"]
        return sources[rows], targets[rows]

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
        pairs = zip(*(part.split(self.evaluation_batch) for part in self.data[split]), strict=True)
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
