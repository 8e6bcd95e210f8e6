"""What training cost: wall-clock time and memory."""

import pandas as pd

from trainstudy import comparisons
from trainstudy.places import machines, places
from trainstudy.quantities import MEMORY_PARTS
from trainstudy.results import (
    AFTER,
    BUDGETS,
    LOWER_IS_BETTER,
    SCORES,
    Results,
    after,
    by_family,
    finished,
)
from trainstudy.tables import columns
from trainstudy.tables.html import TOTAL

MEASURES = {
    "memory_allocated": "GPU: allocated in tensors, peak (MiB)",
    "memory_reserved": "GPU: reserved by PyTorch, peak (MiB)",
    "memory_process": "GPU: whole process, by the driver (MiB)",
    "memory_device": "GPU: all processes (MiB)",
    "memory_resident": "main memory: whole process, peak (MiB)",
}
MIB = 2**20


def wall_clock(results: Results) -> pd.DataFrame:
    """Return seconds per epoch and throughput, fastest training first on a machine."""
    runs = finished(results.undisturbed)
    table, usual = columns.heads(runs), _with(runs, ["seconds_total"])
    table["machine"] = columns.joined(usual, machines(usual))
    for column, heading in (
        ("seconds_training", "training s per epoch"),
        ("seconds_evaluating", "evaluating s per epoch"),
        ("seconds_total", "total s"),
        ("throughput", "throughput"),
    ):
        columns.add(table, heading, columns.by_experiment(runs, column))
    waited = 100 * runs.seconds_waiting / (runs.seconds_total * runs.threads)
    if waited.notna().any():
        columns.add(table, "without a core (%)", waited.set_axis(runs.experiment))
    first = runs.groupby("experiment").first()
    table["unit"] = first["throughput_unit"] + "/s"
    columns.add_reports(table, results, "seconds_per_epoch", "train", " (s)")
    if runs.seconds_compiling.notna().any():
        columns.add(table, "compiling s", columns.by_experiment(runs, "seconds_compiling"))
    table["family"] = first["family"]
    table["threads"] = columns.joined(usual, usual.threads.astype(str))
    columns.add_notes(table, results, usual)
    columns.add_mark(table, "resumed", usual[usual.resumes > 0])
    table = table.sort_values(["machine", "training s per epoch"])
    return table.sort_values("family", key=by_family, kind="stable").reset_index()


def _with(runs: pd.DataFrame, costs: list[str]) -> pd.DataFrame:
    """Return the runs that have one of some costs, and of an experiment without any all runs."""
    known = runs[costs].notna().any(axis=1)
    return runs[known | ~known.groupby(runs.experiment).transform("any")]


def equal_time(results: Results) -> pd.DataFrame:
    """Return validation scores after equal times, read off the curves; best at last comes first.

    Times are those of training and evaluation, without compiling. Between two epochs the score lies
    on the straight line; before the first and after the last there is none.
    """
    facts = results.facts
    runs = facts[(facts.status == "finished") & facts[AFTER].notna().any(axis=1)]
    table = columns.heads(runs)
    table["layers"] = comparisons.settings(runs).layers
    for metric in SCORES:
        for seconds in BUDGETS:
            values = columns.by_experiment(runs, after(metric, seconds))
            if values.notna().any():
                columns.add(table, f"{metric} after {seconds // 60} min", values)
    table["family"] = runs.groupby("experiment").family.first()
    table["machine"] = columns.joined(runs, places(runs))
    columns.add_notes(table, results, runs)
    return _best_first(table)


def _best_first(table: pd.DataFrame) -> pd.DataFrame:
    """Sort by family, data, machine and the score after the longest time that any run reached."""
    rank = pd.Series(0.0, index=table.index)
    for _, rows in table.groupby(["family", "data"]):
        reached = rows.dropna(axis="columns", how="all")
        scores = [name for name in reached if " after " in name and not name.endswith(" ±")]
        if scores:
            lowest_first = scores[-1].partition(" ")[0] in LOWER_IS_BETTER
            rank.update(rows[scores[-1]].rank(ascending=lowest_first, na_option="bottom"))
    ranked = table.loc[rank.sort_values(kind="stable").index]
    ranked = ranked.sort_values(["data", "machine"], kind="stable")
    return ranked.sort_values("family", key=by_family, kind="stable").reset_index()


def spent(results: Results) -> pd.DataFrame:
    """Return what every experiment cost, all seeds together, and last the whole study.

    Core-hours are seconds of the run times its threads, for runs without a GPU; seconds are with
    those of compiling. Energy is what the GPU's driver reports, from the first step on, of runs
    that shared theirs with none.
    """
    runs = results.runs.copy()
    runs["seconds"] = runs.seconds_total + runs.seconds_compiling.fillna(0)
    runs["hours"] = runs.seconds * runs.threads / 3600
    on_cpu = runs.device == "CPU"
    table = pd.DataFrame(
        {
            "runs": runs.groupby("experiment").size(),
            "machine": columns.joined(runs, machines(runs)),
            "CPU core-hours": runs[on_cpu].groupby("experiment").hours.sum(),
            "GPU seconds": runs[~on_cpu].groupby("experiment").seconds.sum(),
            "GPU energy (kJ)": runs.groupby("experiment").energy.sum(min_count=1) / 1000,
        }
    ).reindex(columns.heads(runs).index)
    total = table.drop(columns="machine").sum(min_count=1).to_frame(TOTAL).T
    columns.add_mark(table, "shared a GPU", runs[runs.gpu_shared.eq(True)])
    table = pd.concat([table, total.assign(machine="")]).rename_axis("experiment").reset_index()
    return table.fillna({"shared a GPU": ""})


def memory(results: Results) -> pd.DataFrame:
    """Return what was measured of memory, each measure named for what it includes.

    Where no run was on a GPU, the predicted peak stands in for what would be measured there.
    """
    runs = finished(results.undisturbed)
    table = columns.heads(runs)
    for column, heading in MEASURES.items():
        if runs[column].notna().any():
            columns.add(table, heading, columns.by_experiment(runs, column), MIB)
    predicted = results.facts.groupby("experiment").memory_predicted.first() / MIB
    if predicted.notna().any() and runs.memory_allocated.isna().all():
        table["GPU: predicted peak of tensors (MiB)"] = predicted
    for report, unit, how in (
        ("A", "MiB", "process, nvidia-smi"),
        ("B", "MB", "how is not stated"),
    ):
        values = results.published_values(report, "gpu_memory", "train")
        if len(values):
            table[f"{report}: GPU memory, {how} ({unit})"] = values
    measured = _with(runs, [*MEASURES])
    table["machine"] = columns.joined(measured, machines(measured))
    columns.add_notes(table, results, measured)
    return table.reset_index()


def memory_predicted(results: Results) -> pd.DataFrame:
    """Return the predicted peak of a training step on a GPU, the measured one, and its parts."""
    runs = finished(results.undisturbed)
    table = columns.heads(runs)
    predicted = results.predicted.set_index("experiment").reindex(table.index) / MIB
    table["predicted peak (MiB)"] = predicted.total
    measured = runs.memory_allocated.notna().any()
    if measured:
        allocated = columns.by_experiment(runs, "memory_allocated")
        columns.add(table, "measured peak (MiB)", allocated, MIB)
        ratio = table["predicted peak (MiB)"] / table["measured peak (MiB)"]
        table["difference of the predicted (%)"] = 100 * (ratio - 1)
    for part, name in MEMORY_PARTS.items():
        table[f"{name} (MiB)"] = predicted[part]
    if not measured:
        table["measured"] = "no GPU"
    columns.add_notes(table, results)
    # The precision of the runs need not be that of the prediction.
    return table.drop(columns=["epochs", "precision", "seeds", "interval"]).reset_index()
