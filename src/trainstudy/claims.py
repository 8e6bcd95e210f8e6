"""The statements of the reports, each decided by the results: supported, contradicted, undecided.

A claim compares a quantity of runs (`of`: a column of runs.parquet, or one of results.facts) with
that of other runs or with a number. With several seeds the 95 % interval of the difference decides;
with one seed there is none, and a difference within the `margin` decides nothing, nor does one of
times or accuracies that equal runs may show. With any number of seeds one of accuracies decides
nothing that so few images leave to chance.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from trainstudy import estimates, quantities
from trainstudy.places import of_several_codes, places
from trainstudy.results import (
    AFTER,
    PUBLISHED_DATASET,
    Results,
    finished,
    held_out,
    is_cost,
    learned_instead,
)

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
# Why a claim may be undecided.
NOT_RUN = "runs or figures are missing"
TOO_CLOSE = "one seed, a wide interval or few images tell too little"
ELSEWHERE = "the data or the recipe were others than the reports'"
MACHINES = "times and memory of several machines or numbers of threads do not compare"

EXACT = ("parameters_trained", "memory_predicted")  # the same with every seed


@dataclass(frozen=True)
class Verdict:
    """How a claim stands, what its runs say, by which numbers, on which data; why it is open."""

    verdict: str
    would: str
    numbers: str
    data: str
    why: str | None = None

    def __str__(self) -> str:
        return self.verdict if self.would == self.verdict else f"undecided (would be {self.would})"


def table(results: Results) -> pd.DataFrame:
    """Return every claim with its verdict and the numbers that decided it."""
    rows = []
    for name, claim in results.claims.items():
        found = evaluate(claim, results)
        note = f" ({claim['note']})" if "note" in claim else ""
        rows.append(
            {
                "statement": claim["says"] + note,
                "verdict": str(found),
                "decided by": found.numbers,
                "report": " and ".join(claim.get("reports", [])),
                "data": found.data,
                "claim": name,
            }
        )
    columns = ["statement", "verdict", "decided by", "report", "data", "claim"]
    return pd.DataFrame(rows, columns=columns)


def evaluate(claim: dict, results: Results) -> Verdict:
    """Decide a claim, as report/claims.yaml declares it."""
    named = [*claim["runs"], *_others(claim)]
    options = claim["of"] if isinstance(claim["of"], list) else [claim["of"]]
    known = {one: results.side_by_side(named, one) for one in options}
    whole = (one for one, rows in known.items() if not _without(finished(rows), one, named))
    column = next(whole, options[0])
    every, rows = known[column], finished(known[column])
    missing = _without(rows, column, named)
    values = {
        name: list(rows[rows.experiment == name][column].dropna())
        for name in named
        if name not in missing
    }
    images = _images(column, rows)
    steps = [_Step.of(claim, column, *pair, values, images) for pair in _pairs(claim, values)]
    outcomes = {step.outcome for step in steps}
    would = SUPPORTED if outcomes == {SUPPORTED} and not missing else UNDECIDED
    if CONTRADICTED in outcomes:
        would = CONTRADICTED
    told = _told([step for step in steps if step.outcome == would], column, claim["are"])
    told += _missing(missing, column, rows) + _diverged(every)
    departures = [(ELSEWHERE, text) for text in _departures(claim, rows)]
    made = _places(column, rows)
    if len(made) > 1:
        departures.append((MACHINES, f"measured on several machines: {'; '.join(made)}"))
    why = _why(would, missing, departures)
    if why in (ELSEWHERE, MACHINES):
        told.append(f"Undecided: {'; '.join(text for _, text in departures)}.")
    if len(made) == 1 and results.several_places:
        told.append(f"Measured on {made[0]}.")
    if made and of_several_codes(rows.dropna(subset=column)):
        told.append("By several versions of the code.")
    if len(computed := sorted(rows.precision.dropna().unique())) > 1:
        told.append(f"Computed in {' and '.join(computed)}.")
    measured_on = ", ".join(sorted({results.data[name] for name in rows.experiment})) or "–"
    return Verdict(UNDECIDED if why else would, would, " ".join(told), measured_on, why)


def _images(column: str, rows: pd.DataFrame) -> int | None:
    """Return how many images an accuracy is a share of, of several data sets the fewest."""
    if "accuracy" not in column:
        return None
    return held_out({*rows.dataset}, column.partition("_")[0])


def _why(would: str, missing: list[str], departures: list[tuple[str, str]]) -> str | None:
    """Return why a claim is undecided, if it is."""
    departed = departures[0][0] if departures else None
    if would != UNDECIDED:
        return departed
    return NOT_RUN if missing else departed or TOO_CLOSE


def _without(rows: pd.DataFrame, column: str, named: list[str]) -> list[str]:
    """Return the experiments that were not run or have no such number."""
    found = set(rows.experiment[rows[column].notna()])
    return [name for name in dict.fromkeys(named) if name not in found]


def _missing(missing: list[str], column: str, rows: pd.DataFrame) -> list[str]:
    run = [name for name in missing if name in set(rows.experiment)]
    absent = [name for name in missing if name not in run]
    parts = [f"Not run: {', '.join(absent)}."] if absent else []
    return parts + (
        [f"Not measured ({quantities.words(column)}): {', '.join(run)}."] if run else []
    )


def _diverged(runs: pd.DataFrame) -> list[str]:
    """Return which runs diverged; whether they count, results.finished says."""
    counts = runs.status.eq("diverged").groupby(runs.experiment).agg(["sum", "size"])
    named = [
        f"{name} ({row['sum']} of {quantities.counted(row['size'], 'run')})"
        for name, row in counts[counts["sum"] > 0].iterrows()
    ]
    return [f"Diverged: {', '.join(named)}."] if named else []


def _departures(claim: dict, rows: pd.DataFrame) -> list[str]:
    """Return in what the runs depart from the claim's data and epochs, or the reports' recipe."""
    found = []
    data_of = claim.get("dataset")
    others = rows[rows.dataset != (data_of or rows.family.map(PUBLISHED_DATASET))]
    if len(others):
        known = f"not on {data_of}" if data_of else "which no report used"
        found.append(f"measured on {_listed(others.dataset)}, {known}")
    learned = rows[learned_instead(rows)]
    if len(learned) and not data_of:
        found.append(f"learned embedding, not GPT-1's: {_listed(learned.experiment)}")
    wanted = rows.experiment.map(_epochs(claim))
    # One that stopped early has fewer than were asked for; what diverged says so by itself.
    trained = estimates.last_epoch(rows).where(rows.status == "finished", rows.epochs)
    told = rows.assign(trained=trained.astype(float), wanted=wanted.astype(float))
    for (epochs, asked), group in told.groupby(["trained", "wanted"]):
        if epochs != asked:
            names = _listed(group.experiment)
            found.append(f"{epochs:.0f} epochs instead of {asked:.0f}: {names}")
    return found


def _places(column: str, rows: pd.DataFrame) -> list[str]:
    """Return the machines and threads that a cost is of, and none of another quantity."""
    if not is_cost(column):
        return []
    return sorted({*places(rows[rows[column].notna()])})


def _epochs(claim: dict) -> dict[str, int]:
    """Return the epochs that a claim takes for granted, by experiment."""
    epochs = claim.get("epochs", {})
    if isinstance(epochs, int):
        return dict.fromkeys([*claim["runs"], *_others(claim)], epochs)
    return {name: number for side, number in epochs.items() for name in claim[side]}


def _others(claim: dict) -> list[str]:
    """Return the experiments that a claim sets its runs against; none against a number."""
    return claim["than"] if isinstance(claim.get("than"), list) else []


def _listed(values: pd.Series) -> str:
    return ", ".join(sorted(set(values)))


def _told(steps: list["_Step"], column: str, are: str) -> list[str]:
    """Return the comparisons in words, of many the one that tells most, and what was needed."""
    if not steps:
        return []
    # Where values are to be equal, those farthest apart decide.
    which, choose = ("farthest apart", max) if are == "equal" else ("closest", min)
    telling = choose(steps, key=lambda step: abs(step.distance))
    shown = steps if len(steps) <= 3 else [telling]
    count = f", {which} of {len(steps)}" if len(steps) > 3 else ""
    spreads = [step.spread() for step in shown]
    if len({*spreads}) == 1:  # said once
        spreads[:-1] = [""] * (len(shown) - 1)
    numbers = "; ".join(f"{step}{spread}" for step, spread in zip(shown, spreads, strict=True))
    quantity = quantities.words(column)
    return [f"{quantity[0].upper()}{quantity[1:]}{count}: {numbers}.", f"Needed: {telling.needed}."]


def _pairs(claim: dict, values: dict) -> Iterator[tuple[str, str | float]]:
    """Yield what has to be compared, of the runs that have values."""
    runs, than = [name for name in claim["runs"] if name in values], claim.get("than")
    match claim["are"]:
        case "increasing" | "decreasing":
            yield from ((later, earlier) for earlier, later in itertools.pairwise(runs))
        case "equal" if than is None:
            yield from ((later, earlier) for earlier, later in itertools.combinations(runs, 2))
        case _:
            others = [name for name in than if name in values] if isinstance(than, list) else [than]
            yield from itertools.product(runs, others)


@dataclass(frozen=True)
class _Step:
    """One comparison: a difference, half its interval, and what it says.

    `half` is None where a side has one seed or a mean that is not finite; `single` are those of its
    experiments that have one seed only.
    """

    column: str
    one: str
    other: str | float
    means: tuple[float, float]
    distance: float
    half: float | None
    single: tuple[str, ...]
    images: int | None
    chance: float | None
    outcome: str
    needed: str

    @classmethod
    def of(
        cls,
        claim: dict,
        column: str,
        one: str,
        other: str | float,
        values: dict,
        images: int | None,
    ) -> "_Step":
        ours = values[one]
        if isinstance(other, str):
            means = (fmean(ours), fmean(values[other]))
            distance, half = estimates.difference(ours, values[other])
        else:
            mean, half = estimates.interval(ours)
            means, distance = (mean, float(other)), mean - other
        single = tuple(n for n, own in values.items() if n in (one, other) and len(own) < 2)
        chance = None
        if images:
            shares = means if isinstance(other, str) else means[:1]
            chance = estimates.chance(shares, images, one_seed=bool(single))
        margin = _margin(claim.get("margin", 0), means[1])
        by, error = claim.get("by", 0), max(half or 0.0, chance or 0.0)
        match claim["are"]:
            case "equal":
                beyond, within = abs(distance) - error > margin, abs(distance) + error <= margin
            case "greater" | "increasing":
                within, beyond = distance - error > by + margin, distance + error < by - margin
            case _:
                within, beyond = distance + error < -by - margin, distance - error > -by + margin
        outcome = SUPPORTED if within else CONTRADICTED if beyond else UNDECIDED
        doubtful = bool(single) and quantities.is_time(column)
        if doubtful and abs(distance) < estimates.SPREAD_OF_TIMES * min(map(abs, means)):
            outcome = UNDECIDED
        needed = _needed(claim, column, one_seed=bool(single))
        return cls(
            column, one, other, means, distance, half, single, images, chance, outcome, needed
        )

    def __str__(self) -> str:
        mine, theirs = (quantities.written(mean, self.column) for mean in self.means)
        other = f"{self.other} {theirs}" if isinstance(self.other, str) else theirs
        return f"{self.one} {mine} against {other}"

    def spread(self) -> str:
        """Return how sure the difference is."""
        if self.column in EXACT:
            return ""
        said = self._of_seeds()
        if self.chance and self.images and self.chance > (self.half or 0.0):
            points = f"± {100 * self.chance:.1f} points to chance"
            by_seed = self.single and self.images > estimates.LIKE_ONE_SEED
            said += f", leaves {points}" if by_seed else f"; {self.images:,} images leave {points}"
        elif self.half is None:
            said += ", no interval"
        return f" ({said})"

    def _of_seeds(self) -> str:
        if self.half is None:
            if isinstance(self.other, str) and len(self.single) == 1:
                return f"one seed of {self.single[0]}"
            return "one seed" if self.single else "not finite"
        if self.half == 0:
            return "the same with every seed"
        ends = (self.distance - self.half, self.distance + self.half)
        low, high = (quantities.difference(end, self.column, sign="+") for end in ends)
        return f"95 % interval of the difference {low.partition(' ')[0]} to {high}"


def _margin(margin: float | str, value: float) -> float:
    """Return the smallest difference that counts; "2 %" is meant of the value.

    Of a perplexity beyond all numbers none is meant: everything is less.
    """
    if isinstance(margin, str):
        return float(margin.removesuffix("%")) / 100 * abs(value) if math.isfinite(value) else 0.0
    return margin


def _needed(claim: dict, column: str, one_seed: bool) -> str:
    """Return in words what difference supports a claim."""
    least, margin = claim.get("by", 0), claim.get("margin", 0)
    beyond = margin if isinstance(margin, str) else quantities.difference(margin, column)
    parts = [quantities.difference(least, column)] if least else []
    parts += [beyond] if margin else []
    apart = " and a margin of ".join(parts)
    if claim["are"] == "equal":
        text = f"at most {apart} apart" if apart else "equal"
    else:
        way = "higher" if claim["are"] in ("greater", "increasing") else "lower"
        text = f"{way} by more than {apart}" if apart else way
    spread = f"{100 * estimates.SPREAD_OF_TIMES:.0f} %"
    if one_seed and quantities.is_time(column):
        text += f"; with one seed less than {spread} decides nothing, as equal runs differ so much"
    elif one_seed and column in AFTER:
        text += f"; times of equal runs differ by up to {spread}, which is not allowed for"
    return text
