"""Which runs the study compares: those that differ in one thing and agree in the rest."""

from dataclasses import dataclass

import pandas as pd

from trainstudy.records import SETTINGS

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
    # Empty too where a run was recorded before there was the setting.
    found["carry_state"] = found["carry_state"].eq(True)
    return found


def find(runs: pd.DataFrame, question: str) -> list[Comparison]:
    """Return the comparisons that answer a question, by family."""
    known, varied = settings(runs), QUESTIONS[question]
    same = known.drop(columns=list(dict.fromkeys(varied))).astype(object)
    same = same.where(same.notna(), None)  # NaN too, which pandas makes of some empty cells
    shared = pd.Series([repr(row) for row in same.to_dict("records")], index=known.index)
    found = []
    for _, rows in known.groupby(shared, sort=False):
        values = rows[varied[0]].dropna()
        if values.nunique() > 1:
            order = rows.loc[values.index].sort_values([varied[0]], kind="stable")
            family = str(rows.family.iloc[0])
            found.append(Comparison(question, family, _title(question, rows), tuple(order.index)))
    return sorted(found, key=lambda one: (one.family, one.title))


def panels(runs: pd.DataFrame, family: str) -> list[Comparison]:
    """Return comparisons that together show every run of a family, and last those in none."""
    own = runs[runs.family == family]
    left, found = set(own.experiment), []
    for one in (one for question in QUESTIONS for one in find(own, question)):
        if left & {*one.experiments}:
            found.append(one)
            left -= {*one.experiments}
    if left:
        title = "the other runs" if found else "all runs"
        found.append(Comparison("others", family, title, tuple(sorted(left))))
    return found


def _title(question: str, rows: pd.DataFrame) -> str:
    """Return the question and what its runs share: layers, optimizer, epochs."""
    shares = []
    if question != "depth" and rows.layers.notna().all():
        layers = int(rows.layers.iloc[0])
        shares.append(f"{layers} layer" + "s" * (layers > 1))
    if question not in ("optimizers", "networks"):
        shares.append(str(rows["optimizer.name"].iloc[0]))
    shares.append(f"{int(rows.epochs.iloc[0])} epochs")
    name = {"norm": "pre- and post-norm"}.get(question, question)
    return f"{name} ({', '.join(shares)})"
