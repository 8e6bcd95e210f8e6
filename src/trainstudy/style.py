"""One visual language for every figure: colour per optimizer, marker per run, line per split.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; markers
and lines alone tell everything in greyscale. Models with the same optimizer are shades of its
colour, the deeper the darker, and post-norm far darker than pre-norm, so that print keeps them
apart; runs of one model differ by their marker alone, of which there are fourteen.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

COLOURS = {"adam": "#0072B2", "adamw": "#D55E00", "sgd": "#009E73", "momentum": "#CC79A7"}
MARKERS = "os^DvPX*ph<>8d"
LINES: dict[str, Literal["dashed", "solid"]] = {"train": "dashed", "validation": "solid"}
NOTHING_DRAWN = "note"  # the one column of the numbers behind a figure that has nothing to draw
# How much black is mixed in, or white where it is below 0: for one to three models, for more.
SHADES = {1: [0.0], 2: [0.0, 0.6], 3: [-0.15, 0.25, 0.65]}
MORE_SHADES = (-0.2, 0.7)  # from, to
BESIDE_POST = (-0.2, 0.15)  # pre-norm, where the family has post-norm too
POST_SHADES = (0.75, 0.85)


@dataclass(frozen=True)
class Style:
    """How a run is drawn, in every figure the same; `dark` is its colour on dark paper."""

    colour: str
    dark: str
    marker: str


def of(runs: pd.DataFrame) -> dict[str, Style]:
    """Return the style of every experiment."""
    first = runs.groupby("experiment").first()
    first["depth"] = first["model.depth"].fillna(first["model.layers"]).fillna(0)
    first["post"] = first["model.norm"] == "post"
    kind = first["depth"].astype(str) + first["model.name"].fillna("").astype(str)
    first["kind"] = first["post"].map({True: "post", False: ""}) + kind
    styles = {}
    for _, family in first.groupby("family"):
        # Those of one colour one after the other, so that none shares its marker with another.
        order = ["optimizer.name", "post", "depth", "kind"]
        family = family.sort_values(order, kind="stable")
        markers = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(family.index)}
        for optimizer, rows in family.groupby("optimizer.name"):
            kinds, post = (
                list(dict.fromkeys(rows.kind[rows.post == is_post])) for is_post in (0, 1)
            )
            shades = dict(zip([*kinds, *post], _shades(len(kinds), len(post)), strict=True))
            for name, shade in rows.kind.map(shades).items():
                styles[name] = _style(COLOURS[optimizer], shade, markers[name])
    return styles


def _shades(count: int, post: int) -> list[float]:
    """Return the shades of so many models, and after them those of so many with post-norm."""
    if post:
        return [*_spread(count, *BESIDE_POST), *_spread(post, *POST_SHADES)]
    return SHADES.get(count) or _spread(count, *MORE_SHADES)


def _spread(count: int, low: float, high: float) -> list[float]:
    return [low + (high - low) * i / max(count - 1, 1) for i in range(count)]


def _style(colour: str, shade: float, marker: str) -> Style:
    """Return a style; on dark paper what is darker on white is lighter by as much."""
    return Style(_mixed(colour, shade), _mixed(colour, -0.2 - 0.55 * shade), marker)


def _mixed(colour: str, black: float) -> str:
    """Return a colour with a share of black mixed in, or of white where it is negative."""
    other = 0 if black > 0 else 255
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + (other - p) * abs(black)):02X}" for p in parts)
