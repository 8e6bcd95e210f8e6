"""The figures of the report: learning curves from metrics.parquet."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from trainstudy.results import Results

matplotlib.use("Agg")

AXES = {"epochs": ("epoch", "epoch"), "seconds": ("seconds", "seconds since training began")}
SCORE = {"lstm": "perplexity", "vit": "accuracy", "cnn": "accuracy"}
LABELS = {"loss": "loss (nat)", "perplexity": "perplexity", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Drawing:
    """A figure, what it says in a sentence or two, and the numbers it was drawn from."""

    figure: plt.Figure
    text: str
    data: pd.DataFrame


def build(name: str, results: Results) -> Drawing:
    """Draw a figure by its name, <family>-curves-<epochs or seconds>."""
    family, _, axis = name.split("-")
    figure = learning_curves(results.metrics, dict(results.groups), family, axis)
    return Drawing(figure, f"Learning curves of {family} over {axis}.", results.metrics)


def learning_curves(
    metrics: pd.DataFrame, groups: dict[str, str], family: str, axis: str
) -> plt.Figure:
    """Draw loss and score of a family: a row of panels for each group, a colour for each run."""
    shown = ["loss", SCORE[family]]
    rows = metrics[
        (metrics.family == family)
        & metrics.metric.isin(shown)
        & metrics.split.isin(["train", "validation"])
    ]
    rows = rows.assign(group=rows.experiment.map(groups))
    column, label = AXES[axis]
    order = list(dict.fromkeys(groups[name] for name in sorted(rows.experiment.unique())))
    order = order or ["no run completed an epoch"]
    sns.set_theme(context="paper", style="whitegrid", font_scale=1.15)
    figure, panels = plt.subplots(
        len(order), 2, figsize=(11, 3.8 * len(order)), squeeze=False, layout="constrained"
    )
    for group, pair in zip(order, panels, strict=True):
        part = rows[rows.group == group]
        for panel, metric in zip(pair, shown, strict=True):
            if len(part):
                _panel(panel, part[part.metric == metric], column, metric)
            panel.set(xlabel=label, ylabel=LABELS[metric], title=group)
            if column == "epoch":
                panel.xaxis.get_major_locator().set_params(integer=True)
        if part.empty:
            continue
        pair[0].get_legend().remove()
        sns.move_legend(pair[1], "upper left", bbox_to_anchor=(1.02, 1), frameon=False, title=None)
    return figure


def _panel(panel: plt.Axes, rows: pd.DataFrame, column: str, metric: str) -> None:
    if column == "seconds":  # seeds end an epoch at different times: their mean time places it
        keys = ["experiment", "split", "epoch"]
        rows = rows.groupby(keys, as_index=False)[["value", "seconds"]].mean()
    names = sorted(rows.experiment.unique())
    sns.lineplot(
        rows.rename(columns={"experiment": "run"}),
        x=column,
        y="value",
        hue="run",
        style="split",
        hue_order=names,
        style_order=["train", "validation"],
        markers=True,
        markersize=5,
        palette=sns.color_palette("colorblind" if len(names) <= 10 else "husl", len(names)),
        errorbar=None,
        ax=panel,
    )
    if metric == "perplexity":
        panel.set_yscale("log")


def save(drawing: Drawing, folder: Path, name: str) -> None:
    """Write <name>.svg and .png, its text as .txt, its numbers as .csv; equal data, equal files."""
    (folder / f"{name}.txt").write_text(drawing.text + "\n", encoding="utf-8")
    drawing.data.to_csv(folder / f"{name}.csv", index=False)
    with plt.rc_context({"svg.hashsalt": "trainstudy", "svg.fonttype": "none"}):
        for ending, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            file = folder / f"{name}.{ending}"
            drawing.figure.savefig(file, dpi=160, metadata=metadata, bbox_inches="tight")
    plt.close(drawing.figure)
