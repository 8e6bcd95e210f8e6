"""What all figures are drawn with."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from trainstudy.style import LINES, Style

SCORE = {"lstm": "perplexity", "vit": "accuracy", "cnn": "accuracy"}
FAMILIES = {"lstm": "Language models", "vit": "Vision transformers", "cnn": "CNNs"}
LABELS = {"loss": "loss (nat)", "perplexity": "perplexity", "accuracy": "accuracy (%)"}
WIDTH = 11  # inches


@dataclass(frozen=True)
class Drawing:
    """A figure, what it says in a few sentences, and the numbers it was drawn from."""

    figure: Figure
    text: str
    data: pd.DataFrame


def panels(rows: int, columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes (rows, columns); `height` of a row is in inches."""
    figure = Figure(figsize=(WIDTH, max(rows, 1) * height), layout="constrained")
    return figure, figure.subplots(max(rows, 1), columns, squeeze=False)


def empty(reason: str) -> Drawing:
    """Return a figure that says why there is nothing to see."""
    figure, axes = panels(1, 1, 1.2)
    axes[0, 0].axis("off")
    axes[0, 0].text(0.5, 0.5, reason, ha="center", va="center")
    return Drawing(figure, reason, pd.DataFrame({"note": [reason]}))


def dress(panel: Axes, metric: str, x_label: str, title: str = "") -> None:
    """Name the axes of a panel with their units, and choose their scales."""
    panel.set(xlabel=x_label, ylabel=LABELS.get(metric, metric), title=title)
    if metric == "perplexity":
        panel.set_yscale("log")
    if metric == "accuracy":
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    if x_label in ("epoch", "layers"):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def line(panel: Axes, x: pd.Series, y: pd.Series, split: str, style: Style) -> None:
    """Draw a curve: the split decides line and marker face, the run colour and marker."""
    face = style.colour if split == "validation" else "white"
    panel.plot(
        x, y, linestyle=LINES[split], color=style.colour, marker=style.marker,
        markerfacecolor=face, markevery=max(1, len(x) // 12),
    )  # fmt: skip


def legend(panel: Axes, styles: dict[str, Style], names: Iterable[str]) -> None:
    """Put the runs, and how the splits are drawn, to the right of a panel."""
    handles = [
        Line2D([], [], color=styles[name].colour, marker=styles[name].marker, label=name)
        for name in names
    ]
    for split, name in (("validation", "validation"), ("train", "training")):
        face = "#444444" if split == "validation" else "white"
        handles.append(
            Line2D(
                [], [], color="#444444", marker="o", markerfacecolor=face, linestyle=LINES[split],
                label=name,
            )
        )  # fmt: skip
    panel.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)


def written(value: float, metric: str) -> str:
    """Return a score as the text of a figure gives it."""
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.4g}"
