"""The tables of the report, from a few runs whose numbers can be checked by hand."""

import math
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from results import a_run, curve, frames, published
from trainstudy import tables

ROOT = Path(__file__).parents[2]
CONTENTS = yaml.safe_load((ROOT / "report/contents.yaml").read_text())["items"]
NAMES = [name for name, item in CONTENTS.items() if item["kind"] == "table"]


def build(name: str, inputs) -> pd.DataFrame:
    """Return a table with the experiments as index."""
    return tables.build(name, inputs).set_index("experiment")


def test_the_tables_are_those_of_the_report():
    assert sorted(NAMES) == sorted(tables.TABLES)


@pytest.mark.parametrize("name", NAMES)
def test_every_table_has_a_row_for_each_experiment_of_its_families(tmp_path, name):
    runs = [a_run(f"{family}-{n}") for family in ("lstm", "vit", "cnn") for n in ("a", "b")]
    runs.append(a_run("vit-a", seed=7))
    table = tables.build(name, frames(tmp_path, runs))
    families = CONTENTS[name]["families"]
    assert sorted(table.experiment) == sorted(f"{f}-{n}" for f in families for n in ("a", "b"))
    assert table.columns[0] == "experiment"


# Language models


def two_seeds(tmp_path, **facts):
    first = a_run("lstm-x", 1, train_loss_last=4.0, test_perplexity_last=90.0, best_epoch=2)
    second = a_run("lstm-x", 2, train_loss_last=5.0, test_perplexity_last=110.0, best_epoch=3)
    metrics = [
        *curve(first, "train", "perplexity_published", 900, 70, 50),
        *curve(second, "train", "perplexity_published", 800, 80, 60),
        *curve(first, "test", "bits_per_byte", 1.0, first=3),  # last epoch
        *curve(first, "test", "bits_per_byte", 9.0, first=2),  # best epoch
        *curve(second, "test", "bits_per_byte", 2.0, first=3),
        *curve(first, "validation", "bits_per_byte", 7.0, 7.0, 7.0),
    ]
    return frames(tmp_path, [first | facts, second | facts], metrics)


def test_language_models_show_means_over_seeds_of_the_last_epoch(tmp_path):
    row = build("lstm-results", two_seeds(tmp_path)).loc["lstm-x"]
    assert row["layers"] == 1
    assert row["optimizer"] == "adamw"
    assert row["epochs"] == 3
    assert row["seeds"] == 2
    assert row["train loss (nat)"] == 4.5
    assert row["test perplexity"] == 100
    assert row["test bits per byte"] == 1.5
    assert row["train perplexity, published estimator"] == 55
    assert row["best epoch"] == 2.5


def test_other_families_are_left_out(tmp_path):
    runs = [a_run("lstm-x"), a_run("vit-x"), a_run("cnn-x")]
    assert list(build("lstm-results", frames(tmp_path, runs)).index) == ["lstm-x"]
    assert list(build("vit-results", frames(tmp_path, runs)).index) == ["vit-x"]


# Vision transformers and CNNs


def test_vision_transformers_show_norm_and_scores(tmp_path):
    facts = {"model.norm": "post", "model.depth": 6, "validation_accuracy_last": 0.5}
    runs = [
        a_run("vit-6", 1, test_loss_last=1.0, **facts),
        a_run("vit-6", 2, test_loss_last=2.0, **facts | {"validation_accuracy_last": 0.7}),
    ]
    row = build("vit-results", frames(tmp_path, runs)).loc["vit-6"]
    assert row["norm"] == "post"
    assert row["layers"] == 6
    assert row["test loss (nat)"] == 1.5
    assert row["validation accuracy"] == pytest.approx(0.6)


def test_image_models_are_ordered_by_validation_accuracy_of_the_best_epoch(tmp_path):
    runs = [
        a_run("cnn-low", validation_accuracy_best=0.4, validation_accuracy_last=0.9),
        a_run("vit-high", validation_accuracy_best=0.8, validation_accuracy_last=0.1),
        # Diverged at once: no score. It comes last.
        a_run("cnn-none", status="diverged", diverged_step=1),
        a_run("cnn-middle", 1, validation_accuracy_best=0.9, test_accuracy_best=0.5),
        a_run("cnn-middle", 2, validation_accuracy_best=0.5, test_accuracy_best=0.7),
    ]
    table = build("cnn-against-vit", frames(tmp_path, runs))
    assert list(table.index) == ["vit-high", "cnn-middle", "cnn-low", "cnn-none"]
    assert table.loc["cnn-middle", "validation accuracy"] == pytest.approx(0.7)
    assert table.loc["cnn-middle", "test accuracy"] == pytest.approx(0.6)


def test_image_models_show_trained_parameters_and_total_seconds(tmp_path):
    runs = [a_run("cnn-a", parameters_trained=272_378, parameters_total=999_999)]
    row = build("cnn-against-vit", frames(tmp_path, runs)).loc["cnn-a"]
    assert row["parameters"] == 272_378
    assert row["total seconds"] == 12
    assert row["family"] == "cnn"


# Cost


def test_wall_clock_names_the_processor_or_the_gpu(tmp_path):
    runs = [
        a_run("vit-cpu", seconds_training=3.0, seconds_evaluating=1.0, throughput=2000.0),
        a_run("lstm-gpu", device="Fast GPU", threads=4),
    ]
    table = build("wall-clock", frames(tmp_path, runs))
    assert table.loc["vit-cpu", "device"] == "Abacus 9, 2 cores"
    assert table.loc["lstm-gpu", "device"] == "Fast GPU"
    assert table.loc["lstm-gpu", "threads"] == 4
    assert table.loc["vit-cpu", "unit"] == "images/s"
    assert table.loc["lstm-gpu", "unit"] == "tokens/s"
    assert table.loc["vit-cpu", "training s per epoch"] == 3
    assert table.loc["vit-cpu", "evaluating s per epoch"] == 1
    assert table.loc["vit-cpu", "throughput"] == 2000


def test_on_a_cpu_memory_is_resident(tmp_path):
    runs = [a_run("vit-a", 1, memory_resident=2**30), a_run("vit-a", 2, memory_resident=3 * 2**30)]
    table = build("memory", frames(tmp_path, runs))
    assert table.loc["vit-a", "peak resident memory, whole process (MiB)"] == 2048
    assert not [column for column in table.columns if "GPU" in column]


def test_with_a_gpu_memory_is_allocated_and_reserved_too(tmp_path):
    runs = [
        a_run("vit-gpu", memory_allocated=2**20, memory_reserved=2**21, memory_resident=2**30),
        a_run("vit-cpu", memory_resident=2**30),
    ]
    table = build("memory", frames(tmp_path, runs))
    assert table.loc["vit-gpu", "GPU allocated (MiB)"] == 1
    assert table.loc["vit-gpu", "GPU reserved (MiB)"] == 2
    assert pd.isna(table.loc["vit-cpu", "GPU allocated (MiB)"])


# Divergence


@pytest.mark.parametrize("name", NAMES)
def test_a_diverged_run_is_a_row_with_a_mark(tmp_path, name):
    family = CONTENTS[name]["families"][0]
    runs = [
        a_run(f"{family}-wild", 1, status="diverged", diverged_step=2),
        a_run(f"{family}-wild", 2, status="diverged", diverged_step=5),
        a_run(f"{family}-wild", 3),
        a_run(f"{family}-tame"),
    ]
    table = build(name, frames(tmp_path, runs))
    assert table.loc[f"{family}-wild", "diverged"] == "2 diverged"
    assert table.loc[f"{family}-tame", "diverged"] == ""
    assert "2 diverged" in tables.to_html(table.reset_index())


@pytest.mark.parametrize("name", NAMES)
def test_without_divergence_there_is_no_column_for_it(tmp_path, name):
    family = CONTENTS[name]["families"][0]
    assert "diverged" not in build(name, frames(tmp_path, [a_run(f"{family}-a")]))


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_which_every_run_diverged_still_has_its_tables(tmp_path, name):
    runs = [a_run(f"{f}-a", status="diverged", diverged_step=1) for f in ("lstm", "vit", "cnn")]
    reports = pd.read_csv(ROOT / "resources/published.csv")
    table = tables.build(name, frames(tmp_path, runs, reports=reports))
    assert tables.to_html(table).count("1 diverged") == len(CONTENTS[name]["families"])


# Beside the reports

FIGURES = published(
    ("A", "lstm-a", "perplexity", "train", 80.5, None),
    ("B", "lstm-a", "perplexity", "validation", 140.0, None),
    ("A", "lstm-b", "perplexity", "train", 70.5, None),
    ("A", "vit-a", "accuracy", "validation", 0.62, None),
    ("B", "vit-a", "accuracy", "validation", 0.63, None),
    ("A", "cnn-a", "accuracy", "test", 0.91, None),
    ("A", "vit-a", "gpu_memory", "train", 1800, "MiB"),
    ("B", "vit-a", "gpu_memory", "train", 1900, "MB"),
    ("A", "lstm-a", "seconds_per_epoch", "train", 35.5, "s"),
)


def test_published_figures_stand_beside_those_measured(tmp_path):
    runs = [a_run("lstm-a"), a_run("lstm-c"), a_run("vit-a"), a_run("cnn-a")]
    inputs = frames(tmp_path, runs, reports=FIGURES)
    words = build("lstm-results", inputs)
    assert words.loc["lstm-a", "A: train perplexity"] == 80.5
    assert words.loc["lstm-a", "B: validation perplexity"] == 140
    assert pd.isna(words.loc["lstm-c", "A: train perplexity"])  # never published
    assert "A: validation perplexity" not in words
    assert build("vit-results", inputs).loc["vit-a", "B: validation accuracy"] == 0.63
    images = build("cnn-against-vit", inputs)
    assert images.loc["cnn-a", "A: test accuracy"] == 0.91
    assert images.loc["vit-a", "A: validation accuracy"] == 0.62
    memory = build("memory", inputs)
    assert memory.loc["vit-a", "A: train gpu memory (MiB)"] == 1800
    assert memory.loc["vit-a", "B: train gpu memory (MB)"] == 1900
    cost = build("wall-clock", inputs)
    assert cost.loc["lstm-a", "A: train seconds per epoch (s)"] == 35.5


def test_published_figures_are_left_out_where_the_data_were_others(tmp_path):
    runs = [a_run("lstm-a", dataset="pydocs"), a_run("lstm-b"), a_run("vit-a", dataset="digits")]
    inputs = frames(tmp_path, runs, reports=FIGURES)
    words = build("lstm-results", inputs)
    assert pd.isna(words.loc["lstm-a", "A: train perplexity"])
    assert words.loc["lstm-b", "A: train perplexity"] == 70.5
    assert "B: validation perplexity" not in words
    for name in ("vit-results", "memory", "wall-clock", "cnn-against-vit"):
        shown = build(name, inputs)
        assert not [column for column in shown.columns if column.startswith(("A: ", "B: "))]


def test_the_published_figures_of_the_project_reach_the_tables(tmp_path):
    runs = [a_run("vit-2-adamw"), a_run("lstm-1-adamw"), a_run("cnn-resnet")]
    reports = pd.read_csv(ROOT / "resources/published.csv")
    inputs = frames(tmp_path, runs, reports=reports)
    assert build("vit-results", inputs).loc["vit-2-adamw", "A: validation accuracy"] == 0.6201
    assert build("lstm-results", inputs).loc["lstm-1-adamw", "A: train perplexity"] == 81.39


# HTML


def test_everything_in_a_table_is_escaped():
    evil = "<script>alert('x')</script>"
    fragment = tables.to_html(pd.DataFrame({"experiment": [evil], evil: ["a & b"]}))
    assert "<script" not in fragment
    assert fragment.count("&lt;script&gt;") == 2
    assert "a &amp; b" in fragment


def test_a_page_escapes_its_title():
    page = tables.to_page(pd.DataFrame({"a": [1]}), "<script>")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 2
    assert page.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("layers", 6, "6"),
        ("parameters", 3_195_146.0, "3,195,146"),
        ("test perplexity", 144.6312, "144.6"),
        ("test perplexity", 12_345.6, "12,346"),
        ("test loss (nat)", 0.012345, "0.01235"),
        ("validation accuracy", 0.6120, "61.20 %"),
        ("A: test accuracy", 1, "100.00 %"),
        ("test perplexity", math.nan, "–"),
        ("test perplexity", None, "–"),
        ("test perplexity", pd.NA, "–"),
        ("test perplexity", math.inf, "∞"),
    ],
)
def test_how_a_number_is_written(column, value, shown):
    fragment = tables.to_html(pd.DataFrame({column: pd.Series([value], dtype=object)}))
    assert re.search(rf'<td class="number"[^>]*>{re.escape(shown)}</td>', fragment)


def test_a_perplexity_beyond_all_numbers_does_not_stop_the_tables(tmp_path):
    run = a_run("lstm-a", train_perplexity_last=math.inf, train_loss_last=800.0)
    inputs = frames(tmp_path, [run], curve(run, "train", "perplexity_published", math.inf))
    fragment = tables.to_html(tables.build("lstm-results", inputs))
    assert fragment.count("∞") == 2


def test_rows_and_columns_of_the_fragment():
    fragment = tables.to_html(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert fragment.count("<tr>") == 3
    assert fragment.count('<th scope="col">') == 2
    assert fragment.index("<td>x</td>") < fragment.index("<td>y</td>")
