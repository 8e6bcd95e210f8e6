"""Claims on results made by hand: supported, contradicted, undecided, and why."""

import math
from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats

from results import OTHER_MACHINE, a_run, curve, frames
from trainstudy import claims, config, data, grids, records, tables
from trainstudy import quantities as named
from trainstudy.results import Results

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/claims.yaml"
DECLARED = config.checked(ROOT / "report/claims.yaml", SCHEMA)["claims"]
ACCURACY = "validation_accuracy_last"


def claim(**facts: object) -> dict:
    base = {"says": "A sentence.", "reports": ["A"], "of": ACCURACY, "runs": ["vit-a"]}
    return base | {"are": "greater", "than": ["vit-b"]} | facts


def study(tmp_path, **values: object) -> Results:
    """Return results in which run vit-<letter> has the given accuracies, one for each seed."""
    runs = [
        a_run(f"vit-{letter}", seed, **{ACCURACY: value})
        for letter, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    return frames(tmp_path, runs)


def decide(tmp_path, one: dict, **values: object) -> claims.Verdict:
    return claims.evaluate(one, study(tmp_path, **values))


# One seed


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(0.29, "supported"), (0.395, "undecided"), (0.41, "undecided"), (0.51, "contradicted")],
)
def test_less_by_so_much_is_decided_beyond_the_margin_on_either_side(tmp_path, ours, verdict):
    one = claim(are="less", by=0.2, margin=0.1, of="train_accuracy_last")
    runs = [a_run("vit-a", **{"train_accuracy_last": ours}),
            a_run("vit-b", **{"train_accuracy_last": 0.6})]  # fmt: skip
    assert claims.evaluate(one, frames(tmp_path, runs)).verdict == verdict


def test_a_margin_in_per_cent_is_of_what_is_compared_with(tmp_path):
    one = claim(are="less", margin="10 %", of="validation_perplexity_last", runs=["lstm-a"])
    for ours, verdict in ((90.5, "undecided"), (89.5, "supported")):
        runs = [a_run(name, validation_perplexity_last=value)
                for name, value in (("lstm-a", ours), ("lstm-b", 100.0))]  # fmt: skip
        found = claims.evaluate(one | {"than": ["lstm-b"]}, frames(tmp_path, runs))
        assert found.verdict == verdict


def test_what_is_missing_comes_before_what_departs(tmp_path):
    runs = [a_run("vit-a", dataset="digits", **{ACCURACY: 0.9})]
    assert claims.evaluate(claim(), frames(tmp_path, runs)).why == claims.NOT_RUN


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.66, "supported"), (0.54, "contradicted"), (0.63, "undecided"), (0.57, "undecided")],
)
def test_one_seed_is_decided_beyond_the_margin_and_what_it_leaves_to_chance(
    tmp_path, value, verdict
):
    left = 100 * 1.96 * math.sqrt((value * (1 - value) + 0.6 * 0.4) / 2_000)  # as so many images
    found = decide(tmp_path, claim(margin=0.005), a=[value], b=[0.6])
    assert found.verdict == verdict
    assert found.numbers == (
        f"Validation accuracy, last epoch: vit-a {100 * value:.2f} % against vit-b 60.00 % "
        f"(one seed, leaves ± {left:.1f} points to chance). Needed: higher by more than 0.5 points."
    )
    found = decide(tmp_path, claim(margin=0.005), a=[value], b=[0.6, 0.6])
    assert f"(one seed of vit-a, leaves ± {left:.1f} points to chance)" in found.numbers


def test_the_fewest_images_decide_what_is_left_to_chance(tmp_path):
    on_digits = {"dataset": "digits"}
    for split, count in (("validation", 143), ("test", 359)):
        score = f"{split}_accuracy_best"
        runs = [a_run("vit-a", **{score: 0.9}), a_run("vit-b", **on_digits, **{score: 0.8})]
        (tmp_path / split).mkdir()
        found = claims.evaluate(claim(of=score), frames(tmp_path / split, runs))
        half = 100 * 1.96 * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / count)
        assert f"{count} images leave ± {half:.1f} points to chance" in found.numbers


def test_seeds_that_agree_do_not_decide_what_the_images_leave_to_chance(tmp_path):
    alike = decide(tmp_path, claim(margin=0.005), a=[0.61, 0.61], b=[0.6, 0.6])
    assert alike.verdict == "undecided"
    assert "(the same with every seed; 5,000 images leave ± 1.9 points to chance)" in alike.numbers
    near = decide(tmp_path, claim(), a=[0.611, 0.612], b=[0.6, 0.601])
    assert near.verdict == "undecided"
    assert (
        "(95 % interval of the difference +0.80 to +1.40 points; 5,000 images leave ± 1.9 points "
        "to chance)"
    ) in near.numbers
    far = decide(tmp_path, claim(), a=[0.7, 0.7], b=[0.6, 0.6])
    assert far.verdict == "supported"


def test_a_level_has_the_chance_of_one_share(tmp_path):
    found = decide(tmp_path, claim(than=0.7), a=[0.71])
    assert found.verdict == "undecided"
    assert "leaves ± 2.0 points to chance" in found.numbers  # 1.96 √(0.71 · 0.29 / 2,000)
    found = decide(tmp_path, claim(than=0.7), a=[0.71, 0.71])
    assert "5,000 images leave ± 1.3 points to chance" in found.numbers


@pytest.mark.parametrize(
    ("one", "first", "second"),
    [
        (claim(of="train_accuracy_last"), 0.61, 0.6),
        (claim(of="validation_loss_last", are="less"), 1.0, 1.1),
    ],
)
def test_only_accuracies_of_held_out_images_have_it(tmp_path, one, first, second):
    runs = [a_run("vit-a", **{one["of"]: first}), a_run("vit-b", **{one["of"]: second})]
    found = claims.evaluate(one, frames(tmp_path, runs))
    assert found.verdict == "supported"
    assert "(one seed, no interval)" in found.numbers


def test_a_data_set_that_does_not_say_how_many_images_it_holds_out_leaves_nothing_to_chance(
    tmp_path, monkeypatch
):
    monkeypatch.delattr(data.find("cifar10"), "HELD_OUT")
    found = decide(tmp_path, claim(margin=0.005), a=[0.61], b=[0.6])
    assert found.verdict == "supported"


def test_a_claimed_lead_has_to_be_reached(tmp_path):
    leads = claim(by=0.2)
    assert decide(tmp_path, leads, a=[0.85], b=[0.6]).verdict == "supported"
    assert decide(tmp_path, leads, a=[0.75], b=[0.6]).verdict == "contradicted"
    falls = claim(by=0.2, are="less")
    assert decide(tmp_path, falls, a=[0.35], b=[0.6]).verdict == "supported"
    assert decide(tmp_path, falls, a=[0.45], b=[0.6]).verdict == "contradicted"


def test_a_margin_may_be_a_share_of_the_second_value(tmp_path):
    one = claim(margin="10 %")
    assert decide(tmp_path, one, a=[0.59], b=[0.5]).verdict == "supported"
    assert decide(tmp_path, one, a=[0.57], b=[0.5]).verdict == "undecided"


# Several seeds


def test_the_interval_of_the_difference_decides(tmp_path):
    narrow, wide = [0.700, 0.701, 0.702], [0.60, 0.70, 0.80]
    assert decide(tmp_path, claim(), a=narrow, b=[0.600, 0.601, 0.602]).verdict == "supported"
    assert decide(tmp_path, claim(), a=[0.600, 0.601, 0.602], b=narrow).verdict == "contradicted"
    found = decide(tmp_path, claim(), a=wide, b=[0.60, 0.65, 0.70])
    assert found.verdict == "undecided"
    low, high = stats.ttest_ind(wide, [0.60, 0.65, 0.70], equal_var=False).confidence_interval()
    assert f"difference {100 * low:+.2f} to {100 * high:+.2f} points" in found.numbers


def test_a_number_is_compared_with_the_interval_of_the_mean(tmp_path):
    level = claim(than=0.7)
    assert decide(tmp_path, level, a=[0.80, 0.81, 0.82]).verdict == "supported"
    assert decide(tmp_path, level, a=[0.60, 0.61, 0.62]).verdict == "contradicted"
    assert decide(tmp_path, level, a=[0.60, 0.71, 0.82]).verdict == "undecided"


# Orders and equality


def test_an_order_holds_when_every_step_does(tmp_path):
    rising = claim(runs=["vit-a", "vit-b", "vit-c"], are="increasing", margin=0.01)
    del rising["than"]
    assert decide(tmp_path, rising, a=[0.5], b=[0.6], c=[0.7]).verdict == "supported"
    assert decide(tmp_path, rising, a=[0.5], b=[0.6], c=[0.605]).verdict == "undecided"
    found = decide(tmp_path, rising, a=[0.5], b=[0.6], c=[0.4])
    assert found.verdict == "contradicted"
    assert "vit-c 40.00 % against vit-b 60.00 %" in found.numbers
    assert "vit-a" not in found.numbers  # that step did not contradict
    downhill = decide(tmp_path, rising, a=[0.6], b=[0.5], c=[0.4])
    assert downhill.numbers.count("one seed") == 1
    falling = rising | {"are": "decreasing"}
    assert decide(tmp_path, falling, a=[0.7], b=[0.6], c=[0.5]).verdict == "supported"
    assert decide(tmp_path, falling, a=[0.5], b=[0.6], c=[0.7]).verdict == "contradicted"


def test_equal_without_a_margin_is_said_so(tmp_path):
    found = decide(tmp_path, claim(are="equal", margin=0), a=[0.5], b=[0.5])
    assert found.numbers.endswith("Needed: equal.")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        # 5,000 images leave ± 1.6 points to chance, one seed 2.6.
        ({"a": [0.770, 0.770], "b": [0.770, 0.770]}, "supported"),
        ({"a": [0.770], "b": [0.770]}, "undecided"),
        ({"a": [0.770], "b": [0.810]}, "undecided"),
        ({"a": [0.770], "b": [0.820]}, "contradicted"),
        ({"a": [0.770, 0.771, 0.772], "b": [0.773, 0.774, 0.775]}, "supported"),
        ({"a": [0.770, 0.771, 0.772], "b": [0.70, 0.78, 0.84]}, "undecided"),
    ],
)
def test_equal_means_within_the_margin(tmp_path, values, verdict):
    same = claim(runs=["vit-a", "vit-b"], are="equal", margin=0.02)
    del same["than"]
    assert decide(tmp_path, same, **values).verdict == verdict


def test_equality_is_of_all_with_each_other_and_those_farthest_apart_are_told(tmp_path):
    same = claim(of="memory_predicted", runs=["vit-a", "vit-b", "vit-c", "vit-d"], are="equal")
    del same["than"]
    for margin, verdict in (("3 %", "contradicted"), ("6 %", "supported")):
        runs = [a_run(name) for name in same["runs"]]
        totals = zip(same["runs"], (2**20 * mib for mib in (100, 97.5, 102.5, 100)), strict=True)
        predicted = pd.DataFrame(totals, columns=["experiment", "total"])
        results = frames(tmp_path, runs, predicted=predicted)
        found = claims.evaluate(same | {"margin": margin}, results)
        assert found.verdict == verdict
    assert "farthest apart of 6: vit-c 102.5 MiB against vit-b 97.5 MiB." in found.numbers


@pytest.mark.parametrize(("others", "of"), [([0.61, 0.62], "1 of 3"), ([], "1 of 1")])
def test_a_diverged_run_is_named_and_counts_only_where_no_other_finished(tmp_path, others, of):
    runs = [a_run("vit-b", seed, validation_accuracy_last=0.5 + seed / 100) for seed in (1, 2)]
    runs += [a_run("vit-a", s, validation_accuracy_last=v) for s, v in enumerate(others)]
    runs.append(a_run("vit-a", 9, validation_accuracy_last=0.1, status="diverged"))
    found = claims.evaluate(claim(), frames(tmp_path, runs))
    assert f"Diverged: vit-a ({of} run" in found.numbers
    assert found.verdict == ("supported" if others else "contradicted")


def test_of_many_comparisons_all_have_to_hold_and_the_closest_is_told(tmp_path):
    ahead = claim(runs=["vit-a", "vit-b"], than=["vit-c", "vit-d"])
    found = decide(tmp_path, ahead, a=[0.9], b=[0.8], c=[0.5], d=[0.7])
    assert found.verdict == "supported"
    assert found.numbers.startswith(
        "Validation accuracy, last epoch, closest of 4: vit-b 80.00 % against vit-d 70.00 %"
    )
    assert decide(tmp_path, ahead, a=[0.9], b=[0.6], c=[0.5], d=[0.7]).verdict == "contradicted"


# What is missing


def test_a_run_that_is_missing_leaves_a_claim_open_and_is_named(tmp_path):
    found = decide(tmp_path, claim(), a=[0.9])
    assert (found.verdict, found.why) == ("undecided", claims.NOT_RUN)
    assert (found.numbers, found.data) == ("Not run: vit-b.", "cifar10")
    assert decide(tmp_path, claim(runs=["vit-x"], than=["vit-y"]), a=[0.9]).data == "–"


def test_what_runs_there_are_may_contradict_all_the_same(tmp_path):
    ahead = claim(than=["vit-b", "vit-c"])
    assert decide(tmp_path, ahead, a=[0.5], b=[0.9]).verdict == "contradicted"
    assert decide(tmp_path, ahead, a=[0.9], b=[0.5]).verdict == "undecided"


def test_a_figure_that_was_not_measured_leaves_a_claim_open(tmp_path):
    found = decide(tmp_path, claim(of="memory_process"), a=[0.9], b=[0.5])
    assert found.verdict == "undecided"
    assert found.numbers == "Not measured (GPU memory of the whole process): vit-a, vit-b."


def test_the_first_quantity_that_every_run_has_is_compared(tmp_path):
    runs = [
        a_run("vit-a", memory_allocated=3 * 2**20, memory_process=4 * 2**20),
        a_run("vit-b", memory_allocated=2 * 2**20),
    ]
    more = claim(of=["memory_process", "memory_allocated"])
    found = claims.evaluate(more, frames(tmp_path, runs))
    assert found.verdict == "supported"
    assert found.numbers.startswith("Peak of GPU memory allocated in tensors: vit-a 3 MiB against")


def test_predicted_memory_and_over_fitting_can_be_claimed(tmp_path):
    runs = [a_run("vit-a"), a_run("vit-b")]
    rows = [
        row
        for run, last in zip(runs, (2.5, 2.0), strict=True)
        for split, values in (("train", (4, 3, 2, 1)), ("validation", (2.0, 2.1, 2.2, last)))
        for row in curve(run, split, "loss", *values)
    ]
    predicted = pd.DataFrame({"experiment": ["vit-a", "vit-b"], "total": [2**21, 2**20]})
    results = frames(tmp_path, runs, rows, predicted=predicted)
    larger = claims.evaluate(claim(of="memory_predicted"), results)
    assert larger.verdict == "supported"
    assert larger.numbers == (
        "Predicted peak of GPU memory: vit-a 2 MiB against vit-b 1 MiB. Needed: higher."
    )
    risen = claims.evaluate(claim(of="rise", than=0.02), results)
    assert risen.verdict == "supported"
    assert "vit-a 25.00 % against 2.00 %" in risen.numbers
    jumped = claims.evaluate(claim(of="rise", runs=["vit-b"], than=0.02), results)
    assert jumped.verdict == "contradicted"  # its last epoch is as low as its first
    assert "Rise of the validation loss since its lowest, three or more epochs" in risen.numbers


def test_other_data_than_those_of_the_reports_decide_nothing_and_say_what_they_would(tmp_path):
    runs = [
        a_run(f"vit-{letter}", dataset="digits", **{ACCURACY: value})
        for letter, value in (("a", 0.9), ("b", 0.5))
    ]
    found = claims.evaluate(claim(), frames(tmp_path, runs))
    assert (found.verdict, found.would, found.why) == ("undecided", "supported", claims.ELSEWHERE)
    assert str(found) == "undecided (would be supported)"
    assert found.data == "digits"
    assert found.numbers.endswith("Undecided: measured on digits, which no report used.")


def test_an_embedding_that_was_learned_decides_nothing(tmp_path):
    score = "validation_perplexity_last"
    runs = [
        a_run("lstm-a", **{score: 100.0, "model.embedding": "learned"}),
        a_run("lstm-b", **{score: 150.0}),
    ]
    less = claim(of=score, runs=["lstm-a"], are="less", than=["lstm-b"])
    found = claims.evaluate(less, frames(tmp_path, runs))
    assert str(found) == "undecided (would be supported)"
    assert found.numbers.endswith("Undecided: learned embedding, not GPT-1's: lstm-a.")
    assert found.data == "wikitext2, wikitext2, learned embedding"


def test_a_claim_about_data_of_its_own_does_not_ask_for_the_embedding_of_the_reports(tmp_path):
    score = "validation_perplexity_last"
    values = {"lstm-a": 100.0, "lstm-b": 150.0}
    runs = [a_run(n, **{score: v, "model.embedding": "learned"}) for n, v in values.items()]
    less = claim(of=score, runs=["lstm-a"], are="less", than=["lstm-b"], dataset="wikitext2")
    assert claims.evaluate(less, frames(tmp_path, runs)).verdict == "supported"


def test_a_mirror_decides_and_is_named(tmp_path):
    runs = [
        a_run(f"vit-{letter}", data_origin="mirrored", **{ACCURACY: value})
        for letter, value in (("a", 0.9), ("b", 0.5))
    ]
    found = claims.evaluate(claim(), frames(tmp_path, runs))
    assert (found.verdict, found.data) == ("supported", "cifar10 (mirrored)")


@pytest.mark.parametrize(
    ("epochs", "short"),
    [
        (3, None),
        ({"runs": 3}, None),
        (10, "3 epochs instead of 10: vit-a, vit-b"),
        ({"runs": 180, "than": 3}, "3 epochs instead of 180: vit-a"),
        ({"runs": 3, "than": 10}, "3 epochs instead of 10: vit-b"),
    ],
)
def test_after_other_epochs_than_the_claim_speaks_of_nothing_is_decided(tmp_path, epochs, short):
    found = decide(tmp_path, claim(epochs=epochs), a=[0.9], b=[0.5])
    assert str(found) == ("undecided (would be supported)" if short else "supported")
    assert not short or found.numbers.endswith(f"Undecided: {short}.")


def test_a_run_that_stopped_early_was_not_trained_for_as_many_epochs(tmp_path):
    runs = [
        a_run("vit-a", epochs=50, epochs_trained=7, **{ACCURACY: 0.9}),
        a_run("vit-b", epochs=50, epochs_trained=50, **{ACCURACY: 0.5}),
    ]
    found = claims.evaluate(claim(epochs=50), frames(tmp_path, runs))
    assert str(found) == "undecided (would be supported)"
    assert found.numbers.endswith("Undecided: 7 epochs instead of 50: vit-a.")


@pytest.mark.parametrize("margin", [0, "1 %"])
def test_every_perplexity_is_below_one_beyond_all_numbers(tmp_path, margin):
    runs = [a_run("vit-a", validation_perplexity_last=144.0),
            a_run("vit-b", validation_perplexity_last=math.inf)]  # fmt: skip
    less = claim(of="validation_perplexity_last", are="less", margin=margin)
    found = claims.evaluate(less, frames(tmp_path, runs))
    assert found.verdict == "supported"
    assert "(one seed, no interval)" in found.numbers
    (tmp_path / "seeds").mkdir()
    seeds = frames(tmp_path / "seeds", runs + [run | {"seed": 1} for run in runs])
    assert "(not finite, no interval)" in claims.evaluate(less, seeds).numbers


# What the numbers say in words


def test_what_is_the_same_with_every_seed_has_no_interval(tmp_path):
    runs = [a_run(f"vit-{x}", seed, parameters_trained=n, memory_allocated=n * 2**20)
            for x, n in (("a", 1_086_730), ("b", 272_378)) for seed in (1, 2)]  # fmt: skip
    results = frames(tmp_path, runs)
    smaller = claims.evaluate(claim(of="parameters_trained", are="less"), results)
    assert smaller.verdict == "contradicted"
    assert smaller.numbers == (
        "Trained parameters: vit-a 1,086,730 against vit-b 272,378. Needed: lower."
    )
    memory = claims.evaluate(claim(of="memory_allocated"), results)
    assert "1,086,730 MiB against vit-b 272,378 MiB (the same with every seed)" in memory.numbers


@pytest.mark.parametrize(
    ("facts", "needed"),
    [
        ({"by": 0.15, "margin": 0.005}, "higher by more than 15 points and a margin of 0.5 points"),
        ({"are": "less", "margin": "2 %"}, "lower by more than 2 %"),
        ({"are": "equal", "margin": 0.01}, "at most 1 point apart"),
        ({"by": 0.2, "margin": "2 %"}, "higher by more than 20 points and a margin of 2 %"),
    ],
)
def test_what_was_needed_is_said(tmp_path, facts, needed):
    found = decide(tmp_path, claim(**facts), a=[0.7], b=[0.6])
    assert found.numbers.endswith(f"Needed: {needed}.")


# Times


def timed(tmp_path, seconds: dict[str, list[float]], **facts: object) -> Results:
    runs = [
        a_run(f"vit-{letter}", seed, seconds_training=value, **facts)
        for letter, seeds in seconds.items()
        for seed, value in enumerate(seeds)
    ]
    return frames(tmp_path, runs)


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(8.33, "supported"), (8.34, "undecided"), (11.9, "undecided"), (12.0, "contradicted")],
)
def test_times_of_one_seed_decide_from_20_per_cent_of_the_shorter_on(tmp_path, seconds, verdict):
    faster = claim(of="seconds_training", are="less", margin="1 %")
    results = timed(tmp_path, {"a": [seconds], "b": [10.0]})
    found = claims.evaluate(faster, results)
    assert found.verdict == verdict
    assert "with one seed less than 20 % decides nothing" in found.numbers
    # The same sentence, said of the other one.
    slower = {**faster, "are": "greater", "runs": ["vit-b"], "than": ["vit-a"]}
    assert claims.evaluate(slower, results).verdict == verdict


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ({"are": "greater", "than": ["vit-b"]}, "undecided"),
        ({"are": "less", "than": ["vit-b"]}, "undecided"),
        ({"are": "equal", "margin": 0}, "supported"),
    ],
)
def test_a_tie_is_neither_more_nor_less(tmp_path, kind, verdict):
    runs = [a_run(name, parameters_trained=1_000) for name in ("vit-a", "vit-b")]
    tie = {"says": "x", "of": "parameters_trained", "runs": ["vit-a", "vit-b"]} | kind
    tie["runs"] = tie["runs"][: 2 if kind["are"] == "equal" else 1]
    assert claims.evaluate(tie, frames(tmp_path, runs)).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.8, "undecided"), (0.4, "undecided")])
def test_a_difference_of_just_what_is_claimed_is_no_more_than_that(tmp_path, value, verdict):
    """The loss, of which nothing is left to chance: 0.6 and 0.2 beyond it."""
    score = "validation_loss_last"
    runs = [a_run("vit-a", **{score: value + 0.2}), a_run("vit-b", **{score: 0.5})]
    leads = claim(of=score, by=0.3, margin=0.2)
    assert claims.evaluate(leads, frames(tmp_path, runs)).verdict == verdict


def test_a_run_that_diverged_departs_from_no_epochs(tmp_path):
    runs = [
        a_run("vit-a", status="diverged", epochs=10, epochs_trained=2, **{ACCURACY: 0.1}),
        a_run("vit-b", epochs=10, epochs_trained=10, **{ACCURACY: 0.6}),
    ]
    found = claims.evaluate(claim(epochs=10), frames(tmp_path, runs))
    assert found.verdict == "contradicted"
    assert "instead of" not in found.numbers
    assert "Diverged: vit-a (1 of 1 run)." in found.numbers


def test_equal_times_need_several_seeds(tmp_path):
    same = claim(of="seconds_training", are="equal", margin="3 %")
    found = claims.evaluate(same, timed(tmp_path, {"a": [10.0], "b": [10.0]}))
    assert (found.verdict, found.why) == ("undecided", claims.TOO_CLOSE)
    seeds = {"a": [10.0, 10.01, 10.02], "b": [10.01, 10.02, 10.03]}
    found = claims.evaluate(same, timed(tmp_path, seeds))
    assert found.verdict == "supported"
    assert "20 %" not in found.numbers


@pytest.mark.parametrize(
    "elsewhere",
    [{"machine": OTHER_MACHINE}, {"device": "NVIDIA H100"}, {"threads": 2}],
    ids=lambda facts: next(iter(facts)),
)
def test_times_of_several_machines_decide_nothing(tmp_path, elsewhere):
    runs = [a_run("vit-a", seconds_training=5.0), a_run("vit-b", seconds_training=10.0)]
    less = claim(of="seconds_training", are="less")
    assert claims.evaluate(less, frames(tmp_path, runs)).verdict == "supported"
    found = claims.evaluate(less, frames(tmp_path, [runs[0], runs[1] | elsewhere]))
    assert (found.verdict, found.would, found.why) == (
        "undecided", "supported", claims.MACHINES
    )  # fmt: skip
    assert "Undecided: measured on several machines: Abacus 9, 2 cores, 1 thread; " in found.numbers


def test_times_are_of_the_machine_where_all_of_a_claim_were_run(tmp_path):
    gpu = {"device": "NVIDIA H100"}
    runs = [
        a_run("vit-a", 1, seconds_training=5.0), a_run("vit-b", 1, seconds_training=10.0),
        *(a_run("vit-a", seed, seconds_training=0.5, **gpu) for seed in (2, 3)),
    ]  # fmt: skip
    found = claims.evaluate(claim(of="seconds_training", are="less"), frames(tmp_path, runs))
    assert found.verdict == "supported"
    assert "vit-a 5 s against vit-b 10 s" in found.numbers
    assert found.numbers.endswith("Measured on Abacus 9, 2 cores, 1 thread.")


def test_costs_by_several_versions_of_the_code_are_compared_and_it_is_said(tmp_path):
    def numbers(column="seconds_training", **changes):
        runs = [
            a_run("vit-a", seconds_training=5.0, code="1"),
            a_run("vit-b", seconds_training=10.0, code="2") | changes,
        ]
        found = claims.evaluate(claim(of=column, are="less"), frames(tmp_path, runs))
        return found.verdict, "By several versions of the code." in found.numbers

    assert numbers() == ("supported", True)
    assert numbers(code="1") == ("supported", False)
    assert numbers("validation_accuracy_last")[1] is False  # no cost
    # A family has code of its own.
    assert numbers(family="cnn") == ("supported", False)


def test_memory_of_several_gpus_decides_nothing(tmp_path):
    runs = [
        a_run("vit-a", memory_process=2**30, device="NVIDIA H100"),
        a_run("vit-b", memory_process=2**31, device="NVIDIA H200"),
    ]
    found = claims.evaluate(claim(of="memory_process", are="less"), frames(tmp_path, runs))
    assert (found.verdict, found.why) == ("undecided", claims.MACHINES)
    assert found.would == "supported"


def test_on_one_gpu_threads_do_not_matter(tmp_path):
    runs = [
        a_run(f"vit-{name}", seconds_training=seconds, threads=threads, device="NVIDIA H100")
        for name, seconds, threads in (("a", 5.0, 1), ("b", 10.0, 16))
    ]
    less = claim(of="seconds_training", are="less")
    assert claims.evaluate(less, frames(tmp_path, runs)).verdict == "supported"


def test_runs_in_different_precision_decide_and_it_is_named(tmp_path):
    runs = [
        a_run("vit-a", precision="bf16", **{ACCURACY: 0.9}),
        a_run("vit-b", precision="fp32", **{ACCURACY: 0.8}),
    ]
    found = claims.evaluate(claim(), frames(tmp_path, runs))
    assert found.verdict == "supported"
    assert found.numbers.endswith("Computed in bf16 and fp32.")


def test_what_is_no_time_may_come_from_several_machines(tmp_path):
    scores = {"vit-a": 0.9, "vit-b": 0.8}
    runs = [a_run(name, validation_accuracy_last=score) for name, score in scores.items()]
    runs[1]["machine"] = OTHER_MACHINE
    found = claims.evaluate(
        claim(of="validation_accuracy_last", are="greater"), frames(tmp_path, runs)
    )
    assert found.verdict == "supported"


def test_scores_after_a_time_need_one_machine(tmp_path):
    runs = [a_run("vit-a"), a_run("vit-b", machine=OTHER_MACHINE)]
    curves = [
        row
        for run, scores in zip(runs, ([0.5] * 9, [0.4] * 9), strict=True)
        for row in curve(run, "validation", "accuracy", *scores)
    ]
    after = claim(of="validation_accuracy_after_60_s", are="greater")
    found = claims.evaluate(after, frames(tmp_path, runs, curves))
    assert (found.verdict, found.would) == ("undecided", "supported")
    assert "times of equal runs differ by up to 20 %, which is not allowed for" in found.numbers


def test_times_and_memory_of_runs_that_shared_a_gpu_decide_nothing(tmp_path):
    shared = timed(tmp_path, {"a": [5.0], "b": [10.0]}, gpu_shared=True, memory_allocated=2**30)
    for quantity in ("seconds_training", "memory_allocated"):
        found = claims.evaluate(claim(of=quantity, are="less"), shared)
        assert (found.verdict, found.why) == ("undecided", claims.NOT_RUN)
    assert shared.facts.validation_accuracy_after_60_s.isna().all()


def test_a_score_can_be_compared_as_the_reports_have_theirs(tmp_path):
    """By their estimator, of the last epoch."""
    run = a_run("vit-a", validation_accuracy_last=0.5)
    metrics = curve(run, "validation", "accuracy_published", 0.9, 0.8)
    one = claim(of="validation_accuracy_published_last", are="equal", than=0.8, margin=0.02)
    found = claims.evaluate(one, frames(tmp_path, [run], metrics))
    assert found.numbers.startswith(
        "Validation accuracy by the reports' estimator, last epoch: vit-a 80.00 % against 80.00 %"
    )


# The declared claims


def test_the_table_has_a_row_for_each_claim(tmp_path):
    results = frames(tmp_path, [a_run("vit-2-adamw")], claims=DECLARED)
    table = tables.build("claims", results)
    assert list(table.claim) == list(DECLARED)
    assert list(table.columns[:2]) == ["statement", "verdict"]
    assert set(table.verdict) == {"undecided"}
    assert len(table) >= 20
    assert {"A", "B", "A and B", ""} == set(table.report)


SEEDS = (1, 2)  # of equal figures, which have no spread: no report gives one


def resolved() -> dict[str, dict]:
    """Return the settings of every experiment of the study."""
    file = ROOT / "config.yaml"
    everything = {"select": ["core", "longer", "cnn", "ablation", "beyond"]}
    return config.resolve(yaml.safe_load(file.read_text()) | everything, [file], SCHEMA.parent)


@pytest.mark.parametrize("report", ["A", "B"])
def test_no_report_is_contradicted_by_its_own_figures(tmp_path, report):
    """The sentences say what the published figures say, not more."""
    published = pd.read_csv(ROOT / "resources/published.csv")
    columns = {"seconds_per_epoch": "seconds_training", "gpu_memory": "memory_process"}
    runs: dict[str, dict] = {}
    settings = resolved()
    for row in published[published.report == report].itertuples():
        facts = runs.setdefault(row.experiment, {})
        if row.metric in columns:
            facts[columns[row.metric]] = (
                int(row.value) * 2**20 if row.metric == "gpu_memory" else row.value
            )
        elif row.metric == "parameters":
            facts["parameters_trained"] = int(row.value)
        else:
            for epoch in ("last", "best"):
                facts[f"{row.split}_{row.metric}_{epoch}"] = row.value
    rows = [
        row
        for name, facts in runs.items()
        for split in ("train", "validation")
        for metric, known in (("loss", "loss"), ("accuracy_published", "accuracy"))
        if f"{split}_{known}_last" in facts
        for seed in SEEDS
        for row in curve(a_run(name, seed), split, metric, facts[f"{split}_{known}_last"])
    ]
    if "vit-2-adam" in runs:  # "every 2-layer ViT"
        runs["vit-2-adamw"]["parameters_trained"] = 1_086_730
    results = frames(
        tmp_path,
        [
            a_run(name, seed, epochs=settings[name]["epochs"], **facts)
            for name, facts in runs.items()
            for seed in SEEDS
        ],
        rows,
    )
    own = {name: one for name, one in DECLARED.items() if report in one.get("reports", [])}
    verdicts = {name: claims.evaluate(one, results).verdict for name, one in own.items()}
    assert "contradicted" not in verdicts.values(), verdicts
    undecided = {name for name, verdict in verdicts.items() if verdict == "undecided"}
    told = {name for name in own if "would leave this undecided" in own[name].get("note", "")}
    # Of the networks after ten epochs, which have as many parameters, no report says anything.
    assert undecided - {"cnn-fewer-parameters"} <= told


def test_the_experiments_that_claims_name_are_those_of_the_study():
    written = yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"]
    declared = grids.expanded(written)
    for one in DECLARED.values():
        than = one.get("than", [])
        assert {*one["runs"], *(than if isinstance(than, list) else [])} <= {*declared}


def test_the_epochs_that_claims_take_for_granted_are_those_of_the_study():
    settings = resolved()
    for name, one in DECLARED.items():
        for run, epochs in claims._epochs(one).items():
            assert settings[run]["epochs"] == epochs, (name, run)


def test_every_claim_about_a_score_says_after_how_many_epochs():
    for name, one in DECLARED.items():
        ending = str(one["of"]).rpartition("_")[2]
        assert (ending in ("last", "best", "rise")) == ("epochs" in one), name


def test_a_note_is_told_behind_the_statement(tmp_path):
    own = {"mine": claim(note="By hearsay."), "other": claim()}
    results = frames(tmp_path, [a_run("vit-a")], claims=own)
    assert [*tables.build("claims", results).statement] == [
        "A sentence. (By hearsay.)", "A sentence.",
    ]  # fmt: skip


def test_every_quantity_has_a_name_in_words():
    quantities = yaml.safe_load(SCHEMA.read_text())["$defs"]["quantity"]["enum"]
    words = {named.words(quantity) for quantity in quantities}
    assert len(words) == len(quantities)
    assert not [text for text in words if "_" in text]


def test_every_quantity_of_the_schema_is_there(tmp_path):
    quantities = yaml.safe_load(SCHEMA.read_text())["$defs"]["quantity"]["enum"]
    rows = [
        row for s in ("train", "validation") for row in curve(a_run("vit-a"), s, "loss", 2.0, 1.0)
    ]
    facts = frames(tmp_path, [a_run("vit-a")], rows).facts
    assert {*quantities} <= {*facts.columns}
    assert {*records.SCORES} <= {*quantities}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"of": "validation_acuracy_last"}, "Did you mean 'validation_accuracy_last'?"),
        ({"of": ["validation_acuracy_last"]}, "Did you mean 'validation_accuracy_last'?"),
        ({"are": "bigger"}, "'bigger' is not possible. Possible: decreasing, equal, greater"),
        ({"report": ["A"]}, "unknown key. Did you mean 'reports'?"),
        ({"than": None}, "claims.mine"),
        ({"are": "equal"}, "the key 'margin' is missing"),
        ({"are": "increasing", "runs": ["vit-a", "vit-b"]}, "no meaning beside the others"),
        ({"margin": "two percent"}, "'two percent' is no margin; write a number, or a share such"),
        (
            {"of": ["parameters_trained", "validation_accuracy_last"], "than": 50},
            "claims.mine.than: accuracies are shares of 1; write 0.5 for 50 %.",
        ),
        ({"than": 50}, "claims.mine.than: accuracies are shares of 1; write 0.5 for 50 %."),
        ({"than": "vit-b"}, "'vit-b' is neither a number nor a list; write [vit-b]."),
        ({"reports": []}, "claims.mine.reports"),
        ({"epochs": 0}, "claims.mine.epochs"),
        ({"epochs": {"run": 10}}, "unknown key. Did you mean 'runs'?"),
        ({"epochs": {"than": 10}, "than": 0.5}, "claims.mine.epochs.than"),
    ],
)
def test_a_mistake_in_the_file_is_explained_with_its_place(tmp_path, change, message):
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump({"claims": {"mine": claim(**change)}}))
    with pytest.raises(config.ConfigError) as caught:
        config.checked(file, SCHEMA)
    assert message in str(caught.value)
    assert "claims.yaml, line" in str(caught.value)


def test_a_claim_may_be_about_data_of_ones_own(tmp_path):
    runs = [
        a_run(f"vit-{letter}", dataset="digits", **{ACCURACY: value})
        for letter, value in (("a", 0.9), ("b", 0.5))
    ]
    results = frames(tmp_path, runs)
    assert claims.evaluate(claim(dataset="digits"), results).verdict == "supported"
    theirs = claims.evaluate(claim(), results)
    assert str(theirs) == "undecided (would be supported)"
    assert theirs.numbers.endswith("Undecided: measured on digits, which no report used.")
    other = claims.evaluate(claim(dataset="cifar10"), results)
    assert other.numbers.endswith("Undecided: measured on digits, not on cifar10.")


def test_what_greater_needs_is_asked_for(tmp_path):
    file = tmp_path / "claims.yaml"
    one = claim()
    del one["than"]
    file.write_text(yaml.safe_dump({"claims": {"mine": one}}))
    with pytest.raises(config.ConfigError, match="the key 'than' is missing"):
        config.checked(file, SCHEMA)
