"""Columns that several tables have."""

import pandas as pd

from trainstudy import estimates
from trainstudy.results import REPORTS, Results, by_family, finished


def heads(runs: pd.DataFrame, **columns: str) -> pd.DataFrame:
    """Start a table: a row an experiment, by family, with settings {heading: column}."""
    first = runs.groupby("experiment").first()
    table = pd.DataFrame(index=first.sort_values("family", key=by_family, kind="stable").index)
    for heading, column in columns.items():
        table[heading] = first[column]
    return table


def add_notes(table: pd.DataFrame, results: Results, of: pd.DataFrame | None = None) -> None:
    """End a table with settings, data, seeds and state of its experiments.

    `of` are the runs that its numbers are of, where these are not all.
    """
    runs = results.runs[results.runs.experiment.isin(table.index)]
    of = runs if of is None else of
    groups = runs.groupby("experiment")
    count = finished(of).groupby("experiment").size()
    table["optimizer"] = groups["optimizer.name"].first()
    table["epochs"] = groups["epochs"].first()
    table["data"] = pd.Series(results.data).reindex(table.index)
    table["precision"] = joined(of, of.precision)
    add_mark(table, "diverged", runs[runs.status == "diverged"])
    add_mark(table, "shared a GPU", runs[runs.gpu_shared.eq(True)])
    table["seeds"] = of.groupby("experiment").size()
    table["interval"] = count.map(lambda seeds: "95 %" if seeds > 1 else "none, one seed")


def add_mark(table: pd.DataFrame, word: str, runs: pd.DataFrame) -> None:
    """Add to how many runs of an experiment something happened, if it happened at all."""
    if len(runs):
        counts = runs.groupby("experiment").size().reindex(table.index, fill_value=0)
        table[word] = counts.map(lambda count: f"{count} {word}" if count else "")


def add(table: pd.DataFrame, heading: str, values: pd.Series, scale: float = 1) -> None:
    """Add the means of values, and where there are several per row half their 95 % interval.

    `values` are indexed by experiment; empty ones are left out.
    """
    found = estimates.intervals(values.astype(float) / scale)
    table[heading] = found["mean"]
    if found["half"].notna().any():
        table[f"{heading} ±"] = found["half"]


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


def joined(runs: pd.DataFrame, facts: pd.Series) -> pd.Series:
    """Return what the runs of each experiment have of a fact, by experiment."""
    known = facts.fillna("–").groupby(runs.experiment)
    return known.agg(lambda own: "; ".join(dict.fromkeys(own)))


def by_experiment(runs: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of the runs, indexed by experiment."""
    return runs.set_index("experiment")[column]
