"""The sentences at the top of the page say what the results say."""

import math

import pandas as pd
import pytest

from results import HERE, OTHER_MACHINE, a_run, curve, frames, in_two_places, published, sizes
from trainstudy import data, figures, summary

LSTM = {"validation_perplexity_best": 150.0, "test_perplexity_best": 140.0, "best_epoch": 3}
VIT = {"validation_accuracy_best": 0.6, "test_accuracy_best": 0.59, "best_epoch": 7}


@pytest.fixture
def sentences(tmp_path):
    """Return the paragraphs as plain text, the one about numbers first."""

    def write(*runs: dict, metrics=(), reports=None, declared: int = 24) -> list[str]:
        results = frames(tmp_path, list(runs), list(metrics), reports)
        return [text.striptags() for text in summary.sentences(results, declared)]

    return write


def test_declared_and_diverged_runs_are_counted(sentences):
    runs = [
        a_run("vit-a", 1, **VIT),
        a_run("vit-a", 2, **VIT),
        a_run("vit-b", 1, status="diverged"),
    ]
    assert sentences(*runs)[0] == (
        "2 of 24 declared experiments are here, in 3 runs (seeds 1, 2; 1 experiment with all of "
        "these). Diverged: vit-b."
    )
    again = a_run("vit-b", 2, **VIT)
    assert "Diverged: vit-b (1 of 2 runs)." in sentences(*runs, again)[0]
    assert sentences(a_run("vit-a", 7, **VIT), declared=1)[0] == (
        "1 of 1 declared experiments are here, in 1 run (seed 7)."
    )


def test_the_lowest_perplexity_and_the_highest_accuracy_generalise_best(sentences):
    runs = [
        a_run("lstm-a", **LSTM),
        a_run(
            "lstm-b", **LSTM | {"validation_perplexity_best": 120.25, "test_perplexity_best": 130}
        ),
        a_run("vit-a", **VIT),
        a_run("vit-b", **VIT | {"validation_accuracy_best": 0.5, "test_accuracy_best": 0.9}),
    ]
    _, lstm, vit = sentences(*runs)
    assert "lstm-b generalises best: validation perplexity 120.2 at epoch 3, test 130." in lstm
    assert "vit-a generalises best: validation accuracy 60.00 % at epoch 7, test 59.00 %." in vit


def test_seeds_count_by_their_mean(sentences):
    runs = [
        a_run("vit-a", 1, **VIT | {"validation_accuracy_best": 0.9, "test_accuracy_best": 0.8}),
        a_run("vit-a", 2, **VIT | {"validation_accuracy_best": 0.1, "test_accuracy_best": 0.2}),
        a_run("vit-b", 1, **VIT | {"validation_accuracy_best": 0.6}),
        a_run("vit-b", 2, **VIT | {"validation_accuracy_best": 0.7}),
    ]
    text = sentences(*runs)[1]
    best = "vit-b generalises best (one other may be as good):"  # the seeds of vit-a are far apart
    assert f"{best} validation accuracy 65.00 %, test 59.00 %" in text
    assert "(means of 2 seeds, best epoch of each)" in text


def test_what_the_number_of_images_leaves_to_chance_is_as_good(sentences):
    scores = {"vit-a": 0.585, "vit-b": 0.62, "vit-c": 0.592}  # one seed leaves 3.0 points
    runs = [a_run(n, **VIT | {"validation_accuracy_best": s}) for n, s in scores.items()]
    assert "vit-b generalises best (one other may be as good): " in sentences(*runs)[1]


def test_perplexities_of_one_seed_are_equal_within_the_margin_of_the_claims(sentences):
    scores = {"lstm-a": 100.0, "lstm-b": 100.9, "lstm-c": 101.1}
    runs = [a_run(n, **LSTM | {"validation_perplexity_best": s}) for n, s in scores.items()]
    assert "lstm-a generalises best (one other may be as good): " in sentences(*runs)[1]


def test_intervals_that_reach_a_report_are_counted(sentences):
    runs = [a_run(name, seed, **VIT) for name in ("vit-a", "vit-b") for seed in (1, 2)]
    reports = published(
        ("A", "vit-a", "accuracy", "validation", 0.62, ""),
        ("A", "vit-b", "accuracy", "validation", 0.62, ""),
    )
    scores = (0.60, 0.61, 0.600, 0.6001)
    metrics = [row for run, score in zip(runs, scores, strict=True) for row in rows_of(run, score)]
    text = sentences(*runs, metrics=metrics, reports=reports)[1]
    assert "A 62.00 %; the 95 % intervals of 1 hold a report's figure." in text


def test_perplexities_beyond_all_numbers_are_equal(sentences):
    run = LSTM | {"validation_perplexity_best": math.inf}
    runs = [a_run(name, **run) for name in ("lstm-a", "lstm-b")]
    reports = published(("A", "lstm-a", "perplexity", "validation", 100.0, ""))
    metrics = curve(runs[0], "validation", "perplexity_published", math.inf)
    text = sentences(*runs, metrics=metrics, reports=reports)[1]
    assert "lstm-a generalises best (one other may be as good): validation perplexity ∞" in text
    assert "is ∞ % from the nearer report" in text


def test_a_diverged_run_is_never_the_best_or_the_fastest(sentences):
    wild = VIT | {"validation_accuracy_best": 0.99, "seconds_training": 0.1, "status": "diverged"}
    text = sentences(a_run("vit-a", **VIT, seconds_training=2.0), a_run("vit-b", **wild))[1]
    assert "vit-a reaches validation accuracy" in text
    assert "An epoch of vit-a takes 2 s." in text
    assert sentences(a_run("vit-b", **wild))[1] == "Vision transformers. No run finished."


def test_the_fastest_and_the_slowest_are_named(sentences):
    times = {"vit-a": 1.5, "vit-b": 0.90864, "vit-c": 123.4}
    runs = [a_run(name, **VIT, seconds_training=seconds) for name, seconds in times.items()]
    text = sentences(*runs)[1]
    assert "vit-b trains fastest, 0.9086 s per epoch; vit-c is slowest, 123.4 s." in text


def test_where_no_run_that_the_reports_timed_has_seconds_the_others_are_told(sentences):
    runs = [
        a_run("vit-a", **VIT, seconds_training=2.0, gpu_shared=True),
        a_run("vit-own", **VIT, seconds_training=5.0),
    ]
    reports = published(("A", "vit-a", "seconds_per_epoch", "train", 18.0, "s"))
    assert "An epoch of vit-own takes 5 s." in sentences(*runs, reports=reports)[1]


def test_epochs_of_other_data_are_no_faster_or_slower(sentences):
    times = {"vit-a": 30.0, "vit-b": 20.0, "vit-c": 0.3}
    runs = [a_run(name, **VIT, seconds_training=seconds) for name, seconds in times.items()]
    text = sentences(*runs[:2], runs[2] | {"dataset": "digits"})[1]
    quickest = "Of those on cifar10, vit-b trains fastest, 20 s per epoch; vit-a is slowest, 30 s."
    assert quickest in text
    shared = [run | {"gpu_shared": True} for run in runs[:2]]
    assert "No run on cifar10 was timed." in sentences(*shared, runs[2] | {"dataset": "digits"})[1]


def test_what_may_be_as_fast_is_counted_beside_the_fastest(sentences):
    times = {"vit-a": 1.0, "vit-b": 0.9, "vit-c": 1.07, "vit-d": 1.1}  # 1.08 is a fifth more
    runs = [a_run(name, **VIT, seconds_training=seconds) for name, seconds in times.items()]
    quickest = "vit-b trains fastest, 0.9 s per epoch (2 others may be as fast, up to 1.07 s)"
    slowest = "vit-d is slowest, 1.1 s, or perhaps 2 others."
    assert f"{quickest}; {slowest}" in sentences(*runs)[1]
    seeds = [run | {"seed": 2} for run in runs]  # the same again: no doubt is left
    assert "vit-b trains fastest, 0.9 s per epoch; vit-d is slowest" in sentences(*runs, *seeds)[1]
    both = "vit-a trains fastest, 1 s per epoch (one other may be as fast, up to 1.07 s)."
    assert both in sentences(runs[0], runs[2])[1]


@pytest.mark.parametrize("elsewhere", [{"machine": OTHER_MACHINE}, {"threads": 2}], ids=str)
def test_only_runs_of_one_machine_are_fastest_or_slowest(sentences, elsewhere):
    times = {"vit-a": 1.5, "vit-b": 0.9, "vit-c": 123.4}
    runs = [a_run(name, **VIT, seconds_training=seconds) for name, seconds in times.items()]
    seeds = [a_run("vit-d", n, **VIT, seconds_training=0.1, **elsewhere) for n in range(4)]
    text = sentences(*runs, *seeds)[1]
    assert "vit-b trains fastest, 0.9 s per epoch" in text
    assert "vit-c is slowest, 123.4 s (on Abacus 9, 2 cores, 1 thread)." in text


def test_what_is_compared_has_the_seconds_of_one_machine(sentences):
    text = sentences(*in_two_places())[1]
    fastest = "vit-2-adamw trains fastest, 5 s per epoch; vit-2-sgd is slowest, 9 s"
    assert f"{fastest} (on {HERE})." in text


# Measured beside published

ESTIMATOR = ", by the reports' estimator after the last epoch,"


def rows_of(run: dict, *values: float) -> list[dict]:
    return curve(run, "validation", "accuracy_published", *values)


def test_the_last_epoch_by_the_reports_estimator_is_compared_with_the_nearer_report(sentences):
    a, b = a_run("vit-a", **VIT), a_run("vit-b", **VIT)
    reports = published(
        ("A", "vit-a", "accuracy", "validation", 0.62, ""),
        ("B", "vit-a", "accuracy", "validation", 0.66, ""),
        ("A", "vit-b", "accuracy", "validation", 0.70, ""),
        ("A", "vit-b", "accuracy", "train", 0.10, ""),
        ("A", "vit-z", "accuracy", "validation", 0.10, ""),
    )
    metrics = [*rows_of(a, 0.1, 0.61), *rows_of(b, 0.1, 0.65)]
    text = sentences(a, b, metrics=metrics, reports=reports)[1]
    # vit-a is 1 point from A (and 5 from B), vit-b 5 points from A: 3 in the median.
    away = "is 3.0 points from the nearer report in the median of 2 experiments"
    assert (
        f"Measured validation accuracy{ESTIMATOR} {away}, most for vit-b: 65.00 % measured, A 70"
        in text
    )


def test_what_lies_between_the_reports_does_not_part_from_them(sentences):
    runs = [a_run(f"vit-{letter}", **VIT) for letter in "abcd"]
    reports = published(
        *(("A", run["experiment"], "accuracy", "validation", 0.62, "") for run in runs),
        *(("B", run["experiment"], "accuracy", "validation", 0.9, "") for run in runs),
    )
    last = (0.7, 0.61, 0.59, 0.3)
    metrics = [row for run, score in zip(runs, last, strict=True) for row in rows_of(run, score)]
    text = sentences(*runs, metrics=metrics, reports=reports)[1]
    assert (
        f"Measured validation accuracy{ESTIMATOR} lies between A and B for 1 of 4 experiments; the "
        "others are 3.0 points from the nearer report in the median, most for vit-d: 30.00 % "
        "measured, A 62.00 %, B 90.00 %."
    ) in text
    text = sentences(runs[0], metrics=metrics, reports=reports)[1]
    assert f"accuracy{ESTIMATOR} lies between A and B for 1 of 1 experiment." in text


def test_perplexities_are_compared_as_a_share_of_the_published_one(sentences):
    run = a_run("lstm-a", **LSTM)
    reports = published(
        ("A", "lstm-a", "perplexity", "validation", 100.0, ""),
        ("B", "lstm-a", "perplexity", "validation", 200.0, ""),
    )
    metrics = curve(run, "validation", "perplexity_published", 300.0, 190.0)
    text = sentences(run, metrics=metrics, reports=reports)[1]
    assert "lies between A and B for 1 of 1 experiment." in text
    metrics = curve(run, "validation", "perplexity_published", 190.0, 300.0)
    text = sentences(run, metrics=metrics, reports=reports)[1]
    assert (
        f"Measured validation perplexity{ESTIMATOR} is 50.0 % from the nearer report in the median "
        "of 1 experiment, most"
    ) in text
    own = run | {"model.embedding": "learned"}
    assert (
        "of 1 experiment (with a learned embedding, not GPT-1's), most"
        in (sentences(own, metrics=metrics, reports=reports)[1])
    )
    assert "300 measured, A 100, B 200." in text


def test_cnns_are_compared_at_their_best_epoch_as_they_were_published(sentences):
    run = a_run("cnn-a", **VIT | {"validation_accuracy_best": 0.9})
    reports = published(("A", "cnn-a", "accuracy", "validation", 0.92, ""))
    text = sentences(run, metrics=rows_of(run, 0.5), reports=reports)[1]
    assert "90.00 % measured, A 92.00 %" in text


def test_other_data_than_the_reports_are_never_compared(sentences):
    run = a_run("vit-a", dataset="digits", **VIT)
    reports = published(("A", "vit-a", "accuracy", "validation", 0.62, ""))
    text = sentences(run, metrics=rows_of(run, 0.6), reports=reports)[1]
    assert (
        "Trained on digits, not on the reports' cifar10, so no published figure compares." in text
    )
    assert "62" not in text


def test_a_family_of_ones_own_has_no_report_beside_it(sentences, monkeypatch):
    monkeypatch.delitem(summary.PUBLISHED_DATASET, "vit")
    text = sentences(a_run("vit-a", **VIT))[1]
    assert "The reports have no such models." in text


def test_an_experiment_of_ones_own_has_nothing_beside_it(sentences):
    run = a_run("vit-a", **VIT)
    text = sentences(run, metrics=rows_of(run, 0.6))[1]
    assert "No experiment with a published validation accuracy was run here." in text


# Questions of the study, and the claims


def test_a_single_run_is_not_called_the_best(sentences):
    text = sentences(a_run("vit-a", **VIT))[1]
    assert "vit-a reaches validation accuracy 60.00 % at epoch 7, test 59.00 %." in text
    assert "best" not in text


def test_a_run_that_shared_its_gpu_is_never_the_fastest(sentences):
    runs = [
        a_run("vit-a", **VIT, seconds_training=1.0, gpu_shared=True),
        a_run("vit-b", **VIT, seconds_training=2.0),
    ]
    assert "An epoch of vit-b takes 2 s." in sentences(*runs)[1]


def in_norm(norm: str, accuracy: float, **facts) -> dict:
    name = f"vit-{norm}{facts.get('epochs', '')}"
    return a_run(name, validation_accuracy_last=accuracy, **{"model.norm": norm}, **facts)


def test_pre_and_post_norm_are_compared(sentences):
    pair = [in_norm("pre", 0.635), in_norm("post", 0.6)]
    text = sentences(*pair)[-1]
    lead = "Pre-norm ends 3.50 points of validation accuracy above post-norm (vit-pre)"
    assert f"{lead}, more than {summary.CHANCE}." in text
    others = [in_norm("pre", 0.6, epochs=9), in_norm("post", 0.61, epochs=9)]
    text = sentences(*pair, *others)[-1]
    assert (
        "Of 2 pairs that differ in the norm alone, pre-norm ends ahead in 1 and post-norm in 0 by "
        f"more than {summary.CHANCE}; pre-norm minus post-norm is between -1.00 (vit-pre9) and "
        "+3.50 (vit-pre) points of validation accuracy."
    ) in text
    same = [run | {"validation_accuracy_last": pair[n]["validation_accuracy_last"]}
            for n, run in enumerate(others)]  # fmt: skip
    text = sentences(*pair, *same)[-1]
    assert "pre-norm minus post-norm is +3.50 points of validation accuracy." in text


def test_a_lead_of_one_norm_that_seeds_may_explain_is_called_chance(sentences):
    wide = [in_norm("pre", 0.7), in_norm("pre", 0.6) | {"seed": 2}, in_norm("post", 0.5)]
    wide.append(in_norm("post", 0.6) | {"seed": 2})
    assert "above post-norm (vit-pre), which may be chance." in sentences(*wide)[-1]


def test_accuracies_of_images_of_unknown_number_are_taken_as_exact(sentences, monkeypatch):
    monkeypatch.delattr(data.find("cifar10"), "HELD_OUT")
    text = sentences(in_norm("pre", 0.605), in_norm("post", 0.6))[-1]
    assert f"above post-norm (vit-pre), more than {summary.CHANCE}." in text
    runs = [a_run(n, **VIT | {"validation_accuracy_best": s})
            for n, s in {"vit-a": 0.6, "vit-b": 0.601}.items()]  # fmt: skip
    assert "vit-b generalises best: " in sentences(*runs)[1]


def test_norms_that_end_alike_are_said_to(sentences):
    text = sentences(in_norm("pre", 0.6), in_norm("post", 0.6))[-1]
    assert "Pre- and post-norm end at the same validation accuracy (vit-pre)." in text


def test_norms_of_equal_settings_count_together(sentences):
    runs = [in_norm("pre", 0.7), in_norm("post", 0.6), in_norm("post", 0.3, status="diverged")]
    runs[2]["experiment"] = "vit-post-again"
    again = in_norm("pre", 0.6) | {"experiment": "vit-pre-again"}
    text = sentences(*runs, again)[-1]
    assert "Pre-norm ends 5.00 points of validation accuracy above post-norm (vit-pre), " in text


def test_one_seed_under_several_names_is_one(sentences):
    """Else a run and its copies would be several seeds without any spread."""
    pair = [in_norm("pre", 0.61), in_norm("post", 0.6)]
    copies = [run | {"experiment": f"{run['experiment']}-again"} for run in pair]
    text = sentences(*pair, *copies)[-1]
    assert (
        "1.00 points of validation accuracy above post-norm (vit-pre), which may be chance" in text
    )


def test_the_best_cnn_is_compared_with_the_best_vision_transformer(sentences):
    runs = [
        a_run("cnn-a", **VIT | {"validation_accuracy_best": 0.9}, parameters_trained=272_378),
        a_run("vit-a", **VIT, parameters_trained=1_086_730),
        a_run("vit-b", **VIT | {"validation_accuracy_best": 0.5}),
    ]
    assert (
        "The best CNN, cnn-a, reaches 90.00 % validation accuracy in the best of 3 epochs "
        "with 272,378 parameters; the best vision transformer, vit-a, reaches 60.00 % validation "
        "accuracy in the best of 3 epochs with 1,086,730 parameters."
    ) in sentences(*runs)[-1]


def test_the_best_vision_transformer_is_the_same_in_every_sentence(sentences):
    wild = VIT | {"validation_accuracy_best": 0.99, "status": "diverged"}
    runs = [a_run("cnn-a", **VIT), a_run("vit-a", **VIT), a_run("vit-b", **VIT)]
    for more in ([], [a_run("vit-c", **wild), a_run("vit-a", 2, **wild)]):
        _, vit, _, questions = sentences(*runs, *more)
        assert "vit-a generalises best (one other may be as good): validation accuracy 60" in vit
        assert "the best vision transformer, vit-a, reaches 60.00 %" in questions


def test_scores_on_different_data_are_not_compared(sentences):
    high = VIT | {"validation_accuracy_best": 0.99}
    runs = [a_run("vit-a", **VIT), a_run("cnn-a", **VIT), a_run("vit-b", dataset="digits", **high)]
    _, vit, cnn, questions = sentences(*runs)
    assert "vit-b" not in vit.partition("trains fastest")[0]
    assert "Of those on cifar10, vit-a reaches validation accuracy 60.00 %" in vit
    assert "cnn-a reaches" in cnn
    assert "The best CNN on cifar10, cnn-a, reaches 60.00 %" in questions
    assert "the best vision transformer, vit-a, reaches 60.00 %" in questions


def test_runs_that_over_fit_are_counted(sentences):
    runs = [a_run("vit-a", **VIT), a_run("vit-b", **VIT), a_run("vit-c", **VIT)]
    metrics = [
        row
        for run, losses in zip(runs, ((2, 3, 3, 3), (4, 3, 2, 1), (2, 3)), strict=True)
        for split, values in (("train", (5, 4, 3, 2)[: len(losses)]), ("validation", losses))
        for row in curve(run, split, "loss", *values)
    ]
    text = sentences(*runs, metrics=metrics)[-1]
    assert (
        "1 of 2 runs of more than 3 epochs over-fit: the validation loss ended more than 2 % above "
        "its minimum, reached at least 3 epochs before the end, while the training loss ended "
        "lower than there."
    ) in text


def test_memory_by_depth_is_told_as_measured_or_predicted(tmp_path):
    def told(*more: dict, **facts) -> str:
        runs = [*more]
        runs += [a_run(f"vit-{n}", **VIT, **{"model.depth": n}, **facts) for n in (2, 6)]
        sizes = {"experiment": ["vit-2", "vit-6"], "total": [300 * 2**20, 1800 * 2**20]}
        results = frames(tmp_path, runs, predicted=pd.DataFrame(sizes))
        return summary.sentences(results, 2)[-1].striptags()

    assert (
        "Predicted, not measured, peak of GPU memory in tensors: vision transformers 300 MiB with "
        "2 layers, 1,800 MiB with 6."
    ) in told()
    other = a_run("lstm-a", memory_allocated=2**20)  # on a GPU, but of one depth
    assert "Predicted, not measured, peak of GPU memory in tensors: vision transformers" in told(
        other
    )
    same = [a_run(f"vit-2{x}", memory_allocated=2**20, **VIT, **{"model.depth": 2}) for x in "ab"]
    assert "Predicted, not measured, peak of GPU memory in tensors: vision transformers" in told(
        *same
    )
    assert "Measured peak of GPU memory in tensors: vision transformers 7 MiB" in told(
        memory_allocated=7 * 2**20
    )


def test_memory_of_different_depths_is_of_one_card(tmp_path):
    """That of two layers was measured more often on another card than all others."""
    gpu = {"device": "NVIDIA H100", "memory_allocated": 2**20}
    runs = [a_run("vit-2", 1, **VIT, **{"model.depth": 2}, **gpu)]
    other = gpu | {"device": "NVIDIA A100", "memory_allocated": 9 * 2**20}
    runs += [a_run("vit-2", seed, **VIT, **{"model.depth": 2}, **other) for seed in (2, 3)]
    for depth in (4, 6):
        own = gpu | {"memory_allocated": depth * 2**20}
        runs.append(a_run(f"vit-{depth}", **VIT, **{"model.depth": depth}, **own))
    results = frames(tmp_path, runs, **sizes(runs))
    text = summary.sentences(results, 2)[-1].striptags()
    assert "in tensors: vision transformers 1 MiB with 2 layers, 6 MiB with 6." in text
    drawn = figures.build("memory-by-depth", results).data.set_index("experiment")
    assert drawn.measured.to_dict() == {"vit-2": 1, "vit-4": 4, "vit-6": 6}


def test_memory_measured_on_two_cards_is_told_of_one(tmp_path):
    runs = [
        a_run(f"vit-{n}", **VIT, **{"model.depth": n}, device=device, memory_allocated=n * 2**20)
        for n, device in ((2, "NVIDIA A100"), (4, "NVIDIA H100"), (6, "NVIDIA H100"))
    ]
    results = frames(tmp_path, runs, **sizes(runs))
    text = summary.sentences(results, 2)[-1].striptags()
    assert "in tensors: vision transformers 4 MiB with 4 layers, 6 MiB with 6." in text
    drawn = figures.build("memory-by-depth", results).data.set_index("experiment").measured
    assert drawn.dropna().to_dict() == {"vit-4": 4, "vit-6": 6}


def test_the_claims_are_counted_with_their_reasons(tmp_path):
    score = "validation_accuracy_last"
    runs = [
        a_run("vit-a", **{score: 0.7}),
        a_run("vit-b", **{score: 0.6}),
        a_run("vit-digits", dataset="digits", **{score: 0.9}),
    ]
    one = {"says": "So it is.", "of": score, "runs": ["vit-a"], "are": "greater"}
    own = {
        "mine": one | {"than": ["vit-b"]},
        "wrong": one | {"than": 0.9},
        "close": one | {"than": ["vit-b"], "margin": 0.2},
        "short": one | {"than": ["vit-b"], "epochs": 10},
        "elsewhere": one | {"runs": ["vit-digits"], "than": 0.5},
        "missing": one | {"than": ["vit-z"], "reports": ["A"]},
    }
    theirs = own | {"mine": own["mine"] | {"reports": ["B"]}}
    text = summary.sentences(frames(tmp_path, runs, claims=theirs), 3)[-1].striptags()
    assert "Of 6 statements (2 of the reports) 1 is supported (1 of the reports'), 1 is" in text
    text = summary.sentences(frames(tmp_path, runs, claims=own), 3)[-1].striptags()
    assert (
        "Of 6 statements (1 of the reports) 1 is supported, 1 is contradicted (wrong), and 4 are "
        "undecided" in text
    )
    assert "2 because the data or the recipe were others than the reports'" in text
    assert "1 because runs or figures are missing" in text
    assert "1 because one seed, a wide interval or few images tell too little" in text


def test_names_are_escaped(tmp_path):
    run = a_run("vit-<b>", **VIT)
    texts = summary.sentences(frames(tmp_path, [run]), 1)
    assert "<code>vit-&lt;b&gt;</code>" in texts[1]
