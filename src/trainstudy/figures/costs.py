"""Accuracy against what it costs, and memory by depth."""

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from trainstudy import comparisons, style
from trainstudy.figures import labels
from trainstudy.figures.drawing import Drawing, empty, panels, plain_numbers
from trainstudy.places import places
from trainstudy.quantities import MEMORY_PARTS, counted, number, words, written
from trainstudy.results import FAMILIES, Results, finished, of_images, on_main_dataset

TITLE = 50  # characters of a title above a panel
PARTS = {  # part of the predicted peak, from below: a colour of no optimizer, its hatch
    "constants": ("#DDDDDD", ""),
    "parameters": ("#56B4E9", "//"),
    "gradients": ("#F0E442", "\\\\"),
    "optimizer": ("#E69F00", ".."),
    "activations": ("#777777", "xx"),
}


def accuracy(results: Results, column: str) -> Drawing:
    """Draw validation accuracy of the best epoch against parameters or seconds of a run.

    On the data set of most experiments, scores of all seeds; seconds are those of the machine with
    most experiments. The others are named as left out.
    """
    every = of_images(results.runs)
    images = on_main_dataset(every)
    scored = finished(images.dropna(subset="validation_accuracy_best"))
    runs = finished(results.side_by_side(scored.experiment, column)).dropna(subset=column)
    here = results.compared(scored.experiment, column)
    elsewhere = sorted({*runs.experiment} - {*here.experiment})
    cost, keys = here.groupby("experiment")[column].mean(), ["family", "experiment"]
    accuracies = scored.groupby(keys)[["validation_accuracy_best", "test_accuracy_best"]].mean()
    data = accuracies.join(cost, on="experiment", how="inner").reset_index()
    if data.empty:
        return empty("No image model finished an epoch, or every one shared a GPU.")
    data = data.sort_values(
        "validation_accuracy_best", ascending=False, ignore_index=True, kind="stable"
    )  # of equals the first by name, as in the summary
    figure, axes = panels(1, 1, 5.6)
    panel = axes[0, 0]
    panel.set(xscale="log", xlabel=words(column), ylabel="validation accuracy, best epoch (%)")
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    styles = style.of(results.runs)
    marks = [_mark(row, styles) for row in data.itertuples()]
    labels.beside_marks(panel, data[column], data.validation_accuracy_best, data.experiment, marks)
    plain_numbers(panel.xaxis)
    text = _accuracy_text(data, column)
    if column == "seconds_total" and results.several_places:
        text += f"\nSeconds on {places(here).iloc[0]}."
    if elsewhere:
        text += f"\nLeft out, as made elsewhere: {', '.join(elsewhere)}."
    if shared := sorted({*scored.experiment} - {*runs.experiment}):
        text += f"\nLeft out, as they shared a GPU: {', '.join(shared)}."
    if others := sorted({*every.experiment} - {*images.experiment}):
        text += f"\nLeft out, as trained on other data than most: {', '.join(others)}."
    return Drawing(figure, text, data)


def _mark(row: Any, styles: dict[str, style.Style]) -> dict[str, str]:
    """Return how the mark of an image model is drawn: filled, or hollow for CNNs."""
    drawn = styles[row.experiment]
    face = drawn.colour if row.family == "vit" else "white"
    return {"marker": drawn.marker, "color": drawn.colour, "markerfacecolor": face}


def memory_by_depth(results: Results) -> Drawing:
    """Draw the predicted peak of a training step by depth in parts, and the measured one."""
    found = comparisons.find(results.runs, "depth")
    if not found:
        return empty("No two runs of this study differ in their depth alone.")
    known = results.predicted.set_index("experiment")
    layers = comparisons.settings(results.runs).layers
    rows = []
    for one in found:
        runs = results.compared(one.experiments, "memory_allocated")
        measured = runs.groupby("experiment").memory_allocated.mean().reindex(one.experiments)
        # Those with equal settings count together, whatever their names.
        for depth, names in layers[[*one.experiments]].groupby(layers).groups.items():
            row = {"experiment": names[0], "family": one.family, "layers": int(depth)}
            row |= {part: known.loc[names[0], part] / 2**20 for part in [*PARTS, "total"]}
            rows.append(row | {"measured": measured[names].mean() / 2**20})
    data = pd.DataFrame(rows)
    figure, axes = panels(-(-len(found) // 2), 2, 3.6)
    handles: dict[str, Any] = {}
    for one, panel in zip(found, axes.flat, strict=False):
        _stack(panel, data[data.experiment.isin(one.experiments)])
        panel.set(xlabel="layers", ylabel="GPU memory (MiB)")
        panel.set_title(textwrap.fill(f"{FAMILIES[one.family]}: {one.title}", TITLE))
        marks, names = panel.get_legend_handles_labels()
        handles |= dict(zip(names, marks, strict=True))
    for panel in axes.flat[len(found) :]:
        panel.axis("off")
    names = [*handles][::-1]
    axes[0, 1].legend(
        [handles[name] for name in names], names, loc="upper left",
        bbox_to_anchor=(1.02, 1), borderaxespad=0,
    )  # fmt: skip
    text = "\n".join(
        f"{FAMILIES[one.family]}, {one.title}: predicted peak "
        + ", ".join(
            f"{row.total:,.0f} MiB with {counted(row.layers, 'layer')}"
            for row in data[data.experiment.isin(one.experiments)].itertuples()
        )
        + "."
        for one in found
    )
    return Drawing(figure, text, data)


def _stack(panel: Axes, rows: pd.DataFrame) -> None:
    bars, bottom = range(len(rows)), 0
    for part, (colour, hatch) in PARTS.items():
        panel.bar(
            bars, rows[part], bottom=bottom, color=colour, hatch=hatch, label=MEMORY_PARTS[part],
            edgecolor="white", linewidth=0.5, width=0.6,
        )  # fmt: skip
        bottom = bottom + rows[part]
    if rows.measured.notna().any():
        panel.plot(bars, rows.measured, "kD", label="measured: allocated, peak")
    panel.set_xticks(bars, [str(layers) for layers in rows.layers])
    panel.grid(axis="x", visible=False)


def _accuracy_text(data: pd.DataFrame, column: str) -> str:
    """Say which model of either family does best, and at what cost."""
    parts = []
    for family, rows in data.groupby("family"):
        best = rows.loc[rows.validation_accuracy_best.idxmax()]
        cost = f"with {number(best[column])} {words(column)}"
        if column == "seconds_total":
            cost = f"in {written(best[column], column)}"
        parts.append(
            f"{FAMILIES[family]}: best validation accuracy "
            f"{written(best.validation_accuracy_best, 'accuracy')} by {best.experiment}, {cost}."
        )
    return "\n".join(parts)
