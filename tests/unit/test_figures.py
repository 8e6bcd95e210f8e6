"""The figures of the report, from a few curves made by hand."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text

from results import HERE, OTHER_MACHINE, a_run, curve, frames, in_two_places, published
from trainstudy import figures, style
from trainstudy.figures.drawing import panels, plain_numbers

ROOT = Path(__file__).parents[2]
CONTENTS = yaml.safe_load((ROOT / "report/contents.yaml").read_text())["items"]
NAMES = [name for name, item in CONTENTS.items() if item["kind"] == "figure"]
CURVES = [name for name in NAMES if "-curves-" in name]


def run(name: str, **facts: object) -> dict:
    scores = {
        f"{split}_{metric}_{epoch}": value
        for split in ("train", "validation", "test")
        for metric, value in (("loss", 1.0), ("accuracy", 0.5), ("perplexity", 90.0))
        for epoch in ("last", "best")
    }
    return a_run(name, **scores | {"best_epoch": 2, "seconds_training": 2.0} | facts)


def vit(
    name: str, depth: int, optimizer: str = "adamw", norm: str = "pre", **facts: object
) -> dict:
    settings = {"model.depth": depth, "optimizer.name": optimizer, "model.norm": norm}
    return run(f"vit-{name}", **settings | facts)


RUNS = [
    run("lstm-1", **{"model.layers": 1}), run("lstm-2", **{"model.layers": 2}),
    run("lstm-1-sgd", **{"model.layers": 1, "optimizer.name": "sgd"}),
    vit("2", 2), vit("2-sgd", 2, "sgd"), vit("4", 4), vit("4-post", 4, norm="post"),
    run("cnn-a"), run("cnn-b", **{"model.name": "densenet"}),
]  # fmt: skip


def rows(one: dict, shift: float = 0.0) -> list[dict]:
    score = "perplexity" if one["family"] == "lstm" else "accuracy"
    return [
        row
        for split, better in (("train", 0.25), ("validation", 0.0))
        for metric, values in (
            ("loss", (3, 1, 2)),
            (score, (0.2, 0.6, 0.4)),
            ("seconds", (9, 9, 9)),  # not of the figures
        )
        for row in curve(one, split, metric, *(value + better + shift for value in values))
    ] + curve(one, "test", "loss", 5.0, first=3)


def study(tmp_path, runs=RUNS, metrics=None, **others):
    """Return results; without `metrics` every run has the same curves."""
    metrics = [row for one in runs for row in rows(one)] if metrics is None else metrics
    names = sorted({one["experiment"] for one in runs})
    parts = ("parameters", "gradients", "optimizer", "constants", "activations")
    predicted = pd.DataFrame({"experiment": names}).assign(**dict.fromkeys(parts, 2**20))
    others = {"predicted": predicted.assign(total=5 * 2**20)} | others
    return frames(tmp_path, runs, metrics, **others)


def lines(panel) -> list[tuple[list, list]]:
    """Return the points of every curve in a panel."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in panel.get_lines()]


def test_the_figures_are_those_of_the_report():
    assert sorted(NAMES) == sorted(figures.FIGURES)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_named_axes_a_text_and_numbers(tmp_path, name):
    reports = pd.read_csv(ROOT / "resources/published.csv")
    renamed = {"vit-2": "vit-2-adamw", "lstm-1": "lstm-1-adamw"}
    runs = [one | {"experiment": renamed.get(one["experiment"], one["experiment"])} for one in RUNS]
    drawing = figures.build(name, study(tmp_path, runs, reports=reports))
    for sentence in drawing.text.splitlines():
        assert re.fullmatch(r"[A-Z].{20,}\.", sentence)
    assert len(drawing.data) > 1
    panels = [panel for panel in drawing.figure.axes if panel.axison]
    assert len(panels) >= 1
    assert all(panel.get_xlabel() for panel in panels)
    units = {panel.get_xlabel().partition("\nmeasured on")[0] for panel in panels}
    units |= {panel.get_ylabel() for panel in panels}
    assert units <= {
        "", "epoch", "seconds since training began", "loss (nat)", "perplexity", "accuracy (%)",
        "optimizer", "layers", "seconds per epoch (s)", "GPU memory (MiB)",
        "trained parameters",
        "seconds of the whole run", "validation accuracy, best epoch (%)",
        "validation accuracy (%)", "validation perplexity", "training seconds per epoch (s)",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_which_every_run_diverged_at_once_still_has_its_figures(tmp_path, name):
    runs = [a_run(f"{family}-a", status="diverged") for family in ("lstm", "vit", "cnn")]
    drawing = figures.build(name, study(tmp_path, runs, []))
    assert drawing.text.endswith(".")


# Learning curves


@pytest.mark.parametrize("name", CURVES)
def test_learning_curves_have_a_row_for_each_comparison(tmp_path, name):
    figure = figures.build(name, study(tmp_path)).figure
    rows = {"lstm": 2, "vit": 3, "cnn": 1}[name.split("-")[0]]
    assert len(figure.axes) == 2 * rows
    assert all(panel.get_title(loc="left") for panel in figure.axes[::2])
    for loss, other in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert loss.get_ylabel() == "loss (nat)"
        assert other.get_yscale() == ("log" if name.startswith("lstm") else "linear")


def test_curves_show_training_and_validation_over_epochs(tmp_path):
    loss = figures.build("vit-curves-epochs", study(tmp_path)).figure.axes[0]
    assert len(lines(loss)) == 4  # two optimizers, two splits
    assert lines(loss)[0] == ([1, 2, 3], [3.25, 1.25, 2.25])
    assert lines(loss)[1] == ([1, 2, 3], [3, 1, 2])


def test_the_split_decides_the_line_and_the_run_its_colour_and_marker(tmp_path):
    results = study(tmp_path)
    drawn = figures.build("vit-curves-epochs", results).figure.axes[0].get_lines()
    assert [line.get_linestyle() for line in drawn] == ["--", "-", "--", "-"]
    styles = [style.of(results.runs)[name] for name in ("vit-2", "vit-2", "vit-2-sgd", "vit-2-sgd")]
    assert [line.get_color() for line in drawn] == [one.colour for one in styles]
    assert [line.get_marker() for line in drawn] == [one.marker for one in styles]


def test_curves_over_time_begin_when_the_first_epoch_is_done(tmp_path):
    panel = figures.build("lstm-curves-seconds", study(tmp_path)).figure.axes[0]
    assert lines(panel)[1] == ([10, 20, 30], [3, 1, 2])


@pytest.mark.parametrize(
    ("axis", "expected"), [("epochs", [1, 2, 3]), ("seconds", [20.0, 30.0, 40.0])]
)
def test_seeds_are_averaged_and_their_span_is_shaded(tmp_path, axis, expected):
    one, other = vit("a", 2, seed=1), vit("a", 2, seed=2)
    slow = [row | {"seconds": row["seconds"] + 20} for row in rows(other, shift=1)]
    results = study(tmp_path, [one, other], rows(one) + slow)
    drawing = figures.build(f"vit-curves-{axis}", results)
    panel = drawing.figure.axes[0]
    assert lines(panel)[1] == (expected, [3.5, 1.5, 2.5])
    assert len(panel.collections) == 2
    shaded = panel.collections[1].get_paths()[0].vertices[:, 1]
    assert (shaded.min(), shaded.max()) == (1, 4)
    row = drawing.data.query("split == 'validation' and metric == 'loss' and epoch == 1").iloc[0]
    assert (row.lowest, row.value, row.highest, row.seeds) == (3, 3.5, 4, 2)


def test_the_legend_names_the_runs_of_its_row_and_the_splits(tmp_path):
    figure = figures.build("vit-curves-epochs", study(tmp_path)).figure
    named = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert named == ["vit-2", "vit-2-sgd", "validation", "training"]
    handles = figure.axes[1].get_legend().legend_handles[2:]
    drawn = dict(zip(("training", "validation"), figure.axes[0].get_lines()[:2], strict=True))
    for name, handle in zip(named[2:], handles, strict=True):
        assert handle.get_linestyle() == drawn[name].get_linestyle()
        hollow = [one.get_markerfacecolor() == "white" for one in (handle, drawn[name])]
        assert hollow == [name == "training"] * 2


def test_the_text_names_the_best_and_the_worst(tmp_path):
    good, bad = run("lstm-good"), run("lstm-bad", **{"model.layers": 2})
    results = study(tmp_path, [good, bad], rows(good) + rows(bad, shift=2))
    text = figures.build("lstm-curves-epochs", results).text
    assert text == (
        "Depth (adamw, 3 epochs): after 3 epochs, best validation perplexity by lstm-good (0.4), "
        "worst by lstm-bad (2.4)."
    )
    one = figures.build("vit-curves-epochs", study(tmp_path, [vit("a", 2)])).text
    assert one == "All runs: after 3 epochs, validation accuracy of vit-a (40.00 %)."


def test_the_text_compares_no_runs_of_different_length(tmp_path):
    """Two pairs of 3 and of 2 epochs, and two more that nothing is compared with."""
    short = {"epochs": 2}
    runs = [
        vit("a", 4), vit("a-post", 4, norm="post"),
        vit("b", 4, **short), vit("b-post", 4, norm="post", **short),
        vit("c", 6, "sgd", **short), vit("d", 8, "adam", **{"optimizer.lr": 0.5}),
    ]  # fmt: skip
    metrics = [
        row
        for number, one in enumerate(runs)
        for row in rows(one, shift=number / 100)
        if row["epoch"] <= one["epochs"]
    ]
    results = study(tmp_path, runs, metrics)
    pairs = [
        "Pre- and post-norm (4 layers, adamw, 2 epochs, lr 0.001): after 2 epochs, best validation "
        "accuracy by vit-b-post (63.00 %), worst by vit-b (62.00 %).",
        "Pre- and post-norm (4 layers, adamw, 3 epochs, lr 0.001): after 3 epochs, best validation "
        "accuracy by vit-a-post (41.00 %), worst by vit-a (40.00 %).",
    ]
    assert figures.build("norm", results).text.splitlines() == pairs
    assert figures.build("vit-curves-epochs", results).text.splitlines() == [
        *pairs,
        "The other runs: after 2 epochs, validation accuracy of vit-c (64.00 %); "
        "after 3 epochs, validation accuracy of vit-d (45.00 %).",
    ]


def test_the_text_counts_seeds_whose_score_was_no_number(tmp_path):
    runs = [vit("a", 2, seed=1), vit("a", 2, seed=2)]
    early = [row | {"value": math.inf} for row in rows(runs[1]) if row["epoch"] < 3]
    metrics = rows(runs[0]) + early
    text = figures.build("vit-curves-epochs", study(tmp_path, runs, metrics)).text
    assert "vit-a, 1 of 2 seeds (" in text


def test_the_text_counts_the_seeds_that_were_trained_so_long(tmp_path):
    runs = [vit("a", 2, seed=1), vit("a", 2, seed=2)]
    metrics = rows(runs[0]) + [row for row in rows(runs[1]) if row["epoch"] < 3]
    text = figures.build("vit-curves-epochs", study(tmp_path, runs, metrics)).text
    assert text == (
        "All runs: after 3 epochs, validation accuracy of vit-a, 1 of 2 seeds (40.00 %)."
    )


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("axis", ["epochs", "seconds"])
def test_a_value_that_is_no_number_is_left_out_of_its_curve(tmp_path, value, axis):
    one = run("lstm-a")
    wild = [*rows(one)[:2], *curve(one, "validation", "perplexity", value, 5.0, value)]
    wild += curve(one, "validation", "loss", value)
    drawing = figures.build(f"lstm-curves-{axis}", study(tmp_path, [one], wild))
    figures.save(drawing, tmp_path, "figure")
    for panel in drawing.figure.axes:
        assert all(math.isfinite(end) for end in panel.get_ylim())
    assert not np.isinf(drawing.data.value).any()


# Choices


def test_optimizers_show_last_scores_and_seconds(tmp_path):
    runs = [
        vit("a", 2, validation_accuracy_last=0.6, seconds_training=3.0),
        vit("b", 2, "sgd", validation_accuracy_last=0.2),
    ]
    drawing = figures.build("optimizers", study(tmp_path, runs))
    assert len(drawing.figure.axes) == 3
    assert "best validation accuracy 60.00 % (optimizer: adamw)" in drawing.text
    assert "shortest epochs 2 s (optimizer: sgd)" in drawing.text
    runs[1] |= {"validation_accuracy_last": 0.6, "gpu_shared": True}
    (tmp_path / "alike").mkdir()
    text = figures.build("optimizers", study(tmp_path / "alike", runs)).text
    assert "best validation accuracy 60.00 % (optimizer: adamw, sgd)" in text
    assert "shortest epochs 3 s (optimizer: adamw, the only one timed there)" in text
    runs[1] |= {"validation_accuracy_last": 0.2, "gpu_shared": None}
    scores = drawing.data.query("metric == 'accuracy' and split == 'validation'")
    assert dict(zip(scores.choice, scores.value, strict=True)) == {"adamw": 0.6, "sgd": 0.2}
    assert scores.half.isna().all()
    runs[1] |= {"machine": OTHER_MACHINE}
    (tmp_path / "elsewhere").mkdir()
    drawing = figures.build("optimizers", study(tmp_path / "elsewhere", runs))
    assert "shortest" not in drawing.text
    assert drawing.text.endswith("(optimizer: adamw); the seconds are of several machines.")


def test_optimizers_that_are_there_twice_are_told_apart_by_their_rates(tmp_path):
    runs = [vit("a", 2, "sgd", **{"optimizer.lr": 0.3}), vit("b", 2, "sgd"), vit("c", 2)]
    data = figures.build("optimizers", study(tmp_path, runs)).data
    assert [*data.choice.unique()] == ["adamw", "sgd lr 0.001", "sgd lr 0.3"]
    assert [*data.experiment.unique()] == ["vit-c", "vit-b", "vit-a"]


def test_optimizers_of_one_rate_are_told_apart_by_what_else_they_differ_in(tmp_path):
    decays = {"d": 0.0, "e": 0.1}
    runs = [vit(name, 2, **{"optimizer.weight_decay": decay}) for name, decay in decays.items()]
    data = figures.build("optimizers", study(tmp_path, [*runs, vit("f", 2, "sgd")])).data
    assert [*data.choice.unique()] == ["adamw, weight decay 0", "adamw, weight decay 0.1", "sgd"]


def test_depths_carry_whiskers_where_there_are_seeds(tmp_path):
    runs = [
        vit(f"{depth}", depth, seed=seed, validation_accuracy_last=depth / 10 + seed / 100)
        for depth in (2, 4)
        for seed in (1, 2, 3)
    ]
    half = pytest.approx(4.302652729911275 * 0.01 / math.sqrt(3))
    drawing = figures.build("depth", study(tmp_path, runs))
    row = drawing.data.query("choice == 4 and metric == 'accuracy' and split == 'validation'").iloc[
        0
    ]
    assert (row.value, row.half) == (pytest.approx(0.42), half)
    panel = drawing.figure.axes[1]
    bars = [bar for bar in panel.containers if bar.lines[0].get_markerfacecolor() != "white"]
    marks = [tuple(bar.lines[0].get_xydata()[0]) for bar in bars]
    assert marks == [pytest.approx((2, 0.22)), pytest.approx((4, 0.42))]
    for bar in bars:
        ((_, low), (_, high)) = bar.lines[2][0].get_segments()[0]
        assert (high - low) / 2 == half
    joined = [line for line in panel.get_lines() if line.get_color() == "#888888"]
    (solid,) = (line for line in joined if line.get_linestyle() == "-")
    assert [*solid.get_ydata()] == pytest.approx([0.22, 0.42])


def test_the_axis_of_depths_names_those_that_are_compared(tmp_path):
    """Also where only one of them has seconds that count."""
    runs = [vit("2", 2), vit("4", 4, gpu_shared=True), vit("8", 8, gpu_shared=True)]
    for panel in figures.build("depth", study(tmp_path, runs)).figure.axes:
        assert [*panel.get_xticks()] == [2, 4, 8]


def test_over_fitted_seeds_are_counted_where_not_all_are(tmp_path):
    runs = [vit("a", 2, seed=1), vit("a", 2, seed=2), vit("b", 4)]
    losses = {("vit-a", 1): (2, 3, 3, 3), ("vit-a", 2): (4, 3, 2, 1), ("vit-b", 42): (2, 3, 3, 3)}
    metrics = [
        row
        for run in runs
        for split, values in (
            ("train", (5, 4, 3, 2)),
            ("validation", losses[run["experiment"], run["seed"]]),
        )
        for row in curve(run, split, "loss", *values)
    ]
    text = figures.build("over-fitting-curves", study(tmp_path, runs, metrics)).text
    assert text.endswith("Over-fitted by the rule of the table: vit-a (1 of 2 seeds), vit-b.")


def test_norms_are_drawn_only_where_they_are_compared(tmp_path):
    data = figures.build("norm", study(tmp_path)).data
    assert set(data.experiment) == {"vit-4", "vit-4-post"}
    alone = figures.build("norm", study(tmp_path, [vit("a", 2)]))
    assert alone.text == "No two runs of this study differ in pre- and post-norm alone."
    assert list(alone.data) == [style.NOTHING_DRAWN]


def test_pre_norm_comes_first_and_by_its_name(tmp_path):
    results = study(tmp_path)
    for figure in (figures.build(n, results).figure for n in ("norm", "vit-curves-epochs")):
        legends = [panel.get_legend() for panel in figure.axes if panel.get_legend()]
        named = [[text.get_text() for text in one.get_texts()] for one in legends]
        assert ["pre-norm: vit-4", "post-norm: vit-4-post", "validation", "training"] in named


def test_the_best_epoch_is_marked_in_the_curves_of_over_fitting(tmp_path):
    figure = figures.build("over-fitting-curves", study(tmp_path)).figure
    shown = [panel for panel in figure.axes if panel.axison]
    order = [panel.get_title(loc="left") for panel in shown]
    assert len(order) == len(RUNS)
    assert [name.split("-")[0] for name in order] == ["lstm"] * 3 + ["vit"] * 4 + ["cnn"] * 2
    for panel in shown:
        assert [text.get_text() for text in panel.texts] == ["lowest 2"]
        assert 2 in [line.get_xdata()[0] for line in panel.get_lines()]


# Cost


def test_accuracy_stands_against_parameters_and_seconds(tmp_path):
    runs = [
        run("cnn-a", parameters_trained=1000, seconds_total=50.0, validation_accuracy_best=0.9),
        vit("a", 2, parameters_trained=5000, seconds_total=20.0, validation_accuracy_best=0.6),
    ]
    results = study(tmp_path, runs)
    for name, expected in (("parameters", [1000, 5000]), ("seconds", [50, 20])):
        drawing = figures.build(f"accuracy-against-{name}", results)
        drawn = drawing.figure.axes[0].get_lines()[1:]
        assert [line.get_xdata()[0] for line in drawn] == expected
        assert [line.get_ydata()[0] for line in drawn] == [0.9, 0.6]
        assert [line.get_markerfacecolor() == "white" for line in drawn] == [True, False]
        assert "CNNs: best validation accuracy 90.00 % by cnn-a" in drawing.text


def test_of_equal_accuracies_the_best_is_that_of_the_summary(tmp_path):
    scores = {"a": 0.6, "b": 0.7, "c": 0.7, "d": 0.5, "e": 0.7}
    runs = [vit(name, 2, validation_accuracy_best=score) for name, score in scores.items()]
    for cost in ("parameters", "seconds"):
        text = figures.build(f"accuracy-against-{cost}", study(tmp_path, runs)).text
        assert "best validation accuracy 70.00 % by vit-b" in text


def test_marks_and_their_names_cover_nothing(tmp_path):
    """Twelve runs, four of them at one place and four that are nearly there."""
    crowd = [
        vit(f"of-the-crowd-{number}", 2, parameters_trained=1_000_000 + 900 * (number % 5),
            validation_accuracy_best=0.6 + 0.002 * (number % 4 == 3))
        for number in range(8)
    ]  # fmt: skip
    far = [
        run(f"cnn-{number}", parameters_trained=20_000 * number, validation_accuracy_best=0.3)
        for number in (1, 4, 15, 150)
    ]
    drawing = figures.build("accuracy-against-parameters", study(tmp_path, crowd + far))
    drawing.figure.draw_without_rendering()
    panel = drawing.figure.axes[0]
    names = [Text.get_window_extent(text) for text in panel.texts]  # without the line to its mark
    marks = [line.get_window_extent() for line in panel.get_lines()[1:]]
    assert len(names) == len(marks) == 12
    boxes = [box.padded(-2) for box in names + marks]
    for number, box in enumerate(boxes):
        assert box.count_overlaps(boxes[number + 1 :]) == 0
        assert panel.bbox.fully_overlaps(box)


@pytest.mark.parametrize(
    ("limits", "labels"),
    [((145, 170), ["150", "160", "170"]), ((3e5, 4e6), ["500,000", "1,000,000", "2,000,000"])],
)
def test_a_logarithmic_axis_has_plain_numbers_however_short_it_is(limits, labels):
    figure, axes = panels(1, 1, 3)
    axes[0, 0].plot(limits, limits)
    axes[0, 0].set_xscale("log")
    plain_numbers(axes[0, 0].xaxis)
    figure.draw_without_rendering()
    low, high = axes[0, 0].get_xlim()
    shown = [
        text.get_text()
        for tick, text in zip(axes[0, 0].get_xticks(), axes[0, 0].get_xticklabels(), strict=True)
        if low <= tick <= high
    ]
    assert {*labels} <= {*shown}


def test_the_ticks_of_many_epochs_do_not_collide(tmp_path):
    runs = [run(f"cnn-{letter}", epochs=180) for letter in "abcd"]
    long = [row for one in runs for row in curve(one, "train", "loss", *[1.0] * 180)]
    figure = figures.build("over-fitting-curves", study(tmp_path, runs, long)).figure
    figure.draw_without_rendering()
    for panel in figure.axes:
        boxes = [text.get_window_extent().padded(3) for text in panel.get_xticklabels()]
        assert all(not a.overlaps(b) for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize("origin", ["original", "mirrored", "embedded"])
def test_a_figure_names_data_that_are_not_the_published_ones(tmp_path, origin):
    runs = [run("cnn-a", data_origin=origin), run("lstm-a", data_origin="mirrored")]
    drawing = figures.build("cnn-curves-epochs", study(tmp_path, runs))
    expected = "" if origin == "original" else f"data: cifar10 ({origin})"
    assert drawing.figure.get_supxlabel() == expected


def test_memory_is_stacked_by_its_parts(tmp_path):
    runs = [vit("2", 2, memory_allocated=6 * 2**20), vit("4", 4)]
    drawing = figures.build("memory-by-depth", study(tmp_path, runs))
    panel, empty = drawing.figure.axes
    assert not empty.axison
    tops = {bar.get_y() + bar.get_height() for bar in panel.patches}
    assert tops == {1, 2, 3, 4, 5}
    assert len({bar.get_hatch() for bar in panel.patches}) == 5  # readable in greyscale
    assert panel.get_lines()[0].get_ydata()[0] == 6
    assert (
        "Vision transformers, depth (adamw, 3 epochs): predicted peak 5 MiB with 2" in drawing.text
    )


def test_every_comparison_of_memory_has_room_and_the_legend_knows_all_marks(tmp_path):
    runs = [
        vit(
            f"{depth}-{norm}",
            depth,
            norm=norm,
            memory_allocated=6 * 2**20 if norm == "pre" else None,
        )
        for depth in (2, 4)
        for norm in ("pre", "post")
    ]
    figure = figures.build("memory-by-depth", study(tmp_path, runs)).figure
    titles = [panel.get_title(loc="left") for panel in figure.axes if panel.axison]
    assert len({*titles}) == 2
    (legend,) = [panel.get_legend() for panel in figure.axes if panel.get_legend()]
    assert "measured: allocated, peak" in [text.get_text() for text in legend.get_texts()]


def test_curves_over_seconds_are_of_one_machine_in_each_panel_which_is_named(tmp_path):
    """vit-b was run in both places; beside vit-a it is of that one's, beside vit-c of the other."""
    there = {"machine": OTHER_MACHINE}
    runs = [
        vit("a", 2, "sgd"), vit("b", 2), vit("b", 2, seed=2, **there), vit("c", 4, **there),
        vit("d", 6, **there), vit("e", 8, gpu_shared=True),
    ]  # fmt: skip
    drawing = figures.build("vit-curves-seconds", study(tmp_path, runs))
    first, second, *_ = drawing.text.splitlines()
    assert first.endswith(f" Seconds on {HERE}.")
    assert second.endswith(
        " Seconds on Babbage 1, 8 cores, 1 thread. Without seconds that count: vit-e."
    )
    assert drawing.data.panel.nunique() == 2
    legends = [panel.get_legend() for panel in drawing.figure.axes if panel.get_legend()]
    shown = [text.get_text() for one in legends for text in one.get_texts()]
    assert "vit-e" not in shown


def test_runs_that_end_alike_have_neither_a_best_nor_a_worst(tmp_path):
    runs = [vit("a", 2), vit("b", 4)]
    text = figures.build("vit-curves-epochs", study(tmp_path, runs)).text
    assert "the same validation accuracy of vit-a (40.00 %), vit-b (40.00 %)" in text


# Beside the reports

REPORTS = published(
    ("A", "vit-2", "accuracy", "validation", 0.62, None),
    ("B", "vit-2", "accuracy", "validation", 0.60, None),
    ("A", "vit-2", "seconds_per_epoch", "train", 18.0, "s"),
    ("A", "cnn-a", "accuracy", "validation", 0.91, None),
    ("A", "vit-9", "accuracy", "validation", 0.99, None),  # not of this study
)


def test_measured_and_published_figures_share_a_row(tmp_path):
    runs = [run("cnn-a", validation_accuracy_best=0.8), vit("2", 2)]
    metrics = curve(runs[1], "validation", "accuracy_published", 0.1, 0.5)
    drawing = figures.build(
        "measured-against-published", study(tmp_path, runs, metrics, reports=REPORTS)
    )
    data = drawing.data.set_index(["experiment", "metric"])
    assert data.loc[("vit-2", "accuracy"), ["measured", "A", "B"]].tolist() == [0.5, 0.62, 0.60]
    assert data.loc[("vit-2", "seconds_per_epoch"), ["measured", "A"]].tolist() == [2, 18]
    assert data.loc[("cnn-a", "accuracy"), ["measured", "A"]].tolist() == [0.8, 0.91]
    assert set(drawing.data.experiment) == {"cnn-a", "vit-2"}
    furthest = "They part most for vit-2: accuracy 50.00 % measured, A 62.00 %, B 60.00 %."
    assert furthest in drawing.text


def test_no_published_figure_is_drawn_beside_other_data(tmp_path):
    runs = [vit("2", 2), vit("9", 2, dataset="digits")]
    metrics = [row for run in runs for row in curve(run, "validation", "accuracy_published", 0.5)]
    results = study(tmp_path, runs, metrics, reports=REPORTS)
    drawing = figures.build("measured-against-published", results)
    assert {*drawing.data.experiment} == {"vit-2"}


def test_the_shortest_epochs_are_not_those_of_a_run_that_diverged(tmp_path):
    runs = [
        vit("a", 2, seconds_training=5.0, gpu_shared=True),
        vit("a", 2, seed=2, status="diverged", seconds_training=2.0),
        vit("b", 2, **{"optimizer.name": "sgd", "seconds_training": 9.0}),
    ]
    text = figures.build("optimizers", study(tmp_path, runs)).text
    assert "shortest epochs 9 s (optimizer: sgd, the only one timed there)" in text


def test_a_choice_of_which_every_run_diverged_is_named(tmp_path):
    sgd = {"optimizer.name": "sgd", "status": "diverged", "validation_accuracy_last": 0.1}
    runs = [vit("a", 2, validation_accuracy_last=0.6), vit("b", 2, **sgd)]
    text = figures.build("optimizers", study(tmp_path, runs)).text
    assert "60.00 % (optimizer: adamw); diverged: vit-b; shortest" in text


def test_what_is_compared_is_drawn_with_the_seconds_of_one_machine(tmp_path):
    results = study(tmp_path, in_two_places())
    optimizers = figures.build("optimizers", results)
    seconds = optimizers.data.set_index(["metric", "experiment"]).value["seconds per epoch (s)"]
    assert seconds.to_dict() == {"vit-2-adamw": 5, "vit-2-sgd": 9}
    low, high = optimizers.figure.axes[2].get_ylim()
    assert low == 0
    assert high > 9.5  # no mark is cut
    assert f"shortest epochs 5 s (optimizer: adamw; on {HERE})" in optimizers.text
    against = figures.build("accuracy-against-seconds", results).data.set_index("experiment")
    assert against.seconds_total.to_dict() == {"vit-2-adamw": 20, "vit-2-sgd": 50}
    reports = published(
        ("A", "vit-2-adamw", "seconds_per_epoch", "train", 18.0, "s"),
        ("A", "vit-2-sgd", "seconds_per_epoch", "train", 18.0, "s"),
    )
    results = study(tmp_path, in_two_places(), reports=reports)
    beside = figures.build("measured-against-published", results)
    measured = beside.data.query("metric == 'seconds_per_epoch'").set_index("experiment").measured
    assert measured.to_dict() == {"vit-2-adamw": 5, "vit-2-sgd": 9}
    label = beside.figure.axes[1].get_xlabel()
    assert label == f"training seconds per epoch (s)\nmeasured on {HERE}"
    assert f"Vision transformers: seconds on {HERE}." in beside.text


def test_runs_that_no_report_timed_do_not_choose_the_machine_of_the_seconds(tmp_path):
    others = [vit(name, 2, machine=OTHER_MACHINE) for name in ("x", "y", "z")]
    results = study(tmp_path, [vit("2", 2), *others], reports=REPORTS)
    drawing = figures.build("measured-against-published", results)
    seconds = drawing.data.query("metric == 'seconds_per_epoch'").set_index("experiment")
    assert seconds.measured.to_dict() == {"vit-2": 2}
    assert f"Vision transformers: seconds on {HERE}." in drawing.text


def test_equal_settings_under_two_names_are_one_depth(tmp_path):
    drawing = figures.build(
        "memory-by-depth", study(tmp_path, [vit("2", 2), vit("2-again", 2), vit("4", 4)])
    )
    assert [*drawing.data.experiment] == ["vit-2", "vit-4"]
    assert "predicted peak 5 MiB with 2 layers, 5 MiB with 4 layers." in drawing.text


def test_figures_say_that_an_embedding_was_learned(tmp_path):
    own = {"model.layers": 1, "model.embedding": "learned", "dataset": "wikitext2"}
    results = study(tmp_path, [run("lstm-a", **own)])
    drawing = figures.build("lstm-curves-epochs", results)
    assert drawing.figure.get_supxlabel() == "data: learned embedding instead of GPT-1's"


def test_accuracy_against_seconds_is_of_one_machine(tmp_path):
    runs = [vit("2", 2), vit("4", 4), vit("6", 6, machine=OTHER_MACHINE)]
    results = study(tmp_path, runs)
    drawing = figures.build("accuracy-against-seconds", results)
    assert {*drawing.data.experiment} == {"vit-2", "vit-4"}
    assert "Left out, as made elsewhere: vit-6." in drawing.text
    drawn = style.of(results.runs)["vit-4"]
    assert drawn.colour in {line.get_color() for line in drawing.figure.axes[0].get_lines()}
    drawing = figures.build("accuracy-against-parameters", results)
    assert {*drawing.data.experiment} == {"vit-2", "vit-4", "vit-6"}
    assert "Left out" not in drawing.text


def test_accuracy_against_seconds_is_that_of_all_seeds(tmp_path):
    high = {"validation_accuracy_best": 0.9, "machine": OTHER_MACHINE, "seconds_total": 1.0}
    low = {"validation_accuracy_best": 0.5, "seconds_total": 30.0}
    runs = [vit("2", 2, **low), vit("2", 2, **high) | {"seed": 43}, vit("4", 4, **low)]
    drawing = figures.build("accuracy-against-seconds", study(tmp_path, runs))
    drawn = drawing.data.set_index("experiment")
    assert drawn.validation_accuracy_best.to_dict() == {"vit-2": pytest.approx(0.7), "vit-4": 0.5}
    assert drawn.seconds_total.to_dict() == {"vit-2": 30, "vit-4": 30}
    assert f"Seconds on {HERE}." in drawing.text


def test_seconds_of_several_machines_are_not_drawn_on_one_axis(tmp_path):
    runs = [vit("a", 2), vit("b", 2, "sgd", machine=OTHER_MACHINE)]
    drawing = figures.build("optimizers", study(tmp_path, runs))
    rows = drawing.data[drawing.data.metric == "seconds per epoch (s)"]
    assert rows.value.isna().all()
    assert "of several machines,\nor of shared GPUs" in [
        t.get_text() for t in drawing.figure.axes[2].texts
    ]
    assert drawing.text.endswith("; the seconds are of several machines.")


@pytest.mark.parametrize(
    ("first", "second", "far"), [(50, 10_000, "lstm-b"), (400, 1_001, "lstm-a")]
)
def test_runs_part_by_their_distance_to_the_published_figure(tmp_path, first, second, far):
    theirs = published(
        ("A", "lstm-a", "perplexity", "validation", 100, None),
        ("A", "lstm-b", "perplexity", "validation", 1_000, None),
    )
    runs = [run("lstm-a"), run("lstm-b")]
    metrics = [
        *curve(runs[0], "validation", "perplexity_published", first),
        *curve(runs[1], "validation", "perplexity_published", second),
    ]
    results = study(tmp_path, runs, metrics, reports=theirs)
    text = figures.build("measured-against-published", results).text
    assert f"They part most for {far}: " in text


def test_what_was_measured_on_other_data_is_not_drawn(tmp_path):
    runs = [vit("2", 2, dataset="digits")]
    metrics = curve(runs[0], "validation", "accuracy_published", 0.5)
    results = study(tmp_path, runs, metrics, reports=REPORTS)
    assert figures.build("measured-against-published", results).text.splitlines() == [
        "Nothing that was measured compares with the reports.",
        "Vision transformers: no run completed an epoch on cifar10, the reports' data.",
    ]
    runs.append(run("cnn-a", validation_accuracy_best=0.8))
    results = study(tmp_path, runs, metrics, reports=REPORTS)
    drawn = figures.build("measured-against-published", results)
    assert set(drawn.data.family) == {"cnn"}
    assert "Vision transformers: no run completed an epoch on cifar10" in drawn.text
    nothing = figures.build("measured-against-published", study(tmp_path, [vit("7", 2)]))
    assert nothing.text == "No report published a figure of these runs."


# Files


def test_equal_data_give_equal_files(tmp_path):
    results = study(tmp_path, RUNS[-2:])
    for copy in ("1", "2"):
        figures.save(figures.build("cnn-curves-epochs", results), tmp_path, copy)
    for ending in ("svg", "png", "csv", "txt"):
        one, other = (tmp_path / f"{copy}.{ending}" for copy in ("1", "2"))
        assert one.read_bytes() == other.read_bytes()


def test_a_figure_is_written_with_its_text_and_its_numbers(tmp_path):
    drawing = figures.build("cnn-curves-epochs", study(tmp_path, RUNS[-2:]))
    figures.save(drawing, tmp_path, "figure")
    text = (tmp_path / "figure.svg").read_text()
    assert re.search(r"<text[^>]*>loss \(nat\)</text>", text)  # text, not outlines
    assert "<dc:date>" not in text
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (tmp_path / "figure.txt").read_text() == drawing.text + "\n"
    numbers = pd.read_csv(tmp_path / "figure.csv")
    assert list(numbers.columns) == list(drawing.data.columns)
    assert np.allclose(numbers.value, drawing.data.value)


def test_times_of_runs_that_shared_their_gpu_are_not_drawn(tmp_path):
    runs = [
        vit("2", 2, gpu_shared=True), vit("2-sgd", 2, "sgd", gpu_shared=False),
    ]  # fmt: skip
    results = study(tmp_path, runs)
    seconds = figures.build("optimizers", results).data.query("metric == 'seconds per epoch (s)'")
    assert seconds.set_index("experiment").value.dropna().to_dict() == {"vit-2-sgd": 2.0}
    assert [*figures.build("accuracy-against-seconds", results).data.experiment] == ["vit-2-sgd"]
    for axis, drawn in (("seconds", {"vit-2-sgd"}), ("epochs", {"vit-2", "vit-2-sgd"})):
        assert {*figures.build(f"vit-curves-{axis}", results).data.experiment} == drawn
    only = figures.build("vit-curves-seconds", study(tmp_path, runs[:1]))
    assert "shared a GPU" in only.text
    every = study(tmp_path, [run | {"gpu_shared": True} for run in runs])
    assert "no epoch was timed on a GPU that no other run shared" in (
        figures.build("optimizers", every).text
    )
    assert "every one shared a GPU" in figures.build("accuracy-against-seconds", every).text


# What is drawn, beyond the numbers behind it


def named(panel) -> list[str]:
    return [label.get_text() for label in panel.get_yticklabels()]


def points(panel, label: str) -> dict[str, float]:
    """Return where the marks of a label stand, by the name of their row."""
    (line,) = [line for line in panel.get_lines() if line.get_label() == label]
    drawn = zip(line.get_xdata(), line.get_ydata(), strict=True)
    return {named(panel)[round(y)]: x for x, y in drawn if math.isfinite(x)}


def test_every_figure_stands_in_the_row_of_its_experiment(tmp_path):
    told = (("A", 2, 0.62), ("B", 2, 0.60), ("A", 4, 0.72), ("B", 4, 0.70))
    reports = published(
        *((report, f"vit-{n}", "accuracy", "validation", value, None) for report, n, value in told)
    )
    runs = [vit(str(depth), depth, seed=seed) for depth in (2, 4) for seed in (1, 2)]
    metrics = [
        row
        for one, value in zip(runs, (0.50, 0.52, 0.80, 0.84), strict=True)
        for row in curve(one, "validation", "accuracy_published", value)
    ]
    results = study(tmp_path, runs, metrics, reports=reports)
    panel = figures.build("measured-against-published", results).figure.axes[0]
    assert points(panel, "report A") == {"vit-2": 0.62, "vit-4": 0.72}
    assert points(panel, "report B") == {"vit-2": 0.60, "vit-4": 0.70}
    (bars,) = panel.containers
    drawn = zip(*bars.lines[0].get_data(), strict=True)
    assert {named(panel)[round(y)]: x for x, y in drawn} == pytest.approx(
        {"vit-2": 0.51, "vit-4": 0.82}
    )
    (whiskers,) = bars.lines[2]
    assert all(end[0] - begin[0] > 0.01 for begin, end in whiskers.get_segments())
    assert panel.xaxis.get_major_formatter()(0.6).startswith("60")


def test_names_stand_at_their_marks(tmp_path):
    marks = {"cnn-a": (1e3, 0.3), "cnn-b": (1e5, 0.9), "cnn-c": (1e7, 0.6)}
    runs = [
        run(name, parameters_trained=int(count), validation_accuracy_best=accuracy)
        for name, (count, accuracy) in marks.items()
    ]
    panel = figures.build("accuracy-against-parameters", study(tmp_path, runs)).figure.axes[0]
    assert {text.get_text(): text.xy for text in panel.texts} == marks
    assert panel.yaxis.get_major_formatter()(0.6).startswith("60")
