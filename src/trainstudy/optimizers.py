"""Optimizers by name, and the learning-rate schedules."""

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# Methods that torch keeps its compiler from tracing, for which it first loads that compiler.
GUARDED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def build(settings: dict, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer for everything in the model that is trained."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    # On a GPU the rate lies where a recorded step can read it.
    rate = settings["lr"]
    if weights[0].is_cuda:
        rate = torch.tensor(rate, dtype=torch.float32, device=weights[0].device)
    common = {"lr": rate, "weight_decay": settings["weight_decay"], "fused": True}
    match settings["name"]:
        case "adam":
            return _untraced(torch.optim.Adam)(weights, **common)
        case "adamw":
            return _untraced(torch.optim.AdamW)(weights, **common)
        case "sgd":
            return _untraced(torch.optim.SGD)(weights, **common)
        case "momentum":
            return _untraced(torch.optim.SGD)(weights, momentum=settings["momentum"], **common)
        case name:
            raise ValueError(f"no optimizer '{name}'")


def _untraced(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return a kind of optimizer that does not load torch's compiler, 1.8 s or more of every job.

    Nothing here compiles an optimizer, so nothing need keep the compiler from looking into one.
    """
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in GUARDED}
    plain["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), plain)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step of an optimizer, recorded or not, be taken at a learning rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


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
            factor *= settings["gamma"] ** sum(m <= progress for m in settings["milestones"])
        case "cosine":
            if progress > warmup:
                share = (progress - warmup) / (epochs - warmup)
                factor *= 0.5 * (1 + math.cos(math.pi * share))
        case name:
            raise ValueError(f"no schedule '{name}'")
    return factor
