"""What was measured beside what the reports published."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from trainstudy import estimates
from trainstudy.figures.drawing import Drawing, empty, panels, plain_numbers
from trainstudy.places import places
from trainstudy.quantities import counted, written
from trainstudy.results import FAMILIES, PUBLISHED_DATASET, REPORTS, SCORE, Results, finished

SECONDS = "seconds_per_epoch"
MARKS = {"A": "^", "B": "s"}  # in grey: colours are for optimizers
SHIFT = {"A": 0.18, "B": -0.18}  # of a row, so that equal figures do not hide each other


def dots(results: Results) -> Drawing:
    """Draw validation score and seconds per epoch of every experiment beside both reports.

    Families are left out of which no run used the reports' data.
    """
    timed = {family: _timed(results, family) for family in results.runs.family.unique()}
    data = pd.concat(_numbers(results, timed), ignore_index=True)
    data = data[data[list(REPORTS)].notna().any(axis=1)]
    if data.empty:
        return empty("No report published a figure of these runs.")
    measured = data[data.measured.notna()].family.unique()
    left_out = "".join(
        f"\n{_why_not(family)}" for family in FAMILIES if family in {*data.family} - {*measured}
    )
    data = data[data.family.isin(measured) & data.experiment.isin(results.comparable)]
    if data.empty:
        return empty(f"Nothing that was measured compares with the reports.{left_out}")
    families = [family for family in FAMILIES if (data.family == family).any()]
    sizes = [data[data.family == family].experiment.nunique() for family in families]
    figure, axes = panels(len(families), 2, 1)
    figure.set_size_inches(figure.get_figwidth(), 0.32 * sum(sizes) + 1.0 * len(sizes))
    axes[0, 0].get_gridspec().set_height_ratios(sizes)
    for family, row in zip(families, axes, strict=True):
        own = data[data.family == family]
        names = sorted(own.experiment.unique(), reverse=True)
        for panel, metric in zip(row, (SCORE[family], SECONDS), strict=True):
            _panel(panel, own[own.metric == metric], names)
            _dress(panel, metric, FAMILIES[family], places(timed[family]).unique())
        row[1].tick_params(labelleft=False)
    axes[0, 1].legend(*_once(axes), loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
    where = "".join(
        f"\n{FAMILIES[family]}: seconds on {made}."
        for family in families
        for made in places(timed[family]).unique()
    )
    return Drawing(figure, _text(data) + where + left_out, data)


def _numbers(results: Results, timed: dict[str, pd.DataFrame]) -> list[pd.DataFrame]:
    """Return measured and published figures by experiment, by family and metric."""
    tables = []
    for family, runs in finished(results.runs).groupby("family", sort=False):
        score, own = SCORE[str(family)], results.scores_as_published(str(family))
        seconds = timed[str(family)].set_index("experiment").seconds_training
        for metric, split, values in ((score, "validation", own), (SECONDS, "train", seconds)):
            published = results.published
            rows = published[(published.metric == metric) & (published.split == split)]
            table = rows.pivot_table(index="experiment", columns="report", values="value")
            table = table.reindex(index=sorted(runs.experiment.unique()), columns=list(REPORTS))
            found = estimates.intervals(values)
            table["measured"], table["half"] = found["mean"], found["half"]
            tables.append(table.assign(family=family, metric=metric).reset_index())
    return tables


def _timed(results: Results, family: str) -> pd.DataFrame:
    """Return the runs of a family whose seconds are drawn: of one place, and published."""
    told = results.runs.experiment.isin(results.timed_by_reports)
    drawn = (results.runs.family == family) & told
    own = results.runs.experiment[drawn]
    return results.compared(own, "seconds_training")


def _panel(panel: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    heights = {name: float(height) for height, name in enumerate(names)}
    height = rows.experiment.map(heights).astype(float)
    for report, marker in MARKS.items():
        panel.plot(
            rows[report], height + SHIFT[report], marker, color="#555555", markerfacecolor="white",
            markersize=6, label=f"report {report}",
        )  # fmt: skip
    if rows.measured.notna().any():
        panel.errorbar(
            rows.measured, height, xerr=rows.half, fmt="o", color="black", markersize=5, capsize=3,
            label="measured",
        )  # fmt: skip
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(-0.6, len(names) - 0.4)


def _dress(panel: Axes, metric: str, title: str, made: Collection[str]) -> None:
    where = "".join(f"\nmeasured on {one}" for one in made)
    labels = {"perplexity": "validation perplexity", "accuracy": "validation accuracy (%)"}
    if not any(np.isfinite(drawn.get_xydata()).any() for drawn in panel.lines):
        panel.axis("off")
        panel.text(0, 0.5, "not published", transform=panel.transAxes, color="#666666")
        return
    panel.set(xlabel=labels.get(metric, f"training seconds per epoch (s){where}"), title=title)
    if metric == "accuracy":
        panel.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    else:
        panel.set_xscale("log")
        plain_numbers(panel.xaxis)


def _once(axes) -> tuple[list, list]:
    handles: dict = {}
    for panel in axes.flat:
        handles |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    return list(handles.values()), list(handles)


def _why_not(family: str) -> str:
    theirs = PUBLISHED_DATASET[family]
    return f"{FAMILIES[family]}: no run completed an epoch on {theirs}, the reports' data."


def _text(data: pd.DataFrame) -> str:
    """Say of how many experiments both are known, and where they part most."""
    scores = data[(data.metric != SECONDS) & data.measured.notna()]
    if scores.empty:
        return "No run with a published score completed an epoch."
    published = scores[list(REPORTS)]
    away = estimates.relative_distance(scores.measured, published)
    between = estimates.inside(scores.measured, published).eq(True)
    count = counted(len(scores), "experiment")
    if between.all():
        return f"Measured scores lie between those of A and B for all of {count}."
    row = scores.loc[away[~between].idxmax()]
    known = [name for name in REPORTS if pd.notna(row[name])]
    reports = ", ".join(f"{name} {written(row[name], row.metric)}" for name in known)
    return (
        f"Measured and published scores of {count}. They part most for {row.experiment}: "
        f"{row.metric} {written(row.measured, row.metric)} measured, {reports}."
    )
