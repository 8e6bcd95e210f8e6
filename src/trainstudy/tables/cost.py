"""What training cost: wall-clock time and memory."""

import json

import pandas as pd

from trainstudy.results import Results
from trainstudy.tables import columns

MEASURES = {
    "memory_allocated": "GPU: allocated in tensors, peak (MiB)",
    "memory_reserved": "GPU: reserved by PyTorch, peak (MiB)",
    "memory_process": "GPU: whole process, by the driver (MiB)",
    "memory_device": "GPU: all processes (MiB)",
    "memory_resident": "main memory: whole process, peak (MiB)",
}
PARTS = {
    "parameters": "parameters (MiB)", "gradients": "gradients (MiB)",
    "optimizer": "optimizer state (MiB)", "constants": "data and frozen tables (MiB)",
    "activations": "activations (MiB)", "total": "predicted peak (MiB)",
}  # fmt: skip
MIB = 2**20


def wall_clock(results: Results) -> pd.DataFrame:
    """Return seconds per epoch and throughput, fastest training first within a family."""
    runs = results.runs
    table = columns.heads(runs, family="family")
    for column, heading in (
        ("seconds_training", "training s per epoch"),
        ("seconds_evaluating", "evaluating s per epoch"),
        ("seconds_compiling", "compiling s"),
        ("seconds_total", "total s"),
        ("throughput", "throughput"),
    ):
        if column in runs and (column != "seconds_compiling" or runs[column].notna().any()):
            columns.add(table, heading, columns.by_experiment(columns.alone(runs), column))
    first = runs.groupby("experiment").first()
    table["unit"] = first["throughput_unit"] + "/s"
    table["threads"] = first["threads"]
    table["device"] = first["device"].where(first["device"] != "CPU", first["machine"].map(_cpu))
    columns.add_reports(table, results, "seconds_per_epoch", "train", " (s)")
    return table.reset_index().sort_values(["family", "training s per epoch"], ignore_index=True)


def memory(results: Results) -> pd.DataFrame:
    """Return what was measured of memory, each measure named for what it includes."""
    runs = results.runs
    table = columns.heads(runs, family="family")
    for column, heading in MEASURES.items():
        if runs[column].notna().any():
            columns.add(table, heading, columns.by_experiment(columns.alone(runs), column), MIB)
    predicted = results.facts.groupby("experiment").memory_predicted.first() / MIB
    if predicted.notna().any():
        table["GPU: predicted peak of tensors (MiB)"] = predicted
    for report, unit, how in (
        ("A", "MiB", "process, nvidia-smi"),
        ("B", "MB", "how is not stated"),
    ):
        values = results.published_values(report, "gpu_memory", "train")
        if len(values):
            table[f"{report}: GPU memory, {how} ({unit})"] = values
    return table.reset_index()


def memory_predicted(results: Results) -> pd.DataFrame:
    """Return the predicted peak of a training step on a GPU, in parts, beside the measured one."""
    runs = results.runs
    table = columns.heads(runs, family="family").drop(columns=["epochs", "seeds", "interval"])
    predicted = results.predicted.set_index("experiment").reindex(table.index)
    for part, heading in PARTS.items():
        table[heading] = predicted[part] / MIB
    if runs.memory_allocated.notna().any():
        allocated = columns.by_experiment(columns.alone(runs), "memory_allocated")
        columns.add(table, "measured peak (MiB)", allocated, MIB)
        ratio = table["predicted peak (MiB)"] / table["measured peak (MiB)"]
        table["difference of the predicted (%)"] = ratio - 1
    else:
        table["measured"] = "no GPU"
    return table.reset_index()


def _cpu(machine: str) -> str:
    facts = json.loads(machine)
    return f"{facts['processor']}, {facts['cores']} cores"
