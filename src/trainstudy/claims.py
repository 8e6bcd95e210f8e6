"""The statements of the reports, each decided by the results: supported, contradicted, undecided.

A claim compares a quantity of runs (`of`: a column of runs.parquet, or one of results.facts) with
that of other runs or with a number. With several seeds the 95 % interval of the difference decides;
with one seed there is none, and a difference within the `margin` decides nothing.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from trainstudy import estimates
from trainstudy.results import PUBLISHED_DATASET, Results

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"


@dataclass(frozen=True)
class Verdict:
    """How a claim stands, by which numbers, and on which data sets."""

    verdict: str
    numbers: str
    data: str


def table(results: Results) -> pd.DataFrame:
    """Return every claim with its verdict and the numbers that decided it."""
    rows = []
    for name, claim in results.claims.items():
        found = evaluate(claim, results)
        rows.append(
            {
                "claim": name,
                "statement": claim["says"],
                "report": " and ".join(claim.get("reports", [])),
            }
            | {"verdict": found.verdict, "decided by": found.numbers, "data": found.data}
        )
    columns = ["claim", "statement", "report", "verdict", "decided by", "data"]
    return pd.DataFrame(rows, columns=columns)


def evaluate(claim: dict, results: Results) -> Verdict:
    """Decide a claim, as report/claims.yaml declares it."""
    named = [*claim["runs"], *(claim["than"] if isinstance(claim.get("than"), list) else [])]
    rows = results.facts[results.facts.experiment.isin(named)]
    data = ", ".join(sorted(rows.dataset.unique())) or "–"
    options = claim["of"] if isinstance(claim["of"], list) else [claim["of"]]
    column = next((one for one in options if not _without(rows, one, named)), options[0])
    missing = _without(rows, column, named)
    values = {
        name: list(rows[rows.experiment == name][column].dropna())
        for name in named
        if name not in missing
    }
    steps = [_Step.of(claim, column, *pair, values) for pair in _pairs(claim, values)]
    outcomes = [step.outcome for step in steps]
    verdict = SUPPORTED if set(outcomes) == {SUPPORTED} and not missing else UNDECIDED
    if CONTRADICTED in outcomes:
        verdict = CONTRADICTED
    numbers = _told([step for step in steps if step.outcome == verdict])
    if missing:
        numbers.append(_reason(missing, column, rows))
    elsewhere = sorted(set(rows.dataset) - {PUBLISHED_DATASET[one] for one in rows.family})
    if elsewhere and verdict != UNDECIDED:
        numbers.insert(0, f"there it would be {verdict}:")
        numbers.insert(0, f"measured on {', '.join(elsewhere)}, which no report used;")
        verdict = UNDECIDED
    return Verdict(verdict, " ".join(numbers), data)


def _without(rows: pd.DataFrame, column: str, named: list[str]) -> list[str]:
    """Return the experiments that were not run or have no such number."""
    found = set(rows.experiment[rows[column].notna()])
    return [name for name in dict.fromkeys(named) if name not in found]


def _reason(missing: list[str], column: str, rows: pd.DataFrame) -> str:
    run = [name for name in missing if name in set(rows.experiment)]
    absent = [name for name in missing if name not in run]
    parts = [f"not run: {', '.join(absent)}."] if absent else []
    parts += [f"no {column.replace('_', ' ')} was measured of {', '.join(run)}."] if run else []
    return " ".join(parts)


def _told(steps: list["_Step"]) -> list[str]:
    """Return the comparisons in words; of many the closest alone."""
    if len(steps) <= 3:
        return [str(step) for step in steps]
    return [f"Closest of {len(steps)}: {min(steps, key=lambda step: abs(step.distance))}"]


def _pairs(claim: dict, values: dict) -> Iterator[tuple[str, str | float]]:
    """Yield what has to be compared, of the runs that have values."""
    runs, than = [name for name in claim["runs"] if name in values], claim.get("than")
    match claim["are"]:
        case "increasing" | "decreasing":
            yield from ((later, earlier) for earlier, later in itertools.pairwise(runs))
        case "equal" if than is None:
            yield from ((other, runs[0]) for other in runs[1:])
        case _:
            others = [name for name in than if name in values] if isinstance(than, list) else [than]
            yield from itertools.product(runs, others)


@dataclass(frozen=True)
class _Step:
    """One comparison: a difference, half its interval (None: one seed), and what it says."""

    column: str
    one: str
    other: str | float
    means: tuple[float, float]
    distance: float
    half: float | None
    outcome: str

    @classmethod
    def of(cls, claim: dict, column: str, one: str, other: str | float, values: dict) -> "_Step":
        ours = values[one]
        if isinstance(other, str):
            means = (fmean(ours), fmean(values[other]))
            distance, half = estimates.difference(ours, values[other])
        else:
            mean, half = estimates.interval(ours)
            means, distance = (mean, float(other)), mean - other
        margin = _margin(claim.get("margin", 0), means[1])
        by, error = claim.get("by", 0), half or 0.0
        match claim["are"]:
            case "equal":
                beyond, within = abs(distance) - error > margin, abs(distance) + error <= margin
            case "greater" | "increasing":
                within, beyond = distance - error > by + margin, distance + error < by - margin
            case _:
                within, beyond = distance + error < -by - margin, distance - error > -by + margin
        outcome = SUPPORTED if within else CONTRADICTED if beyond else UNDECIDED
        return cls(column, one, other, means, distance, half, outcome)

    def __str__(self) -> str:
        mine, theirs = (_written(mean, self.column) for mean in self.means)
        other = f"{self.other} {theirs}" if isinstance(self.other, str) else theirs
        spread = "one seed, no interval"
        if self.half is not None:
            ends = (self.distance - self.half, self.distance + self.half)
            low, high = (_written(end, self.column, sign="+") for end in ends)
            spread = f"95 % interval of the difference {low} to {high}"
        return f"{self.one} {mine}, {other} ({spread})."


def _margin(margin: float | str, value: float) -> float:
    """Return the smallest difference that counts; "2 %" is meant of the value."""
    if isinstance(margin, str):
        return float(margin.removesuffix("%")) / 100 * abs(value)
    return margin


def _written(value: float, column: str, sign: str = "") -> str:
    if math.isinf(value):
        return "∞"
    if "accuracy" in column or column == "rise":
        return f"{100 * value:{sign}.2f} %"
    if column.startswith("memory_"):
        return f"{value / 2**20:{sign},.4g} MiB"
    if column.startswith("parameters"):
        return f"{value:{sign},.0f}"
    unit = {"seconds": " s", "loss": " nat", "gap": " nat"}
    ending = next((unit[part] for part in column.split("_") if part in unit), "")
    return f"{value:{sign}.4g}{ending}"
