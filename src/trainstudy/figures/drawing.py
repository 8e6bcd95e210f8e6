"""What all figures are drawn with."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)

from trainstudy.style import LINES, NOTHING_DRAWN, Style

LABELS = {"loss": "loss (nat)", "perplexity": "perplexity", "accuracy": "accuracy (%)"}
WIDTH = 11  # inches


@dataclass(frozen=True)
class Drawing:
    """A figure, what it says in a few sentences by line, and the numbers it was drawn from."""

    figure: Figure
    text: str
    data: pd.DataFrame


def panels(rows: int, columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes (rows, columns); `height` of a row is in inches."""
    figure = Figure(figsize=(WIDTH, max(rows, 1) * height), layout="constrained")
    return figure, figure.subplots(max(rows, 1), columns, squeeze=False)


def empty(reason: str) -> Drawing:
    """Return a figure that says why there is nothing to draw; behind it lie no numbers."""
    figure, axes = panels(1, 1, 1.2)
    axes[0, 0].axis("off")
    axes[0, 0].text(0.5, 0.5, reason, ha="center", va="center")
    return Drawing(figure, reason, pd.DataFrame({NOTHING_DRAWN: [reason]}))


def dress(panel: Axes, metric: str, x_label: str, title: str = "") -> None:
    """Name the axes of a panel with their units, and choose their scales."""
    panel.set(xlabel=x_label, ylabel=LABELS.get(metric, metric), title=title)
    if metric == "perplexity":
        panel.set_yscale("log")
        plain_numbers(panel.yaxis)
    if metric == "accuracy":
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    if x_label in ("epoch", "layers"):
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis that is drawn on at 1, 2, 5, … without exponents.

    Closer where it is short, for perhaps none of these is in sight, and at 1, 3, … where it is
    long, lest the labels touch.
    """
    low, high = axis.get_view_interval()
    if high < 5 * low:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0, 3.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def line(panel: Axes, x: pd.Series, y: pd.Series, split: str, style: Style, place: int = 0) -> None:
    """Draw a curve: the split decides line and marker face, the run colour and marker.

    Marks of curves at different places stand at different points, so that both of two equal curves
    can be seen.
    """
    every = max(1, round(len(x) / 7))
    face = style.colour if split == "validation" else "white"
    panel.plot(
        x, y, linestyle=LINES[split], color=style.colour, marker=style.marker,
        markerfacecolor=face, markevery=(place % every, every),
    )  # fmt: skip


def legend(panel: Axes, styles: dict[str, Style], labels: Mapping[str, str]) -> None:
    """Put the labels of runs, and how the splits are drawn, to the right of a panel."""
    handles = [
        Line2D([], [], color=styles[name].colour, marker=styles[name].marker, label=label)
        for name, label in labels.items()
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
