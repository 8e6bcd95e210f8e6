"""The tables of the report, each from runs.parquet and the published figures."""

import html
import json
import math
from collections.abc import Callable

import pandas as pd

from trainstudy.results import PUBLISHED_DATASET, Results

Column = tuple[str, str]  # heading, how its cells are written (a format specification)


def build(name: str, results: Results) -> pd.DataFrame:
    """Return a table by its name."""
    return TABLES[name](results.runs, results.metrics, results.published)


def to_html(table: pd.DataFrame) -> str:
    """Return a table as an HTML fragment; everything in it is escaped, empty cells show a dash."""
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.columns)
    body = "".join(
        "<tr>" + "".join(_cell(value, name) for name, value in row.items()) + "</tr>\n"
        for row in table.to_dict("records")
    )
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def to_page(table: pd.DataFrame, title: str) -> str:
    """Return a table as a page of its own, for Snakemake's report."""
    style = (
        "body{font:15px system-ui,sans-serif;margin:1.5rem}table{border-collapse:collapse}"
        "th,td{padding:.3rem .7rem;border-bottom:1px solid #ccc;text-align:left}"
        "td.number{text-align:right;font-variant-numeric:tabular-nums}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{style}</style>\n<h1>{html.escape(title)}</h1>\n{to_html(table)}</html>\n"
    )


def language_models(runs: pd.DataFrame, metrics: pd.DataFrame, published: pd.DataFrame):
    """Return the results of the language models, last epoch."""
    runs = runs[runs.family == "lstm"]
    table = _heads(runs, "model.layers", "layers")
    for split in ("train", "validation", "test"):
        for metric, label in (("loss", "loss (nat)"), ("perplexity", "perplexity")):
            table[f"{split} {label}"] = _mean(runs, f"{split}_{metric}_last")
    table["test bits per byte"] = _last(metrics, runs, "test", "bits_per_byte")
    _beside_reports(table, runs, metrics, published, "perplexity")
    table["best epoch"] = _mean(runs, "best_epoch")
    return _finish(table)


def vision_transformers(runs: pd.DataFrame, metrics: pd.DataFrame, published: pd.DataFrame):
    """Return the results of the vision transformers, last epoch."""
    runs = runs[runs.family == "vit"]
    table = _heads(runs, "model.depth", "layers")
    table["norm"] = runs.groupby("experiment")["model.norm"].first()
    for split in ("train", "validation", "test"):
        for metric, label in (("loss", "loss (nat)"), ("accuracy", "accuracy")):
            table[f"{split} {label}"] = _mean(runs, f"{split}_{metric}_last")
    _beside_reports(table, runs, metrics, published, "accuracy")
    table["best epoch"] = _mean(runs, "best_epoch")
    return _finish(table)


def cnn_against_vit(runs: pd.DataFrame, metrics: pd.DataFrame, published: pd.DataFrame):
    """Return accuracy and size of all image models, best epoch, best validation accuracy first."""
    runs = runs[runs.family.isin(["cnn", "vit"])]
    table = _heads(runs, "family", "family")
    table["parameters"] = _mean(runs, "parameters_trained")
    table["best epoch"] = _mean(runs, "best_epoch")
    table["validation accuracy"] = _mean(runs, "validation_accuracy_best")
    table["test accuracy"] = _mean(runs, "test_accuracy_best")
    for report in ("A", "B"):
        for split in ("validation", "test"):
            _add_report(table, runs, published, report, "accuracy", split)
    table["total seconds"] = _mean(runs, "seconds_total")
    return _finish(table.sort_values("validation accuracy", ascending=False, kind="stable"))


def wall_clock(runs: pd.DataFrame, metrics: pd.DataFrame, published: pd.DataFrame):
    """Return seconds per epoch and throughput."""
    table = _heads(runs, "family", "family")
    first = runs.groupby("experiment").first()
    table["training s per epoch"] = _mean(runs, "seconds_training")
    table["evaluating s per epoch"] = _mean(runs, "seconds_evaluating")
    table["total seconds"] = _mean(runs, "seconds_total")
    table["throughput"] = _mean(runs, "throughput")
    table["unit"] = first["throughput_unit"] + "/s"
    table["threads"] = _mean(runs, "threads")
    table["device"] = first["device"].where(first["device"] != "CPU", first["machine"].map(_cpu))
    for report in ("A", "B"):
        _add_report(table, runs, published, report, "seconds_per_epoch", "train")
    return _finish(table)


def memory(runs: pd.DataFrame, metrics: pd.DataFrame, published: pd.DataFrame):
    """Return the peaks of memory."""
    table = _heads(runs, "family", "family")
    for column, label in (
        ("memory_resident", "peak resident memory, whole process (MiB)"),
        ("memory_allocated", "GPU allocated (MiB)"),
        ("memory_reserved", "GPU reserved (MiB)"),
    ):
        if runs[column].notna().any():
            table[label] = _mean(runs, column) / 2**20
    for report in ("A", "B"):
        _add_report(table, runs, published, report, "gpu_memory", "train")
    return _finish(table)


TABLES: dict[str, Callable] = {
    "lstm-results": language_models,
    "vit-results": vision_transformers,
    "cnn-against-vit": cnn_against_vit,
    "wall-clock": wall_clock,
    "memory": memory,
}


def _heads(runs: pd.DataFrame, column: str, label: str) -> pd.DataFrame:
    """Start a table: one row an experiment, with its setting, optimizer, epochs and state."""
    groups = runs.groupby("experiment")
    table = pd.DataFrame({label: groups[column].first()})
    table["optimizer"] = groups["optimizer.name"].first()
    table["epochs"] = groups["epochs"].first()
    table["seeds"] = groups.size()
    diverged = (runs.status == "diverged").groupby(runs.experiment).sum()
    if diverged.any():
        table["diverged"] = diverged.map(lambda count: f"{count} diverged" if count else "")
    return table


def _mean(runs: pd.DataFrame, column: str) -> pd.Series:
    return runs.groupby("experiment")[column].mean()


def _last(metrics: pd.DataFrame, runs: pd.DataFrame, split: str, metric: str) -> pd.Series:
    """Return a score of the last epoch, mean over seeds, by experiment."""
    rows = metrics[(metrics.split == split) & (metrics.metric == metric)]
    rows = rows[rows.experiment.isin(runs.experiment)].sort_values("epoch")
    return rows.groupby(["experiment", "seed"]).value.last().groupby("experiment").mean()


def _beside_reports(
    table: pd.DataFrame,
    runs: pd.DataFrame,
    metrics: pd.DataFrame,
    published: pd.DataFrame,
    metric: str,
) -> None:
    for split in ("train", "validation"):
        own = _last(metrics, runs, split, f"{metric}_published")
        table[f"{split} {metric}, published estimator"] = own
        for report in ("A", "B"):
            _add_report(table, runs, published, report, metric, split)


def _add_report(
    table: pd.DataFrame,
    runs: pd.DataFrame,
    published: pd.DataFrame,
    report: str,
    metric: str,
    split: str,
) -> None:
    """Add what a report published, to the experiments that were run on the data it used."""
    rows = published[(published.report == report) & (published.metric == metric)]
    rows = rows[rows.split == split]
    first = runs.groupby("experiment").first()
    same_data = first.index[first.dataset == first.family.map(PUBLISHED_DATASET)]
    values = rows[rows.experiment.isin(same_data)].groupby("experiment").value.first()
    if len(values):
        unit = {"gpu_memory": f" ({rows.unit.iloc[0]})", "seconds_per_epoch": " (s)"}
        name = metric.replace("_", " ")
        table[f"{report}: {split} {name}{unit.get(metric, '')}"] = values


def _finish(table: pd.DataFrame) -> pd.DataFrame:
    """Make the experiment a column; whole numbers (layers, epochs) become integers again."""
    return table.rename_axis("experiment").reset_index().convert_dtypes()


def _cpu(machine: str) -> str:
    facts = json.loads(machine)
    return f"{facts['processor']}, {facts['cores']} cores"


def _cell(value: object, column: str) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return '<td class="number">–</td>'
    if isinstance(value, str):
        return f"<td>{html.escape(value)}</td>"
    number = float(value)  # type: ignore[arg-type]
    return f'<td class="number" data-value="{number!r}">{_number(number, column)}</td>'


def _number(value: float, column: str) -> str:
    if "accuracy" in column:
        return f"{100 * value:.2f} %"
    if math.isinf(value):  # a perplexity may be beyond all numbers
        return "∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
