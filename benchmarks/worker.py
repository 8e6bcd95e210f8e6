"""One side of one case: `worker.py ours vit-2` takes steps when told to and reports their times.

It reads a number of steps per line and answers with one line of JSON: seconds per step (on a GPU
their mean), and the peak of memory beyond what the process held before the model was made.
"""

import importlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import textbook
import torch
import yaml

from trainstudy import compilation, gpt1, memory, models, optimizers, run, tasks
from trainstudy.arrays import Dataset
from trainstudy.config import resolve
from trainstudy.data import cifar10
from trainstudy.step import Step, try_batches

ROOT = Path(__file__).parents[1]
EXPERIMENTS = {
    "vit-2": "vit-2-adamw",
    "vit-6": "vit-6-adamw",
    "resnet": "cnn-resnet-10-epochs",
    "lstm-1": "lstm-1-adamw",
    "lstm-4": "lstm-4-adamw",
}
VOCABULARY = gpt1.VOCABULARY + 1  # with the padding
IMAGES = {"train": cifar10.EXAMPLES, **cifar10.HELD_OUT}  # of random pixels


def experiment(case: str, changes: dict) -> dict:
    """Return the settings of a case, changed as {"model.depth": 4} says, for this machine."""
    file = ROOT / "config.yaml"
    runs = resolve(yaml.safe_load(file.read_text()), [file], ROOT / "workflow" / "schemas")
    settings = runs[EXPERIMENTS[case]]
    for path, value in changes.items():
        *parents, key = path.split(".")
        place = settings
        for parent in parents:
            place = place[parent]
        place[key] = value
    return run.settled(settings, deterministic=False)


def dataset(settings: dict, vocabulary: int) -> Dataset:
    """Return random images of the shape of CIFAR-10, or text for eight steps in a vocabulary."""
    random = np.random.default_rng(0)
    splits = ("train", "validation", "test")
    if settings["family"] == "lstm":
        length = settings["batch_size"] * settings["sequence_length"] * 8
        arrays = {
            f"{split}.tokens": random.integers(1, vocabulary, length).astype(np.uint16)
            for split in splits
        }
        manifest = {
            "kind": "text",
            "vocabulary": vocabulary,
            "bytes": dict.fromkeys(splits, length),
        }
    else:
        arrays = {}
        for split in splits:
            shape = (IMAGES[split], 3, 32, 32)
            arrays[f"{split}.images"] = random.integers(0, 256, shape, dtype=np.uint8)
            arrays[f"{split}.labels"] = random.integers(0, 10, IMAGES[split]).astype(np.uint8)
        manifest = {"kind": "images", "classes": 10, "mean": [0.5] * 3, "deviation": [0.25] * 3}
    shapes = {name: [*array.shape] for name, array in arrays.items()}
    return Dataset(arrays, manifest | {"shapes": shapes})


def ours(
    settings: dict, data: Dataset, table, device: torch.device, recorded: bool = True
) -> Callable[[], object]:
    """Return the project's own training step."""
    run.choose_algorithms(settings, deterministic=False)
    model = models.build(settings["family"], settings["model"], data.manifest, table).to(device)
    task = tasks.TASKS[data.manifest["kind"]](data, settings, 42, device)
    optimizer = optimizers.build(settings["optimizer"], model)
    model.train()
    learner = compilation.compiled(model) if settings.get("compile") else model
    try_batches(task, learner)

    augmentation = tasks.stream(42, 1, "augmentation", device)
    clipping = settings["gradient_clipping"]
    advance = Step(task, learner, optimizer, clipping, augmentation, recorded)
    steps = itertools.chain.from_iterable(map(task.rows, itertools.count(1)))
    return lambda: advance(next(steps))


def photographs(data: Dataset) -> textbook.Photographs:
    """Return the images as the textbook has them."""
    mean, deviation = data.manifest["mean"], data.manifest["deviation"]
    pixels, labels = data.arrays["train.images"], data.arrays["train.labels"]
    return textbook.Photographs(pixels, labels, mean, deviation)


def plain(
    settings: dict, data: Dataset, images: textbook.Photographs | None, table, device: torch.device
) -> Callable[[], object]:
    """Return the textbook's training step; `images` are those of `data`, where it has any."""
    size, model_settings = settings["batch_size"], settings["model"]
    model: torch.nn.Module
    if settings["family"] == "lstm":
        model = textbook.LanguageModel(table, model_settings["hidden"], model_settings["layers"])
        tokens = torch.from_numpy(data.arrays["train.tokens"].astype(np.int64))
        rows = tokens.view(-1, settings["sequence_length"])
        stream = iter(lambda: (pick := rows[torch.randint(len(rows), (size,))].to(device),
                               pick.roll(-1, 1)), None)  # fmt: skip
    else:
        if settings["family"] == "vit":
            keys = ("depth", "dim", "heads", "mlp", "patch")
            model = textbook.VisionTransformer(**{key: model_settings[key] for key in keys})
        else:
            model = models.build("cnn", model_settings, data.manifest)
            model = model.to(memory_format=torch.contiguous_format)  # as layers come
        assert images
        stream = textbook.image_batches(images, size, device)
    model = model.to(device).train()
    wanted = settings["optimizer"]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if wanted["name"] == "momentum":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            weights, wanted["lr"], wanted["momentum"], weight_decay=wanted["weight_decay"]
        )
    else:
        optimizer = torch.optim.AdamW(weights, wanted["lr"], weight_decay=wanted["weight_decay"])
    return lambda: textbook.step(model, optimizer, next(stream))


def load_libraries() -> None:
    """Load what either side loads on its way, so that it counts as memory of neither.

    torch's optimizers load its compiler, ours only where steps are compiled.
    """
    for name in ("torch._dynamo", "torch._inductor.compile_fx", "torchvision.transforms"):
        importlib.import_module(name)


def reset_peak(device: torch.device) -> int:
    """Forget the peak of memory and return what is in use now, in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5")  # resets the kernel's high-water mark
    return memory.resident_peak()  # what is resident now


def peak(device: torch.device) -> int:
    """Return the peak of memory since it was reset: allocated on a GPU, else resident (Linux)."""
    cuda = device.type == "cuda"
    return torch.cuda.max_memory_allocated(device) if cuda else memory.resident_peak()


def on_cpu(step: Callable[[], object], steps: int) -> list[float]:
    """Return the seconds of every step."""
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return times


def on_gpu(step: Callable[[], object], steps: int) -> list[float]:
    """Return the mean seconds of a step, once: waiting for each would stop the queue."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return [(time.perf_counter() - began) / steps]


def main() -> None:
    side, case, changes = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    vocabulary = changes.pop("vocabulary", VOCABULARY)
    settings = experiment(case, changes)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    data = dataset(settings, vocabulary)
    table = None
    if settings["family"] == "lstm":
        table = torch.randn(vocabulary, settings["model"]["embedding_size"], device=device) * 0.1
    load_libraries()
    images = photographs(data) if side == "textbook" and settings["family"] != "lstm" else None
    before = reset_peak(device)
    if side == "ours":
        step = ours(settings, data, table, device)
    else:
        step = plain(settings, data, images, table, device)
    for line in sys.stdin:
        times = on_gpu(step, int(line)) if device.type == "cuda" else on_cpu(step, int(line))
        print(json.dumps({"seconds": times, "memory": peak(device) - before}), flush=True)


if __name__ == "__main__":
    main()
