"""What a job should ask a cluster for, estimated from its settings before it runs.

The rule, the only one: main memory = programs (more with CUDA) + 2.8 · training data (twice, with
validation and test) + 20 B · parameters (weights, gradient, two moments of the optimizer, the best
weights) + without a GPU 2 · what a step keeps for its gradient. Time = 10 minutes + 1.2 · training
operations / speed + 50 ms a step, 10 on a GPU. The constants lie on the generous side of what was
measured; a job that they fail asks for more when it is tried again.
This imports the standard library only: the Snakefile uses it on machines that have Snakemake alone.
"""

import math
from typing import NamedTuple

from trainstudy import data

PROGRAMS_MB = 1_500  # Python and torch, measured: 800
CUDA_MB = 4_000  # CUDA's libraries and context; whole jobs on an H200 took 1,800 to 2,100
THREAD_SPEED = 30e9  # operations/s of one CPU thread, measured: 57e9 in float32 to 270e9
GPU_SPEED = 5e12  # of any GPU; whole steps on an H200 reached 13e12 to 109e12
LOGIT_ROWS = 1_024  # of a language model's output layer, twice losses.ROWS on a CPU

# A pixel of the image costs a network this many operations of training, and stored values.
CNN_PIXEL = {
    "googlenet": (4.7e5, 2_150),
    "resnet": (2.5e5, 400),
    "resnet-preact": (2.5e5, 400),
    "densenet": (4.3e5, 2_350),
}
CNN_PARAMETERS = 300_000


class Demand(NamedTuple):
    """What to ask for at the first attempt; each further one asks for as much again."""

    mem_mb: int
    minutes: int


EMBEDDING = Demand(mem_mb=1_000, minutes=10)  # the table of GPT-1's embeddings holds 124 MB


class Work(NamedTuple):
    """The size of one training example, an image or a token, for a model."""

    parameters: float  # of the whole model
    operations: float  # to train on it once
    stored: float  # values kept for its gradient
    fixed: float  # values that a step needs whatever its size
    data_bytes: float  # in prepared form


def training(run: dict, threads: int, on_gpu: bool) -> Demand:
    """Estimate one training job from its merged settings."""
    needed, examples = work(run), data.find(run["dataset"]).EXAMPLES
    length = run.get("sequence_length", 1)
    # A text may hold fewer sequences than a batch.
    step = length * min(run["batch_size"], math.ceil(examples / length))
    values = 20 * needed.parameters
    if not on_gpu:
        values += 2 * 4 * (needed.stored * step + needed.fixed)
    data_bytes = 2 * needed.data_bytes * examples * 1.4  # validation and test beside training
    speed = GPU_SPEED if on_gpu else THREAD_SPEED * threads
    starting = 0.01 if on_gpu else 0.05
    epoch = 1.2 * examples * needed.operations / speed + starting * math.ceil(examples / step)
    programs = PROGRAMS_MB + (CUDA_MB if on_gpu else 0)
    return _round(programs + (values + data_bytes) / 1e6, 10 + run["epochs"] * epoch / 60)


def work(run: dict) -> Work:
    """Return what one example costs the model of a run."""
    return _OF_FAMILY[run["family"]](run, data.find(run["dataset"]))


def preparing(name: str) -> Demand:
    """Estimate the preparation of a data set; measured: 580 MB for 60,000 images of CIFAR-10."""
    dataset = data.find(name)
    size = math.prod(dataset.SHAPE) if dataset.KIND == "images" else 20
    return _round(1_000 + 5 * size * dataset.EXAMPLES / 1e6, 10 + dataset.EXAMPLES / 1e5)


def sizing(runs: dict[str, dict]) -> Demand:
    """Estimate the job that builds every model once, without training it."""
    largest = max(work(run).parameters for run in runs.values())
    return _round(PROGRAMS_MB + 20 * largest / 1e6, 10 + len(runs) / 4)


def gathering(runs: dict[str, dict], seeds: list[int]) -> Demand:
    """Estimate a job that reads the metric rows of all runs; measured: 0.3 kB of memory a row."""
    rows = 30 * len(seeds) * sum(run["epochs"] for run in runs.values())
    return _round(1_000 + 0.6e-3 * rows, 10 + rows / 1e5)


def _round(mem_mb: float, minutes: float) -> Demand:
    return Demand(math.ceil(mem_mb / 100) * 100, math.ceil(minutes / 10) * 10)


def _lstm(run: dict, dataset) -> Work:
    model = run["model"]
    hidden, size, layers = model["hidden"], model["embedding_size"], model["layers"]
    weights = 4 * hidden * (size + hidden + 2) + (layers - 1) * 4 * hidden * (2 * hidden + 2)
    weights += (hidden + 1) * size
    table = (dataset.VOCABULARY + 1) * size
    learned = model["embedding"] == "learned"
    return Work(
        parameters=weights + (table if learned else 0),
        # Forward and two gradients, a multiplication and an addition each; none for a fixed table.
        operations=6 * weights + (6 if learned else 4) * table,
        stored=10 * hidden * layers + 4 * size,
        fixed=LOGIT_ROWS * (dataset.VOCABULARY + 1) + table,
        data_bytes=2,
    )


def _vit(run: dict, dataset) -> Work:
    model, (channels, height, width) = run["model"], dataset.SHAPE
    dim, mlp, depth, patch = model["dim"], model["mlp"], model["depth"], model["patch"]
    tokens = height * width // patch**2 + 1
    block = 4 * (dim**2 + dim) + 2 * dim * mlp + mlp + 5 * dim
    kept = 12 * dim + 3 * mlp + 2 * model["heads"] * tokens  # values of a token in one block
    return Work(
        parameters=depth * block + dim * (channels * patch**2 + tokens + 20),
        operations=depth * (6 * tokens * block + 12 * tokens**2 * dim),
        stored=depth * tokens * kept,
        fixed=0,
        data_bytes=channels * height * width,
    )


def _cnn(run: dict, dataset) -> Work:
    (channels, height, width) = dataset.SHAPE
    operations, stored = CNN_PIXEL[run["model"]["name"]]
    pixels = height * width
    return Work(CNN_PARAMETERS, operations * pixels, stored * pixels, 0, channels * pixels)


_OF_FAMILY = {"lstm": _lstm, "vit": _vit, "cnn": _cnn}
