"""What can be said of a model without training it: memory of a step, parameters of attention."""

import itertools
import json
import logging
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from trainstudy import losses, models, optimizers
from trainstudy.arrays import Dataset
from trainstudy.mixing import mixes
from trainstudy.models import vit
from trainstudy.tasks import TASKS, Task

log = logging.getLogger(__name__)

HEADS, HEAD_SIZES = (1, 2, 4, 8, 12), (16, 32, 64)

# None of these changes how much memory a step takes, but for the labels of mixed images.
IRRELEVANT = ("augmentation", "early_stopping", "epochs", "gradient_clipping", "schedule")


def predict(settings: dict[str, dict], manifests: dict[str, dict]) -> Iterator[dict[str, object]]:
    """Yield the predicted GPU memory of every experiment in bytes; needs no GPU.

    `settings` {experiment: settings}, `manifests` {data set: what prepare.dataset wrote}. The parts
    add up to the peak of a training step after the first. Left out is what kernels take as
    workspace, because no tensor holds it.
    """
    known: dict[str, dict[str, int]] = {}
    for experiment, run in settings.items():
        if run["precision"] == "auto":  # on any card since 2020; see precision.py
            run = run | {"precision": "bf16"}
        relevant = {key: value for key, value in run.items() if key not in IRRELEVANT}
        # Without momentum that optimizer keeps nothing.
        relevant["optimizer"] = run["optimizer"]["name"], bool(run["optimizer"]["momentum"])
        relevant["mixes"] = "augmentation" in run and mixes(run["augmentation"])
        key = json.dumps(relevant, sort_keys=True)
        if key not in known:
            known[key] = _predict(run, manifests[run["dataset"]])
            log.info("%s: %.0f MiB predicted", experiment, known[key]["total"] / 2**20)
        yield {"experiment": experiment, **known[key]}


def attention() -> Iterator[dict[str, int]]:
    """Yield the parameters of multi-head attention for several heads and sizes of a head.

    Counted in the module, and by 4·(d² + d) with d = heads × size: four d × d products with bias.
    """
    for heads, size in itertools.product(HEADS, HEAD_SIZES):
        dim = heads * size
        with torch.device("meta"):
            counted = models.parameter_counts(vit.Attention(dim, heads))[0]
        row = {"heads": heads, "head_size": size, "width": dim}
        yield row | {"formula": 4 * (dim**2 + dim), "module": counted}


class _Forward(nn.Module):
    """The forward pass of a training step, as the one module that the tracker wants to see."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.task.loss(self.model, batch)[0]


def _predict(settings: dict, manifest: dict) -> dict[str, int]:
    fake = FakeTensorMode()
    task, model = prepared(settings, manifest, torch.device("cpu"))
    batch = tuple(map(fake.from_tensor, next(iter(task.batches(1)))))
    task.carried = fake.from_tensor(task.carried)
    # The tensors are declared on the CPU, because PyTorch cannot go backward through fake CUDA
    # tensors without a driver; attention and loss have to be told to do what they do on a GPU.
    _without_content(model, fake)
    attention = patch.object(vit, "attend", F.scaled_dot_product_attention)
    aligned = patch.object(losses, "_aligned", losses.padded)
    rows = patch.object(losses, "ROWS", losses.ROWS_COMPILED)
    with fake, attention, aligned, rows:
        optimizer = optimizers.build(settings["optimizer"], model)
        for weight in _trained(model):
            weight.grad = torch.zeros_like(weight)
        optimizer.step()  # makes its state
        optimizer.zero_grad(set_to_none=True)
        forward = _Forward(task, model)  # kept: the tracker follows it on the way back
        tracker = MemTracker()
        tracker.track_external(model, optimizer, *batch, task.carried)
        with tracker:
            # As step.py does it: no gradients are there during the forward pass.
            forward(batch).backward()
            optimizer.step()
    return _parts(tracker, task, _lstm_reserve(settings, batch[0].numel()))


def prepared(settings: dict, manifest: dict, device: torch.device) -> tuple[Task, nn.Module]:
    """Return task and model of a run on a data set of zeros with the shapes of the manifest."""
    kinds = {"images": "uint8", "labels": "uint8", "tokens": "uint16"}
    arrays = {
        name: np.zeros(shape, kinds[name.rsplit(".", 1)[1]])
        for name, shape in manifest["shapes"].items()
    }
    task = TASKS[manifest["kind"]](Dataset(arrays, manifest), settings, 0, device)
    frozen = settings["model"].get("embedding") == "gpt1"
    size = (manifest["vocabulary"], settings["model"]["embedding_size"]) if frozen else ()
    table = torch.empty(size) if frozen else None
    model = models.build(settings["family"], settings["model"], manifest, table)
    return task, model.to(device)


def _without_content(model: nn.Module, fake: FakeTensorMode) -> None:
    """Put fake tensors in the place of all weights and buffers."""
    for module in model.modules():
        holders: list[dict] = [module._parameters, module._buffers]
        for tensors in holders:
            for name, old in tensors.items():
                if old is not None:
                    tensors[name] = fake.from_tensor(old)
        if isinstance(module, nn.LSTM):
            module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _lstm_reserve(settings: dict, tokens: int) -> int:
    """Return the bytes that an LSTM's kernel keeps for the way back, which no fake tensor shows.

    For every token of a batch and every layer the four gates and the cell: 5 · hidden numbers. What
    cuDNN keeps beyond that is not documented and not in here.
    """
    if settings["family"] != "lstm":
        return 0
    numbers = 5 * settings["model"]["hidden"] * settings["model"]["layers"]
    return tokens * numbers * {"fp32": 4, "bf16": 2}[settings["precision"]]


def _parts(tracker: MemTracker, task: Task, reserve: int) -> dict[str, int]:
    """Return the parts of the peak: what lives all the time by itself, the rest as activations."""
    (after,) = tracker.get_tracker_snapshot("current").values()
    (peak,) = tracker.get_tracker_snapshot("peak").values()
    kept = {getattr(kind, "value", kind): size for kind, size in after.items()}
    tensors = [part for group in task.data.values() for part in _flat(group)]  # type: ignore[attr-defined]
    data = sum(tensor.nbytes for tensor in tensors)
    lasting = {
        "parameters": kept["Parameter"],
        "gradients": kept["Gradient"],
        "optimizer": kept["Optstate"],
        "constants": kept["Buffer"] + data,
    }
    total = peak["Total"] + data + reserve
    return {**lasting, "activations": total - sum(lasting.values()), "total": total}


def _flat(group: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return group if isinstance(group, tuple) else (group,)
