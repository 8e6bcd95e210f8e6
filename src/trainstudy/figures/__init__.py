"""The figures of the report, each with a text that says what it shows and the numbers behind it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

from trainstudy import origin
from trainstudy.figures import choices, costs, curves, published
from trainstudy.figures.drawing import Drawing
from trainstudy.results import FAMILIES, Results, learned_instead

__all__ = ["FIGURES", "Drawing", "build", "save"]

FIGURES: dict[str, Callable[[Results], Drawing]] = {
    "measured-against-published": published.dots,
    **{
        f"{family}-curves-{axis}": partial(curves.learning, family=family, axis=axis)
        for family in FAMILIES
        for axis in ("epochs", "seconds")
    },
    "optimizers": choices.optimizers,
    "depth": choices.depth,
    "norm": curves.norm,
    "over-fitting-curves": curves.over_fitting,
    "accuracy-against-parameters": partial(costs.accuracy, column="parameters_trained"),
    "accuracy-against-seconds": partial(costs.accuracy, column="seconds_total"),
    "memory-by-depth": costs.memory_by_depth,
}

LOOK: dict[Any, Any] = {
    "font.sans-serif": ["DejaVu Sans"], "font.size": 9.5,
    "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#777777", "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#E4E4E4", "grid.linewidth": 0.6, "lines.linewidth": 1.4,
    "lines.markersize": 4.5, "legend.frameon": False,
    "svg.hashsalt": "trainstudy", "svg.fonttype": "none",
}  # fmt: skip


def build(name: str, results: Results) -> Drawing:
    """Draw a figure by its name."""
    with matplotlib.rc_context(LOOK):
        drawing = FIGURES[name](results)
        if "experiment" in drawing.data:
            runs = results.runs[results.runs.experiment.isin(drawing.data.experiment)]
            drawing.figure.supxlabel(_origins(runs), x=0.01, ha="left", fontsize=8, color="#555555")
        return drawing


def _origins(runs: pd.DataFrame) -> str:
    """Name what is not as published: data, embedding. A figure also stands without the page."""
    rows = runs[runs.data_origin.isin([*origin.ORIGINS])]
    named = sorted({f"{row.dataset} ({row.data_origin})" for row in rows.itertuples()})
    if learned_instead(runs).any():
        named.append("learned embedding instead of GPT-1's")
    return f"data: {', '.join(named)}" if named else ""


def save(drawing: Drawing, folder: Path, name: str) -> None:
    """Write <name>.svg and .png, its text as .txt, its numbers as .csv; equal data, equal files."""
    (folder / f"{name}.txt").write_text(drawing.text + "\n", encoding="utf-8")
    drawing.data.to_csv(folder / f"{name}.csv", index=False)
    with matplotlib.rc_context(LOOK):
        figure = drawing.figure
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.execute(figure)
        figure.set_layout_engine("none")  # once is enough
        # Not by savefig, which draws everything once more to see how large it is.
        FigureCanvasSVG(figure).print_svg(folder / f"{name}.svg", metadata={"Date": None})
        figure.dpi = 160
        FigureCanvasAgg(figure).print_png(folder / f"{name}.png", metadata={"Software": None})
