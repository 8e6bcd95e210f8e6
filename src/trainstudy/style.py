"""One visual language for every figure: colour per optimizer, marker per run, line per split.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; markers
and lines alone tell everything in greyscale. Models with the same optimizer are shades of its
colour, the deeper the darker and post-norm darkest; runs of one model differ by their marker alone.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

COLOURS = {"adam": "#0072B2", "adamw": "#D55E00", "sgd": "#009E73", "momentum": "#CC79A7"}
MARKERS = "os^DvPX*ph<>8d"
LINES: dict[str, Literal["dashed", "solid"]] = {"train": "dashed", "validation": "solid"}
# How much black is mixed in, or white where it is below 0: for one to three models, for more.
SHADES = {1: [0.0], 2: [0.0, 0.6], 3: [-0.15, 0.25, 0.65]}
MORE_SHADES = (-0.2, 0.7)  # from, to


@dataclass(frozen=True)
class Style:
    """How a run is drawn, in every figure the same."""

    colour: str
    marker: str


def of(runs: pd.DataFrame) -> dict[str, Style]:
    """Return the style of every experiment."""
    first = runs.groupby("experiment").first()
    first["depth"] = first["model.depth"].fillna(first["model.layers"]).fillna(0)
    post = (first["model.norm"] == "post").map({True: "post", False: ""})
    first["kind"] = post + first["depth"].astype(str) + first["model.name"].fillna("").astype(str)
    styles = {}
    for _, family in first.groupby("family"):
        family = family.sort_values("kind", kind="stable")
        markers = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(family.index)}
        for optimizer, rows in family.groupby("optimizer.name"):
            kinds = list(dict.fromkeys(rows.kind))
            shades = dict(zip(kinds, _shades(len(kinds)), strict=True))
            for name, shade in rows.kind.map(shades).items():
                styles[name] = Style(_mixed(COLOURS[optimizer], shade), markers[name])
    return styles


def _shades(count: int) -> list[float]:
    low, high = MORE_SHADES
    return SHADES.get(count) or [low + (high - low) * i / (count - 1) for i in range(count)]


def _mixed(colour: str, black: float) -> str:
    """Return a colour with a share of black mixed in, or of white where it is negative."""
    other = 0 if black > 0 else 255
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + (other - p) * abs(black)):02X}" for p in parts)
