"""One run: from settings and prepared data to metric rows, a row of facts, and weights."""

import hashlib
import json
import logging
import os
import re
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from trainstudy import (
    arrays,
    checkpoint,
    compilation,
    files,
    gpu,
    models,
    precision,
    provenance,
    records,
    trainer,
)
from trainstudy.arrays import Dataset
from trainstudy.tasks import TASKS, Task, stream

log = logging.getLogger(__name__)


def train(
    name: str,
    settings: dict,
    seed: int,
    prepared: Path,
    table: Path | None,
    threads: int,
    deterministic: bool,
    code: Sequence[Path],
    checkpoints: Path,
    checkpoint_seconds: float,
    metrics_file: Path,
    run_file: Path,
    weights_file: Path,
) -> None:
    """Train one experiment with one seed and write its three files.

    `table` is the prepared GPT-1 embedding where the settings ask for it. The weights are those of
    the best validation epoch. Goes on from a checkpoint in the folder `checkpoints` that was made
    with the same settings, seed, mode, data, torch, kind of device, compiler and `code`; the folder
    is deleted at the end. Raises checkpoint.Interrupted, which ends the process with exit code 75,
    where a signal told it to stop; checkpoint.DiskFullError where a checkpoint does not fit;
    DataError for data that changed since they were prepared; ValueError for settings without a
    column.
    """
    torch.set_num_threads(threads)
    settings = settled(settings, deterministic)
    records.check(_settings_columns(settings))  # now, and not when all is trained
    compilation.keep_apart()
    choose_algorithms(settings, deterministic)
    releases = provenance.versions()  # now: they may be renewed while the run trains
    dataset = arrays.load(prepared)
    embedding = None if table is None else arrays.load(table)
    identity = _identity(settings, seed, deterministic, dataset, embedding, code)
    with checkpoint.Checkpoints(checkpoints, identity, checkpoint_seconds) as saved:
        with _device() as (device, card):
            model = _model(settings, seed, dataset, embedding).to(device)
            task = TASKS[dataset.manifest["kind"]](dataset, settings, seed, device)
            origin = _origin(dataset, embedding)
            about = _described(settings, origin["data_origin"], model, device)
            log.info("%s, seed %d: %s", name, seed, about)
            outcome = trainer.fit(task, model, settings, saved, card)
        head = {"experiment": name, "seed": seed}
        head |= {key: settings[key] for key in ("family", "dataset")}
        facts = {
            **head,
            **_settings_columns(settings),
            **_result_columns(outcome, task, model),
            **_provenance_columns(dataset, device, outcome, releases),
            **origin,
            "code": _code(identity),
            "threads": threads,
            "deterministic": deterministic,
            **_gpu_columns(outcome, card),
        }
        records.write([head | row for row in outcome.rows], records.METRICS, metrics_file)
        records.write([facts], records.RUNS, run_file)
        # One key: the library writes several in random order, and equal runs should be equal files.
        described = {"experiment": name, "seed": seed, "epoch": outcome.best_epoch}
        with files.whole(weights_file) as part:
            save_file(outcome.weights, part, metadata={"run": json.dumps(described)})
        saved.remove()


def _described(settings: dict, origin: str, model: torch.nn.Module, device: torch.device) -> str:
    """Return what is trained, where and on what, for the log."""
    return (
        f"{models.parameter_counts(model)[0]:,} parameters on {_device_name(device)}, "
        f"{settings['precision']}, data: {settings['dataset']} ({origin})"
    )


@contextmanager
def _device() -> Iterator[tuple[torch.device, gpu.Claim | None]]:
    """Yield where to train: a GPU taken for this run where there is one, else the CPU."""
    if not torch.cuda.is_available():
        if provenance.has_gpu():
            log.warning(
                "there is a GPU, but this torch cannot use it (is its driver too old, or torch "
                "built for CPUs?): training on the CPU; --set-resources train:gpu=0 lets as many "
                "jobs run as there are cores"
            )
        yield torch.device("cpu"), None
        return
    cards = [
        str(torch.cuda.get_device_properties(index).uuid)
        for index in range(torch.cuda.device_count())
    ]
    with gpu.claim(cards) as card:
        if card.shared:
            log.warning("another run is on the same GPU: times and memory are marked as shared")
        torch.cuda.set_device(card.index)
        yield torch.device("cuda", card.index), card


def settled(settings: dict, deterministic: bool) -> dict:
    """Return the settings with what machine and mode decide."""
    settled = settings | {"precision": precision.chosen(settings["precision"])}
    if not settings.get("compile"):
        return settled
    on_gpu = torch.cuda.is_available()
    # torch's compiler has such a mode, too; but only uncompiled steps were seen to repeat.
    if deterministic and on_gpu:
        log.info("training steps are not compiled, as `deterministic` is true and this is a GPU")
    elif lacking := compilation.lacking(on_gpu):
        log.warning(
            "%s: training steps are not compiled, which costs vision transformers 3 to 36 %% of "
            "their speed; %s, or set compile: false",
            *lacking,
        )
    else:
        return settled
    return settled | {"compile": False}


def choose_algorithms(settings: dict, deterministic: bool) -> None:
    """Tell PyTorch with which numbers to compute, by the precision of settled settings."""
    # What is too small for a normal number (1.2e-38) counts as zero, as processors multiply such
    # numbers far more slowly, and attention that has become sharp is full of them: ViT-2 in float32
    # with a learning rate of 3e-3 came to take 1,784 ms a step, and takes 558 (Intel Xeon). Holds
    # for threads that start afterwards, too.
    torch.set_flush_denormal(True)
    # By default cuDNN's convolutions and LSTMs round what they multiply to TF32's ten bits; matrix
    # products do where the environment asks for it, as some containers' does.
    torch.backends.cudnn.allow_tf32 = settings["precision"] != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = False
    if deterministic:  # read when CUDA's matrix products are first used
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = deterministic
    # Only where need be: it imports torch's compiler, a second or more.
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)


def _identity(
    settings: dict,
    seed: int,
    deterministic: bool,
    dataset: Dataset,
    embedding: Dataset | None,
    code: Sequence[Path],
) -> dict[str, object]:
    """Return all that decides the result of a run: settings, hashes of code and data, tools."""
    return {
        **{f"settings.{key}": value for key, value in records.flatten(settings).items()},
        "seed": seed,
        "deterministic": deterministic,
        "data": dataset.manifest["manifest_sha256"],  # of the arrays' checksum, too
        "embedding": embedding and embedding.manifest["manifest_sha256"],
        "torch": torch.__version__,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "compiler": _compiler(settings, dataset, deterministic),
        **{f"code {_within_project(file)}": files.sha256(file) for file in code},
    }


def _within_project(file: Path) -> str:
    """Return the path of a file of code without the folder that this copy of it lies in."""
    found = re.search("(src/trainstudy|workflow/scripts)/.*", file.as_posix())
    return found[0] if found else file.as_posix()


def _code(identity: dict[str, object]) -> str | None:
    """Return a digest of the code with which a run began, from its identity; None without any."""
    lines = [f"{key} {identity[key]}\n" for key in sorted(identity) if key.startswith("code ")]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:12] if lines else None


def _compiler(settings: dict, dataset: Dataset, deterministic: bool) -> str | None:
    """Return what compiles code for this run: its steps, or on a GPU a language model's loss."""
    if settings.get("compile"):
        return compilation.compiler()
    of_text = dataset.manifest["kind"] == "text" and torch.cuda.is_available()
    return compilation.c_compiler() if of_text and not deterministic else None


def _model(
    settings: dict, seed: int, dataset: Dataset, embedding: Dataset | None
) -> torch.nn.Module:
    if (settings["model"].get("embedding") == "gpt1") != (embedding is not None):
        # A model that learned a table of its own would be recorded as one with GPT-1's.
        raise ValueError("a prepared embedding goes with settings that name gpt1, and only those")
    table = None if embedding is None else torch.from_numpy(embedding.arrays["embedding"])
    torch.manual_seed(stream(seed, 0, "initialisation").initial_seed())
    return models.build(settings["family"], settings["model"], dataset.manifest, table)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _settings_columns(settings: dict) -> dict[str, object]:
    return {k: v for k, v in records.flatten(settings).items() if k not in ("family", "dataset")}


def _result_columns(
    outcome: trainer.Outcome, task: Task, model: torch.nn.Module
) -> dict[str, object]:
    trained, total = models.parameter_counts(model)
    return {
        **_scores(outcome),
        **_pace(outcome, task),
        "status": "finished" if outcome.diverged_step is None else "diverged",
        "diverged_step": outcome.diverged_step,
        "best_epoch": outcome.best_epoch,
        "epochs_trained": _epochs_trained(outcome),
        "parameters_trained": trained,
        "parameters_total": total,
        "resumes": outcome.resumes,
        "started": outcome.started,
        **outcome.memory,
    }


def _epochs_trained(outcome: trainer.Outcome) -> int:
    """Return how many epochs were completed, with their validation."""
    return max((row["epoch"] for row in outcome.rows), default=0)


def _scores(outcome: trainer.Outcome) -> dict[str, float]:
    """Return the scores of the last and of the best epoch, by column."""
    ends = {"last": _epochs_trained(outcome), "best": outcome.best_epoch}
    named = {
        f"{row['split']}_{row['metric']}_{which}": row["value"]
        for row in outcome.rows
        for which, epoch in ends.items()
        if row["epoch"] == epoch
    }
    return {column: value for column, value in named.items() if column in records.SCORES}


def _pace(outcome: trainer.Outcome, task: Task) -> dict[str, object]:
    """Return the seconds of the run, and of its median epoch, None where none was completed.

    The median is less disturbed by what else runs on the machine than the mean.
    """

    def median(split: str) -> float | None:
        rows = [
            row["value"]
            for row in outcome.rows
            if row["metric"] == "seconds" and row["split"] == split
        ]
        return statistics.median(rows) if rows else None

    training = median("train")
    return {
        "seconds_total": outcome.seconds,
        "seconds_compiling": outcome.seconds_compiling,
        "seconds_waiting": outcome.waited,
        "seconds_training": training,
        "seconds_evaluating": median("validation"),
        "throughput": task.units / training if training else None,
        "throughput_unit": task.unit,
    }


def _gpu_columns(
    outcome: trainer.Outcome, card: gpu.Claim | None
) -> dict[str, bool | float | None]:
    """Return whether the GPU was shared and, where it was not, the energy that the run took."""
    shared = None if card is None else card.shared or outcome.gpu["shared"]
    return {"gpu_shared": shared, "energy": None if shared else outcome.gpu["energy"]}


def _origin(dataset: Dataset, embedding: Dataset | None) -> dict[str, str]:
    """Return what the data are, and whether the published ones, GPT-1's weights included."""
    columns = {f"data_{name}": dataset.manifest[name] for name in ("origin", "description")}
    if embedding and embedding.manifest["origin"] == "mirrored":
        columns["data_description"] += "; GPT-1's weights from a mirror, not the originals"
        if columns["data_origin"] == "original":
            columns["data_origin"] = "mirrored"
    return columns


def _provenance_columns(
    dataset: Dataset, device: torch.device, outcome: trainer.Outcome, releases: dict[str, str]
) -> dict[str, str | None]:
    machine = provenance.machine()
    if outcome.earlier_places:
        machine["earlier parts"] = "; ".join(outcome.earlier_places)
    return {
        "device": _device_name(device),
        "driver": provenance.driver() if device.type == "cuda" else None,
        "commit": outcome.commit,
        "machine": json.dumps(machine, sort_keys=True),
        "versions": json.dumps(releases, sort_keys=True),
        "data_sha256": dataset.manifest["sha256"],
    }
