"""How well the models learned: scores of either family, beside the reports, and over-fitting."""

import pandas as pd

from trainstudy import estimates
from trainstudy.results import REPORTS, Results
from trainstudy.tables import columns

SPLITS = ("train", "validation", "test")
UNITS = {"loss": " (nat)", "perplexity": "", "accuracy": "", "bits_per_byte": ""}


def language_models(results: Results) -> pd.DataFrame:
    """Return the scores of the language models after the last and after the best epoch."""
    return _scores(results, "lstm", ("loss", "perplexity", "bits_per_byte"), {})


def vision_transformers(results: Results) -> pd.DataFrame:
    """Return the scores of the vision transformers after the last and after the best epoch."""
    return _scores(results, "vit", ("loss", "accuracy"), {"norm": "model.norm"})


def language_models_against_reports(results: Results) -> pd.DataFrame:
    """Return the scores of the language models by the published estimator beside the reports."""
    return _against_reports(results, "lstm", {"loss": "nat", "perplexity": ""})


def vision_transformers_against_reports(results: Results) -> pd.DataFrame:
    """Return the scores of vision transformers by the published estimator beside the reports."""
    return _against_reports(results, "vit", {"loss": "nat", "accuracy": "%"})


def over_fitting(results: Results) -> pd.DataFrame:
    """Return per run how far validation and training loss parted; see estimates.over_fitting."""
    headings = {
        "best_loss_epoch": "epoch of the best validation loss", "last_epoch": "last epoch",
        "loss_lowest": "best validation loss (nat)", "loss_last": "last validation loss (nat)",
        "gap_best": "gap in the best epoch (nat)", "gap_last": "gap at the end (nat)",
        "gap_growth": "growth of the gap (nat)", "rise": "rise of the loss (%)",
    }  # fmt: skip
    return results.over_fitting.rename(columns=headings)


def _scores(results: Results, family: str, metrics: tuple[str, ...], more: dict) -> pd.DataFrame:
    runs = results.runs[results.runs.family == family]
    depth = {"layers": "model.layers" if family == "lstm" else "model.depth"}
    parts = []
    for epoch in ("last", "best"):
        table = columns.heads(runs, **depth, **more)
        table.insert(0, "scores of", f"{epoch} epoch")
        number = runs.best_epoch if epoch == "best" else estimates.last_epoch(runs)
        number = number.where(runs.best_epoch.notna())
        columns.add(table, "epoch", number.set_axis(runs.experiment))
        for metric in metrics:
            for split in SPLITS:
                scores = results.scores(split, metric, epoch).droplevel("seed")
                name = f"{split} {metric.replace('_', ' ')}{UNITS[metric]}"
                columns.add(table, name, scores[scores.index.isin(table.index)])
        parts.append(table)
    table = pd.concat(parts).reset_index().dropna(axis="columns", how="all")
    return table.sort_values("experiment", kind="stable", ignore_index=True)


def _against_reports(results: Results, family: str, units: dict[str, str]) -> pd.DataFrame:
    """Return a row for each experiment, split and metric: measured, published, differences.

    Accuracy and its differences are in per cent here, so that one column holds every metric.
    """
    runs = results.runs[results.runs.family == family]
    parts = []
    for split in ("train", "validation"):
        for metric, unit in units.items():
            scale = 0.01 if unit == "%" else 1
            table = columns.heads(runs, data="dataset")[["data", "interval"]]
            table = table.assign(split=split, metric=metric, unit=unit)
            own = results.scores(split, f"{metric}_published").droplevel("seed")
            columns.add(table, "measured", own[own.index.isin(table.index)], scale)
            for report in REPORTS:
                table[report] = results.published_values(report, metric, split) / scale
            parts.append(_with_differences(table))
    table = pd.concat(parts).reset_index().sort_values("experiment", kind="stable")
    order = ["experiment", "data", "split", "metric", "unit", "measured"]
    order += [name for name in ("measured ±",) if name in table] + ["interval"]
    return table[[*order, *(name for name in table if name not in order)]].reset_index(drop=True)


def _with_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Add measured minus published for both reports, which is nearer, by how much, and the spread.

    Where both published a figure, "inside" is between them, ends included.
    """
    for report in REPORTS:
        table[f"difference to {report}"] = table["measured"] - table[report]
    apart = table[[f"difference to {report}" for report in REPORTS]]
    known = apart.notna().any(axis=1)
    nearer = apart[known].abs().idxmin(axis=1)
    table["nearer report"] = nearer.str.removeprefix("difference to ").reindex(table.index)
    distance = {name: apart.loc[name, column] for name, column in nearer.items()}
    table["difference to the nearer"] = pd.Series(distance, dtype=float)
    both = table[["measured", *REPORTS]].dropna()
    published = both[list(REPORTS)]
    inside = both["measured"].between(published.min(axis=1), published.max(axis=1))
    table["spread of A and B"] = inside.map({True: "inside", False: "outside"})
    return table
