"""Means, intervals, over-fitting and reading off a curve: against scipy and by hand."""

import math
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results import a_run, curve
from trainstudy import estimates

ROOT = Path(__file__).parents[2]

SEEDS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=12)


@given(SEEDS)
def test_an_interval_is_the_t_interval_of_scipy(values):
    mean, half = estimates.interval(values)
    spread = stats.sem(values)
    assert mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    if spread == 0:
        assert half == 0
        return
    low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=spread)
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-6, abs=1e-9)


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_the_chance_of_a_share_is_the_normal_interval_of_a_binomial(count, share):
    half = stats.norm.ppf(0.975) * stats.binom.std(count, share) / count
    assert estimates.sampling([share], count) == pytest.approx(half, rel=1e-4, abs=1e-12)


def test_the_chance_of_a_difference_is_that_of_both_shares():
    both = estimates.sampling([0.6, 0.7], 5_000)
    assert both == pytest.approx(
        math.hypot(estimates.sampling([0.6], 5_000), estimates.sampling([0.7], 5_000))
    )
    assert both == pytest.approx(0.0186, abs=5e-5)


def test_single_times_differ_from_a_fifth_on_and_several_beyond_their_interval():
    assert estimates.doubt_of_times([9.0], [10.0]) == 2
    assert estimates.doubt_of_times([9.0, 9.1], [10.0, 10.1]) == pytest.approx(
        estimates.difference([9.0, 9.1], [10.0, 10.1])[1]
    )
    times = {"slow": [12.5], "b": [11.9], "a": [10.0], "c": [11.0]}
    assert estimates.as_quick(times) == ["a", "c", "b"]
    assert estimates.as_slow(times) == ["slow", "b", "c"]  # 12.5 is a quarter more than 10


def test_single_shares_differ_beyond_what_seeds_and_the_sample_leave_to_chance():
    like_one_seed = estimates.sampling([0.6, 0.7], 2_000)
    for other in ([0.7], [0.7, 0.7]):
        assert estimates.doubt_of_scores("accuracy", [0.6], other, 5_000) == like_one_seed
    fewer = estimates.sampling([0.6, 0.7], 143)
    assert estimates.doubt_of_scores("accuracy", [0.6], [0.7], 143) == fewer
    assert estimates.doubt_of_scores("accuracy", [0.6], [0.7], None) == 0  # exact
    assert estimates.doubt_of_scores("perplexity", [90.0], [200.0], None) == 2


def test_seeds_that_agree_are_still_scored_on_the_same_images():
    chance = estimates.sampling([0.6, 0.7], 5_000)
    alike, apart = [0.7, 0.7], [0.5, 0.9]
    assert estimates.doubt_of_scores("accuracy", [0.6, 0.6], alike, 5_000) == chance
    _, half = estimates.difference([0.6, 0.6], apart)
    assert half > chance
    assert estimates.doubt_of_scores("accuracy", [0.6, 0.6], apart, 5_000) == half
    assert estimates.doubt_of_scores("accuracy", [0.6, 0.6], alike, None) == 0  # exact


def test_the_spread_of_one_seed_is_that_of_the_kept_runs():
    """Accuracies of three seeds each, pooled over experiments: two single runs, 95 %."""
    runs = pd.read_parquet(ROOT / "reference/full/runs.parquet")
    scores = runs[runs.family == "vit"].set_index("experiment").validation_accuracy_last
    groups = [own for _, own in scores.groupby(level=0) if len(own) > 1]
    share = sum(len(own) * own.mean() for own in groups) / sum(map(len, groups))
    freedom = sum(len(own) - 1 for own in groups)
    spread = math.sqrt(sum((len(own) - 1) * own.var() for own in groups) / freedom)
    assert freedom >= 20
    apart = stats.t.ppf(0.975, freedom) * math.sqrt(2) * spread
    assert estimates.chance([share, share], 5_000, one_seed=True) == pytest.approx(apart, rel=0.2)


def test_how_far_a_figure_is_is_a_share_of_the_nearer_published_one():
    theirs = pd.DataFrame({"A": [100.0, 50.0], "B": [200.0, None]})
    assert [*estimates.relative_distance(pd.Series([150.0, 60.0]), theirs)] == [0.25, 0.2]


def test_the_last_epoch_is_that_which_a_run_ended_with():
    runs = pd.DataFrame({"epochs": [10, 10], "epochs_trained": [7.0, None]})
    assert [*estimates.last_epoch(runs)] == [7, 10]


def test_the_spread_of_perplexities_is_the_margin_of_the_claims():
    declared = yaml.safe_load((ROOT / "report/claims.yaml").read_text(encoding="utf-8"))["claims"]
    margins = {one["margin"] for one in declared.values() if "perplexity" in str(one["of"])
               and isinstance(one.get("margin"), str)}  # fmt: skip
    assert margins == {f"{100 * estimates.SPREAD_OF_PERPLEXITIES:g} %"}


def test_an_interval_by_hand():
    # Three seeds 1, 2, 3: deviation 1, error 1/√3, t(0.975; 2) = 4.30265.
    mean, half = estimates.interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.302652729911275 / math.sqrt(3))


def test_one_seed_has_no_interval_and_none_no_mean():
    assert estimates.interval([4.0]) == (4.0, None)
    mean, half = estimates.interval([])
    assert math.isnan(mean)
    assert half is None


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy, of values that are all the same
@given(SEEDS, SEEDS)
def test_a_difference_has_the_interval_of_welch(one, other):
    distance, half = estimates.difference(one, other)
    if stats.tvar(one) + stats.tvar(other) < 1e-6:
        return
    found = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (distance - half, distance + half) == pytest.approx(tuple(found), rel=1e-6, abs=1e-6)


def test_a_difference_of_single_seeds_has_no_interval():
    assert estimates.difference([3.0], [1.0, 2.0]) == (1.5, None)
    assert estimates.difference([3.0, 3.0], [1.0]) == (2.0, None)


def test_what_is_beyond_numbers_has_no_interval():
    assert estimates.interval([math.inf, 1.0]) == (math.inf, None)
    assert estimates.difference([math.inf, 1.0], [1.0, 2.0]) == (math.inf, None)


@pytest.mark.parametrize("size", [1e80, 1e160, 1e300, 1e-300])
def test_perplexities_of_any_size_have_an_interval(size):
    mean, half = estimates.interval([size, 2 * size])
    assert (mean, half) == pytest.approx((1.5 * size, 6.3531 * size), rel=1e-4, abs=0)
    distance, half = estimates.difference([size, 2 * size], [3 * size, 4 * size])
    assert (distance, half) == pytest.approx((-2 * size, 3.0424 * size), rel=1e-4, abs=0)


def test_seeds_that_agree_exactly_leave_no_doubt():
    assert estimates.difference([3.0, 3.0], [1.0, 1.0]) == (2.0, 0.0)


# Over-fitting


def parted(train: list[float], validation: list[float]) -> pd.Series:
    run = a_run("vit-a")
    rows = curve(run, "train", "loss", *train) + curve(run, "validation", "loss", *validation)
    rows += curve(run, "validation", "accuracy", *range(len(train)))  # not of this
    found = estimates.over_fitting(pd.DataFrame(rows))
    assert list(found.columns) == estimates.OVER_FITTING
    return found.iloc[0]


def test_over_fitting_by_hand():
    row = parted([2.0, 1.5, 1.2, 1.0, 0.5], [2.5, 2.0, 2.1, 2.08, 2.2])
    assert row.best_loss_epoch == 2
    assert row.last_epoch == 5
    assert row.loss_lowest == 2.0
    assert row.loss_last == 2.2
    assert row.gap_best == pytest.approx(0.5)
    assert row.gap_last == pytest.approx(1.7)
    assert row.gap_growth == pytest.approx(1.2)
    assert row.rise == pytest.approx(0.1)
    assert row.verdict == "over-fitted"


@pytest.mark.parametrize(
    ("train", "validation", "verdict"),
    [
        ([2.0, 1.5, 1.2, 1.0], [2.5, 2.4, 2.2, 2.0], "not over-fitted"),  # the best is the last
        ([2.0, 1.5, 1.2, 1.0], [2.0, 2.1, 2.1, 2.039], "not over-fitted"),  # within 2 %
        ([2.0, 1.5, 1.2, 1.0], [2.0, 2.1, 2.1, 2.041], "over-fitted"),
        ([2.0, 1.5, 1.2, 2.1], [2.0, 2.1, 2.2, 2.5], "not over-fitted"),  # training went wrong, too
        # A loss that goes up and down has not turned.
        ([2.0, 1.5, 1.2, 1.0, 0.9], [2.5, 2.3, 2.0, 2.2, 2.1], "not over-fitted"),
        ([2.0, 1.5, 1.2], [2.0, 2.1, 2.2], "too short"),
    ],
)
def test_the_verdict_follows_its_rule(train, validation, verdict):
    assert parted(train, validation).verdict == verdict


def test_a_rise_since_one_of_the_last_epochs_is_none():
    falling = [2.0, 1.5, 1.2, 1.0, 0.9]
    assert parted(falling, [2.5, 2.3, 2.0, 2.2, 2.1]).rise == 0
    assert parted(falling, [2.5, 2.0, 2.2, 2.01, 2.1]).rise == pytest.approx(0.05)
    assert math.isnan(parted(falling[:3], [2.5, 2.0, 2.2]).rise)  # nobody can tell yet


def test_every_run_is_judged_by_itself():
    runs = [a_run("vit-b", 2), a_run("vit-b", 1), a_run("lstm-a", 1)]
    rows = [
        row
        for run in runs
        for split in ("train", "validation")
        for row in curve(run, split, "loss", 3.0, 2.0, 1.0)
    ]
    found = estimates.over_fitting(pd.DataFrame(rows))
    assert list(zip(found.experiment, found.seed, strict=True)) == [
        ("lstm-a", 1), ("vit-b", 1), ("vit-b", 2)
    ]  # fmt: skip


def test_a_run_without_an_epoch_is_not_judged():
    rows = curve(a_run("vit-a"), "train", "loss", 2.0)
    assert estimates.over_fitting(pd.DataFrame(rows)).empty


# Reading off a curve


@pytest.mark.parametrize(
    ("seconds", "value"),
    [(10, 0.2), (15, 0.3), (30, 0.5), (12.5, 0.25), (9.9, math.nan), (30.1, math.nan)],
)
def test_a_curve_is_read_between_its_epochs_and_not_beyond(seconds, value):
    points = pd.DataFrame({"seconds": [10.0, 20.0, 30.0], "value": [0.2, 0.4, 0.5]})
    assert estimates.at_seconds(points, seconds) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("measured", "published", "said"),
    [
        (0.5, [0.4, 0.6], True),
        (0.5, [0.6, 0.4], True),
        (0.4, [0.4, 0.6], True),
        (0.3, [0.4, 0.6], False),
        (0.7, [0.4, 0.6], False),
        (0.5, [0.5, math.nan], None),
        (math.nan, [0.4, 0.6], None),
    ],
)
def test_what_lies_between_two_reports(measured, published, said):
    frame = pd.DataFrame([published], columns=["A", "B"])
    assert [*estimates.inside(pd.Series([measured]), frame)] == [said]


def test_infinite_losses_leave_no_rise_and_no_warning():
    rows = [
        {"experiment": "a", "seed": 1, "epoch": epoch, "split": split, "metric": "loss",
         "value": float("inf")}
        for epoch in (1, 2, 3, 4)
        for split in ("train", "validation")
    ]  # fmt: skip
    (found,) = estimates.over_fitting(pd.DataFrame(rows)).to_dict("records")
    assert math.isnan(found["rise"])
    assert math.isnan(found["gap_last"])
