"""Learning curves over all seeds, and those that the page draws itself: numbers for its script."""

import math

import numpy as np
import pandas as pd

from trainstudy import comparisons, style
from trainstudy.results import SCORE, Results

METRICS = {
    "perplexity": {"name": "perplexity", "label": "perplexity", "log": True, "percent": False},
    "accuracy": {"name": "accuracy", "label": "accuracy", "log": False, "percent": True},
    "loss": {"name": "loss", "label": "loss (nat)", "log": False, "percent": False},
}
SPLITS = ("train", "validation")


def averaged(metrics: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    """Return means over the seeds with the lowest and highest, by epoch; what is infinite as NaN.

    So is a mean of which one seed is infinite or no number.
    """
    rows = metrics[metrics.metric.isin(shown) & metrics.split.isin(SPLITS)]
    rows = rows.fillna({"value": np.inf})
    keys = ["experiment", "split", "metric", "epoch"]
    found = rows.groupby(keys, as_index=False).agg(
        seconds=("seconds", "mean"), value=("value", "mean"),
        lowest=("value", "min"), highest=("value", "max"), seeds=("seed", "nunique"),
    )  # fmt: skip
    return found.replace([np.inf, -np.inf], np.nan)


def of_family(results: Results, family: str) -> dict:
    """Return the curves of a family, ready for JSON.

    A curve stands for all seeds of an experiment (see averaged): "<metric> range" holds their
    smallest and largest value and "<metric> seeds" how many there are.
    What is not a finite number is None, and so are seconds that do not count (Results.curves).
    "sets" are the runs that are compared with each other, as in the drawn figures, and "elsewhere"
    the seconds and the machine of those of its runs that are compared on another than they have in
    the family as a whole; "machine" is that of a run's seconds, where these are of several.
    """
    shown, styles = [SCORE[family], "loss"], style.of(results.runs)
    names = results.runs.experiment[results.runs.family == family].unique()
    made = results.timed_at(names)
    rows = averaged(results.curves(names), shown)
    return {
        "metrics": [METRICS[name] for name in shown],
        "sets": [
            {
                "title": one.title,
                "runs": [*one.experiments],
                "elsewhere": _elsewhere(results, [*one.experiments], shown, made),
            }
            for one in comparisons.panels(results.runs, family)
        ],
        "runs": [
            {
                "name": name,
                "colour": styles[name].colour,
                "dark": styles[name].dark,
                "marker": styles[name].marker,
                "machine": made.get(name) if made.nunique() > 1 else None,
                "splits": {split: _split(part) for split, part in own.groupby("split")},
            }
            for name, own in rows.groupby("experiment")
        ],
    }


def _elsewhere(
    results: Results, names: list[str], shown: list[str], made: pd.Series
) -> dict[str, dict]:
    """Return machine and seconds by split, of those of some runs that have others in `made`."""
    own = results.timed_at(names)
    apart = [name for name in names if own.get(name) != made.get(name)]
    if not apart:
        return {}
    metrics = results.curves(names)
    rows = averaged(metrics[metrics.experiment.isin(apart)], shown)
    return {
        str(name): {"machine": own.get(name)}
        | {str(split): _plain(_seconds(part)) for split, part in of_run.groupby("split")}
        for name, of_run in rows.groupby("experiment")
    }


def _seconds(rows: pd.DataFrame) -> pd.Series:
    """Return when each epoch of a curve ended."""
    return rows.groupby("epoch").seconds.first()


def _split(rows: pd.DataFrame) -> dict[str, list]:
    seconds = _seconds(rows)
    found: dict[str, list] = {"epochs": seconds.index.tolist(), "seconds": _plain(seconds)}
    for metric, own in rows.groupby("metric"):
        curve = own.set_index("epoch").reindex(seconds.index)
        found[metric] = _plain(curve.value)
        if own.seeds.max() > 1:
            ends = zip(_plain(curve.lowest), _plain(curve.highest), strict=True)
            found[f"{metric} range"] = [*map(list, ends)]
            found[f"{metric} seeds"] = curve.seeds.fillna(0).astype(int).tolist()
    return found


def _plain(values: pd.Series) -> list[float | None]:
    """Return numbers with six digits, which is finer than a pixel."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
