"""The tables of the report, from a few runs whose numbers can be checked by hand."""

import math
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats

from results import HERE, OTHER_MACHINE, a_run, curve, frames, in_two_places, published
from trainstudy import tables

ROOT = Path(__file__).parents[2]
CONTENTS = yaml.safe_load((ROOT / "report/contents.yaml").read_text())["items"]
NAMES = [name for name, item in CONTENTS.items() if item["kind"] in ("table", "claims")]
BY_EXPERIMENT = ["cnn-against-vit", "wall-clock", "memory", "memory-predicted"]
WITH_STATE = ["lstm-results", "vit-results", *BY_EXPERIMENT]


def sizes(*experiments: str) -> pd.DataFrame:
    """Return predictions as sizes.py makes them: parts of 1, 2, 4, 8 and 16 MiB."""
    parts = ("parameters", "gradients", "optimizer", "constants", "activations")
    row = {part: 2**i * 2**20 for i, part in enumerate(parts)} | {"total": 31 * 2**20}
    return pd.DataFrame([{"experiment": name, **row} for name in experiments])


def build(name: str, inputs) -> pd.DataFrame:
    """Return a table with the experiments as index."""
    return tables.build(name, inputs).set_index("experiment")


def study(tmp_path, runs, metrics=(), **others):
    names = sorted({run["experiment"] for run in runs})
    attention = pd.DataFrame({"heads": [1], "head_size": [2], "width": [2]})
    attention = attention.assign(formula=24, module=24)
    others = {"predicted": sizes(*names), "attention": attention} | others
    return frames(tmp_path, runs, metrics, **others)


def test_the_tables_are_those_of_the_report():
    assert sorted(NAMES) == sorted(tables.TABLES)


@pytest.mark.parametrize("name", BY_EXPERIMENT)
def test_a_table_has_a_row_for_each_experiment_of_its_families(tmp_path, name):
    runs = [a_run(f"{family}-{n}") for family in ("lstm", "vit", "cnn") for n in ("a", "b")]
    runs.append(a_run("vit-a", seed=7))
    table = tables.build(name, study(tmp_path, runs))
    families = CONTENTS[name]["families"]
    assert sorted(table.experiment) == sorted(f"{f}-{n}" for f in families for n in ("a", "b"))
    assert table.columns[0] == "experiment"


# Scores


def two_seeds(tmp_path, seeds=(1, 2)):
    runs, metrics = [], []
    for seed in seeds:
        run = a_run("lstm-x", seed, best_epoch=2)
        runs.append(run)
        metrics += [
            *curve(run, "train", "loss", 6, 5, 3.0 + seed),
            *curve(run, "validation", "loss", 6, 4, 5),
            *curve(run, "train", "perplexity_published", 900, 70, 40 + 10 * seed),
            *curve(run, "test", "bits_per_byte", 9.0, 1.0 * seed, first=2),
            *curve(run, "test", "perplexity", 80, 90.0 + 10 * seed, first=2),
        ]
    return study(tmp_path, runs, metrics)


def test_scores_are_means_over_seeds_of_the_last_and_the_best_epoch(tmp_path):
    table = build("lstm-results", two_seeds(tmp_path))
    last, best = table.iloc[0], table.iloc[1]
    assert (last["scores of"], best["scores of"]) == ("last epoch", "best epoch")
    assert (last["epoch"], best["epoch"]) == (3, 2)
    assert last["train loss (nat)"] == 4.5
    assert best["train loss (nat)"] == 5
    assert (last["test perplexity"], best["test perplexity"]) == (105, 80)
    assert (last["test bits per byte"], best["test bits per byte"]) == (1.5, 9)
    assert (last["layers"], last["optimizer"], last["seeds"]) == (1, "adamw", 2)


def test_the_last_epoch_is_that_which_a_run_ended_with(tmp_path):
    runs = [
        a_run("lstm-early", best_epoch=1, epochs_trained=2),
        a_run("lstm-old", best_epoch=1),
        a_run("lstm-none", status="diverged", epochs_trained=0),
    ]
    table = tables.build("lstm-results", study(tmp_path, runs))
    last = table[table["scores of"] == "last epoch"].set_index("experiment").epoch
    assert last["lstm-early"] == 2
    assert last["lstm-old"] == 3
    alone = table[table["scores of"] == "last epoch, the best"].set_index("experiment").epoch
    assert pd.isna(alone["lstm-none"])
    assert [*alone.index] == ["lstm-none"]


def test_where_the_last_epoch_is_the_best_one_row_says_so(tmp_path):
    runs = [a_run("lstm-a", best_epoch=3), a_run("lstm-b", 1, best_epoch=3)]
    runs.append(a_run("lstm-b", 2, best_epoch=2))
    table = tables.build("lstm-results", study(tmp_path, runs))
    assert [*zip(table.experiment, table["scores of"], strict=True)] == [
        ("lstm-a", "last epoch, the best"), ("lstm-b", "last epoch"), ("lstm-b", "best epoch"),
    ]  # fmt: skip


def test_beside_a_mean_stands_half_its_t_interval(tmp_path):
    row = build("lstm-results", two_seeds(tmp_path)).iloc[0]
    low, high = stats.t.interval(0.95, 1, loc=4.5, scale=stats.sem([4.0, 5.0]))
    assert row["train loss (nat) ±"] == pytest.approx((high - low) / 2)
    assert row["interval"] == "95 %"
    fragment = tables.to_html(tables.build("lstm-results", two_seeds(tmp_path)))
    assert ">4.5 ± 6.4</td>" in fragment
    assert ">3</td>" in fragment  # the epoch, which is the same with both seeds
    assert "±</th>" not in fragment


def test_one_seed_has_no_interval_and_says_so(tmp_path):
    table = build("lstm-results", two_seeds(tmp_path, seeds=(1,)))
    assert not [column for column in table if column.endswith("±")]
    assert set(table["interval"]) == {"none, one seed"}


def test_other_families_are_left_out(tmp_path):
    inputs = study(tmp_path, [a_run("lstm-x"), a_run("vit-x"), a_run("cnn-x")])
    assert set(build("lstm-results", inputs).index) == {"lstm-x"}
    assert set(build("vit-results", inputs).index) == {"vit-x"}


def test_vision_transformers_show_their_norm(tmp_path):
    runs = [a_run("vit-6", **{"model.norm": "post", "model.depth": 6})]
    row = build("vit-results", study(tmp_path, runs)).iloc[0]
    assert (row["norm"], row["layers"]) == ("post", 6)


# Beside the reports

FIGURES = published(
    ("A", "lstm-a", "perplexity", "train", 80.0, None),
    ("B", "lstm-a", "perplexity", "train", 70.0, None),
    ("B", "lstm-a", "perplexity", "validation", 140.0, None),
    ("A", "vit-a", "accuracy", "validation", 0.62, None),
    ("B", "vit-a", "accuracy", "validation", 0.63, None),
    ("A", "cnn-a", "accuracy", "test", 0.91, None),
    ("A", "vit-a", "gpu_memory", "train", 1800, "MiB"),
    ("B", "vit-a", "gpu_memory", "train", 1900, "MB"),
    ("A", "lstm-a", "seconds_per_epoch", "train", 35.5, "s"),
)


def beside(tmp_path, **facts):
    runs = [a_run("lstm-a", **facts), a_run("lstm-c"), a_run("vit-a"), a_run("cnn-a")]
    metrics = [
        *curve(runs[0], "train", "perplexity_published", 99, 78.0),
        *curve(runs[2], "validation", "accuracy_published", 0.1, 0.65),
    ]
    return study(tmp_path, runs, metrics, reports=FIGURES)


def row_of(table: pd.DataFrame, experiment: str, split: str, metric: str) -> pd.Series:
    (row,) = (
        row
        for name, row in table.iterrows()
        if (name, row["split"], row["metric"]) == (experiment, split, metric)
    )
    return row


def test_measured_scores_stand_beside_both_reports_with_their_differences(tmp_path):
    table = build("lstm-against-reports", beside(tmp_path))
    row = row_of(table, "lstm-a", "train", "perplexity")
    assert (row["measured"], row["A"], row["B"]) == (78, 80, 70)
    assert (row["difference to A"], row["difference to B"]) == (-2, 8)
    assert (row["nearer report"], row["difference to the nearer"]) == ("A", -2)
    assert row["spread of A and B"] == "inside"
    assert {*table.index} == {"lstm-a"}  # of lstm-c no report says anything


@pytest.mark.parametrize(
    ("scores", "spread", "nearer"),
    [
        ((0.62, 0.67), "outside, one or both within ±", "B"),  # of A's 62 and B's 63 %
        ((0.660, 0.661), "outside", "B"),
        ((0.600, 0.601), "outside", "A"),
        ((0.60, 0.65, 0.624), "inside", "A"),
    ],
)
def test_an_interval_that_reaches_a_report_is_told_from_one_that_does_not(
    tmp_path, scores, spread, nearer
):
    runs = [a_run("vit-a", seed) for seed in range(len(scores))]
    metrics = [
        row
        for run, score in zip(runs, scores, strict=True)
        for row in curve(run, "validation", "accuracy_published", 0.1, score)
    ]
    results = study(tmp_path, runs, metrics, reports=FIGURES)
    table = build("vit-against-reports", results)
    row = row_of(table, "vit-a", "validation", "accuracy")
    assert (row["spread of A and B"], row["nearer report"]) == (spread, nearer)


def test_a_report_that_alone_has_a_figure_is_the_nearer_one_if_there_is_a_measured_one(tmp_path):
    row = row_of(
        build("lstm-against-reports", beside(tmp_path)), "lstm-a", "validation", "perplexity"
    )
    assert row["B"] == 140
    assert pd.isna(row["measured"])
    assert pd.isna(row["nearer report"])
    assert pd.isna(row["spread of A and B"])


def test_a_run_of_other_epochs_than_the_others_shows_them_beside_the_reports(tmp_path):
    runs = [a_run("vit-a", epochs=2), a_run("vit-b", epochs=10)]
    metrics = [row for run in runs for row in curve(run, "validation", "accuracy_published", 0.5)]
    reports = [FIGURES, FIGURES.assign(experiment=FIGURES.experiment.replace("vit-a", "vit-b"))]
    results = study(tmp_path, runs, metrics, reports=pd.concat(reports))
    table = build("vit-against-reports", results)
    assert table.epochs.to_dict() == {"vit-a": 2, "vit-b": 10}


@pytest.mark.parametrize(("name", "run"), [("vit-against-reports", "lstm-1-adam"),
                                           ("lstm-against-reports", "vit-2-adamw")])  # fmt: skip
def test_without_a_run_of_the_family_nothing_stands_beside_the_reports(tmp_path, name, run):
    reports = pd.read_csv(ROOT / "resources/published.csv")
    family = run.partition("-")[0]
    score = "perplexity_published" if family == "lstm" else "accuracy_published"
    runs = [a_run(run)]
    metrics = curve(runs[0], "validation", score, 0.5)
    assert build(name, study(tmp_path, runs, metrics, reports=reports)).empty


def test_accuracies_beside_the_reports_are_in_per_cent(tmp_path):
    row = row_of(build("vit-against-reports", beside(tmp_path)), "vit-a", "validation", "accuracy")
    assert row["unit"] == "%"
    assert row["measured"] == pytest.approx(65)
    assert row["difference to A"] == pytest.approx(3)
    assert row["nearer report"] == "B"
    assert row["spread of A and B"] == "outside"


def test_published_cost_and_cnns_stand_beside_those_measured(tmp_path):
    inputs = beside(tmp_path)
    images = build("cnn-against-vit", inputs)
    assert images.loc["cnn-a", "A: test accuracy"] == 0.91
    assert images.loc["vit-a", "B: validation accuracy"] == 0.63
    memory = build("memory", inputs)
    assert memory.loc["vit-a", "A: GPU memory, process, nvidia-smi (MiB)"] == 1800
    assert memory.loc["vit-a", "B: GPU memory, how is not stated (MB)"] == 1900
    cost = build("wall-clock", inputs)
    assert cost.loc["lstm-a", "A: seconds per epoch (s)"] == 35.5


def test_published_figures_are_left_out_where_the_data_were_others(tmp_path):
    runs = [a_run("lstm-a", dataset="pydocs"), a_run("vit-a", dataset="digits")]
    inputs = study(tmp_path, runs, reports=FIGURES)
    words = build("lstm-against-reports", inputs)
    assert words["A"].isna().all()
    assert set(words["data"]) == {"pydocs"}
    for name in ("memory", "wall-clock", "cnn-against-vit"):
        shown = build(name, inputs)
        assert not [column for column in shown.columns if column.startswith(("A: ", "B: "))]


def test_the_published_figures_of_the_project_reach_the_tables(tmp_path):
    runs = [a_run("vit-2-adamw"), a_run("lstm-1-adamw"), a_run("cnn-resnet")]
    reports = pd.read_csv(ROOT / "resources/published.csv")
    inputs = study(tmp_path, runs, reports=reports)
    images = build("vit-against-reports", inputs)
    assert row_of(images, "vit-2-adamw", "validation", "accuracy")["A"] == pytest.approx(62.01)
    words = build("lstm-against-reports", inputs)
    assert row_of(words, "lstm-1-adamw", "train", "perplexity")["A"] == 81.39


# CNNs against vision transformers


def test_image_models_are_ordered_by_validation_accuracy_of_the_best_epoch(tmp_path):
    runs = [
        a_run("cnn-low", validation_accuracy_best=0.4, validation_accuracy_last=0.9),
        a_run("vit-high", validation_accuracy_best=0.8, validation_accuracy_last=0.1),
        # Diverged at once: no score. It comes last.
        a_run("cnn-none", status="diverged", diverged_step=1),
        a_run("cnn-middle", 1, validation_accuracy_best=0.9, test_accuracy_best=0.5),
        a_run("cnn-middle", 2, validation_accuracy_best=0.5, test_accuracy_best=0.7),
    ]
    table = build("cnn-against-vit", study(tmp_path, runs))
    assert list(table.index) == ["vit-high", "cnn-middle", "cnn-low", "cnn-none"]
    assert table.loc["cnn-middle", "validation accuracy, best epoch"] == pytest.approx(0.7)
    assert table.loc["cnn-middle", "test accuracy, best epoch"] == pytest.approx(0.6)


def test_image_models_meet_at_equal_epochs_and_equal_seconds(tmp_path):
    quick = a_run("vit-quick", epochs=9, epochs_trained=2, seconds_total=29.0,
                  parameters_trained=272_378)  # fmt: skip
    slow = a_run("cnn-slow", epochs=4, seconds_total=160.0)
    late = a_run("cnn-late", epochs=4, seconds_total=160.0)
    metrics = curve(quick, "validation", "accuracy", 0.2, 0.4)
    for run, factor in ((slow, 1.5), (late, 4)):
        rows = curve(run, "validation", "accuracy", 0.3, 0.5, 0.7, 0.9)
        metrics += [row | {"seconds": factor * row["seconds"]} for row in rows]
    table = build("cnn-against-vit", study(tmp_path, [quick, slow, late], metrics))
    epochs = table["validation accuracy after 2 epochs"]
    assert dict(epochs) == {"vit-quick": 0.4, "cnn-slow": 0.5, "cnn-late": 0.5}
    seconds = table["validation accuracy after 20 s"]
    assert seconds["vit-quick"] == 0.4  # where its curve ends; the whole run took longer
    assert seconds["cnn-slow"] == pytest.approx(0.3 + 0.2 * 5 / 15)  # between 15 and 30 s
    assert pd.isna(seconds["cnn-late"])  # its first epoch took longer
    assert table.loc["vit-quick", "parameters"] == 272_378
    assert table.loc["cnn-slow", "total s"] == 160


def test_image_models_of_which_a_seed_had_no_epoch_by_then_have_no_score(tmp_path):
    """The seeds that were ahead would stand for all."""
    quick, *slow = a_run("vit-quick"), a_run("cnn-slow", 1), a_run("cnn-slow", 2)
    metrics = curve(quick, "validation", "accuracy", *[0.1] * 100)  # until 1,000 seconds
    for run, factor in zip(slow, (50, 110), strict=True):
        rows = curve(run, "validation", "accuracy", 0.2, 0.4, 0.6)
        metrics += [row | {"seconds": factor * row["seconds"]} for row in rows]
    table = build("cnn-against-vit", study(tmp_path, [quick, *slow], metrics))
    seconds = table["validation accuracy after 1,000 s"]
    assert seconds["vit-quick"] == 0.1
    assert pd.isna(seconds["cnn-slow"])


def test_image_models_meet_at_equal_seconds_on_one_machine_only(tmp_path):
    runs = [a_run("vit-a"), a_run("cnn-b"), a_run("cnn-c", machine=OTHER_MACHINE)]
    metrics = [row for run in runs[:2] for row in curve(run, "validation", "accuracy", 0.2, 0.4)]
    metrics += curve(runs[2], "validation", "accuracy", 0.9)
    table = build("cnn-against-vit", study(tmp_path, runs, metrics))
    seconds = table["validation accuracy after 20 s"]
    assert seconds.dropna().to_dict() == {"vit-a": 0.4, "cnn-b": 0.4}


def test_image_models_of_both_kinds_meet_where_both_were_run(tmp_path):
    """Not where most were, if these are of one kind."""
    there = {"machine": OTHER_MACHINE}
    runs = [a_run("vit-a", 1), a_run("cnn-b", 1)]
    runs += [a_run(f"vit-{name}", 2, **{"model.depth": n}, **there) for n, name in enumerate("acd")]
    metrics = [row for run in runs for row in curve(run, "validation", "accuracy", 0.2, 0.4)]
    results = study(tmp_path, runs, metrics)
    table = build("cnn-against-vit", results)
    assert table["seconds of"].dropna().to_dict() == {"vit-a": HERE, "cnn-b": HERE}
    seconds = table["validation accuracy after 20 s"]
    assert seconds.dropna().to_dict() == {"vit-a": 0.4, "cnn-b": 0.4}


def test_what_is_compared_stands_with_the_seconds_of_one_machine(tmp_path):
    runs = in_two_places()
    metrics = [row for run in runs[:3] for row in curve(run, "validation", "accuracy", 0.2, 0.4)]
    metrics += curve(runs[3], "validation", "accuracy", 0.1, 0.2)
    for row in metrics[2:6]:
        row["seconds"] /= 10  # on the GPU
    inputs = study(tmp_path, runs, metrics)
    images = build("cnn-against-vit", inputs)
    assert images["total s"].to_dict() == {"vit-2-adamw": 20, "vit-2-sgd": 50}
    after = images["validation accuracy after 20 s"]
    assert after.to_dict() == {"vit-2-adamw": 0.4, "vit-2-sgd": 0.2}
    (change,) = tables.build("single-changes", inputs).to_dict("records")
    assert change["difference of total seconds"] == 30
    assert change["machine"] == HERE


def test_a_run_that_shared_its_gpu_sets_no_limit_and_has_no_time(tmp_path):
    alone, shared = a_run("vit-alone"), a_run("vit-shared", gpu_shared=True)
    metrics = curve(alone, "validation", "accuracy", 0.2, 0.4, 0.6)
    metrics += curve(shared, "validation", "accuracy", 0.2, 0.4)
    table = build("cnn-against-vit", study(tmp_path, [alone, shared], metrics))
    seconds = table["validation accuracy after 30 s"]
    assert seconds["vit-alone"] == 0.6
    assert pd.isna(seconds["vit-shared"])
    assert pd.isna(table["total s"]["vit-shared"])


def test_published_parameters_stand_beside_the_counted_ones(tmp_path):
    reports = pd.read_csv(ROOT / "resources/published.csv")
    runs = [a_run("cnn-resnet", parameters_trained=272_378), a_run("vit-6-adamw")]
    table = build("cnn-against-vit", study(tmp_path, runs, reports=reports))
    assert table["A: parameters"]["cnn-resnet"] == 272_378
    assert table["A: parameters"]["vit-6-adamw"] == 3_195_146
    assert "B: parameters" not in table


def test_attention_shows_formula_and_module(tmp_path):
    attention = pd.DataFrame(
        {"heads": [2, 2], "head_size": [8, 8], "width": [16, 16], "formula": [1088, 1088]}
    ).assign(module=[1088, 1087])
    table = tables.build(
        "attention-parameters", study(tmp_path, [a_run("vit-a")], attention=attention)
    )
    assert list(table["agrees"]) == ["yes", "no"]
    assert list(table["4·(d² + d)"]) == [1088, 1088]


# Over-fitting


def test_over_fitting_has_a_row_for_each_seed_with_its_verdict(tmp_path):
    runs = [a_run("vit-a", 1), a_run("vit-a", 2)]
    metrics = [
        row
        for run, last in zip(runs, (2.5, 2.0), strict=True)
        for split, values in (("train", (4, 3, 2, 1)), ("validation", (2.0, 2.2, 2.2, last)))
        for row in curve(run, split, "loss", *values)
    ]
    table = tables.build("over-fitting", study(tmp_path, runs, metrics))
    assert list(table.seed) == [1, 2]
    assert list(table.verdict) == ["over-fitted", "not over-fitted"]
    assert table["lasting rise of the loss (%)"][0] == pytest.approx(25)
    assert ">25.00<" in tables.to_html(table)
    assert list(table.columns[:3]) == ["experiment", "seed", "verdict"]


def test_families_stand_in_one_order(tmp_path):
    runs = [a_run(f"{family}-a") for family in ("cnn", "vit", "lstm")]
    metrics = [
        row for run in runs for s in ("train", "validation") for row in curve(run, s, "loss", 2, 1)
    ]
    metrics += [  # seven epochs end after 70 s
        row
        for run, score in zip(runs, ("accuracy", "accuracy", "perplexity"), strict=True)
        for row in curve(run, "validation", score, *range(1, 8))
    ]
    inputs = study(tmp_path, runs, metrics)
    for name in ("over-fitting", "wall-clock", "equal-time", "memory", "memory-predicted"):
        assert [*build(name, inputs).index] == ["lstm-a", "vit-a", "cnn-a"], name
    assert [*build("spent", inputs).index] == ["lstm-a", "vit-a", "cnn-a", "all runs"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("lstm-results", ["layers", "scores of", "epoch", "train perplexity"]),
        ("vit-results", ["layers", "norm", "scores of", "epoch", "train accuracy"]),
        ("cnn-against-vit", ["validation accuracy, best epoch", "test accuracy, best epoch"]),
        ("wall-clock", ["machine", "training s per epoch"]),
        ("memory-predicted", ["predicted peak (MiB)"]),
    ],
)
def test_results_come_first_and_notes_last(tmp_path, name, first):
    runs = [a_run("lstm-a"), a_run("vit-a"), a_run("cnn-a")]
    table = build(name, study(tmp_path, runs))
    assert [*table.columns[: len(first)]] == first
    assert "optimizer" in table.columns[-6:]


def test_departures_from_the_reports_data_are_named(tmp_path):
    runs = [
        a_run("lstm-a", **{"model.embedding": "learned"}, data_origin="mirrored"),
        a_run("lstm-b"),
        a_run("vit-a", data_origin="mirrored"),
        a_run("cnn-a", dataset="digits", data_origin="embedded"),
    ]
    assert dict(build("wall-clock", study(tmp_path, runs)).data) == {
        "lstm-a": "wikitext2 (mirrored), learned embedding", "lstm-b": "wikitext2",
        "vit-a": "cifar10 (mirrored)", "cnn-a": "digits",
    }  # fmt: skip


# Cost


def test_wall_clock_names_the_processor_or_the_gpu(tmp_path):
    runs = [
        a_run("vit-cpu", seconds_training=3.0, seconds_evaluating=1.0, throughput=2000.0),
        a_run("lstm-gpu", device="Fast GPU", threads=4),
    ]
    table = build("wall-clock", study(tmp_path, runs))
    assert table.loc["vit-cpu", "machine"] == "Abacus 9, 2 cores"
    assert table.loc["lstm-gpu", "machine"] == "Fast GPU"
    assert table.loc["lstm-gpu", "threads"] == "4"
    assert table.loc["vit-cpu", "unit"] == "images/s"
    assert table.loc["lstm-gpu", "unit"] == "tokens/s"
    assert table.loc["vit-cpu", "training s per epoch"] == 3
    assert table.loc["vit-cpu", "evaluating s per epoch"] == 1
    assert table.loc["vit-cpu", "throughput"] == 2000
    assert "compiling s" not in table


def test_of_each_machine_the_fastest_comes_first_and_times_are_those_of_one(tmp_path):
    runs = [
        a_run("vit-a", seconds_training=3.0),
        a_run("vit-b", 1, seconds_training=2.0, precision="bf16"),
        a_run("vit-b", 2, seconds_training=2.0, threads=2, precision="fp32"),
        a_run("vit-c", seconds_training=1.0, machine=OTHER_MACHINE),
        a_run("vit-d", 1, seconds_training=1.0, machine=OTHER_MACHINE),
        a_run("vit-d", 2, seconds_training=5.0),
    ]
    table = build("wall-clock", study(tmp_path, runs))
    assert table.loc["vit-d", "training s per epoch"] == 5
    assert table.machine.to_dict() == {
        "vit-b": "Abacus 9, 2 cores",
        "vit-a": "Abacus 9, 2 cores",
        "vit-d": "Abacus 9, 2 cores",
        "vit-c": "Babbage 1, 8 cores",
    }
    assert [*table.index] == ["vit-b", "vit-a", "vit-d", "vit-c"]
    assert table.threads["vit-b"] == "1"
    assert table.precision["vit-b"] == "bf16"


@pytest.mark.parametrize("name", ["wall-clock", "memory", "equal-time"])
def test_costs_are_of_as_many_seeds_as_were_run_in_one_place(tmp_path, name):
    memory = {"memory_resident": 2**30}
    runs = [
        a_run("vit-a", 1, **memory), a_run("vit-b", 1, **memory), a_run("vit-b", 2, **memory),
        a_run("vit-a", 2, **memory, machine=OTHER_MACHINE, resumes=1),
        a_run("vit-a", 3, device="NVIDIA H100", gpu_shared=True),
    ]  # fmt: skip
    metrics = [row for run in runs for row in curve(run, "validation", "accuracy", *[0.5] * 7)]
    table = build(name, study(tmp_path, runs, metrics))
    assert table.seeds.to_dict() == {"vit-a": 1, "vit-b": 2}
    assert table.interval.to_dict() == {"vit-a": "none, one seed", "vit-b": "95 %"}
    assert "resumed" not in table
    for where in {"device", "machine"} & {*table}:
        assert set(table[where]) <= {"Abacus 9, 2 cores", "Abacus 9, 2 cores, 1 thread"}


def test_memory_of_a_gpu_is_shown_though_most_seeds_had_none(tmp_path):
    gpu = {"device": "NVIDIA H100", "memory_allocated": 62 * 2**20}
    runs = [a_run("vit-a", 1), a_run("vit-a", 2), a_run("vit-a", 3, **gpu), a_run("vit-b", **gpu)]
    inputs = study(tmp_path, runs)
    for name, column in (
        ("memory", "GPU: allocated in tensors, peak (MiB)"),
        ("memory-predicted", "measured peak (MiB)"),
    ):
        assert build(name, inputs)[column].to_dict() == {"vit-a": 62, "vit-b": 62}


def test_memory_names_the_machines_that_its_numbers_are_of(tmp_path):
    runs = [
        a_run("vit-a", 1, memory_resident=2**30), a_run("vit-a", 2, memory_resident=2**30),
        a_run("vit-a", 3, memory_allocated=2**26, device="NVIDIA H100"),
        a_run("vit-b", memory_resident=2**30),
    ]  # fmt: skip
    machine = build("memory", study(tmp_path, runs)).machine
    assert machine["vit-a"] == "Abacus 9, 2 cores; NVIDIA H100"
    assert machine["vit-b"] == "Abacus 9, 2 cores"


def test_seconds_of_compiling_stand_apart_where_they_were_measured(tmp_path):
    inputs = study(tmp_path, [a_run("vit-a"), a_run("vit-b")])
    inputs.runs["seconds_compiling"] = [7.5, None]
    table = build("wall-clock", inputs)
    assert table.loc["vit-a", "compiling s"] == 7.5
    assert pd.isna(table.loc["vit-b", "compiling s"])


def test_on_a_cpu_memory_is_resident_and_that_of_a_gpu_predicted(tmp_path):
    runs = [a_run("vit-a", 1, memory_resident=2**30), a_run("vit-a", 2, memory_resident=3 * 2**30)]
    inputs = study(tmp_path, runs)
    table = build("memory", inputs)
    assert table.loc["vit-a", "main memory: whole process, peak (MiB)"] == 2048
    assert [column for column in table if "GPU" in column] == [
        "GPU: predicted peak of tensors (MiB)"
    ]
    assert table.loc["vit-a", "GPU: predicted peak of tensors (MiB)"] == 31
    predicted = build("memory-predicted", inputs)
    assert predicted.loc["vit-a", "optimizer state (MiB)"] == 4
    assert predicted.loc["vit-a", "predicted peak (MiB)"] == 31
    assert predicted.loc["vit-a", "measured"] == "no GPU"


def test_with_a_gpu_every_measure_has_its_name_and_the_prediction_its_error(tmp_path):
    runs = [
        a_run("vit-gpu", memory_allocated=62 * 2**20, memory_reserved=70 * 2**20,
              memory_process=500 * 2**20, memory_device=600 * 2**20, memory_resident=2**30),
        a_run("vit-cpu", memory_resident=2**30),
    ]  # fmt: skip
    inputs = study(tmp_path, runs)
    table = build("memory", inputs)
    row = table.loc["vit-gpu"]
    assert row["GPU: allocated in tensors, peak (MiB)"] == 62
    assert row["GPU: reserved by PyTorch, peak (MiB)"] == 70
    assert row["GPU: whole process, by the driver (MiB)"] == 500
    assert row["GPU: all processes (MiB)"] == 600
    assert pd.isna(table.loc["vit-cpu", "GPU: allocated in tensors, peak (MiB)"])
    predicted = build("memory-predicted", inputs).loc["vit-gpu"]
    assert predicted["measured peak (MiB)"] == 62
    assert predicted["difference of the predicted (%)"] == -50
    assert not [column for column in table if "predicted" in column]


# Divergence


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_diverged_run_is_a_row_with_a_mark(tmp_path, name):
    family = CONTENTS[name]["families"][0]
    runs = [
        a_run(f"{family}-wild", 1, status="diverged", diverged_step=2),
        a_run(f"{family}-wild", 2, status="diverged", diverged_step=5),
        a_run(f"{family}-wild", 3),
        a_run(f"{family}-tame"),
    ]
    table = build(name, study(tmp_path, runs))
    marks = table["diverged"]
    assert set(marks[marks.index == f"{family}-wild"]) == {"2 diverged"}
    assert set(marks[marks.index == f"{family}-tame"]) == {""}
    assert "2 diverged" in tables.to_html(table.reset_index())


def test_all_scores_of_a_row_are_of_the_seeds_that_finished(tmp_path):
    good = {"validation_accuracy_best": 0.9, "test_accuracy_best": 0.89, "best_epoch": 2}
    good["epochs"] = 2
    bad = {"validation_accuracy_best": 0.5, "best_epoch": 1, "status": "diverged"}
    runs = [a_run("vit-a", 1, **good), a_run("vit-a", 2, **bad, diverged_step=9)]
    metrics = [
        *curve(runs[0], "validation", "accuracy", 0.8, 0.9),
        *curve(runs[1], "validation", "accuracy", 0.5, 0.4),
    ]
    row = build("cnn-against-vit", study(tmp_path, runs, metrics)).loc["vit-a"]
    assert row["validation accuracy, best epoch"] == 0.9
    assert row["test accuracy, best epoch"] == 0.89
    assert row["validation accuracy after 2 epochs"] == 0.9
    rows = build("vit-results", study(tmp_path, runs, metrics))
    assert [*rows["validation accuracy"]] == [0.9]
    assert [*rows["epoch"]] == [2]
    assert {*rows.interval} == {"none, one seed"}
    assert {*rows.diverged} == {"1 diverged"}


@pytest.mark.parametrize("name", WITH_STATE)
def test_without_divergence_there_is_no_column_for_it(tmp_path, name):
    family = CONTENTS[name]["families"][0]
    assert "diverged" not in build(name, study(tmp_path, [a_run(f"{family}-a")]))


def test_runs_that_were_interrupted_are_marked_beside_their_times(tmp_path):
    runs = [
        a_run("vit-broken", 1, resumes=3),
        a_run("vit-broken", 2),
        a_run("vit-whole"),
    ]
    table = build("wall-clock", study(tmp_path, runs))
    assert table.loc["vit-broken", "resumed"] == "1 resumed"
    assert table.loc["vit-whole", "resumed"] == ""
    assert "resumed" not in build("wall-clock", study(tmp_path, runs[1:]))
    assert "resumed" not in build("memory", study(tmp_path, runs))


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_which_every_run_diverged_still_has_its_tables(tmp_path, name):
    runs = [a_run(f"{f}-a", status="diverged", diverged_step=1) for f in ("lstm", "vit", "cnn")]
    reports = pd.read_csv(ROOT / "resources/published.csv")
    fragment = tables.to_html(tables.build(name, study(tmp_path, runs, reports=reports)))
    assert fragment.startswith("<table>")
    if name in BY_EXPERIMENT:
        assert fragment.count("1 diverged") == len(CONTENTS[name]["families"])


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
        ("test loss (nat)", 0.012345, "0.0123"),
        ("validation accuracy", 0.6120, "61.20 %"),
        ("A: test accuracy", 1, "100.00 %"),
        ("test perplexity", math.nan, "–"),
        ("test perplexity", None, "–"),
        ("test perplexity", pd.NA, "–"),
        ("test perplexity", math.inf, "∞"),
        ("difference to A", 0.5, "+0.5"),
        ("difference to A", -2.0, "-2"),
        ("lasting rise of the loss (%)", 2.034, "2.03"),
        ("learning rate", 3e-4, "0.0003"),
    ],
)
def test_how_a_number_is_written(column, value, shown):
    fragment = tables.to_html(pd.DataFrame({column: pd.Series([value], dtype=object)}))
    assert re.search(rf'<td class="number"[^>]*>{re.escape(shown)}</td>', fragment)


def test_a_perplexity_beyond_all_numbers_does_not_stop_the_tables(tmp_path):
    run = a_run("lstm-a", train_perplexity_last=math.inf, train_loss_last=800.0)
    metrics = curve(run, "train", "perplexity", math.inf)
    metrics += curve(run, "train", "perplexity_published", math.inf)
    for name in ("lstm-results", "lstm-against-reports"):
        results = study(tmp_path, [run], metrics, reports=FIGURES[FIGURES.split == "validation"])
        fragment = tables.to_html(tables.build(name, results))
        assert fragment.count("∞") == 1
        assert 'data-value="Infinity"' in fragment


def shown(column: str, values: list, **others: list) -> list[str]:
    fragment = tables.to_html(pd.DataFrame({column: values, **others}))
    return re.findall(r'<td class="number"[^>]*>(.*?)</td>', fragment)


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([5.23, 5.5544, math.nan], ["5.230", "5.554", "–"]),
        ([5.2, 5.0], ["5.2", "5.0"]),
        ([144.63, 2173.959, 160.0], ["144.6", "2,174.0", "160.0"]),
        ([3e-4, 1e-3, 3e-3], ["0.0003", "0.0010", "0.0030"]),
        ([0.0, 0.0], ["0", "0"]),
    ],
)
def test_the_numbers_of_a_column_have_as_many_decimals(values, cells):
    assert shown("loss (nat)", values) == cells


def test_the_numbers_of_a_metric_have_as_many_decimals():
    metrics = ["loss", "perplexity", "loss"]
    assert shown("measured", [5.23, 144.63, 5.5544], metric=metrics) == ["5.230", "144.6", "5.554"]


def test_the_times_of_a_machine_have_as_many_decimals():
    machines = ["CPU", "GPU", "CPU, several versions of the code", "GPU", None]
    seconds = [180.22, 0.2454, 95.13, 0.2522, math.nan]
    for times in ("total s", "training s per epoch", "difference of total seconds"):
        sign = "+" if "difference" in times else ""
        expected = [f"{sign}{text}" for text in ("180.2", "0.245", "95.1", "0.252")]
        assert shown(times, seconds, machine=machines) == [*expected, "–"]
    # What no machine decides is of one column, as are the reports' seconds.
    for column in ("perplexity", "A: seconds per epoch (s)"):
        assert shown(column, seconds[:2], machine=machines[:2]) == ["180.22", "0.25"]


def test_half_an_interval_has_the_decimals_of_its_mean_and_none_is_shown_that_is_nothing():
    halves = {"loss (nat) ±": [0.01234, 0.0]}
    assert shown("loss (nat)", [5.2345, 5.5], **halves) == ["5.234 ± 0.012", "5.500"]
    halves = {"validation accuracy ±": [0.0123, math.nan]}
    assert shown("validation accuracy", [0.5, 0.6], **halves) == ["50.00 ± 1.23 %", "60.00 %"]


def test_differences_of_accuracies_are_in_points():
    table = pd.DataFrame({"difference of test accuracy": [0.04, -0.3]})
    table["difference of test accuracy ±"] = [0.1, math.nan]
    fragment = tables.to_html(table)
    assert ">difference of test accuracy (points)</th>" in fragment
    assert re.findall(r"<td [^>]*>(.*?)</td>", fragment) == ["+4.00 ± 10.00", "-30.00"]


def test_what_all_rows_share_is_said_once():
    table = pd.DataFrame({"experiment": ["a", "b"], "epochs": [10, 10], "seeds": [1, 1],
                          "optimizer": ["sgd", "adam"], "data": ["<x>", "<x>"]})  # fmt: skip
    fragment = tables.to_html(table)
    assert "<caption>All rows: epochs 10; data &lt;x&gt;; seeds 1.</caption>" in fragment
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', fragment)
    assert heads == ["experiment", "optimizer"]
    assert "<caption>" not in tables.to_html(table[:1])


def test_a_verdict_is_marked_by_its_first_word():
    verdict = "undecided (would be supported)"
    fragment = tables.to_html(pd.DataFrame({"statement": ["x"], "verdict": [verdict]}))
    assert '<td data-verdict="undecided">undecided (would be supported)</td>' in fragment


def test_rows_and_columns_of_the_fragment():
    fragment = tables.to_html(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert fragment.count("<tr>") == 3
    assert '<th scope="col" class="number">a</th><th scope="col">b</th>' in fragment
    assert fragment.index("<td>x</td>") < fragment.index("<td>y</td>")


def test_the_first_cell_names_its_row_if_it_is_text():
    fragment = tables.to_html(pd.DataFrame({"a": ["<x>", None], "b": ["y", "z"]}))
    assert '<tr><th scope="row">&lt;x&gt;</th><td>y</td></tr>' in fragment
    assert '<tr><th scope="row">–</th><td>z</td></tr>' in fragment
    assert "row" not in tables.to_html(pd.DataFrame({"a": [1], "b": ["y"]}))


def test_a_row_that_sums_up_stays_below_the_rows_that_sort():
    table = pd.DataFrame({"experiment": ["vit-a", "vit-b", "all runs"], "runs": [1, 2, 3]})
    body, foot = tables.to_html(table).split("</tbody>")
    assert "vit-b" in body
    assert "all runs" not in body
    assert '<tfoot>\n<tr><th scope="row">all runs</th>' in foot
    assert "<tfoot>" not in tables.to_html(table[:2])
