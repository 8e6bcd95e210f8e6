"""Which runs the study compares: those that differ in one thing and agree in the rest."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from trainstudy.quantities import counted
from trainstudy.records import SETTINGS, SWITCHES
from trainstudy.results import FAMILIES

OPTIMIZER = [field.name for field in SETTINGS if field.name.startswith("optimizer.")]
SCHEDULE = [field.name for field in SETTINGS if field.name.startswith("schedule.")]

# What is compared: the settings that may differ, the first of them has to.
QUESTIONS = {
    "optimizers": ["optimizer.name", *OPTIMIZER],
    "depth": ["layers", "model.depth", "model.layers"],
    "norm": ["model.norm"],
    "networks": ["model.name", *OPTIMIZER, *SCHEDULE],
}


@dataclass(frozen=True)
class Comparison:
    """Experiments of one family that differ in one thing; `title` says what they share."""

    question: str
    family: str
    title: str
    experiments: tuple[str, ...]


def settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the settings by experiment; `layers` is the depth of either family."""
    first = runs.groupby("experiment").first()
    found = first[["family", "dataset", *(field.name for field in SETTINGS)]].copy()
    found["layers"] = found["model.depth"].fillna(found["model.layers"])
    for name in SWITCHES:
        found[name] = found[name].eq(True)
    return found


def find(runs: pd.DataFrame, question: str) -> list[Comparison]:
    """Return the comparisons that answer a question, by family."""
    known, varied = settings(runs), QUESTIONS[question]
    same = known.drop(columns=list(dict.fromkeys(varied)))
    found = []
    for _, rows in known.groupby(_values(same), sort=False):
        values = rows[varied[0]].dropna()
        if values.nunique() > 1:
            order = rows.loc[values.index].sort_values([varied[0]], kind="stable")
            family = str(rows.family.iloc[0])
            found.append(Comparison(question, family, _title(question, rows), tuple(order.index)))
    return sorted(_told_apart(found, same), key=lambda one: (_place(one), _in_order(one.title)))


def _in_order(title: str) -> list[str | float]:
    """Return what titles are sorted by: 2 layers come before 12, 3e-4 before 0.001."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", title)
    return [float(part) if place % 2 else part for place, part in enumerate(parts)]


def _told_apart(found: list[Comparison], same: pd.DataFrame) -> list[Comparison]:
    """Add to titles that are equal the settings in which their runs differ."""
    apart = []
    for one in found:
        alike = [c for c in found if (c.family, c.title) == (one.family, one.title)]
        rows = same.loc[[c.experiments[0] for c in alike]]
        columns = [column for column in same if rows[column].map(repr).nunique() > 1]
        names = [column.removesuffix(".name").rpartition(".")[2] for column in columns]
        values = [_value(same, one.experiments[0], [column]) for column in columns]
        pairs = zip(names, values, strict=True)
        named = [f"{name.replace('_', ' ')} {value}" for name, value in pairs]
        apart.append(replace(one, title=", ".join([one.title, *named])) if named else one)
    return apart


@dataclass(frozen=True)
class Change:
    """Two experiments that differ in one setting, or in one schedule, and agree in the rest."""

    family: str
    setting: str
    values: tuple[str, str]
    plain: str
    changed: str


def changes(runs: pd.DataFrame) -> list[Change]:
    """Return what single changes the study tries, by family.

    Of experiments that differ in a setting, the plain one is that from which most changes start;
    of norms it is pre-norm.
    """
    known = settings(runs).drop(columns="layers")
    # One experiment under two names is that of which more runs finished.
    done = (runs.status == "finished").groupby(runs.experiment).sum()
    known = known.loc[done.sort_values(ascending=False, kind="stable").index]
    known = known[~_values(known).duplicated()].sort_index()
    units: dict[str, list[str]] = {}
    for column in known:
        units.setdefault(_unit(column), []).append(column)
    alike: list[tuple[str, list[str]]] = []
    del units["dataset"]  # on other data other scores and seconds are no effect of a setting
    for unit, varied in units.items():
        rest = _values(known.drop(columns=varied))
        groups = known.groupby(rest, sort=False).groups.values()
        alike += [(unit, sorted(names)) for names in groups if len(names) > 1]
    starts = Counter(name for _, names in alike for name in names)
    post = known["model.norm"] == "post"
    found = []
    for unit, names in alike:
        plain, *others = sorted(
            names, key=lambda name: (unit == "model.norm" and post[name], -starts[name], name)
        )
        for changed in others:
            differing = [c for c in units[unit] if repr(known[c][plain]) != repr(known[c][changed])]
            values = (_value(known, plain, differing), _value(known, changed, differing))
            found.append(Change(known.family[plain], unit, values, plain, changed))
    return sorted(found, key=lambda one: (_place(one), one.plain, one.setting, one.changed))


def _values(known: pd.DataFrame) -> pd.Series:
    """Return the settings of each experiment as one value, by which equal ones are found."""
    return pd.Series([repr(row) for row in known.to_dict("records")], index=known.index)


def _place(one: Comparison | Change) -> int:
    return [*FAMILIES].index(one.family)


def _unit(column: str) -> str:
    """Return what is changed as one: a schedule has several settings."""
    return "schedule" if column.startswith("schedule.") else column


def _value(known: pd.DataFrame, name: str, columns: list[str]) -> str:
    """Return the settings of an experiment in words."""
    values = [known[column][name] for column in columns]
    words = ["none" if np.ndim(v) == 0 and pd.isna(v) else _plain(v) for v in values]
    ends = [column.rpartition(".")[2] for column in columns]
    if len(columns) == 1:
        return words[0]
    return ", ".join(f"{end} {word}" for end, word in zip(ends, words, strict=True))


def _plain(value: Any) -> str:
    if np.ndim(value):
        return "–".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def panels(runs: pd.DataFrame, family: str) -> list[Comparison]:
    """Return comparisons that together show every run of a family, and last those in none."""
    own = runs[runs.family == family]
    left, found = set(own.experiment), []
    for one in (one for question in QUESTIONS for one in find(own, question)):
        if left & {*one.experiments}:
            found.append(one)
            left -= {*one.experiments}
    title = "the other runs" if found else "all runs"
    for dataset, names in own[own.experiment.isin(left)].groupby("dataset").experiment:
        where = f" on {dataset}" if own.dataset.nunique() > 1 else ""
        found.append(Comparison("others", family, title + where, tuple(sorted({*names}))))
    return found


def _title(question: str, rows: pd.DataFrame) -> str:
    """Return the question and what its runs share: layers, optimizer, epochs, learning rate."""
    shares = []
    if question != "depth" and rows.layers.notna().all():
        layers = int(rows.layers.iloc[0])
        shares.append(counted(layers, "layer"))
    if question not in ("optimizers", "networks"):
        shares.append(str(rows["optimizer.name"].iloc[0]))
    shares.append(counted(rows.epochs.iloc[0], "epoch"))
    if question == "norm":
        shares.append(f"lr {rows['optimizer.lr'].iloc[0]:g}")
    name = {"norm": "pre- and post-norm"}.get(question, question)
    return f"{name} ({', '.join(shares)})"
