"""Single changes, pre- against post-norm, equal times and cost: tables over several settings."""

import math

import pandas as pd
import pytest
from scipy import stats

from results import OTHER_MACHINE, a_run, curve, frames
from trainstudy import comparisons, tables


def with_scores(name: str, accuracy: float, seed: int = 42, **facts) -> dict:
    return a_run(
        name, seed, validation_accuracy_best=accuracy, test_accuracy_best=accuracy - 0.01, **facts
    )


def test_a_change_is_told_with_both_values_and_starts_from_the_plain_experiment(tmp_path):
    runs = pd.DataFrame(
        [
            a_run("vit-z", label_smoothing=0.0, epochs=3),
            a_run("vit-a", label_smoothing=0.1, epochs=3),
            a_run("vit-b", label_smoothing=0.0, epochs=9),
            a_run("vit-c", label_smoothing=0.1, epochs=9, batch_size=32),
        ]
    )
    found = comparisons.changes(frames(tmp_path, runs.to_dict("records")).runs)
    assert [(one.setting, one.values, one.plain, one.changed) for one in found] == [
        ("epochs", ("3", "9"), "vit-z", "vit-b"),
        ("label_smoothing", ("0", "0.1"), "vit-z", "vit-a"),
    ]


def test_a_schedule_is_one_change_and_nothing_is_none(tmp_path):
    plain = {"schedule.name": "none", "schedule.warmup_epochs": 0.0}
    runs = [
        a_run("vit-a", **plain),
        a_run("vit-b", **{"schedule.name": "cosine", "schedule.warmup_epochs": 5.0}),
        a_run("vit-c", **plain, gradient_clipping=1.0),
    ]
    found = comparisons.changes(frames(tmp_path, runs).runs)
    assert {(one.setting, one.values) for one in found} == {
        ("schedule", ("name none, warmup_epochs 0", "name cosine, warmup_epochs 5")),
        ("gradient_clipping", ("none", "1")),
    }


def test_other_data_are_no_change_of_a_setting(tmp_path):
    runs = [a_run("vit-a"), a_run("vit-b", dataset="digits")]
    assert comparisons.changes(frames(tmp_path, runs).runs) == []


def test_an_experiment_under_two_names_is_one_and_turns_no_change_round(tmp_path):
    runs = [a_run("vit-plain"), a_run("vit-high", **{"optimizer.lr": 0.01})]
    again = runs[1] | {"experiment": "vit-higher"}
    (one,) = comparisons.changes(frames(tmp_path, [*runs, again, a_run("vit-z", epochs=9)]).runs)[
        1:
    ]
    assert (one.plain, one.changed, one.values) == ("vit-plain", "vit-high", ("0.001", "0.01"))


def test_of_equal_experiments_the_one_with_more_finished_runs_is_shown(tmp_path):
    runs = [with_scores("vit-plain", 0.6, seed) for seed in (1, 2)]
    runs.append(with_scores("vit-y", 0.1, label_smoothing=0.1, status="diverged"))
    runs += [with_scores("vit-z", 0.65, seed, label_smoothing=0.1) for seed in (1, 2)]
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["with"] == "vit-z"
    assert row["difference of validation accuracy"] == pytest.approx(0.05)


def test_experiments_that_agree_in_all_are_no_change(tmp_path):
    assert comparisons.changes(frames(tmp_path, [a_run("vit-a"), a_run("vit-b")]).runs) == []


def test_what_a_change_brought_has_an_interval_over_seeds(tmp_path):
    plain, changed = [0.60, 0.62, 0.61], [0.66, 0.70, 0.65]
    runs = [with_scores("vit-a", value, seed) for seed, value in enumerate(plain)]
    runs += [
        with_scores("vit-b", value, seed, label_smoothing=0.1, seconds_total=20.0)
        for seed, value in enumerate(changed)
    ]
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["change"] == "label_smoothing: none → 0.1"
    assert (row["without"], row["with"]) == ("vit-a", "vit-b")
    difference = "difference of validation accuracy"
    assert row["validation accuracy without"] == pytest.approx(0.61)
    assert row[difference] == pytest.approx(0.06)
    low, high = stats.ttest_ind(changed, plain, equal_var=False).confidence_interval()
    assert row[f"{difference} ±"] == pytest.approx((high - low) / 2)
    assert row["difference of total seconds"] == pytest.approx(8.0)


def test_seeds_of_a_change_that_diverged_are_counted(tmp_path):
    runs = [with_scores("vit-a", 0.6, seed) for seed in (1, 2)]
    runs += [with_scores("vit-b", 0.7, seed, label_smoothing=0.1) for seed in (1, 2, 3)]
    runs[-1] |= {"status": "diverged", "validation_accuracy_best": 0.1}
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["diverged"] == "vit-b (1 of 3)"
    assert row["difference of validation accuracy"] == pytest.approx(0.1)
    assert row["difference of total seconds"] == 0


@pytest.mark.parametrize("elsewhere", [{"machine": OTHER_MACHINE}, {"threads": 2}], ids=str)
def test_seconds_of_two_machines_have_no_difference(tmp_path, elsewhere):
    changed = with_scores("vit-b", 0.7, label_smoothing=0.1, **elsewhere)
    (row,) = tables.build(
        "single-changes", frames(tmp_path, [with_scores("vit-a", 0.6), changed])
    ).to_dict("records")
    assert row["difference of validation accuracy"] == pytest.approx(0.1)
    assert "difference of total seconds" not in row


def test_a_language_model_has_its_perplexity_per_added_second(tmp_path):
    runs = [
        a_run("lstm-a", validation_perplexity_best=120.0, seconds_total=100.0),
        a_run("lstm-b", validation_perplexity_best=90.0, seconds_total=121.0, carry_state=True),
    ]
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["difference of validation perplexity"] == -30
    assert row["perplexity per added second"] == -30 / 21
    assert "validation accuracy without" not in row


def test_a_perplexity_that_rose_is_not_set_against_seconds(tmp_path):
    runs = [
        a_run("lstm-a", validation_perplexity_best=90.0, seconds_total=100.0),
        a_run("lstm-b", validation_perplexity_best=120.0, seconds_total=300.0, carry_state=True),
    ]
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["difference of validation perplexity"] == 30
    assert "perplexity per added second" not in row


def test_post_norm_is_a_change_of_pre_norm_whichever_takes_part_in_more_pairs(tmp_path):
    post = {"model.norm": "post"}
    runs = [
        a_run("vit-a", **post),
        a_run("vit-b"),
        a_run("vit-c", **post, label_smoothing=0.1),
        a_run("vit-d", **post, epochs=9),
    ]
    found = comparisons.changes(frames(tmp_path, runs).runs)
    norms = [(one.values, one.plain, one.changed) for one in found if one.setting == "model.norm"]
    assert norms == [(("pre", "post"), "vit-b", "vit-a")]


@pytest.mark.parametrize(
    "seconds", [[119.9], [101.0, 130.0]], ids=["within the spread of times", "wide interval"]
)
def test_no_perplexity_is_set_against_seconds_that_chance_may_have_added(tmp_path, seconds):
    runs = []
    for seed, added in enumerate(seconds):
        runs += [
            a_run("lstm-a", seed, validation_perplexity_best=120.0, seconds_total=100.0 + seed),
            a_run(
                "lstm-b", seed, validation_perplexity_best=90.0, seconds_total=added,
                carry_state=True,
            ),
        ]  # fmt: skip
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["difference of total seconds"] > 0
    assert ("difference of total seconds ±" in row) == (len(seconds) > 1)
    assert "perplexity per added second" not in row


def test_seconds_of_runs_that_shared_a_gpu_are_left_out(tmp_path):
    runs = [
        with_scores("vit-a", 0.6, gpu_shared=True),
        with_scores("vit-b", 0.7, label_smoothing=0.1),
    ]
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["difference of validation accuracy"] == pytest.approx(0.1)
    assert "difference of total seconds" not in row


def test_a_seed_on_another_machine_keeps_no_seconds_from_the_others(tmp_path):
    runs = [
        with_scores("vit-a", 0.6, seconds_total=10.0),
        a_run("vit-a", 43, validation_accuracy_best=0.6, seconds_total=10.0),
        a_run(
            "vit-a", 44, validation_accuracy_best=0.6, seconds_total=99.0, machine=OTHER_MACHINE
        ),
        with_scores("vit-b", 0.7, label_smoothing=0.1, seconds_total=30.0),
    ]  # fmt: skip
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["difference of total seconds"] == 20


def test_norms_stand_side_by_side_by_depth_and_rate(tmp_path):
    post = {"model.norm": "post", "model.depth": 12}
    runs = [
        with_scores("vit-pre", 0.7, **{"model.depth": 12}),
        a_run("vit-post", status="diverged", diverged_step=351, **post),
        with_scores("vit-other", 0.6, **{"optimizer.lr": 0.1}),
    ]
    metrics = [
        *curve(runs[0], "train", "gradient_norm_largest", 2.0, 5.0, 3.0),
        *curve(runs[1], "train", "gradient_norm_largest", 400.0),
    ]
    (row,) = tables.build("norm-stability", frames(tmp_path, runs, metrics)).to_dict("records")
    assert (row["layers"], row["learning rate"], row["epochs"]) == (12, 0.001, 3)
    assert row["pre-norm: best validation accuracy"] == 0.7
    assert row["pre-norm: largest gradient norm"] == 5
    assert row["pre-norm: outcome"] == "finished"
    assert row["post-norm: largest gradient norm"] == 400
    assert row["post-norm: outcome"] == "1 of 1 diverged (step 351)"
    assert pd.isna(row["post-norm: best validation accuracy"])


def test_pairs_of_norms_in_another_precision_have_a_row_of_their_own_that_names_it(tmp_path):
    runs = [
        with_scores(f"vit-{norm}-{precision}", 0.7, **{"model.norm": norm, "precision": precision})
        for norm in ("pre", "post")
        for precision in ("bf16", "fp32")
    ]
    table = tables.build("norm-stability", frames(tmp_path, runs)).set_index("precision")
    assert dict(table.experiments) == {
        "bf16": "vit-post-bf16, vit-pre-bf16", "fp32": "vit-post-fp32, vit-pre-fp32"
    }  # fmt: skip


def test_runs_with_equal_settings_and_other_names_are_one_in_the_table_of_norms(tmp_path):
    runs = [
        with_scores("vit-pre", 0.7), with_scores("vit-again-pre", 0.6),
        with_scores("vit-pre", 0.5, seed=43), with_scores("vit-again-pre", 0.6, seed=43),
        a_run("vit-post", status="diverged", diverged_step=9, **{"model.norm": "post"}),
        with_scores("vit-again-post", 0.6, **{"model.norm": "post"}),
    ]  # fmt: skip
    (row,) = tables.build("norm-stability", frames(tmp_path, runs)).to_dict("records")
    # Two seeds of two equal runs each are two values and no more: 0.65 and 0.55.
    assert row["pre-norm: best validation accuracy"] == pytest.approx(0.6)
    half = stats.t.ppf(0.975, 1) * 0.05
    assert row["pre-norm: best validation accuracy ±"] == pytest.approx(half)
    assert row["post-norm: best validation accuracy"] == 0.6
    assert row["post-norm: outcome"] == "1 of 2 diverged (step 9)"
    assert {*row["experiments"].split(", ")} == {run["experiment"] for run in runs}


def test_a_run_that_diverged_is_in_no_difference(tmp_path):
    runs = [
        with_scores("vit-a", 0.6),
        with_scores("vit-b", 0.7, label_smoothing=0.1),
        a_run(
            "vit-b", 43, validation_accuracy_best=0.1, status="diverged", seconds_total=0.1,
            label_smoothing=0.1,
        ),
    ]  # fmt: skip
    (row,) = tables.build("single-changes", frames(tmp_path, runs)).to_dict("records")
    assert row["difference of validation accuracy"] == pytest.approx(0.1)
    assert row["difference of total seconds"] == 0


def test_a_change_of_which_every_run_diverged_says_so_and_saves_no_seconds(tmp_path):
    runs = [
        with_scores("vit-a", 0.6, seconds_total=300.0),
        with_scores("vit-b", 0.3, label_smoothing=0.1, status="diverged", seconds_total=40.0),
        with_scores("vit-c", 0.7, epochs=20, seconds_total=600.0),
    ]
    table = tables.build("single-changes", frames(tmp_path, runs)).set_index("with")
    assert table.diverged["vit-b"] == "vit-b"
    assert table["difference of validation accuracy"]["vit-b"] == pytest.approx(-0.3)
    assert pd.isna(table["difference of total seconds"]["vit-b"])
    assert pd.isna(table.diverged["vit-c"])
    assert table["difference of total seconds"]["vit-c"] == 300


def test_tables_of_changes_may_be_empty(tmp_path):
    results = frames(tmp_path, [a_run("vit-a")])
    assert len(tables.build("single-changes", results)) == 0
    assert len(tables.build("norm-stability", results)) == 0


def test_scores_after_equal_times_are_read_off_the_curves(tmp_path):
    # Epoch e ends after 10·e seconds: one minute is epoch 6, five minutes are epoch 30.
    fast, short = a_run("vit-fast"), a_run("vit-short")
    language, diverged = a_run("lstm-a"), a_run("vit-gone", status="diverged")
    metrics = [
        *curve(fast, "validation", "accuracy", *(0.01 * epoch for epoch in range(1, 41))),
        *curve(short, "validation", "accuracy", *(0.02 * epoch for epoch in range(1, 8))),
        *curve(language, "validation", "perplexity", *(100.0 - epoch for epoch in range(1, 8))),
        *curve(diverged, "validation", "accuracy", *([0.9] * 40)),
    ]
    results = frames(tmp_path, [fast, short, language, diverged], metrics)
    table = tables.build("equal-time", results)
    assert [*table.experiment] == ["lstm-a", "vit-fast", "vit-short"]
    table = table.set_index("experiment")
    assert table["accuracy after 1 min"]["vit-fast"] == pytest.approx(0.06)
    assert table["accuracy after 1 min"]["vit-short"] == pytest.approx(0.12)
    assert table["accuracy after 5 min"]["vit-fast"] == pytest.approx(0.30)
    assert pd.isna(table["accuracy after 5 min"]["vit-short"])
    assert table["perplexity after 1 min"]["lstm-a"] == pytest.approx(94)
    assert "accuracy after 10 min" not in table
    facts = results.facts.set_index("experiment")
    assert facts.validation_accuracy_after_300_s["vit-fast"] == pytest.approx(0.30)


def test_equal_times_are_ranked_on_each_machine(tmp_path):
    runs = [a_run("vit-a"), a_run("vit-b"), a_run("vit-c", machine=OTHER_MACHINE)]
    metrics = [
        row
        for run, score in zip(runs, (0.5, 0.6, 0.7), strict=True)
        for row in curve(run, "validation", "accuracy", *([score] * 7))
    ]
    table = tables.build("equal-time", frames(tmp_path, runs, metrics))
    assert [*table.experiment] == ["vit-b", "vit-a", "vit-c"]


def test_equal_times_of_several_seeds_have_an_interval(tmp_path):
    runs = [a_run("vit-a", seed) for seed in (1, 2)]
    metrics = [
        row
        for run, low in zip(runs, (0.5, 0.6), strict=True)
        for row in curve(run, "validation", "accuracy", *([low] * 7))
    ]
    (row,) = tables.build("equal-time", frames(tmp_path, runs, metrics)).to_dict("records")
    assert row["accuracy after 1 min"] == pytest.approx(0.55)
    half = stats.t.ppf(0.975, 1) * math.sqrt(0.005 / 2)
    assert row["accuracy after 1 min ±"] == pytest.approx(half)


def test_cost_adds_up_over_seeds_and_experiments(tmp_path):
    runs = [
        a_run("vit-a", 1, seconds_total=1800.0, threads=2),
        a_run("vit-a", 2, seconds_total=3600.0, threads=2),
        a_run("vit-b", 1, seconds_total=40.0, threads=4, device="NVIDIA H100", energy=9000.0),
    ]
    table = tables.build("spent", frames(tmp_path, runs)).set_index("experiment")
    assert table["CPU core-hours"].tolist()[0] == 3
    assert table["GPU seconds"]["vit-b"] == 40
    assert table["GPU energy (kJ)"]["vit-b"] == 9
    assert pd.isna(table["GPU energy (kJ)"]["vit-a"])
    assert pd.isna(table["CPU core-hours"]["vit-b"])
    total = table.loc["all runs"]
    assert (total.runs, total["CPU core-hours"], total["GPU seconds"]) == (3, 3, 40)
    assert table.machine["vit-a"] == "Abacus 9, 2 cores"
    assert "shared a GPU" not in table


def test_energy_says_of_how_many_runs_it_is_not(tmp_path):
    runs = [
        a_run("vit-a", 1, device="NVIDIA H100", energy=9000.0, gpu_shared=False),
        a_run("vit-a", 2, device="NVIDIA H100", gpu_shared=True),
        a_run("vit-b", 1),
    ]
    table = tables.build("spent", frames(tmp_path, runs)).set_index("experiment")
    assert table["GPU energy (kJ)"]["vit-a"] == 9
    assert table["shared a GPU"].to_dict() == {
        "vit-a": "1 shared a GPU", "vit-b": "", "all runs": "",
    }  # fmt: skip


def test_runs_that_reach_no_budget_have_no_row(tmp_path):
    short = a_run("vit-short")
    metrics = curve(short, "validation", "accuracy", 0.1, 0.2)
    assert tables.build("equal-time", frames(tmp_path, [short], metrics)).empty


def test_cost_holds_compiling_and_the_energy_of_all_seeds(tmp_path):
    card = {"device": "NVIDIA H100", "energy": 9000.0, "seconds_total": 30.0}
    runs = [a_run("vit-a", seed, **card, seconds_compiling=12.0) for seed in (1, 2)]
    table = tables.build("spent", frames(tmp_path, runs)).set_index("experiment")
    assert table["GPU seconds"]["vit-a"] == 84
    assert table["GPU energy (kJ)"]["vit-a"] == 18


def test_seeds_that_had_ended_by_then_leave_none(tmp_path):
    """The slowest alone would stand for all, and be the worst of them."""
    quick, slow, diverged = (a_run("vit-a", seed) for seed in (1, 2, 3))
    metrics = [row for run in (quick, slow) for row in
               curve(run, "validation", "accuracy", *(i / 100 for i in range(1, 11)))]  # fmt: skip
    for row in metrics[:10]:
        row["seconds"] /= 2  # ends after 50 seconds
    runs = [quick, slow, diverged | {"status": "diverged"}]
    table = tables.build("equal-time", frames(tmp_path, runs, metrics))
    assert table.empty
    alone = tables.build("equal-time", frames(tmp_path, runs[1:], metrics[10:]))
    assert alone["accuracy after 1 min"].tolist() == [0.06]


def test_of_perplexities_after_equal_times_the_lowest_comes_first(tmp_path):
    runs = [a_run("lstm-a"), a_run("lstm-b"), a_run("lstm-c")]
    metrics = [
        row
        for run, score in zip(runs, (90.0, 80.0, 100.0), strict=True)
        for row in curve(run, "validation", "perplexity", *([score] * 7))
    ]
    table = tables.build("equal-time", frames(tmp_path, runs, metrics))
    assert [*table.experiment] == ["lstm-b", "lstm-a", "lstm-c"]
