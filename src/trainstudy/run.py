"""One run: from settings and prepared data to metric rows, a row of facts, and weights."""

import datetime
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trainstudy import data, gpu, memory, models, provenance, records, trainer
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
    metrics_file: Path,
    run_file: Path,
    weights_file: Path,
) -> None:
    """Train one experiment with one seed and write its three files.

    `table` is the prepared GPT-1 embedding where the settings ask for it. The weights are those of
    the best validation epoch.
    """
    torch.set_num_threads(threads)
    dataset = data.find(settings["dataset"]).load(prepared)
    with _device() as (device, card):
        model = _model(settings, seed, dataset, table).to(device)
        task = TASKS[dataset.manifest["kind"]](dataset, settings, seed, device)
        log.info(
            "%s, seed %d: %s parameters on %s, %s, data: %s (%s)",
            name,
            seed,
            f"{models.parameter_counts(model)[0]:,}",
            _device_name(device),
            settings["precision"],
            settings["dataset"],
            dataset.manifest["origin"],
        )
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        outcome = trainer.fit(task, model, settings)
    head = {
        "experiment": name,
        "family": settings["family"],
        "dataset": settings["dataset"],
        "seed": seed,
    }
    facts = {
        **head,
        **_settings_columns(settings),
        **_result_columns(outcome, task, model),
        **_provenance_columns(dataset, device),
        **outcome.memory,
        **memory.standing(device),
        "started": started,
        "threads": threads,
        "gpu_shared": card and card.shared,
    }
    records.write([head | row for row in outcome.rows], records.METRICS, metrics_file)
    records.write([facts], records.RUNS, run_file)
    description = {"experiment": name, "seed": str(seed), "epoch": str(outcome.best_epoch)}
    save_file(outcome.weights, weights_file, metadata=description)


@contextmanager
def _device() -> Iterator[tuple[torch.device, gpu.Claim | None]]:
    """Yield where to train: a GPU taken for this run where there is one, else the CPU."""
    if not torch.cuda.is_available():
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


def _model(settings: dict, seed: int, dataset: Dataset, table: Path | None) -> torch.nn.Module:
    embedding = None if table is None else torch.from_numpy(np.load(table, allow_pickle=False))
    torch.manual_seed(stream(seed, 0, "initialisation").initial_seed())
    return models.build(settings["family"], settings["model"], dataset.manifest, embedding)


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
        "parameters_trained": trained,
        "parameters_total": total,
        "resumes": 0,
    }


def _scores(outcome: trainer.Outcome) -> dict[str, float]:
    """Return the scores of the last and of the best epoch, by column."""
    last = max((row["epoch"] for row in outcome.rows), default=None)
    named = {
        f"{row['split']}_{row['metric']}_{which}": row["value"]
        for row in outcome.rows
        for which, epoch in (("last", last), ("best", outcome.best_epoch))
        if row["epoch"] == epoch
    }
    return {column: value for column, value in named.items() if column in records.SCORES}


def _pace(outcome: trainer.Outcome, task: Task) -> dict[str, object]:
    """Return seconds and throughput; empty where no epoch was completed."""

    def mean(split: str) -> float | None:
        rows = [
            row["value"]
            for row in outcome.rows
            if row["metric"] == "seconds" and row["split"] == split
        ]
        return sum(rows) / len(rows) if rows else None

    training = mean("train")
    return {
        "seconds_total": outcome.seconds,
        "seconds_compiling": outcome.seconds_compiling,
        "seconds_training": training,
        "seconds_evaluating": mean("validation"),
        "throughput": task.units / training if training else None,
        "throughput_unit": task.unit,
    }


def _provenance_columns(dataset: Dataset, device: torch.device) -> dict[str, str | None]:
    return {
        "device": _device_name(device),
        "driver": provenance.driver() if device.type == "cuda" else None,
        "commit": provenance.commit(),
        "machine": json.dumps(provenance.machine(), sort_keys=True),
        "versions": json.dumps(provenance.versions(), sort_keys=True),
        "data_origin": dataset.manifest["origin"],
        "data_description": dataset.manifest["description"],
        "data_sha256": dataset.manifest["sha256"],
    }
