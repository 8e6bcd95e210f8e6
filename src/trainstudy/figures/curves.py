"""Learning curves: all of a family, pre- against post-norm, and where over-fitting begins."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes

from trainstudy import comparisons, style
from trainstudy.comparisons import Comparison
from trainstudy.curves import averaged
from trainstudy.figures.drawing import (
    Drawing,
    dress,
    empty,
    legend,
    line,
    panels,
)  # fmt: skip
from trainstudy.quantities import counted, written
from trainstudy.results import FAMILIES, LOWER_IS_BETTER, SCORE, Results, some_of

AXES = {"epochs": ("epoch", "epoch"), "seconds": ("seconds", "seconds since training began")}
COLUMNS = 4  # of the small curves of over-fitting
LINE = 28  # characters of a title above them; names wrap at their hyphens


def learning(results: Results, family: str, axis: str) -> Drawing:
    """Draw loss and score of a family: a row of panels for each comparison."""
    found = comparisons.panels(results.runs, family)
    return _compare(results, found, axis)


def norm(results: Results) -> Drawing:
    """Draw loss and accuracy of runs that differ only in where they normalise."""
    found = comparisons.find(results.runs, "norm")
    if not found:
        return empty("No two runs of this study differ in pre- and post-norm alone.")
    return _compare(results, found, "epochs")


def over_fitting(results: Results) -> Drawing:
    """Draw the losses of every run by itself, with the epoch of the best validation loss marked."""
    data = averaged(results.metrics, ["loss"])
    styles = style.of(results.runs)
    families = results.runs.groupby("experiment").family.first()
    order = list(FAMILIES)
    names = sorted(data.experiment.unique(), key=lambda name: (order.index(families[name]), name))
    if not names:
        return empty("No run completed an epoch.")
    figure, axes = panels(-(-len(names) // COLUMNS), COLUMNS, 1.9)
    for name, panel in zip(names, axes.flat, strict=False):
        own = data[data.experiment == name]
        for split, curve in own.groupby("split"):
            line(panel, curve.epoch, curve.value, str(split), styles[name])
        dress(panel, "loss", "epoch")
        panel.set_title(textwrap.fill(name, LINE), fontsize=8, fontweight="normal")
        panel.set_ylabel("loss (nat)" if panel in axes[:, 0] else "")
        validation = own[own.split == "validation"].dropna(subset="value")
        if len(validation):
            best = validation.loc[validation.value.idxmin()]
            panel.axvline(best.epoch, color="#444444", linewidth=0.8, linestyle=":")
            early = best.epoch < own.epoch.max() / 3  # no room on its left
            panel.annotate(
                f"lowest {best.epoch:.0f}", (best.epoch, 1), xycoords=("data", "axes fraction"),
                xytext=(3 if early else -3, -3), textcoords="offset points",
                ha="left" if early else "right", va="top", fontsize=8,
            )  # fmt: skip
    for panel in axes.flat[len(names) :]:
        panel.axis("off")
    verdicts = results.over_fitting
    shares = some_of(verdicts.verdict == "over-fitted", verdicts, " seeds")
    over = ", ".join(name + share for name, share in shares.items()) or "none"
    said = f"Over-fitted by the rule of the table: {over}."
    text = (
        f"Training and validation loss of {counted(len(names), 'experiment')}, the epoch of the "
        f"lowest validation loss marked.\n{said}"
    )
    return Drawing(figure, text, data)


def _compare(results: Results, found: list[Comparison], axis: str) -> Drawing:
    if not found:
        return empty("No run of this family is part of the study.")
    shown = ["loss", SCORE[found[0].family]]
    styles = style.of(results.runs)
    parts = {one: averaged(results.curves(one.experiments), shown) for one in found}
    parts = {one: rows.dropna(subset=AXES[axis][0]) for one, rows in parts.items()}
    data = pd.concat([rows.assign(panel=one.title) for one, rows in parts.items()])
    if data.empty:
        return empty("Every run of this family shared a GPU, or completed no epoch.")
    figure, axes = panels(len(found), 2, 2.9)
    for one, pair in zip(found, axes, strict=True):
        rows, labels = parts[one], _labels(results, one)
        drawn = {name: label for name, label in labels.items() if name in {*rows.experiment}}
        for panel, metric in zip(pair, shown, strict=True):
            _panel(panel, rows[rows.metric == metric], [*labels], styles, axis)
            dress(panel, metric, AXES[axis][1], one.title if panel is pair[0] else "")
        legend(pair[1], styles, drawn)
    texts = [_text(rows, one) + _where(results, one, axis) for one, rows in parts.items()]
    return Drawing(figure, "\n".join(texts), data)


def _where(results: Results, one: Comparison, axis: str) -> str:
    """Say on which machine the seconds of a comparison were taken, and of which runs none count."""
    if axis != "seconds":
        return ""
    made = results.timed_at(one.experiments)
    of_each = {place: ", ".join(sorted(own.index)) for place, own in made.groupby(made)}
    said = [f"of {names} on {place}" for place, names in of_each.items()]
    if len(of_each) == 1:
        said = [f"on {place}" for place in of_each]
    untimed = sorted({*one.experiments} - {*made.index})
    text = f" Seconds {'; '.join(said)}." if said and results.several_places else ""
    return text + (f" Without seconds that count: {', '.join(untimed)}." if untimed else "")


def _labels(results: Results, one: Comparison) -> dict[str, str]:
    """Return what the legend calls each run, in its order: pre-norm before post-norm."""
    if one.question != "norm":
        return {name: name for name in one.experiments}
    norms = results.runs.groupby("experiment")["model.norm"].first()
    names = sorted(one.experiments, key=lambda name: norms[name], reverse=True)
    return {name: f"{norms[name]}-norm: {name}" for name in names}


def _panel(panel: Axes, rows: pd.DataFrame, names: list[str], styles: dict, axis: str) -> None:
    for place, name in enumerate(names):
        for split, curve in rows[rows.experiment == name].groupby("split"):
            x = curve[AXES[axis][0]]
            line(panel, x, curve.value, str(split), styles[name], place)
            if curve.seeds.max() > 1:
                shade = {"color": styles[name].colour, "alpha": 0.15, "linewidth": 0}
                panel.fill_between(x, curve.lowest, curve.highest, **shade)


def _text(rows: pd.DataFrame, one: Comparison) -> str:
    """Say where the validation scores of a comparison end, of runs of equal length together."""
    metric, title = SCORE[one.family], one.title[0].upper() + one.title[1:]
    rows = rows[rows.metric == metric]
    rows = rows[rows.split == "validation"].sort_values("epoch")
    most = rows.groupby("experiment").seeds.max()  # with those whose score was no number
    rows = rows.dropna(subset="value")
    if rows.empty:
        return f"{title}: every run shared a GPU, or completed no epoch."
    last = rows.groupby("experiment").last().sort_values("value")
    last.index = [_with_seeds(name, last.seeds[name], most[name]) for name in last.index]
    said = [_ends(int(epochs), own.value, metric) for epochs, own in last.groupby("epoch")]
    return f"{title}: {'; '.join(said)}."


def _with_seeds(name: str, seeds: int, most: int) -> str:
    """Return a name, with how many seeds were trained so long where some were not."""
    return name if seeds == most else f"{name}, {seeds} of {counted(most, 'seed')}"


def _ends(epochs: int, values: pd.Series, metric: str) -> str:
    """Say which of some runs, sorted by value, are best and worst after as many epochs."""
    said = [f"{name} ({written(value, metric)})" for name, value in values.items()]
    best, worst = (said[0], said[-1]) if metric in LOWER_IS_BETTER else (said[-1], said[0])
    after = f"after {counted(epochs, 'epoch')}"
    if len(values) == 1:
        return f"{after}, validation {metric} of {best}"
    if written(values.iloc[0], metric) == written(values.iloc[-1], metric):
        return f"{after}, the same validation {metric} of {', '.join(said)}"
    return f"{after}, best validation {metric} by {best}, worst by {worst}"
