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


def drawn(*runs: dict) -> dict[str, style.Style]:
    """Return the styles of runs, of which none need have the settings of all families."""
    unset = dict.fromkeys(("model.layers", "model.depth", "model.norm", "model.name"))
    return style.of(pd.DataFrame([unset | run for run in runs]))


def vit(name: str, depth: int, optimizer: str = "adamw", norm: str = "pre") -> dict:
    settings = {"model.depth": depth, "model.norm": norm, "optimizer.name": optimizer}
    return a_run(f"vit-{name}", **settings)


def styles(optimizer: str, depths: tuple = (2, 4, 6), post: tuple = (6,)) -> list[style.Style]:
    """Return the styles of vision transformers by depth, those with post-norm last."""
    runs = [
        vit(f"{norm}-{depth}", depth, optimizer, norm)
        for norm, all_depths in (("pre", depths), ("post", post))
        for depth in all_depths
    ]
    found = drawn(*runs)
    return [found[run["experiment"]] for run in runs]


@pytest.mark.parametrize("optimizer", style.COLOURS)
def test_post_norm_is_far_darker_than_pre_norm(optimizer):
    *pre, post = styles(optimizer)
    assert len({one.colour for one in pre}) == 3
    assert all(contrast(one.colour, post.colour) > 2.5 for one in pre)


@pytest.mark.parametrize("optimizer", style.COLOURS)
def test_the_colour_is_that_of_the_optimizer_and_can_be_seen_on_white(optimizer):
    (one,) = drawn(vit("alone", 2, optimizer)).values()
    assert one.colour == style.COLOURS[optimizer]
    assert contrast(one.colour, "#ffffff") > 3
    # The first of several models is lighter.
    assert all(contrast(one.colour, "#ffffff") > 2.3 for one in styles(optimizer))


def test_every_run_of_a_family_has_a_marker_of_its_own_as_long_as_there_are_any():
    optimizers = [*style.COLOURS] * 4
    runs = [vit(str(i), i, optimizer) for i, optimizer in enumerate(optimizers)]
    few = drawn(*runs[: len(style.MARKERS)])
    assert {one.marker for one in few.values()} == {*style.MARKERS}
    # Beyond, those of one colour still have one each.
    found = drawn(*runs)
    for optimizer in style.COLOURS:
        own = [run["experiment"] for run in runs if run["optimizer.name"] == optimizer]
        assert len({found[name].marker for name in own}) == len(own) == 4


def test_networks_with_one_optimizer_differ_in_shade_and_their_budgets_in_marker():
    found = drawn(
        a_run("cnn-a", **{"model.name": "googlenet"}),
        a_run("cnn-b", **{"model.name": "densenet"}),
        a_run("cnn-b-long", epochs=9, **{"model.name": "densenet"}),
    )
    assert found["cnn-a"].colour != found["cnn-b"].colour
    assert found["cnn-b"].colour == found["cnn-b-long"].colour
    assert found["cnn-b"].marker != found["cnn-b-long"].marker


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
