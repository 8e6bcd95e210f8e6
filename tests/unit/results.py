"""Results made by hand, in the schemas of the real ones: for tables, figures and report."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa

from trainstudy import records
from trainstudy.results import Results

DATASET = {"lstm": "wikitext2", "vit": "cifar10", "cnn": "cifar10"}
MODEL: dict[str, dict] = {
    "lstm": {"model.layers": 1, "model.embedding": "gpt1", "sequence_length": 256},
    "vit": {"model.depth": 2, "model.norm": "pre", "augmentation.crop_scale": [0.8, 1.0]},
    "cnn": {"model.name": "resnet", "schedule.milestones": [100.0, 150.0]},
}


OTHER_MACHINE = json.dumps({"processor": "Babbage 1", "cores": "8", "system": "Linux"})


def a_run(experiment: str, seed: int = 42, **facts: object) -> dict:
    """Return a row of runs.parquet; its family is the first part of the name."""
    family = experiment.split("-")[0]
    return {
        "experiment": experiment,
        "family": family,
        "dataset": DATASET[family],
        "seed": seed,
        "status": "finished",
        **MODEL[family],
        "epochs": 3,
        "batch_size": 16,
        "optimizer.name": "adamw",
        "optimizer.lr": 0.001,
        "parameters_trained": 1000,
        "parameters_total": 1000,
        "seconds_total": 12.0,
        "throughput_unit": "tokens" if family == "lstm" else "images",
        "resumes": 0,
        "started": "2026-01-02T03:04:05+00:00",
        "threads": 1,
        "deterministic": False,
        "device": "CPU",
        "commit": "0123456789ab",
        "code": "9876543210fe",
        "machine": json.dumps({"processor": "Abacus 9", "cores": "2", "system": "Linux"}),
        "versions": json.dumps({"python": "3.11.7", "torch": "2.0"}),
        "data_origin": "original",
        "data_description": "the real thing",
        "data_sha256": "c0ffee" + "0" * 58,
    } | facts


HERE = "Abacus 9, 2 cores, 1 thread"  # where these are compared


def in_two_places() -> list[dict]:
    """Return an experiment run once on a CPU and twice on a GPU, and one on that CPU alone."""
    scores = {
        f"{split}_{metric}_{epoch}": 0.5
        for split in ("train", "validation", "test")
        for metric in ("loss", "accuracy")
        for epoch in ("last", "best")
    }
    slow = {"seconds_training": 5.0, "seconds_total": 20.0} | scores
    fast = {"device": "NVIDIA H100", "seconds_training": 0.5, "seconds_total": 2.0} | scores
    sgd = {"optimizer.name": "sgd", "seconds_training": 9.0, "seconds_total": 50.0} | scores
    one = [a_run("vit-2-adamw", 1, **slow)]
    one += [a_run("vit-2-adamw", seed, **fast) for seed in (2, 3)]
    return [*one, a_run("vit-2-sgd", 1, **sgd)]


def curve(run: dict, split: str, metric: str, *values: float, first: int = 1) -> list[dict]:
    """Return a metric row for each value, one an epoch; epoch e ends after 10·e seconds."""
    owner = {name: run[name] for name in ("experiment", "family", "dataset", "seed")}
    return [
        owner
        | {"epoch": epoch, "split": split, "metric": metric, "value": value, "seconds": 10 * epoch}
        for epoch, value in enumerate(values, start=first)
    ]


def published(*rows: tuple) -> pd.DataFrame:
    """Return published figures: (report, experiment, metric, split, value, unit)."""
    columns = ["report", "experiment", "metric", "split", "value", "unit"]
    return pd.DataFrame(rows, columns=columns).assign(note="")


def stored(folder: Path, rows: list[dict], schema: pa.Schema) -> pd.DataFrame:
    """Write rows to a file of their own and read them as the study does."""
    file = folder / f"{len(list(folder.iterdir()))}.parquet"
    records.write(rows, schema, file)
    return pd.read_parquet(file)


def frames(folder: Path, runs: list[dict], metrics: list[dict] = (), reports=None, **others):
    """Return the results of a study; without `reports` nothing was published."""
    nothing = {
        "predicted": pd.DataFrame(columns=records.PREDICTED.names),
        "attention": pd.DataFrame(columns=records.ATTENTION.names),
        "claims": {},
    }
    return Results(
        stored(folder, runs, records.RUNS),
        stored(folder, list(metrics), records.METRICS),
        published() if reports is None else reports,
        **nothing | others,
    )


def sizes(runs: list[dict]) -> dict[str, pd.DataFrame]:
    """Return what size_models writes: predicted memory of 1 MiB a part, one row of attention."""
    parts = dict.fromkeys(records.PREDICTED.names[1:-1], 2**20) | {"total": 5 * 2**20}
    names = dict.fromkeys(run["experiment"] for run in runs)
    attention = {"heads": 8, "head_size": 32, "width": 256, "formula": 263_168, "module": 263_168}
    return {
        "predicted": pd.DataFrame([{"experiment": name} | parts for name in names]),
        "attention": pd.DataFrame([attention]),
    }
