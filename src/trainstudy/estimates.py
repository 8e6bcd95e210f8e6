"""Numbers that stand for several: means with their intervals, over-fitting, values off a curve."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import numpy as np
import pandas as pd
from scipy.special import stdtrit

LEVEL = 0.95
# Of a time, by how much equal runs differed on the machines measured (docs/performance.md).
SPREAD_OF_TIMES = 0.2
# Of one seed each, nearer than which says nothing; of the claims too. An assumption: no language
# model was trained on WikiText-2 with several seeds.
SPREAD_OF_PERPLEXITIES = 0.01
# Accuracies of runs that differ in their seed alone lie as far apart as those of samples of so many
# images, however many there are: ten experiments of three seeds each on CIFAR-10, pooled.
LIKE_ONE_SEED = 2_000
RISE = 0.02  # of the validation loss above its lowest value, from which a run counts as over-fitted
SINCE = 3  # epochs without a lower one; losses of single epochs go up and down by more than RISE


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and half the width of its 95 % interval.

    Student's t with n - 1 degrees of freedom; one value has no interval (None), nor has a mean that
    is not finite.
    """
    count = len(values)
    mean = fmean(values) if count else math.nan
    if count < 2 or not math.isfinite(mean):
        return mean, None
    return mean, _quantile(count - 1) * stdev(values) / math.sqrt(count)


def intervals(values: pd.Series) -> pd.DataFrame:
    """Return `mean` and `half` (see interval) of the values of each index, without empty ones."""
    groups = values.dropna().groupby(level=0)
    found = {name: interval(list(own)) for name, own in groups}
    return pd.DataFrame.from_dict(found, orient="index", columns=["mean", "half"], dtype=float)


def all_or_none(values: pd.Series, group: pd.Series | pd.Index) -> pd.Series:
    """Return values, empty wherever one of their group is: what is left would be no fair sample."""
    return values.where(values.notna().groupby(group).transform("all"))


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float | None]:
    """Return mean(one) - mean(other) and half the width of its 95 % interval.

    Welch's t interval for unequal variances (Welch, 1947); None where either has one value only or
    is not finite.
    """
    distance = fmean(one) - fmean(other)
    if min(len(one), len(other)) < 2 or not math.isfinite(distance):
        return distance, None
    # No squares: those of a perplexity far from convergence would be beyond all numbers.
    errors = [stdev(values) / math.sqrt(len(values)) for values in (one, other)]
    error = math.hypot(*errors)
    if error == 0:
        return distance, 0.0
    freedom = 1 / sum(
        (own / error) ** 4 / (len(values) - 1)
        for own, values in zip(errors, (one, other), strict=True)
    )
    return distance, _quantile(freedom) * error


def doubt_of_times(one: Sequence[float], other: Sequence[float]) -> float:
    """Return by how much the means of two times have to differ before the difference counts.

    Half its 95 % interval (see difference) or, with one value, SPREAD_OF_TIMES of the other.
    """
    _, half = difference(one, other)
    return SPREAD_OF_TIMES * fmean(other) if half is None else half


def as_quick(times: Mapping[str, Sequence[float]]) -> list[str]:
    """Return whose mean time is the shortest, and then whose may be as short (doubt_of_times)."""
    return _first_and_its_like(times, longest=False)


def as_slow(times: Mapping[str, Sequence[float]]) -> list[str]:
    """Return whose mean time is the longest, and then whose may be as long (doubt_of_times)."""
    return _first_and_its_like(times, longest=True)


def _first_and_its_like(times: Mapping[str, Sequence[float]], longest: bool) -> list[str]:
    means = {name: fmean(values) for name, values in times.items()}
    first, *others = sorted(means, key=means.__getitem__, reverse=longest)
    found = [first]
    for name in others:
        longer, shorter = (first, name) if longest else (name, first)
        if means[longer] - means[shorter] <= doubt_of_times(times[longer], times[shorter]):
            found.append(name)
    return found


def doubt_of_scores(
    score: str, one: Sequence[float], other: Sequence[float], count: int | None
) -> float:
    """Return by how much the means of two scores have to differ before the difference counts.

    Half its 95 % interval (see difference); with one value of a perplexity SPREAD_OF_PERPLEXITIES
    of the other. Of an accuracy at least what `count` images leave to chance (see chance; None:
    exact), since all seeds are scored on the same images. The larger of the two, not both together,
    as sampling is a bound from above.
    """
    _, half = difference(one, other)
    if half is None and score == "perplexity":
        return SPREAD_OF_PERPLEXITIES * fmean(other)
    left = chance([fmean(one), fmean(other)], count, one_seed=half is None) if count else 0.0
    return max(half or 0.0, left)


def chance(shares: Sequence[float], count: int, one_seed: bool) -> float:
    """Return what a share of `count` images, or a difference of shares, leaves to chance.

    By sampling; where one of the shares is of one seed, at least as much as LIKE_ONE_SEED images.
    """
    return sampling(shares, min(count, LIKE_ONE_SEED) if one_seed else count)


def sampling(shares: Sequence[float], count: int) -> float:
    """Return half the 95 % interval of a share of `count` examples, or of a difference of shares.

    By the size of the sample alone: 1.96 √(Σ p(1 - p) / n), the normal approximation. Shares of the
    same examples differ by chance no more than that where both tend to be right on the same ones.
    """
    variances = [share * (1 - share) / count for share in shares]
    return 1.96 * math.sqrt(sum(max(0.0, one) for one in variances))


def inside(measured: pd.Series, published: pd.DataFrame) -> pd.Series:
    """Say which values lie between the published ones, ends included; None where one is missing."""
    ends = published.astype(float)  # objects, where neither report says anything
    found = measured.between(ends.min(axis=1), ends.max(axis=1)).astype(object)
    return found.where(measured.notna() & published.notna().all(axis=1), None)


def reached(measured: pd.Series, half: pd.Series, published: pd.DataFrame) -> pd.Series:
    """Say whose 95 % interval, `half` to either side, holds a published value."""
    return published.sub(measured, axis=0).abs().min(axis=1) <= half


def relative_distance(measured: pd.Series, published: pd.DataFrame) -> pd.Series:
    """Return how far values are from the nearer published one, as a fraction of that one."""
    return (published.sub(measured, axis=0).abs() / published).min(axis=1)


@np.errstate(invalid="ignore", divide="ignore")  # infinite losses leave no numbers, nor do zeros
def over_fitting(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return how the loss (nat) of every run parted from its training loss.

    `gap` is validation minus training loss, in the best and in the last epoch; `growth` their
    difference; `rise` the validation loss of the last epoch relative to the lowest, minus 1, or 0
    where that is not of three or more epochs before. The best epoch is that of the lowest
    validation loss. Verdict: "over-fitted" where the loss rose by more than 2 % while the training
    loss fell on, else "not over-fitted"; "too short" before the fourth epoch, where no rise can be.
    """
    loss = metrics[(metrics.metric == "loss") & metrics.split.isin(["train", "validation"])]
    keys = ["experiment", "seed"]
    curves = loss.pivot_table(index=[*keys, "epoch"], columns="split", values="value")
    curves = curves.reindex(columns=["train", "validation"]).dropna()
    rows = []
    for key, curve in curves.groupby(level=keys, sort=True):
        curve = curve.droplevel(keys)
        best, last = curve.validation.idxmin(), curve.index[-1]
        gap = curve.validation - curve.train
        since = len(curve.loc[best:]) - 1
        rise = curve.validation[last] / curve.validation[best] - 1 if since >= SINCE else 0.0
        rise = rise if len(curve) > SINCE else math.nan
        over = rise > RISE and curve.train[last] < curve.train[best]
        verdict = "over-fitted" if over else "not over-fitted"
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"best_loss_epoch": best, "last_epoch": last}
            | {"loss_lowest": curve.validation[best], "loss_last": curve.validation[last]}
            | {"gap_best": gap[best], "gap_last": gap[last], "gap_growth": gap[last] - gap[best]}
            | {"rise": rise, "verdict": verdict if len(curve) > SINCE else "too short"}
        )
    return pd.DataFrame(rows, columns=OVER_FITTING)


OVER_FITTING = [
    "experiment", "seed", "best_loss_epoch", "last_epoch", "loss_lowest", "loss_last", "gap_best",
    "gap_last", "gap_growth", "rise", "verdict",
]  # fmt: skip


def last_epoch(runs: pd.DataFrame) -> pd.Series:
    """Return the epoch with which each run ended; the last one where that is not recorded."""
    return runs.epochs_trained.fillna(runs.epochs)


def at_seconds(curve: pd.DataFrame, seconds: float) -> float:
    """Return the value of a curve at a time, between two epochs on the straight line.

    `curve` has the columns seconds and value, in order. NaN before its first point and after its
    last.
    """
    return float(np.interp(seconds, curve.seconds, curve.value, left=np.nan, right=np.nan))


def _quantile(freedom: float) -> float:
    return float(stdtrit(freedom, 0.5 + LEVEL / 2))
