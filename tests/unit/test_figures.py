"""The figures of the report, from a few curves made by hand."""

import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml

from results import a_run, curve, stored
from trainstudy import figures, records
from trainstudy.results import Results

ROOT = Path(__file__).parents[2]
CONTENTS = yaml.safe_load((ROOT / "report/contents.yaml").read_text())["items"]
NAMES = [name for name, item in CONTENTS.items() if item["kind"] == "figure"]
GROUPS = {
    f"{family}-{run}": group
    for family in ("lstm", "vit", "cnn")
    for run, group in (("a", "core"), ("b", "core"), ("c", "longer"))
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def rows(run: dict, shift: float = 0.0) -> list[dict]:
    score = "perplexity" if run["family"] == "lstm" else "accuracy"
    return [
        row
        for split, better in (("train", 0.25), ("validation", 0.0))
        for metric, values in (
            ("loss", (3, 2, 1)),
            (score, (0.2, 0.4, 0.6)),
            ("seconds", (9, 9, 9)),  # not of the figures
        )
        for row in curve(run, split, metric, *(value + better + shift for value in values))
    ] + curve(run, "test", "loss", 5.0, first=3)


@pytest.fixture
def metrics(tmp_path):
    return stored(tmp_path, [row for name in GROUPS for row in rows(a_run(name))], records.METRICS)


def drawing(name, metrics, groups=GROUPS):
    return figures.build(name, Results(None, metrics, None, groups=groups))


def draw(name, metrics, groups=GROUPS):
    """Return a figure drawn from metric rows alone."""
    return drawing(name, metrics, groups).figure


def lines(panel) -> list[tuple[list, list]]:
    """Return the points of every curve in a panel."""
    curves = [(list(line.get_xdata()), list(line.get_ydata())) for line in panel.get_lines()]
    return [points for points in curves if points[0]]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_the_report_has_a_row_of_two_panels_for_each_group(metrics, name):
    figure = draw(name, metrics)
    assert [panel.get_title() for panel in figure.axes] == ["core", "core", "longer", "longer"]
    # A line for each run and split.
    assert [len(lines(panel)) for panel in figure.axes] == [4, 4, 2, 2]


@pytest.mark.parametrize("name", NAMES)
def test_axes_are_named_with_their_units(metrics, name):
    family, _, axis = name.split("-")
    score = {"lstm": "perplexity", "vit": "accuracy", "cnn": "accuracy"}[family]
    label = {"epochs": "epoch", "seconds": "seconds since training began"}[axis]
    for loss, other in zip(*[iter(draw(name, metrics).axes)] * 2, strict=True):
        assert loss.get_xlabel() == other.get_xlabel() == label
        assert loss.get_ylabel() == "loss (nat)"
        assert other.get_ylabel() == score


@pytest.mark.parametrize("name", NAMES)
def test_perplexity_and_nothing_else_has_a_logarithmic_axis(metrics, name):
    for panel in draw(name, metrics).axes:
        logarithmic = panel.get_ylabel() == "perplexity"
        assert panel.get_yscale() == ("log" if logarithmic else "linear")
        assert panel.get_xscale() == "linear"


def test_curves_show_the_values_of_training_and_validation_over_epochs(metrics):
    loss, accuracy = draw("vit-curves-epochs", metrics).axes[:2]
    assert sorted(lines(loss))[0] == ([1, 2, 3], [3, 2, 1])
    assert sorted(lines(loss))[-1] == ([1, 2, 3], [3.25, 2.25, 1.25])
    assert sorted(lines(accuracy))[0] == ([1, 2, 3], pytest.approx([0.2, 0.4, 0.6]))


def test_curves_over_time_begin_when_the_first_epoch_is_done(metrics):
    panel = draw("lstm-curves-seconds", metrics).axes[0]
    assert sorted(lines(panel))[0] == ([10, 20, 30], [3, 2, 1])


@pytest.mark.parametrize(
    ("axis", "expected"), [("epochs", [1, 2, 3]), ("seconds", [20.0, 30.0, 40.0])]
)
def test_seeds_are_averaged(tmp_path, axis, expected):
    slow = [row | {"seconds": row["seconds"] + 20} for row in rows(a_run("vit-a", 2), shift=1)]
    metrics = stored(tmp_path, rows(a_run("vit-a", 1)) + slow, records.METRICS)
    panel = draw(f"vit-curves-{axis}", metrics).axes[0]
    assert sorted(lines(panel))[0] == (expected, [3.5, 2.5, 1.5])
    assert len(lines(panel)) == 2


def test_the_legend_names_the_runs_of_its_group_and_the_splits(metrics):
    core, longer = draw("cnn-curves-epochs", metrics).axes[1::2]
    named = [text.get_text() for text in core.get_legend().get_texts()]
    assert {"cnn-a", "cnn-b", "train", "validation"} <= set(named)
    assert "cnn-c" not in named
    assert "cnn-c" in [text.get_text() for text in longer.get_legend().get_texts()]


def test_every_run_of_a_group_has_a_colour_of_its_own(tmp_path):
    names = [f"vit-{letter}" for letter in "abcdefghijkl"]
    metrics = stored(tmp_path, [r for name in names for r in rows(a_run(name))], records.METRICS)
    panel = draw("vit-curves-epochs", metrics, dict.fromkeys(names, "core")).axes[0]
    drawn = [line for line in panel.get_lines() if len(line.get_xdata())]
    assert len(drawn) == 24
    assert len({str(line.get_color()) for line in drawn}) == 12


def test_epochs_are_whole_numbers_on_the_axis(metrics):
    figure = draw("vit-curves-epochs", metrics)
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticks()
    assert all(tick == round(tick) for tick in ticks)


# Runs that went wrong


def test_a_run_that_diverged_in_its_first_epoch_leaves_the_others_in_place(tmp_path):
    metrics = stored(tmp_path, rows(a_run("vit-a")), records.METRICS)
    figure = draw("vit-curves-epochs", metrics, {"vit-a": "core", "vit-z": "longer"})
    assert [panel.get_title() for panel in figure.axes] == ["core", "core"]


def test_a_family_without_a_single_epoch_still_has_its_figure(tmp_path):
    metrics = stored(tmp_path, rows(a_run("vit-a")), records.METRICS)
    groups = {"vit-a": "core", "lstm-a": "core"}  # the language model diverged at once
    figures.save(drawing("lstm-curves-epochs", metrics, groups), tmp_path, "figure")
    assert (tmp_path / "figure.svg").read_bytes()


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("axis", ["epochs", "seconds"])
def test_a_value_that_is_no_number_is_left_out_of_its_curve(tmp_path, value, axis):
    run = a_run("lstm-a")
    wild = [*rows(run)[:2], *curve(run, "validation", "perplexity", value, 5.0, value)]
    wild += curve(run, "validation", "loss", value)
    metrics = stored(tmp_path, wild + rows(a_run("lstm-b")), records.METRICS)
    drawn = drawing(f"lstm-curves-{axis}", metrics)
    figures.save(drawn, tmp_path, "figure")
    assert all(math.isfinite(end) for panel in drawn.figure.axes for end in panel.get_ylim())


def test_a_group_in_which_nothing_is_a_number_still_has_its_panels(tmp_path):
    run = a_run("lstm-c")
    wild = [
        *curve(run, "train", "loss", 2.0),
        *curve(run, "train", "perplexity", math.inf),
        *curve(run, "validation", "loss", math.nan),
        *curve(run, "validation", "perplexity", math.nan),
    ]
    metrics = stored(tmp_path, wild + rows(a_run("lstm-a")), records.METRICS)
    drawn = drawing("lstm-curves-epochs", metrics)
    figures.save(drawn, tmp_path, "figure")
    assert [panel.get_title() for panel in drawn.figure.axes] == [
        "core",
        "core",
        "longer",
        "longer",
    ]


# Files


def test_equal_data_give_equal_files(metrics, tmp_path):
    for copy in ("1", "2"):
        figures.save(drawing("vit-curves-epochs", metrics), tmp_path, copy)
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_figures_are_written_in_the_format_of_the_ending_and_closed(metrics, tmp_path):
    files = [tmp_path / "figure.svg", tmp_path / "figure.png"]
    figures.save(drawing("vit-curves-epochs", metrics), tmp_path, "figure")
    assert b"<svg" in files[0].read_bytes()
    assert files[1].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert plt.get_fignums() == []


def test_text_in_a_vector_figure_is_text_and_names_no_date(metrics, tmp_path):
    figures.save(drawing("vit-curves-epochs", metrics), tmp_path, "figure")
    text = (tmp_path / "figure.svg").read_text()
    assert re.search(r"<text[^>]*>loss \(nat\)</text>", text)
    assert "<dc:date>" not in text
