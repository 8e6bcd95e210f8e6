"""Colours, markers and lines: told apart on white, on dark paper and in grey."""

import re
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from results import a_run
from trainstudy import style

STYLE_SHEET = Path(__file__).parents[2] / "report/page/style.css"
(DARK_PAPER,) = re.findall(r"--paper: light-dark\(#ffffff, (#\w+)\)", STYLE_SHEET.read_text())


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of WCAG 2.2, from 1 to 21."""
    dark, light = sorted(luminance(colour) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def styles(optimizer: str, depths: tuple = (2, 4, 6), post: tuple = (6,)) -> list[style.Style]:
    """Return the styles of vision transformers by depth, those with post-norm last."""
    runs = [
        a_run(f"vit-{norm}-{depth}")
        | {"model.depth": depth, "model.norm": norm, "optimizer.name": optimizer}
        for norm, all_depths in (("pre", depths), ("post", post))
        for depth in all_depths
    ]
    runs = [{"model.layers": None, "model.name": None} | run for run in runs]
    found = style.of(pd.DataFrame(runs))
    return [found[run["experiment"]] for run in runs]


@pytest.mark.parametrize("optimizer", style.COLOURS)
def test_post_norm_is_far_darker_than_pre_norm(optimizer):
    *pre, post = styles(optimizer)
    assert len({one.colour for one in pre}) == 3
    assert all(contrast(one.colour, post.colour) > 2.5 for one in pre)


def test_runs_of_one_optimizer_differ_in_their_marker():
    runs = [
        a_run(f"vit-{depth}-{optimizer}") | {"model.depth": depth, "optimizer.name": optimizer}
        for depth in range(10)
        for optimizer in ("sgd", "adamw")
    ]
    unset = {"model.layers": None, "model.name": None}
    found = style.of(pd.DataFrame([unset | run for run in runs]))
    for optimizer in ("sgd", "adamw"):
        assert len({one.marker for name, one in found.items() if name.endswith(optimizer)}) == 10


def test_the_deeper_the_darker_from_ten_layers_on_too():
    found = styles("adamw", (2, 6, 12), (2, 6, 12))
    assert all(luminance(b.colour) < luminance(a.colour) for a, b in pairwise(found[:3]))
    assert all(luminance(b.colour) < luminance(a.colour) for a, b in pairwise(found[3:]))


@pytest.mark.parametrize("post", [(), (2, 4, 6)])
@pytest.mark.parametrize("optimizer", style.COLOURS)
def test_on_dark_paper_every_curve_is_seen_and_a_darker_one_is_lighter(optimizer, post):
    found = styles(optimizer, (1, 2, 4, 6), post)
    assert all(contrast(one.dark, DARK_PAPER) > 3 for one in found)
    assert all(luminance(b.dark) > luminance(a.dark) for a, b in pairwise(found))
    assert all(luminance(b.colour) < luminance(a.colour) for a, b in pairwise(found))
