"""What a choice changes: optimizer or depth against loss, score and time per epoch."""

from statistics import fmean

import pandas as pd
from matplotlib.axes import Axes

from trainstudy import comparisons, estimates, style
from trainstudy.comparisons import Comparison
from trainstudy.figures.drawing import (
    Drawing,
    dress,
    empty,
    legend,
    panels,
)
from trainstudy.places import of_several_codes, places
from trainstudy.quantities import written
from trainstudy.results import FAMILIES, LOWER_IS_BETTER, SCORE, Results, diverged, finished

SECONDS = "seconds per epoch (s)"
# Settings of an optimizer, and how they are written behind its name.
TOLD_APART = {
    "optimizer.lr": " lr ", "optimizer.weight_decay": ", weight decay ",
    "optimizer.momentum": ", momentum ",
}  # fmt: skip


def optimizers(results: Results) -> Drawing:
    """Draw last scores and time per epoch by optimizer."""
    return _draw(results, "optimizers", "optimizer.name", "optimizer")


def depth(results: Results) -> Drawing:
    """Draw last scores and time per epoch by the number of layers."""
    return _draw(results, "depth", "layers", "layers")


def _draw(results: Results, question: str, column: str, label: str) -> Drawing:
    found = comparisons.find(results.runs, question)
    if not found:
        return empty(f"No two runs of this study differ in their {label} alone.")
    runs = {one: _side_by_side(results, one) for one in found}
    data = pd.concat(
        [_numbers(runs[one], one, _choices(results, one, column)) for one in found],
        ignore_index=True,
    )
    figure, axes = panels(len(found), 3, 2.9)
    styles = style.of(results.runs)
    for one, row in zip(found, axes, strict=True):
        own = data[data.experiment.isin(one.experiments) & (data.family == one.family)]
        for panel, metric in zip(row, ("loss", SCORE[one.family], SECONDS), strict=True):
            rows = own[own.metric == metric].dropna(subset="value")
            _panel(panel, rows, styles, question == "depth")
            if metric == SECONDS and rows.empty:
                reason = "of several machines,\nor of shared GPUs"
                panel.text(0.5, 0.5, reason, ha="center", transform=panel.transAxes)
                panel.set(xticks=[], yticks=[])
            elif metric == SECONDS:  # from 0 on: equal runs differ by a tenth or more
                panel.set_ylim(0, 1.15 * (rows.value + rows.half.fillna(0)).max())
            dress(
                panel,
                metric,
                label,
                f"{FAMILIES[one.family]}: {one.title}" if panel is row[0] else "",
            )
            if question == "depth":  # also where only one of them was timed
                panel.set_xticks(sorted({*own.choice}))
    legend(axes[0, 2], {}, {})
    texts = [_text(runs[one], data, one, label, results.several_places) for one in found]
    return Drawing(figure, "\n".join(texts), data)


def _choices(results: Results, one: Comparison, column: str) -> pd.Series:
    """Return what each experiment chose, in order.

    Optimizers that are there twice come with their rates and, where these are equal as well, with
    the next setting in which they differ.
    """
    known = comparisons.settings(results.runs).loc[[*one.experiments]]
    known = known.sort_values([column, *TOLD_APART], kind="stable")
    if column == "layers":
        return known[column].astype(int)
    chosen = known[column]
    for setting, name in TOLD_APART.items():
        varies = known[setting].groupby(chosen).transform("nunique") > 1
        chosen = chosen.where(~varies, chosen + name + known[setting].map("{:g}".format))
    return chosen


def _numbers(runs: pd.DataFrame, one: Comparison, choices: pd.Series) -> pd.DataFrame:
    """Return a row for each run, metric and split: mean and half the 95 % interval."""
    if places(runs.dropna(subset="seconds_training")).nunique() > 1:
        runs = runs.assign(seconds_training=None)
    rows = []
    for name in choices.index:
        own = runs[runs.experiment == name]
        columns = {(SECONDS, "train"): "seconds_training"} | {
            (metric, split): f"{split}_{metric}_last"
            for metric in ("loss", SCORE[one.family])
            for split in ("train", "validation")
        }
        for (metric, split), column in columns.items():
            mean, half = estimates.interval(list(own[column].dropna()))
            row = {"experiment": name, "family": one.family, "choice": choices[name]}
            rows.append(row | {"metric": metric, "split": split, "value": mean, "half": half})
    return pd.DataFrame(rows)


def _side_by_side(results: Results, one: Comparison) -> pd.DataFrame:
    """Return the runs of a comparison that count."""
    return finished(results.side_by_side(one.experiments, "seconds_training"))


def _panel(panel: Axes, rows: pd.DataFrame, styles: dict, joined: bool) -> None:
    for split, own in rows.groupby("split", sort=False):
        if joined:
            panel.plot(
                own.choice.astype(float), own.value, color="#888888", linewidth=1,
                linestyle=style.LINES[str(split)], zorder=1,
            )  # fmt: skip
        for row in own.itertuples():
            drawn = styles[row.experiment]
            panel.errorbar(
                [row.choice], [row.value], yerr=None if pd.isna(row.half) else [row.half],
                color=drawn.colour, marker=drawn.marker, markersize=7, capsize=3, linestyle="none",
                markerfacecolor=drawn.colour if split == "validation" else "white",
            )  # fmt: skip
    if not joined:
        panel.margins(x=0.15)
        panel.tick_params(axis="x", labelsize=8.5, rotation=90 if rows.choice.nunique() > 4 else 0)


def _text(
    runs: pd.DataFrame, data: pd.DataFrame, one: Comparison, label: str, several_places: bool
) -> str:
    """Say which choice does best on validation data and, on one machine, which is quickest."""
    own = data[data.experiment.isin(one.experiments) & (data.family == one.family)]
    score, metric = own[own.split == "validation"], SCORE[one.family]
    score = score[score.metric == metric].dropna(subset="value")
    if score.empty:
        return f"{FAMILIES[one.family]}: no run finished."
    best = score.loc[score.value.idxmin() if metric in LOWER_IS_BETTER else score.value.idxmax()]
    equal = ", ".join(map(str, score.choice[score.value == best.value]))
    text = (
        f"{FAMILIES[one.family]}, {one.title}: best validation {metric} "
        f"{written(best.value, metric)} ({label}: {equal})"
    )
    if gone := diverged(runs):
        text += f"; diverged: {', '.join(gone)}"
    timed = runs.dropna(subset="seconds_training")
    made = places(timed).unique()
    if len(made) > 1:
        return f"{text}; the seconds are of several machines."
    seconds = timed.groupby("experiment").seconds_training.apply(list)
    if seconds.empty:
        return f"{text}; no epoch was timed on a GPU that no other run shared."
    chosen = own.groupby("experiment").choice.first()
    first, *others = estimates.as_quick(seconds.to_dict())
    note = f"; perhaps as short: {', '.join(str(chosen[n]) for n in others)}" if others else ""
    if len(seconds) == 1 < len(chosen):
        note = ", the only one timed there"
    where = f"; on {made[0]}" if several_places else ""
    where += "; by several versions of the code" if of_several_codes(timed) else ""
    quick = f"{label}: {chosen[first]}{note}{where}"
    return f"{text}; shortest epochs {written(fmean(seconds[first]), 'seconds')} ({quick})."
