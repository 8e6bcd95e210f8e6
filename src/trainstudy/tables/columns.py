"""Columns that several tables have."""

import pandas as pd

from trainstudy import estimates
from trainstudy.results import REPORTS, Results


def heads(runs: pd.DataFrame, **columns: str) -> pd.DataFrame:
    """Start a table: a row an experiment, with settings {heading: column} and its state."""
    groups = runs.groupby("experiment")
    table = pd.DataFrame(index=pd.Index(groups.groups, name="experiment"))
    for heading, column in columns.items():
        table[heading] = groups[column].first()
    table["optimizer"] = groups["optimizer.name"].first()
    table["epochs"] = groups["epochs"].first()
    table["seeds"] = groups.size()
    for word, happened in (
        ("diverged", runs.status == "diverged"),
        ("resumed", runs.resumes > 0),
        ("shared a GPU", runs.gpu_shared.eq(True)),
    ):
        counts = happened.groupby(runs.experiment).sum()
        if counts.any():
            table[word] = counts.map(lambda count, word=word: f"{count} {word}" if count else "")
    table["interval"] = table["seeds"].map(lambda seeds: "95 %" if seeds > 1 else "none, one seed")
    return table


def alone(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that had their GPU to themselves: time and memory of others mean little."""
    return runs[~runs.gpu_shared.eq(True)]


def add(table: pd.DataFrame, heading: str, values: pd.Series, scale: float = 1) -> None:
    """Add the means of values, and where there are several per row half their 95 % interval.

    `values` are indexed by experiment; empty ones are left out.
    """
    groups = (values.astype(float) / scale).dropna().groupby(level="experiment")
    found = {key: estimates.interval(list(rows)) for key, rows in groups}
    table[heading] = pd.Series({key: mean for key, (mean, _) in found.items()}, dtype=float)
    halves = {key: half for key, (_, half) in found.items() if half is not None}
    if halves:
        table[f"{heading} ±"] = pd.Series(halves, dtype=float)


def add_reports(
    table: pd.DataFrame, results: Results, metric: str, split: str, unit: str = ""
) -> None:
    """Add what the reports published, to the experiments that were run on the data they used."""
    for report in REPORTS:
        values = results.published_values(report, metric, split)
        values = values[values.index.isin(table.index)]
        if len(values):
            name = f"{split} {metric}" if metric == "accuracy" else metric.replace("_", " ")
            table[f"{report}: {name}{unit}"] = values


def by_experiment(runs: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of the runs, indexed by experiment."""
    return runs.set_index("experiment")[column]
