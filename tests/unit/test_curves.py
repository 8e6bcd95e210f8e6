"""The numbers behind the curves that the page draws."""

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from results import HERE, OTHER_MACHINE, a_run, curve, frames
from trainstudy import curves, style

BABBAGE = "Babbage 1, 8 cores, 1 thread"  # OTHER_MACHINE in words


@pytest.fixture
def data(tmp_path):
    """Return the curves of a family, after a trip through JSON as strict as a browser's."""

    def build(family: str, *rows: list[dict]) -> dict:
        metrics = [row for part in rows for row in part]
        names = {row["experiment"] for row in metrics} | {f"{family}-a"}
        results = frames(tmp_path, [a_run(name) for name in sorted(names)], metrics)
        return json.loads(json.dumps(curves.of_family(results, family), allow_nan=False))

    return build


def test_a_run_has_its_epochs_seconds_and_scores_by_split(data):
    run = a_run("vit-a")
    found = data(
        "vit",
        curve(run, "train", "accuracy", 0.25, 0.5),
        curve(run, "validation", "accuracy", 0.3, 0.4),
        curve(run, "validation", "loss", 2.0, 1.5),
        curve(run, "validation", "accuracy_published", 0.9, 0.9),
        curve(run, "test", "accuracy", 0.7),
    )
    assert [metric["name"] for metric in found["metrics"]] == ["accuracy", "loss"]
    (own,) = found["runs"]
    assert own["name"] == "vit-a"
    assert found["sets"] == [{"title": "all runs", "runs": ["vit-a"], "elsewhere": {}}]
    assert own["splits"] == {
        "train": {"epochs": [1, 2], "seconds": [10, 20], "accuracy": [0.25, 0.5]},
        "validation": {
            "epochs": [1, 2], "seconds": [10, 20], "accuracy": [0.3, 0.4], "loss": [2.0, 1.5]
        },
    }  # fmt: skip


def test_seeds_are_one_curve_with_mean_and_range(data):
    rows = [
        curve(a_run("vit-a", seed), "validation", "accuracy", value, value + 0.2)
        for seed, value in ((1, 0.1), (2, 0.3), (3, 0.2))
    ]
    (own,) = data("vit", *rows)["runs"]
    assert own["splits"]["validation"]["accuracy"] == [0.2, 0.4]
    assert own["splits"]["validation"]["accuracy range"] == [[0.1, 0.3], [0.3, 0.5]]


def test_an_epoch_that_fewer_seeds_reached_counts_these(data):
    rows = [
        curve(a_run("vit-a", 1), "validation", "accuracy", 0.1, 0.2, 0.3),
        curve(a_run("vit-a", 2), "validation", "accuracy", 0.3),
    ]
    (own,) = data("vit", *rows)["runs"]
    assert own["splits"]["validation"]["accuracy seeds"] == [2, 1, 1]
    assert own["splits"]["validation"]["accuracy"] == [0.2, 0.2, 0.3]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_mean_of_which_one_seed_is_no_finite_number_is_none(data, value):
    rows = [
        curve(a_run("lstm-a", seed), "validation", "perplexity", value)
        for seed, value in ((1, value), (2, 100.0), (3, 120.0))
    ]
    (own,) = data("lstm", *rows)["runs"]
    assert own["splits"]["validation"]["perplexity"] == [None]
    assert own["splits"]["validation"]["perplexity range"] == [[100.0, None]]
    drawn = curves.averaged(pd.DataFrame([row for part in rows for row in part]), ["perplexity"])
    assert drawn.value.isna().all()


def test_seeds_end_an_epoch_at_their_mean_time(data):
    slow = [row | {"seconds": 30} for row in curve(a_run("cnn-a", 2), "train", "loss", 1.0)]
    (own,) = data("cnn", curve(a_run("cnn-a", 1), "train", "loss", 3.0), slow)["runs"]
    assert own["splits"]["train"]["seconds"] == [20]
    assert own["splits"]["train"]["loss"] == [2.0]


def test_what_is_no_number_is_null(data):
    run = a_run("lstm-a")
    rows = curve(run, "validation", "perplexity", 12.0, math.inf, math.nan)
    (own,) = data("lstm", rows)["runs"]
    assert own["splits"]["validation"]["perplexity"] == [12.0, None, None]


def test_only_the_family_is_there_and_an_empty_one_is_empty(data):
    other = curve(a_run("cnn-a"), "train", "loss", 1.0)
    assert data("vit", other)["runs"] == []


def test_a_run_looks_as_it_does_in_the_drawn_figures(tmp_path):
    runs = [a_run("vit-a"), a_run("vit-b", **{"optimizer.name": "sgd"})]
    metrics = [row for run in runs for row in curve(run, "train", "loss", 1.0)]
    found = curves.of_family(frames(tmp_path, runs, metrics), "vit")
    styles = style.of(frames(tmp_path, runs).runs)
    assert [(run["colour"], run["marker"]) for run in found["runs"]] == [
        (styles[name].colour, styles[name].marker) for name in ("vit-a", "vit-b")
    ]
    assert [one["runs"] for one in found["sets"]] == [["vit-a", "vit-b"]]


def test_seconds_of_several_machines_are_named_by_each_runs_own(tmp_path):
    runs = [a_run("vit-a"), a_run("vit-b", machine=OTHER_MACHINE)]
    metrics = [row for run in runs for row in curve(run, "train", "loss", 1.0)]
    found = curves.of_family(frames(tmp_path, runs, metrics), "vit")["runs"]
    made = {run["name"]: run["machine"] for run in found}
    assert made["vit-a"] != made["vit-b"]
    assert None not in made.values()
    (tmp_path / "alone").mkdir()
    found = curves.of_family(frames(tmp_path / "alone", runs[:1], metrics), "vit")["runs"]
    assert found[0]["machine"] is None


def test_runs_that_are_compared_have_their_seconds_of_one_machine(tmp_path):
    """As in the drawn figure of the comparison, whatever most of the family were made on."""
    slow, quick = (
        a_run(f"vit-{name}", 1, **{"optimizer.name": name, "model.depth": 2})
        for name in ("adam", "sgd")
    )
    there = {"seed": 2, "machine": OTHER_MACHINE}
    others = [a_run(f"vit-{n}", machine=OTHER_MACHINE, epochs=9 + n, **{"model.depth": n})
              for n in (4, 6)]  # fmt: skip
    runs = [slow, quick, slow | there, *others]
    metrics = [row for run in runs for row in curve(run, "train", "loss", 1.0, 2.0)]
    for row in metrics[4:]:
        row["seconds"] /= 10
    found = curves.of_family(frames(tmp_path, runs, metrics), "vit")
    adam = next(run for run in found["runs"] if run["name"] == "vit-adam")
    assert (adam["splits"]["train"]["seconds"], adam["machine"]) == ([1, 2], BABBAGE)
    (compared,) = (one for one in found["sets"] if "vit-sgd" in one["runs"])
    assert compared["elsewhere"] == {"vit-adam": {"machine": HERE, "train": [10, 20]}}
    assert all(one["elsewhere"] == {} for one in found["sets"] if one != compared)


def test_numbers_have_six_digits(data):
    (own,) = data("vit", curve(a_run("vit-a"), "train", "loss", 1.23456789))["runs"]
    assert own["splits"]["train"]["loss"] == [1.23457]


def test_the_page_knows_every_marker():
    script = (Path(__file__).parents[2] / "report/page/chart.js").read_text()
    block = script[
        script.index("const MARKERS") : script.index("};", script.index("const MARKERS"))
    ]
    known = set(re.findall(r'"?(\S)"?: "M', block))
    assert known == {*style.MARKERS}


def test_runs_that_shared_their_gpu_have_no_seconds(tmp_path):
    run = a_run("vit-a", gpu_shared=True)
    results = frames(tmp_path, [run], curve(run, "validation", "accuracy", 0.3, 0.4))
    (own,) = curves.of_family(results, "vit")["runs"]
    part = {"epochs": [1, 2], "seconds": [None, None], "accuracy": [0.3, 0.4]}
    assert own["splits"] == {"validation": part}
