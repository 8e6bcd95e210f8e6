"""Optimizers by name, and the learning-rate schedules."""

import bisect
import math

import torch
from torch import nn


def build(settings: dict, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer for everything in the model that is trained."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    common = {"lr": settings["lr"], "weight_decay": settings["weight_decay"], "fused": True}
    match settings["name"]:
        case "adam":
            return torch.optim.Adam(weights, **common)
        case "adamw":
            return torch.optim.AdamW(weights, **common)
        case "sgd":
            return torch.optim.SGD(weights, **common)
        case "momentum":
            return torch.optim.SGD(weights, momentum=settings["momentum"], **common)
        case name:
            raise ValueError(f"no optimizer '{name}'")


def learning_rate_factor(settings: dict, progress: float, epochs: int) -> float:
    """Return what the learning rate is multiplied by in the step around `progress` (epochs).

    Warm-up rises linearly over the first `warmup_epochs`. step: × gamma after every milestone;
    cosine: from 1 after the warm-up to 0 at the end (Loshchilov & Hutter, 2017).
    """
    warmup = settings["warmup_epochs"]
    factor = min(1.0, progress / warmup) if warmup else 1.0
    match settings["name"]:
        case "none":
            pass
        case "step":
            factor *= settings["gamma"] ** bisect.bisect_right(settings["milestones"], progress)
        case "cosine":
            if progress > warmup:
                share = (progress - warmup) / (epochs - warmup)
                factor *= 0.5 * (1 + math.cos(math.pi * share))
        case name:
            raise ValueError(f"no schedule '{name}'")
    return factor
