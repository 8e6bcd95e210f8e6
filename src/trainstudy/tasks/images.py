"""Classification of images: batches, loss and evaluation."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from trainstudy import metrics
from trainstudy.arrays import Dataset
from trainstudy.augment import augment
from trainstudy.mixing import mix, mixes
from trainstudy.tasks.task import Task

EVALUATION_BATCH = 500  # images of 32 × 32 pixels, or as many pixels of larger ones


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
        pixels = self.data["train.images"][0, 0].numel()
        self.evaluation_batch = max(1, EVALUATION_BATCH * 32**2 // max(pixels, 32**2))

    def images(self, split: str, rows: Tensor | slice) -> Tensor:
        """Return images (B, C, H, W) as numbers from 0 to 1."""
        return self.data[f"{split}.images"][rows].float() / 255

    def normalise(self, images: Tensor) -> Tensor:
        """Subtract the mean and divide by the standard deviation of each channel."""
        return (images - self.mean) / self.deviation

    def rows(self, epoch: int) -> Sequence[Tensor]:
        """Return which images (B,) each step of an epoch trains on."""
        order = self.order(len(self.data["train.labels"]), epoch)[: self.examples]
        return order.split(self.batch_size)

    def batch(self, rows: Tensor, augmentation: Generator) -> tuple[Tensor, Tensor]:
        """Return augmented images (B, C, H, W) and labels (B,).

        Where images are mixed their labels are probabilities, (B, classes).
        """
        settings = self.settings["augmentation"]
        images = augment(self.images("train", rows), settings, augmentation)
        labels = self.data["train.labels"][rows].long()
        if mixes(settings):
            images, labels = mix(images, labels, self.manifest["classes"], settings, augmentation)
        return self.normalise(images), labels

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
        for rows in torch.arange(len(self.data[f"{split}.labels"])).split(self.evaluation_batch):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            images = self.normalise(self.images(split, part))
            scores.append(self.loss(model, (images, self.data[f"{split}.labels"][part].long()))[1])
        return self.summarise(split, torch.cat(scores, dim=1))

    def summarise(self, split: str, scores: Tensor) -> dict[str, float]:
        """Return the scores of an epoch by name; see metrics.classification."""
        loss, correct = scores.cpu().numpy()
        return metrics.classification(loss, correct, self.batch_size)
