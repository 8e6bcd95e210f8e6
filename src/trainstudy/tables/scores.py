"""How well the models learned: scores of either family, beside the reports, and over-fitting."""

import pandas as pd

from trainstudy import estimates
from trainstudy.results import REPORTS, Results, by_family, finished
from trainstudy.tables import columns

SPLITS = ("train", "validation", "test")
UNITS = {"loss": " (nat)", "perplexity": "", "accuracy": "", "bits_per_byte": ""}


def language_models(results: Results) -> pd.DataFrame:
    """Return the scores of the language models; see _scores."""
    return _scores(results, "lstm", ("perplexity", "loss", "bits_per_byte"), {})


def vision_transformers(results: Results) -> pd.DataFrame:
    """Return the scores of the vision transformers; see _scores."""
    return _scores(results, "vit", ("accuracy", "loss"), {"norm": "model.norm"})


def language_models_against_reports(results: Results) -> pd.DataFrame:
    """Return the scores of the language models by the published estimator beside the reports."""
    return _against_reports(results, "lstm", {"loss": "nat", "perplexity": ""})


def vision_transformers_against_reports(results: Results) -> pd.DataFrame:
    """Return the scores of vision transformers by the published estimator beside the reports."""
    return _against_reports(results, "vit", {"loss": "nat", "accuracy": "%"})


def over_fitting(results: Results) -> pd.DataFrame:
    """Return per run how far validation and training loss parted; see estimates.over_fitting."""
    headings = {
        "experiment": "experiment", "seed": "seed", "verdict": "verdict",
        "rise": "lasting rise of the loss (%)",
        "best_loss_epoch": "epoch of the lowest validation loss", "last_epoch": "last epoch",
        "loss_lowest": "lowest validation loss (nat)", "loss_last": "last validation loss (nat)",
        "gap_best": "gap in that epoch (nat)", "gap_last": "gap at the end (nat)",
        "gap_growth": "growth of the gap (nat)",
    }  # fmt: skip
    family = dict(zip(results.runs.experiment, results.runs.family, strict=True))
    found = results.over_fitting.assign(rise=100 * results.over_fitting.rise)
    order = by_family(found.experiment.map(family)).sort_values(kind="stable").index
    return found.loc[order, [*headings]].rename(columns=headings).reset_index(drop=True)


def _scores(results: Results, family: str, metrics: tuple[str, ...], more: dict) -> pd.DataFrame:
    """Return scores after the last epoch, and after the best where that is another."""
    runs = finished(results.runs[results.runs.family == family])
    depth = {"layers": "model.layers" if family == "lstm" else "model.depth"}
    ends = estimates.last_epoch(runs)
    earlier = {*runs.experiment[runs.best_epoch < ends]}
    parts = []
    for epoch in ("last", "best"):
        table = columns.heads(runs, **depth, **more)
        table["scores of"] = [_which(epoch, name in earlier) for name in table.index]
        number = (runs.best_epoch if epoch == "best" else ends).where(runs.best_epoch.notna())
        columns.add(table, "epoch", number.set_axis(runs.experiment))
        for metric in metrics:
            for split in SPLITS:
                scores = results.scores(split, metric, epoch).droplevel("seed")
                name = f"{split} {metric.replace('_', ' ')}{UNITS[metric]}"
                columns.add(table, name, scores[scores.index.isin(table.index)])
        columns.add_notes(table, results)
        parts.append(table if epoch == "last" else table[table.index.isin(earlier)])
    table = pd.concat(parts).reset_index()
    return table.sort_values("experiment", kind="stable", ignore_index=True)


def _which(epoch: str, differ: bool) -> str:
    return f"{epoch} epoch" if differ else "last epoch, the best"


def _against_reports(results: Results, family: str, units: dict[str, str]) -> pd.DataFrame:
    """Return a row for each published experiment, split and metric: measured, theirs, differences.

    Accuracy and its differences are in per cent here, so that one column holds every metric.
    """
    runs = results.runs[results.runs.family == family]
    runs = runs[runs.experiment.isin(results.published.experiment)]
    parts = []
    for split in ("train", "validation"):
        for metric, unit in units.items():
            scale = 0.01 if unit == "%" else 1
            table = columns.heads(runs).assign(split=split, metric=metric, unit=unit)
            own = results.scores(split, f"{metric}_published").droplevel("seed")
            columns.add(table, "measured", own[own.index.isin(table.index)], scale)
            for report in REPORTS:
                published = results.published_values(report, metric, split)
                table[report] = published.reindex(table.index) / scale
            table = _with_differences(table)
            columns.add_notes(table, results)
            parts.append(table)
    table = pd.concat(parts).reset_index().drop(columns="optimizer")
    half = ["measured ±"] if "measured ±" in table else []
    order = ["experiment", "split", "metric", "unit", "measured", *half]
    order += [name for name in table if name not in order]
    return table[order].sort_values("experiment", kind="stable", ignore_index=True)


def _with_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Add measured minus published for both reports, which is nearer, by how much, and the spread.

    "inside" is between A and B; see estimates.inside. "within ±" are figures that the 95 %
    interval of what was measured holds.
    """
    measured, theirs = table["measured"], table[list(REPORTS)]
    spread = estimates.inside(measured, theirs).map({True: "inside", False: "outside"})
    if "measured ±" in table:
        reached = estimates.reached(measured, table["measured ±"], theirs)
        spread = spread.mask(reached & (spread == "outside"), "outside, one or both within ±")
    apart = pd.DataFrame({report: measured - table[report] for report in REPORTS})
    nearer = apart[apart.notna().any(axis=1)].abs().idxmin(axis=1)
    distance = {name: apart.loc[name, report] for name, report in nearer.items()}
    table["spread of A and B"] = spread
    table["nearer report"] = nearer.reindex(table.index)
    table["difference to the nearer"] = pd.Series(distance, dtype=float)
    for report in REPORTS:
        table[f"difference to {report}"] = apart[report]
    return table
