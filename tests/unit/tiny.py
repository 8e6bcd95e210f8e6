"""Tiny data, models and settings on which the training loop is tried."""

import numpy as np
import torch
from torch import nn

from trainstudy import models
from trainstudy.arrays import Dataset
from trainstudy.state import Outcome
from trainstudy.tasks import TASKS, Task

CPU = torch.device("cpu")
SPLITS = ("train", "validation", "test")
FIXED = {"name": "none", "warmup_epochs": 0, "milestones": [], "gamma": 0.1}
VIT = {
    "depth": 1, "dim": 16, "heads": 2, "mlp": 16, "patch": 4, "norm": "pre", "dropout": 0.0,
    "drop_path": None,
}  # fmt: skip
AUGMENTATION = {
    "flip": 0.5, "crop_scale": [0.8, 1.0], "crop_ratio": [0.9, 1.1], "mixup": None, "cutmix": None,
}  # fmt: skip
LSTM = {"layers": 1, "hidden": 16, "embedding": "learned", "embedding_size": 12, "dropout": 0.0}
MODELS = {
    "vit": ("vit", VIT),
    "lstm": ("lstm", LSTM),
    "googlenet": ("cnn", {"name": "googlenet"}),
    "resnet": ("cnn", {"name": "resnet"}),
    "resnet-preact": ("cnn", {"name": "resnet-preact"}),
    "densenet": ("cnn", {"name": "densenet"}),
}


def images() -> Dataset:
    """Return noisy images whose brightness decides their class."""
    rng = np.random.default_rng(0)
    arrays, shapes = {}, {}
    for split, count in zip(SPLITS, (48, 16, 16), strict=True):
        labels = rng.permutation(count).astype(np.uint8) % 2
        noise = rng.integers(0, 128, (count, 1, 8, 8))
        arrays[f"{split}.images"] = (noise + 127 * labels[:, None, None, None]).astype(np.uint8)
        arrays[f"{split}.labels"] = labels
        shapes[f"{split}.images"] = [count, 1, 8, 8]
    manifest = {"kind": "images", "classes": 2, "mean": [0.5], "deviation": [0.3]}
    return Dataset(arrays, manifest | {"shapes": shapes})


def text() -> Dataset:
    """Return a text that says the same five tokens over and over."""
    arrays = {f"{split}.tokens": np.tile(np.arange(1, 6, dtype=np.uint16), 21) for split in SPLITS}
    return Dataset(arrays, {"kind": "text", "vocabulary": 6, "bytes": dict.fromkeys(SPLITS, 200)})


def settings(name: str, **changed) -> dict:
    family, model = MODELS[name]
    return {
        "family": family,
        "model": model,
        "epochs": 3,
        "early_stopping": None,
        "batch_size": 4 if family == "lstm" else 16,
        "sequence_length": 8,
        "carry_state": False,
        "augmentation": AUGMENTATION,
        "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 5e-4, "momentum": 0.9},
        "schedule": FIXED,
        "gradient_clipping": None,
        "label_smoothing": 0.0,
        "precision": "fp32",
    } | changed


def sgd(lr: float) -> dict:
    return {"name": "sgd", "lr": lr, "weight_decay": 0.0, "momentum": 0.0}


def start(chosen: dict, seed: int = 1, device: torch.device = CPU) -> tuple[Task, nn.Module]:
    """Return the task and the fresh model of a run."""
    dataset = text() if chosen["family"] == "lstm" else images()
    torch.manual_seed(seed)
    model = models.build(chosen["family"], chosen["model"], dataset.manifest).to(device)
    return TASKS[dataset.manifest["kind"]](dataset, chosen, seed, device), model


def timeless(outcome: Outcome) -> list[tuple]:
    return [
        (row["epoch"], row["split"], row["metric"], row["value"])
        for row in outcome.rows
        if row["metric"] != "seconds"
    ]
