"""One visual language for every figure: colour per optimizer, marker per run, line per split.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; markers
and lines alone tell everything in greyscale. Runs with the same optimizer are shades of its colour,
the deeper the model the darker, all of them dark enough on white.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

COLOURS = {"adam": "#0072B2", "adamw": "#D55E00", "sgd": "#009E73", "momentum": "#CC79A7"}
MARKERS = "os^DvPX*ph<>8d"
LINES: dict[str, Literal["dashed", "solid"]] = {"train": "dashed", "validation": "solid"}
DARKEST = 0.55  # how much black the darkest shade holds


@dataclass(frozen=True)
class Style:
    """How a run is drawn, in every figure the same."""

    colour: str
    marker: str


def of(runs: pd.DataFrame) -> dict[str, Style]:
    """Return the style of every experiment."""
    first = runs.groupby("experiment").first()
    first["depth"] = first["model.depth"].fillna(first["model.layers"]).fillna(0)
    styles = {}
    for _, family in first.groupby("family"):
        family = family.sort_values(["depth"], kind="stable")
        markers = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(family.index)}
        for optimizer, rows in family.groupby("optimizer.name"):
            for rank, name in enumerate(rows.index):
                black = DARKEST * rank / max(len(rows) - 1, 1)
                styles[name] = Style(_shade(COLOURS[optimizer], black), markers[name])
    return styles


def _shade(colour: str, black: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part * (1 - black)):02X}" for part in parts)
